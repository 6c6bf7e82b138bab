"""Writes the tars of a set with bytes that depend only on the members, and reads tars strictly.

Written: USTAR, no compression, mtime 0, owner 0, mode 0444. A float mtime would add a PAX header to
every member and make reading 1.8 times slower; webdataset's ShardWriter writes the time of day and
publishes unfinished files under their final name. Making a header with the standard library
takes longer than all other work on a member, so tarfile makes one header, and only name, size and
check sum are filled in.

Read: plain files, and an archive that ends with its end mark, as this module, webdataset's
ShardWriter, tarfile and GNU tar write it (tar_headers.py). Anything else raises FormatError with
the code that `verify` reports. tarfile, on which webdataset's reader is built, takes three to four
times as long (benchmarks/loader_speed.py), and often reads a cut archive without an error.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple, Protocol

from cxr_vlp.pipelines.format import tar_headers
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.tar_headers import LARGEST, Extended, octal

BLOCK, RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE  # 512 and 10,240 bytes
_LONGEST = 100  # bytes of a name; keys hold no "/", so there is nothing to split off as a prefix
_LARGEST_SIZE = 8**11 - 1  # bytes of a member: eleven octal digits
_CHUNK = 1 << 20
_END = bytes(BLOCK)


def _blank() -> bytes:
    """Return the header of an empty member without a name, as tarfile writes it."""
    info = tarfile.TarInfo("")
    info.mode = 0o444
    return info.tobuf(tarfile.USTAR_FORMAT)


_BLANK = _blank()
# the check sum is in bytes 148 to 155, which count as blanks in it
_BEFORE_SIZE, _BEFORE_SUM, _AFTER = _BLANK[100:124], _BLANK[135:148], _BLANK[156:]
_BLANK_SUM = sum(_BEFORE_SIZE + _BEFORE_SUM + _AFTER) + 8 * ord(" ")


def header(name: str, size: int) -> bytes:
    """Return a member's USTAR header (IEEE 1003.1), 512 bytes.

    Raises ValueError for a name of more than 100 bytes or a size of 8 GiB or more.
    """
    named, sized = name.encode(), b"%011o" % size
    if not 0 < len(named) <= _LONGEST:
        raise ValueError(f"a tar member's name has 1 to {_LONGEST} bytes, not {len(named)}")
    if size > _LARGEST_SIZE:
        raise ValueError(f"a tar member has at most {_LARGEST_SIZE} bytes, not {size}")
    checked = b"%06o\0 " % (_BLANK_SUM + sum(named) + sum(sized))
    parts = (named.ljust(_LONGEST, b"\0"), _BEFORE_SIZE, sized, _BEFORE_SUM, checked, _AFTER)
    return b"".join(parts)


class TarWriter:
    """Writes a tar to a stream and digests its bytes on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._size = 0

    def add(self, name: str, data: bytes) -> None:
        """Append one member. Raises ValueError for a name or a size that is too large for USTAR."""
        self._write(b"".join((header(name, len(data)), data, bytes(-len(data) % BLOCK))))

    def finish(self) -> tuple[str, int]:
        """Write the end of the archive; return (sha256, bytes) of the whole."""
        self._write(bytes(2 * BLOCK + -(self._size + 2 * BLOCK) % RECORD))
        return self._sha256.hexdigest(), self._size

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._size += len(data)
        self._stream.write(data)


class Readable(Protocol):
    """What a tar is read from: a binary file, or a DigestingReader around one."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer at the end."""


class Member(NamedTuple):
    """One member; `plain` says that the bytes around its data are those that TarWriter writes."""

    name: str
    data: bytes
    plain: bool


def split_name(name: str) -> tuple[str, str]:
    """Return (key, ending in small letters) of a member, cut at the first dot of its file name.

    So does webdataset; a folder stays part of the key. `key` is "" for a name that begins with a
    dot or has none.
    """
    folder, slash, file = name.rpartition("/")
    stem, _, kind = file.partition(".")
    return (f"{folder}{slash}{stem}" if stem and kind else "", kind.lower())


def odd_name(name: str) -> str:
    """Return why a name gives no key and ending, with the remedy; "" for a usual name."""
    file = name.rpartition("/")[2]
    if file.startswith("."):
        return "a hidden file; macOS adds ._NAME: pack again with COPYFILE_DISABLE=1 tar"
    if "." in file.partition(".")[2]:
        return "a name with two dots, which readers cut at the first one: rename it"
    return ""


