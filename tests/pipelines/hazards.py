"""Works for a crew that go wrong on some of their pictures; workers import them by name."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.executor.worker import WorkerState


def abort() -> None:
    """Die as an assertion in a C library does."""
    os.abort()


def address_zero() -> None:
    """Die of a bad pointer."""
    ctypes.string_at(0)


def hang() -> None:
    """Never return, holding the interpreter."""
    ctypes.CDLL(None).sleep(600)
    time.sleep(600)


def killed() -> None:
    """Be killed by the system, as when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def greedy() -> None:
    """Ask for more memory than a worker may have."""
    try:
        bytearray(64 << 30)
    except MemoryError:
        raise IngestError("no.memory") from None


def stop() -> None:
    """Find something the run must not go on after."""
    raise DataError("source.changed: as said")


def bug() -> None:
    """Fail in a way nobody foresaw, with report text in the message."""
    raise KeyError("CANARYWORD in a message")


def none() -> None:
    """Go well."""


@dataclass(frozen=True)
class Pictures:
    """A part of five pictures, of which the third does something."""

    hazard: Any = none

    def __call__(self, part: str, worker: WorkerState) -> dict[str, Any]:
        """Return what became of each picture."""
        told = {}
        for number in range(5):
            name = f"{part}-{number}"
            try:
                with worker.decoding(name):
                    if number == 2 and part == "bad":
                        self.hazard()
                told[name] = "ok"
            except IngestError as error:
                told[name] = error.code
        return told
