"""Members in, a tar out whose bytes depend on nothing else.

USTAR, no compression, mtime 0, owner 0, mode 0444. A float mtime would add a PAX header to every
member (and make reading 1.8 times slower); webdataset's ShardWriter stamps the clock and publishes
unfinished files under their final name. A header is tarfile's own with name, size and check sum
filled in, for making each one anew takes tarfile longer than all else about a member.
"""

from __future__ import annotations

import hashlib
import tarfile
from typing import BinaryIO

_BLOCK, _RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE
_LONGEST = 100  # bytes of a name; keys hold no "/", so there is nothing to split off as a prefix
_LARGEST = 8**11 - 1  # bytes of a member: eleven octal digits
_SUM, _SUM_END = 148, 156  # where the check sum stands; it counts as spaces while it is taken


def _blank() -> bytes:
    """Return the header of a nameless, empty member, as tarfile writes it."""
    info = tarfile.TarInfo("")
    info.mode = 0o444
    return info.tobuf(tarfile.USTAR_FORMAT)


_BLANK = _blank()
_BEFORE_SIZE, _BEFORE_SUM, _AFTER = _BLANK[100:124], _BLANK[135:148], _BLANK[_SUM_END:]
_BLANK_SUM = sum(_BEFORE_SIZE + _BEFORE_SUM + _AFTER) + 8 * ord(" ")


class TarWriter:
    """Write a tar to a stream and digest its bytes on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._size = 0

    def add(self, name: str, data: bytes) -> None:
        """Append one member. Raises ValueError for a name or a size that USTAR has no room for."""
        self._write(b"".join((header(name, len(data)), data, bytes(-len(data) % _BLOCK))))

    def finish(self) -> tuple[str, int]:
        """Write the end of the archive; return (sha256, bytes) of the whole."""
        self._write(bytes(2 * _BLOCK + -(self._size + 2 * _BLOCK) % _RECORD))
        return self._sha256.hexdigest(), self._size

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._size += len(data)
        self._stream.write(data)


def header(name: str, size: int) -> bytes:
    """Return a member's USTAR header (IEEE 1003.1), 512 bytes.

    Raises ValueError for a name of more than 100 bytes, a size of 8 GiB or more.
    """
    named, sized = name.encode(), b"%011o" % size
    if not 0 < len(named) <= _LONGEST:
        raise ValueError(f"a tar member's name has 1 to {_LONGEST} bytes, not {len(named)}")
    if size > _LARGEST:
        raise ValueError(f"a tar member has at most {_LARGEST} bytes, not {size}")
    checked = b"%06o\0 " % (_BLANK_SUM + sum(named) + sum(sized))
    parts = (named.ljust(_LONGEST, b"\0"), _BEFORE_SIZE, sized, _BEFORE_SUM, checked, _AFTER)
    return b"".join(parts)
