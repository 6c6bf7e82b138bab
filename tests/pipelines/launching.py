"""Runs stages in separate processes, quick to start, for tests that kill or stop them.

A launcher imports everything once and forks a process for each run, so a run does not pay for
Python's imports. It has one thread; the fork server of the workers is a separate process. `python
launching.py` is the launcher; tests use it through `Launcher` and `Run`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import PATIENCE

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "test.fsync", "test.swap")


@dataclass(frozen=True)
class Order:
    """One run, and the fault that it gets."""

    stage: str
    arguments: Sequence[str]
    log: str
    below: str = ""  # changes below this folder are counted
    die_before: int = 0  # number of the change before which the run is killed; 0: none
    stop_before: int = 0  # the same, but the run is paused (SIGSTOP)
    inline: bool = False  # the parts are done in the run's own process, one after another
    file_limit: int = 0  # maximum size of a file in bytes; 0: no limit
    swap_error: int = 0  # the errno with which the last rename fails
    broken: str = ""  # "module:name" of a function that raises its arguments as text


class Launcher:
    """A launcher process; `wrapped` is a command that starts it, such as `unshare`."""

    def __init__(self, folder: Path, wrapped: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.said = folder / "launcher.log"  # also holds the output of the workers
        self._logs = folder
        self._number = 0
        command = [*wrapped, sys.executable, str(HERE)]
        path = os.pathsep.join((str(ROOT / ".src"), str(HERE.parent)))
        with self.said.open("wb") as stream:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, cwd=folder,
            )  # fmt: skip
        self.server = self.read()["server"]

    @property
    def root(self) -> Path:
        """The file system of the launcher, with the mounts that only it sees."""
        return Path(f"/proc/{self._process.pid}/root")

    def start(self, stage: str, arguments: Sequence[str], **options: Any) -> Run:
        """Start a run."""
        self._number += 1
        log = self._logs / f"{self._number}-{stage}.log"
        order = Order(stage, arguments, str(log), **options)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(dataclasses.asdict(order)) + "\n")
        self._process.stdin.flush()
        return Run(self, self.read()["pid"], log)

    def run(self, stage: str, arguments: Sequence[str], **options: Any) -> Run:
        """Run a stage to its end."""
        run = self.start(stage, arguments, **options)
        run.end()
        return run

    def workers(self) -> list[int]:
        """Return the workers that are alive."""
        path = Path(f"/proc/{self.server}/task/{self.server}/children")
        return [int(word) for word in path.read_text().split()]

    def read(self) -> dict[str, Any]:
        """Return the next answer of the launcher."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.said.read_text()
        return json.loads(line)

    def close(self) -> None:
        """End the launcher."""
        self._process.communicate(timeout=PATIENCE)


@dataclass
class Run:
    """A run that was started; `code` is its exit code, negative for a signal."""

    launcher: Launcher
    pid: int
    log: Path
    code: int | None = None
    points: int = 0  # how many changes it made
    started: float = field(default_factory=time.monotonic)

    def kill(self, after: float = 0.0, sign: int = signal.SIGKILL) -> None:
        """Send the run a signal, some seconds after its start."""
        time.sleep(max(0.0, self.started + after - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, sign)

    def end(self) -> int:
        """Wait for the end; return the exit code."""
        if self.code is None:
            self.code = self.launcher.read()["code"]
            counted = self.log.with_suffix(".points")
            self.points = int(counted.read_text()) if counted.exists() else 0
        return self.code

    @property
    def said(self) -> str:
        """The output of the run, of both streams."""
        return self.log.read_text(errors="replace")


def serve() -> None:
    """Fork a run for every order on stdin; print its process id, then its exit code."""
    from multiprocessing import forkserver

    from cxr_vlp.pipelines import scan, shards, texts, verify
    from cxr_vlp.pipelines.engines import beam_engine
    from cxr_vlp.pipelines.stages import shard_part, text_part

    mains = {module.__name__.rpartition(".")[2]: module for module in (scan, texts, shards, verify)}
    assert beam_engine  # imported for the runs
    forkserver.set_forkserver_preload([shard_part.__name__, text_part.__name__])
    forkserver.ensure_running()
    _answer(server=forkserver._forkserver._forkserver_pid)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            # the server is not a child of this process, but this process may use it
            forkserver._forkserver.ensure_running = forkserver.ensure_running = lambda: None
            _child(order, mains[order.stage])
        _answer(pid=pid)
        _, status = os.waitpid(pid, 0)
        _answer(code=os.waitstatus_to_exitcode(status))


def _answer(**values: int) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _child(order: Order, stage: Any) -> None:
    code = 1
    try:
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (0, 1, 2):
            os.dup2(log, stream)
        counter = _prepare(order)
        code = _run(order, stage)
        Path(order.log).with_suffix(".points").write_text(str(counter.seen))
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _run(order: Order, stage: Any) -> int:
    from cxr_vlp.pipelines import errors

    return errors.run(lambda: stage.main(list(order.arguments)))


def _prepare(order: Order) -> Counter:
    from cxr_vlp.pipelines.executor import pool
    from cxr_vlp.pipelines.files import atomic_dir

    counter = Counter(order)
    if order.inline:
        pool.PartPool.run = _in_order  # type: ignore[method-assign]
    if order.file_limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit, order.file_limit))
    if order.broken:
        _break(*order.broken.split(":"))
    sync, swap = os.fsync, atomic_dir._exchange

    def fsync(handle: Any) -> None:
        sys.audit("test.fsync")
        sync(handle)

    def exchange(one: Path, other: Path) -> bool:
        sys.audit("test.swap")
        if order.swap_error:
            raise OSError(order.swap_error, os.strerror(order.swap_error), str(other))
        return swap(one, other)

    os.fsync, atomic_dir._exchange = fsync, exchange
    sys.addaudithook(counter)
    return counter


def _break(module: str, name: str) -> None:
    """Make a function or method raise an exception that quotes its arguments."""

    def broken(*arguments: Any, **_: Any) -> None:
        raise KeyError(*map(str, arguments))

    *owners, last = name.split(".")
    holder = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(holder, last, broken)


def _in_order(_: Any, attempts: Sequence[Any], over: Any) -> Iterator[Any]:
    """Do the parts in this process, where every change can be counted."""
    for each in attempts:
        yield each.next()()


@dataclass
class Counter:
    """An audit hook that counts the changes of a run on the disk, and ends it at a given change."""

    order: Order
    seen: int = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Handle an event before it happens."""
        if not self._is_change(event, arguments):
            return
        self.seen += 1
        if self.seen == self.order.die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seen == self.order.stop_before:
            os.kill(os.getpid(), signal.SIGSTOP)

    def _is_change(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event in ("test.fsync", "test.swap"):
            return True
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if not opened and event not in CHANGES:
            return False
        return bool(self.order.below) and str(arguments[0]).startswith(self.order.below)


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

if __name__ == "__main__":
    serve()
