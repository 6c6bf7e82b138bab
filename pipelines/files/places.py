"""Reads some bytes in the middle of a large file again, also of a .gz.

A table of 200,000 reports is not kept in memory: a listing keeps where each report stands, and the
report is read from there when it is needed.
"""

from __future__ import annotations

import functools
import gzip
import io
import os
import re
import tempfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import archives, paths
from cxr_vlp.pipelines.files.raw_objects import RawObject

UNPACKED = 1 << 32  # bytes to which a .gz may unpack
_PLACE = re.compile(r"(\d{1,15})(?:\+(\d{1,9}))?", re.A)


def name(start: int, size: int = 0) -> str:
    """Return the form in which an inventory holds a place: START, or START+SIZE, in bytes."""
    return f"{start}+{size}" if size else str(start)


def start_of(text: str) -> int | None:
    """Return the START of a place; None for a text that is none."""
    match = _PLACE.fullmatch(text)
    return int(match[1]) if match else None


def read(path: Path, place: str) -> bytes:
    """Return the bytes at a place START+SIZE; of a .gz, those of its content.

    Raises IngestError report.unreadable if the file cannot be read or does not reach so far.
    """
    match = _PLACE.fullmatch(place)
    size = int(match[2] or 0) if match else 0
    if match is None or not size:
        raise IngestError("report.unreadable")
    try:
        with opened(path) as stream:
            stream.seek(int(match[1]))
            data = stream.read(size)
    except OSError:
        raise IngestError("report.unreadable") from None
    if len(data) != size:
        raise IngestError("report.unreadable")
    return data


def opened(path: Path) -> BinaryIO:
    """Open a file for reading at any place; of a .gz, its content.

    So a deflated member of a zip, in which a seek unpacks all before it, is unpacked once; and a
    table in an object store is copied once.
    Raises IngestError report.unreadable for a .gz that is broken, OSError as `open` does.
    """
    remote = isinstance(path, RawObject)  # a request for each of its rows would be slower
    if not (remote or (isinstance(path, archives.Member) and path.deflated())):
        stream = path.open("rb")
        if stream.read(2) != b"\x1f\x8b":
            return stream
        stream.close()
    try:
        return io.BufferedReader(_View(_unpacked(path, paths.signature(path))))
    except (OSError, EOFError, zlib.error):
        raise IngestError("report.unreadable") from None


class _View(io.RawIOBase):
    """Reads an open file with a place of its own: other threads read the same file."""

    def __init__(self, file: io.BufferedRandom) -> None:
        self._file = file  # which stays open as long as the view, also out of the cache
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            self._place = place
        elif whence == os.SEEK_CUR:
            self._place += place
        else:
            self._place = os.fstat(self._file.fileno()).st_size + place
        return self._place

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._file.fileno(), len(buffer), self._place)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


@functools.lru_cache(maxsize=4)  # the files of three splits, and one more
def _unpacked(path: Path, signature: paths.Signature) -> io.BufferedRandom:  # noqa: ARG001
    """Return a temporary file with a file's content, of a .gz what it packs; made once a process.

    A .gz has no random access, nor has a deflated member. A file that was replaced has another
    signature.
    """
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - open for the life of the process
    with path.open("rb") as whole, _plain(whole) as packed:
        while block := packed.read(1 << 20):
            stream.write(block)
            if stream.tell() > UNPACKED:
                raise IngestError("report.unreadable")
    stream.flush()
    return stream


def _plain(stream: IO[bytes]) -> IO[bytes]:
    magic = stream.read(2)
    stream.seek(0)
    return cast(IO[bytes], gzip.open(stream)) if magic == b"\x1f\x8b" else stream
