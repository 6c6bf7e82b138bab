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

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import paths

UNPACKED = 1 << 32  # bytes to which a .gz may unpack
_PLACE = re.compile(r"(\d{1,15})\+(\d{1,9})", re.A)


def name(start: int, size: int) -> str:
    """Return the form in which an inventory holds a place: START+SIZE, in bytes."""
    return f"{start}+{size}"


def is_name(text: str) -> bool:
    """Return whether a text has the form of a place."""
    return _PLACE.fullmatch(text) is not None


def read(path: Path, place: str) -> bytes:
    """Return the bytes at a place that `name` made; of a .gz, those of its content.

    Raises IngestError report.unreadable if the file cannot be read or does not reach so far.
    """
    match = _PLACE.fullmatch(place)
    if match is None:
        raise IngestError("report.unreadable")
    start, size = int(match[1]), int(match[2])
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
            if not packed:
                data = os.pread(stream.fileno(), size, start)
        if packed:
            data = os.pread(_unpacked(path, paths.signature(path)).fileno(), size, start)
    except (OSError, EOFError, zlib.error):
        raise IngestError("report.unreadable") from None
    if len(data) != size:
        raise IngestError("report.unreadable")
    return data


@functools.lru_cache(maxsize=2)
def _unpacked(path: Path, signature: paths.Signature) -> io.BufferedRandom:  # noqa: ARG001
    """Return a temporary file with the content of a .gz, made once in each process.

    A .gz has no random access. A file that was replaced has another signature.
    """
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - open for the life of the process
    with gzip.open(path) as packed:
        while block := packed.read(1 << 20):
            stream.write(block)
            if stream.tell() > UNPACKED:
                raise IngestError("report.unreadable")
    stream.flush()
    return stream