def members(stream: Readable, *, folders: bool = False) -> Iterator[Member]:
    """Yield the members of a tar, in its order, up to its end mark. Raises FormatError.

    `folders`: entries of folders are passed over; else they raise FormatError.
    """
    for place, (name, size, plain) in enumerate(_headers(stream, folders=folders), start=1):
        yield _content(stream, place, name, size, plain)


def members_of_kind(
    file: BinaryIO, kinds: Collection[str], *, folders: bool = False
) -> Iterator[Member]:
    """Yield the members with one of these endings; the others are skipped and not read."""
    for place, (name, size, plain) in enumerate(_headers(file, folders=folders), start=1):
        if split_name(name)[1] in kinds:
            yield _content(file, place, name, size, plain)
        else:
            file.seek(size + -size % BLOCK, os.SEEK_CUR)


def places(file: BinaryIO, *, folders: bool = False) -> dict[str, tuple[int, int]]:
    """Return name -> (first byte, number of bytes) of all members. Raises FormatError."""
    found = {}
    for name, size, _ in _headers(file, folders=folders):
        found[name] = (file.tell(), size)
        file.seek(size + -size % BLOCK, os.SEEK_CUR)
    return found


class DigestingReader:
    """Reads a tar and digests its bytes on the way, so that the file is read once.

    Take its `members` first, then `finish` it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._ended = -1  # number of bytes up to and with the first block of the end mark
        self.size = 0  # bytes read so far

    def read(self, size: int, /) -> bytes:
        """Return the next bytes of the file."""
        data = self._stream.read(size)
        self._sha256.update(data)
        self.size += len(data)
        return data

    def members(self) -> Iterator[Member]:
        """Yield the members, as the function `members` does."""
        yield from members(self)
        self._ended = self.size

    def finish(self) -> tuple[str, bool]:
        """Read the rest; return (sha256 of the file, whether it ends as a tar of TarWriter)."""
        clean = True
        while rest := self.read(_CHUNK):
            clean = clean and not rest.strip(b"\0")
        end = -(-(self._ended + BLOCK) // RECORD) * RECORD
        return self._sha256.hexdigest(), clean and self._ended > 0 and self.size == end


def _headers(stream: Readable, *, folders: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Yield (name, size, plain) of the members; the caller moves the stream past the data.

    `folders`: entries of folders, which hold nothing, are passed over; else they are refused.
    """
    place, told = 1, Extended()
    while (block := stream.read(BLOCK)) != _END:
        if len(block) < BLOCK:
            raise tar_headers.no_header(block, place)
        name, size, plain = _ours(block)
        if not plain or told.found:
            kind, name, size = tar_headers.read(block, place)
            if told.begins(kind, size, place):
                told.add(kind, _content(stream, place, "", size, plain=False).data, place)
                continue
            if folders and kind == tarfile.DIRTYPE and not size:
                told = Extended()
                continue
            name, size = told.member(kind, name, size, place)
            plain, told = False, Extended()
        yield name, size, plain
        place += 1
    if told.found:
        raise tar_headers.unreadable(place)


def _content(stream: Readable, place: int, name: str, size: int, plain: bool) -> Member:
    data, padding = stream.read(size), stream.read(-size % BLOCK)
    if len(data) < size or len(padding) < -size % BLOCK:
        raise FormatError("shard.torn", f"cut off inside member {place}")
    return Member(name, data, plain and not padding.strip(b"\0"))


def _ours(block: bytes) -> tuple[str, int, bool]:
    """Return (name, size in bytes, True) of a header as TarWriter writes it, else ("", 0, False).

    A check sum over 512 bytes takes twice as long, so the headers of other writers come second.
    """
    named, sized = block[:100].rstrip(b"\0"), block[124:135]
    plain = (
        block[100:124] == _BEFORE_SIZE
        and block[135:148] == _BEFORE_SUM
        and block[156:] == _AFTER
        and block[148:156] == b"%06o\0 " % (_BLANK_SUM + sum(named) + sum(sized))
        and b"\0" not in named
    )
    if not plain:
        return "", 0, False
    try:
        name, size = named.decode(), octal(sized)
    except ValueError:  # a name that is not UTF-8, or a size that is no number
        return "", 0, False
    return (name, size, True) if name and size <= LARGEST else ("", 0, False)
