"""Work for an engine that fails on one of its images; worker processes import it by name."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.executor.worker import WorkerState


def abort() -> None:
    """Die as after a failed assertion in a C library."""
    os.abort()


def address_zero() -> None:
    """Die of an invalid pointer."""
    ctypes.string_at(0)


def hang() -> None:
    """Never return, and hold the interpreter lock."""
    ctypes.CDLL(None).sleep(600)
    time.sleep(600)


def killed() -> None:
    """Be killed by the system, as if memory ran out."""
    os.kill(os.getpid(), signal.SIGKILL)


def paused() -> None:
    """Stand still, as on a machine that was suspended."""
    os.kill(os.getpid(), signal.SIGSTOP)


def waits() -> None:
    """Wait for what does not come, as for a disk of a server that is gone."""
    time.sleep(600)


def greedy() -> None:
    """Allocate more memory than a worker may have."""
    try:
        bytearray(64 << 30)
    except MemoryError:
        raise IngestError("no.memory") from None


def stop() -> None:
    """Raise an error that must stop the run."""
    raise DataError("source.changed: as expected")


def bug() -> None:
    """Fail with an unexpected exception that has report text in its message."""
    raise KeyError("CANARYWORD in a message")


def unplugged() -> None:
    """Meet a fault of the machine that another attempt may not meet."""
    raise ConnectionResetError(errno.ECONNRESET, "CANARYWORD")


def full() -> None:
    """Meet a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/out.tar")


def none() -> None:
    """Succeed."""


@dataclass(frozen=True)
class FiveImages:
    """The work on a part of five images; the third image of the part "bad" is the hazard."""

    hazard: Any = none
    isolated: bool = True
    spent: tuple[str, ...] = ("how", "seconds", "decoded")

    def __call__(self, element: Element, worker: WorkerState) -> dict[str, Any]:
        """Return the outcome of each image: "ok" or a reject code."""
        outcomes, part = {}, element.name
        for number in range(5):
            name = f"{part}-{number}"
            try:
                with worker.decoding(name):
                    if number == 2 and part == "bad":
                        self.hazard()
                outcomes[name] = "ok"
            except IngestError as error:
                outcomes[name] = error.code
        return outcomes


@dataclass(frozen=True)
class Slow:
    """Work whose elements take a while, and say which process did them."""

    seconds: float = 0.2
    isolated: bool = False
    spent: tuple[str, ...] = ("seconds",)

    def __call__(self, element: Element, worker: WorkerState) -> dict[str, Any]:
        """Return the square of the payload."""
        time.sleep(self.seconds)
        if element.payload == "killed":
            killed()
        return {"square": element.payload**2, "seconds": os.getpid()}


@dataclass(frozen=True)
class SlowImages:
    """Work on images that take a while each."""

    seconds: float
    images: int
    isolated: bool = True
    spent: tuple[str, ...] = ()
    images_are_copied: bool = False

    def __call__(self, element: Element, worker: WorkerState) -> dict[str, Any]:
        """Decode the images, or only take the steps of images that are copied."""
        for number in range(self.images):
            if self.images_are_copied:
                worker.step()
                time.sleep(self.seconds)
                continue
            with worker.decoding(f"{element.name}-{number}"):
                time.sleep(self.seconds)
        return {"images": self.images}
