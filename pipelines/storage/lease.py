"""The lock of an output in an object store: an object that its holder renews.

`OUT/.lock` is put if there is none, so that one of several runs gets it. It names its holder, who
writes it again each `RENEWED` seconds. A run that finds the lock of another run takes it over

- at once, if that run was on this machine and its process has ended (machine, process id space,
  process and its start are compared), or
- if it was not renewed for `DEAD` seconds, by the clock of the store: no clock of a machine counts.

Taking over replaces the lock on the condition that it is still the one that was found, so of two
runs one gets it. A holder that was taken over is told when it asks (`check`); the publishing itself
is decided by a put with a condition, not by this lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.errors import LockedError, StorageError
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import shown

NAME = ".lock"
RENEWED = 60.0  # seconds between two signs of life
DEAD = 600.0  # seconds without one
_HELD: set[str] = set()  # the tokens of the locks that this process holds now


@dataclass
class Lease:
    """The lock that this run holds."""

    path: Path
    data: bytes
    identity: str
    lost: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    turn: threading.Lock = field(default_factory=threading.Lock)  # one request at a time

    def check(self) -> None:
        """Raise LockedError if another run took the lock over, or removed it."""
        with self.turn:
            lost = self.lost or objects.identity(self.path) != self.identity
        if lost:
            raise LockedError(f"{self.path.parent}: another run took over while this one was away")

    def renew(self) -> None:
        """Write the lock again; a store that does not answer is tried again at the next time."""
        data = self.data + b" "  # other bytes: the identity of a store may be their digest
        with self.turn, contextlib.suppress(StorageError, OSError):
            if objects.replace_if(self.path, data, self.identity):
                self.data, self.identity = data, objects.identity(self.path)
            else:
                self.lost = True

    def keep(self, seconds: float) -> None:
        """Renew the lock until the run ends; runs in a thread."""
        while not self.ended.wait(seconds) and not self.lost:
            self.renew()

    def release(self) -> None:
        """Remove the lock, unless another run took it over."""
        with contextlib.suppress(StorageError, OSError):
            if not self.lost and objects.identity(self.path) == self.identity:
                objects.remove(self.path)


@contextlib.contextmanager
def held(output: Path, renewed: float = RENEWED) -> Iterator[Lease]:
    """Hold the lock of an output. Raises LockedError, which names who holds it.

    Raises StorageError if the store ignores the condition of a put: there, two runs could overwrite
    each other, and neither would know.
    """
    token = uuid.uuid4().hex
    lease = _taken(output / NAME, token)
    _HELD.add(token)
    thread = threading.Thread(target=lease.keep, args=(renewed,), daemon=True)
    thread.start()
    try:
        _probe(lease)
        yield lease
    finally:
        lease.ended.set()
        thread.join()
        lease.release()
        _HELD.discard(token)


def _taken(path: Path, token: str) -> Lease:
    data = json.dumps({**_holder(), "token": token}, sort_keys=True).encode()
    for _ in range(3):  # a lock that is removed, or taken, between two steps
        if objects.put_if_absent(path, data):
            return Lease(path, data, objects.identity(path))
        before = objects.identity(path)
        if before and _is_dead(path) and objects.replace_if(path, data, before):
            return Lease(path, data, objects.identity(path))
        if before:
            break
    raise LockedError(_refusal(path))


def _probe(lease: Lease) -> None:
    """Raise StorageError if a put that must fail does not: the lock exists, so it must."""
    if objects.put_if_absent(lease.path, b"probe"):
        lease.identity = objects.identity(lease.path)
        raise StorageError(
            f"{shown(lease.path)}: the store ignores If-None-Match, so that runs could overwrite "
            "each other: use a store that knows conditional writes (Amazon S3, MinIO, Ceph, R2)"
        )


def _refusal(path: Path) -> str:
    found = _read(path)
    who = f"process {found.get('process', 'unknown')} on {found.get('host', 'unknown')}"
    return (
        f"{path.parent}: another run ({who}) is writing it; if that run has died, its lock ends "
        f"{DEAD / 60:.0f} minutes after its last sign of life"
    )


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def _holder() -> dict[str, Any]:
    """Return who this process is, as another run on any machine can compare it."""
    return {
        "host": platform.node(),
        "machine": _machine(),
        "process": os.getpid(),
        "start": _start(os.getpid()),
    }


def _machine() -> str:
    """Return the boot and the space of process ids; "" where the system does not say."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _start(process: int) -> str:
    """Return when a process started, "" if it does not live (or is a zombie)."""
    with contextlib.suppress(OSError, IndexError):
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    return ""


def _is_dead(path: Path) -> bool:
    """Return whether the holder of a lock has ended, or shows no sign of life."""
    found = _read(path)
    process = found.get("process")
    if found.get("machine") and found["machine"] == _machine() and isinstance(process, int):
        if process == os.getpid() and found.get("token") not in _HELD:
            return True  # it could not be removed, because the store did not answer
        return _start(process) != found.get("start")
    return _silence(path) > DEAD


def _silence(path: Path) -> float:
    """Return the seconds since a lock was written, by the clock of its store."""
    clock = path.with_name(f".clock-{uuid.uuid4().hex}")
    try:
        objects.put_if_absent(clock, b"now")
        return (_time(clock) - _time(path)).total_seconds()
    except FileNotFoundError:  # it was released in this moment
        return 0.0
    finally:
        objects.remove(clock)


def _time(path: Any) -> datetime:
    """Return when an object was written."""
    found: datetime = path.fs.modified(path.path)
    return found
