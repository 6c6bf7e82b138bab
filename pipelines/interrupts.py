"""Ctrl-C and SIGTERM in, one line and the exit code 130 or 143 out, in every phase of a command.

The main thread is interrupted at once (KeyboardInterrupt). Other threads, and crews that wait for
their workers, ask `check`. A run that has not unwound after `GRACE` seconds is ended hard: workers
end with their run (desk.py), and what is finished is on the disk already.
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
GRACE = 10.0  # seconds for an orderly end
ONE = 1.0  # seconds within which a second signal counts as the first: `timeout` sends it twice
NOTHING_KEPT = "nothing was written"


class StoppedError(Exception):
    """The run was told to stop; raised in threads that are not the main one."""


@dataclass
class Heard:
    """A command between its start and its end."""

    kept: str
    number: int = 0  # of the signal that stopped it
    at: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)  # stopped, or at its end

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Take a signal; runs in the main thread, between two of its steps."""
        if self.number:
            if time.monotonic() - self.at > ONE:
                self.end()
            return
        # first of all: a second signal may come while this one is being taken
        self.number, self.at = number, time.monotonic()
        self.over.set()
        raise KeyboardInterrupt

    def watch(self) -> None:
        """End a run hard that does not end by itself."""
        self.over.wait()
        if self.number:
            time.sleep(GRACE)
            self.end()

    def end(self) -> None:
        """Say it and end, whatever still runs."""
        os.write(2, f"{self.message}\n".encode())
        os._exit(self.code)

    @property
    def message(self) -> str:
        """What the user is told."""
        return f"stopped: {self.kept}"

    @property
    def code(self) -> int:
        """The exit code: 130 or 143."""
        return 128 + self.number


_heard: Heard | None = None
_begun = False


@contextlib.contextmanager
def listening(kept: str) -> Iterator[Heard]:
    """Hear signals while the block runs; `kept` says what stays of the work so far.

    A signal that the process was started to ignore (`nohup`, a shell's `&`) stays ignored.
    """
    global _heard, _begun
    _begun = True
    run, before = Heard(kept), _heard
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handlers[number] = signal.getsignal(number)
            if handlers[number] is not signal.SIG_IGN:
                signal.signal(number, run.hear)
    _heard = run
    threading.Thread(target=run.watch, daemon=True).start()
    try:
        yield run
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: it was not Python that installed it
                signal.signal(number, handler)
        if not run.number:  # else the watch goes on until the process has ended
            run.over.set()
        _heard = before


def stopped() -> bool:
    """Tell whether the run was told to stop."""
    return _heard is not None and _heard.number != 0


def check() -> None:
    """Raise StoppedError where the run was told to stop."""
    if stopped():
        raise StoppedError


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Start processes, in the block, that Ctrl-C does not reach: it is for the run alone.

    The signal mask is inherited, also by what they fork, and from their first moment on; a signal
    to this process that comes meanwhile is delivered when the block ends.
    """
    resource_tracker.ensure_running()  # it would set the mask back, were it started in the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_server(preload: list[str]) -> multiprocessing.context.ForkServerContext:
    """Return the context of a server that forks workers, started out of Ctrl-C's reach.

    A fork of a process that runs Beam's threads may deadlock; the server has no threads.
    """
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    with deaf_children():
        forkserver.ensure_running()
    return context


def early() -> None:
    """Hear signals while a command is still being imported: nothing was begun, so just end."""

    def end(number: int, _frame: FrameType | None) -> None:
        if not _begun:
            os.write(2, f"stopped: {NOTHING_KEPT}\n".encode())
        os._exit(128 + number)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


if sys.argv[:1] == ["-m"]:  # so it is while `python -m cxr_vlp.pipelines.X` looks for X
    early()
