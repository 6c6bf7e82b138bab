"""Records what a worker does now: which image it decodes, and how many steps it has taken.

Decoders are C code and read untrusted files. A decoder may crash its process or never return; then
the process cannot report the image. So each worker writes the name of its image to a small file,
the record, before it decodes. The number of steps (studies, images) shows that a part goes on.
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
from cxr_vlp.pipelines.executor.progress import Counts

RECORD_BYTES = 64  # size of a record; a new one overwrites the old one in place
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
FREE_MEMORY_KEPT = 256 << 20  # bytes of free memory that stay with the process
MEMORY_LIMIT = 4 << 30  # bytes a worker may allocate; above it an allocation fails
_counts = Counts()


def count_step() -> None:
    """Count a step of this process, or one that it has seen a worker of its own take."""
    _counts.add("steps")


def steps() -> int:
    """Return the number of steps that were counted in this process: it grows while work goes on."""
    return _counts.of("steps")


@dataclass
class WorkerState:
    """The state of a worker: the record file of its part, and images that it must not decode."""

    record: Path
    excluded: Mapping[str, str] = field(default_factory=dict)  # key hash -> code of its reject
    _file: int = -1
    _steps: int = 0

    def step(self) -> None:
        """Record that the work goes on: the next study or image is begun."""
        count_step()
        self._steps += 1
        self._write("")

    @contextlib.contextmanager
    def decoding(self, name: str) -> Iterator[None]:
        """Record that the image `name` (a key hash) is being decoded while the block runs.

        Raises IngestError with the code of an earlier attempt that ended its worker.
        """
        if name in self.excluded:
            raise IngestError(self.excluded[name])
        count_step()
        self._steps += 1
        self._write(name)
        try:
            yield
        finally:
            self._write("")

    def close(self) -> None:
        """Remove the record: the part is done."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self.record.unlink(missing_ok=True)

    def _write(self, image: str) -> None:
        if self._file < 0:
            self._file = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        text = f"{os.getpid()} {self._steps} {image}"
        os.pwrite(self._file, text.encode().ljust(RECORD_BYTES), 0)


@dataclass(frozen=True)
class Record:
    """The content of a record."""

    worker: int  # the process id
    step: int  # the number of the step
    image: str  # the image that is being decoded, "" if none is

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Return the content of a record; None if the worker has not begun."""
        try:
            worker, step, *image = path.read_text(encoding="ascii").split()
            return cls(int(worker), int(step), "".join(image))
        except (FileNotFoundError, ValueError):
            return None


def set_up(environment: Mapping[str, str] | None = None) -> None:
    """Prepare a worker process: limit its memory, ignore Ctrl-C, end when the run ends.

    `environment` replaces that of the process; None keeps it.
    """
    if environment is not None and environment != os.environ:
        os.environ.clear()
        os.environ.update(environment)
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    keep_free_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run handles Ctrl-C and stops its workers
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def keep_free_memory() -> None:
    """Let glibc keep the memory that one image freed for the next image.

    An image needs about 40 MB of arrays. Fresh pages for every image cost more time than decoding
    an uncompressed one.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library has no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the maximum that glibc accepts
        mallopt(M_TRIM_THRESHOLD, FREE_MEMORY_KEPT)


def _end_with(parent: BaseProcess) -> None:
    """End this process when the run ends, even if the run was killed."""
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)
