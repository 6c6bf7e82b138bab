"""The place a worker works at: what it has in hand is noted, for others to tell what killed it.

A decoder is C code fed with files from anywhere. It may crash the process, or never return; then
nothing in the process can say which picture it was, but the note can.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from cxr_vlp.pipelines.errors import IngestError

LONGEST = 64  # bytes of a note
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT = 256 << 20  # bytes of free memory that stay with the process
MEMORY = 4 << 30  # bytes a worker may hold; a decoder that wants more gets none


@dataclass
class Desk:
    """One part's desk: the note, and the names (key hashes) that must not be tried again."""

    note: Path
    aside: Mapping[str, str] = field(default_factory=dict)  # name -> code of what it did
    _file: int = -1

    @contextlib.contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """Note that `name` is in hand, as long as the block runs.

        Raises IngestError with the code of an earlier try that killed its worker.
        """
        if name in self.aside:
            raise IngestError(self.aside[name])
        if self._file < 0:
            self._file = os.open(self.note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._write(f"{os.getpid()} {name}")
        try:
            yield
        finally:
            self._write("")

    def clear(self) -> None:
        """Leave the desk; there is nothing in hand."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self.note.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        os.pwrite(self._file, text.encode().ljust(LONGEST), 0)


@dataclass(frozen=True)
class Note:
    """What a desk's note says to others: whose it is, what is in hand, since when (file time)."""

    worker: int
    name: str
    since: int

    @classmethod
    def read(cls, path: Path) -> Note | None:
        """Return the note; None where nothing is in hand."""
        try:
            worker, name = path.read_text(encoding="ascii").split()
            return cls(int(worker), name, path.stat().st_mtime_ns)
        except (FileNotFoundError, ValueError):
            return None


def sit_down() -> None:
    """Prepare a worker process: no memory for runaways, and no life beyond the run's."""
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which stops its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_after, args=(parent,), daemon=True).start()


def keep_memory() -> None:
    """Let glibc keep what a picture gave back for the next one, instead of returning it.

    A film takes some 40 MB of arrays; fresh pages for each film cost more than decoding it raw.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library: it has its own ways
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
        mallopt(M_TRIM_THRESHOLD, KEPT)


def _die_after(parent: BaseProcess) -> None:
    """End this process with the run it works for, also with one that is killed."""
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
