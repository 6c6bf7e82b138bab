"""Records which image a worker is decoding, so that a crash can be attributed.

Decoders are C code and read untrusted files. A decoder may crash its process or never return; then
the process cannot report the image. So each worker writes the name of its image to a small file,
the record, before it decodes.
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

RECORD_BYTES = 64  # size of a record; a new one overwrites the old one in place
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
FREE_MEMORY_KEPT = 256 << 20  # bytes of free memory that stay with the process
MEMORY_LIMIT = 4 << 30  # bytes a worker may allocate; above it an allocation fails


@dataclass
class WorkerState:
    """The state of a worker: the record file of its part, and images that it must not decode."""

    record: Path
    excluded: Mapping[str, str] = field(default_factory=dict)  # key hash -> code of its reject
    _file: int = -1

    @contextlib.contextmanager
    def decoding(self, name: str) -> Iterator[None]:
        """Record that the image `name` (a key hash) is being decoded while the block runs.

        Raises IngestError with the code of an earlier attempt that ended its worker.
        """
        if name in self.excluded:
            raise IngestError(self.excluded[name])
        if self._file < 0:
            self._file = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._write(f"{os.getpid()} {name}")
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

    def _write(self, text: str) -> None:
        os.pwrite(self._file, text.encode().ljust(RECORD_BYTES), 0)


@dataclass(frozen=True)
class CurrentImage:
    """The content of a record: the worker's process id, the image it decodes, the file's time."""

    worker: int
    name: str
    since: int  # nanoseconds

    @classmethod
    def read(cls, path: Path) -> CurrentImage | None:
        """Return the content of a record; None if no image is being decoded."""
        try:
            worker, name = path.read_text(encoding="ascii").split()
            return cls(int(worker), name, path.stat().st_mtime_ns)
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
