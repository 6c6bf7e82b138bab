"""Handles Ctrl-C and SIGTERM: a stopped command prints one line and exits with 130 or 143.

The main thread gets a KeyboardInterrupt at once. Other threads, and loops that wait for worker
processes, call `check`. A run that has not ended `GRACE_PERIOD` seconds after the signal is ended
by force: workers end with their run (executor/worker.py), and finished parts are on the disk.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_PERIOD = 10.0  # seconds for an orderly end
REPEAT_PERIOD = (
    1.0  # seconds in which a second signal counts as the first one: `timeout` sends it twice
)
# imported in the server of workers only; see there
LATE_WORKER = "cxr_vlp.pipelines.executor.late_worker"
NOTHING_KEPT = "nothing was written"


class StoppedError(Exception):
    """The run was stopped by a signal; raised in threads other than the main thread."""


@dataclass
class RunningCommand:
    """A command between its start and its end, and the signal that stopped it."""

    kept: str  # what remains of the work so far, for the message
    number: int = 0  # of the signal; 0: not stopped
    stopped_at: float = 0.0  # time of the signal
    over: threading.Event = field(default_factory=threading.Event)  # stopped, or finished

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal; runs in the main thread, between two of its steps."""
        if self.number:
            if time.monotonic() - self.stopped_at > REPEAT_PERIOD:
                self.exit()
            return
        # set first: a second signal may arrive while this one is handled
        self.number, self.stopped_at = number, time.monotonic()
        self.over.set()
        raise KeyboardInterrupt

    def exit_after_grace_period(self) -> None:
        """Wait for the end; end a stopped run by force if it does not end by itself."""
        self.over.wait()
        if self.number:
            time.sleep(GRACE_PERIOD)
            self.exit()

    def exit(self) -> None:
        """Print the message and end the process at once."""
        os.write(2, f"{self.message}\n".encode())
        os._exit(self.code)

    @property
    def message(self) -> str:
        """The line for the user."""
        return f"stopped: {self.kept}"

    @property
    def code(self) -> int:
        """The exit code: 130 or 143."""
        return 128 + self.number


_command: RunningCommand | None = None
_started = False


@contextlib.contextmanager
def handling(kept: str) -> Iterator[RunningCommand]:
    """Handle signals while the block runs; `kept` says what remains of the work so far.

    A signal that the process was started to ignore (`nohup`, a shell's `&`) stays ignored.
    """
    global _command, _started
    _started = True
    command, before = RunningCommand(kept), _command
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handlers[number] = signal.getsignal(number)
            if handlers[number] is not signal.SIG_IGN:
                signal.signal(number, command.handle)
    _command = command
    threading.Thread(target=command.exit_after_grace_period, daemon=True).start()
    try:
        yield command
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: it was not installed by Python
                signal.signal(number, handler)
        if not command.number:  # after a signal the thread waits until the process has ended
            command.over.set()
        _command = before


def stopped() -> bool:
    """Return whether a signal stopped the run."""
    return _command is not None and _command.number != 0


def check() -> None:
    """Raise StoppedError if a signal stopped the run."""
    if stopped():
        raise StoppedError


@contextlib.contextmanager
def sigint_blocked() -> Iterator[None]:
    """Block SIGINT in the processes that the block starts: only the run itself handles Ctrl-C.

    Processes inherit the signal mask from their first moment, and so do those that they fork. A
    signal to this process that arrives meanwhile is delivered when the block ends.
    """
    resource_tracker.ensure_running()  # if it started inside the block, it would reset the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_server(preload: list[str]) -> multiprocessing.context.ForkServerContext:
    """Return the context of a server that forks workers; Ctrl-C does not reach the server.

    A fork of a process that runs Beam's threads may deadlock; the server has no threads. `preload`
    names the modules that the server imports once, for all workers.
    """
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, LATE_WORKER])
    with sigint_blocked():
        forkserver.ensure_running()
    return context


def exit_while_importing() -> None:
    """End the process on a signal while a command is imported: no work has started yet."""

    def end(number: int, _frame: FrameType | None) -> None:
        if not _started:
            os.write(2, f"stopped: {NOTHING_KEPT}\n".encode())
        os._exit(128 + number)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


if sys.argv[:1] == ["-m"]:  # true while `python -m cxr_vlp.pipelines.X` imports X
    exit_while_importing()
