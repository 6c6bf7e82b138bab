"""A finished tar in, its members out one at a time, read as strictly as tars.py writes.

tarfile forgives much: a cut archive often reads without an error, and what stands behind the end
or between members is skipped in silence. Here everything that our own writer would not have
written is told, and the whole file is digested on the way, so that it is read once.
"""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cxr_vlp.pipelines.format import tar

BLOCK = tarfile.BLOCKSIZE  # 512 bytes
LARGEST = 1 << 28  # bytes of one member; four times the largest picture that is ever stored
CHUNK = 1 << 20


class TornError(Exception):
    """What stands where a member should begin is none, or it has no room in the file."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member; `plain` tells that its header is the one form that our writer gives it."""

    name: str
    data: bytes
    plain: bool


class Untar:
    """Read one tar from a stream; iterate it first, then ask `finish`."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._ended_at = -1  # where the zeros of the end begin; -1 until they are reached
        self.read = 0
        self._sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[Member]:
        """Yield the members. Raises TornError where the rest cannot be told apart."""
        while True:
            start = self.read
            header = self._take(BLOCK)
            if not header.strip(b"\0"):
                self._ended_at = start
                return
            name, size, plain = _told(header)
            if not 0 <= size <= min(LARGEST, self._size - self.read):
                raise TornError
            data = self._take(size)
            padding = self._take(-size % BLOCK)
            yield Member(name, data, plain and not padding.strip(b"\0"))

    def finish(self) -> tuple[str, bool]:
        """Read what is left; return (sha256 of the file, whether it ends as a tar of ours does)."""
        clean = True
        while rest := self._take(CHUNK):
            clean = clean and not rest.strip(b"\0")
        record = tarfile.RECORDSIZE
        end = -(-(self._ended_at + 2 * BLOCK) // record) * record
        return self._sha256.hexdigest(), clean and self._ended_at >= 0 and self.read == end

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._sha256.update(data)
        self.read += len(data)
        return data


def _told(header: bytes) -> tuple[str, int, bool]:
    """Return (name, size, whether it is the header our writer gives). Raises TornError."""
    with contextlib.suppress(ValueError):  # no number, no UTF-8, or a name that it would refuse
        name, size = header[:100].rstrip(b"\0").decode(), int(header[124:135], 8)
        if header == tar.header(name, size):
            return name, size, True
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.TarError:
        raise TornError from None
    return info.name, info.size, False
