"""Lists the members of a zip or a plain tar once, so that each is read by a seek.

The index of an archive is made once in each process: from a zip's directory, or from a pass over
the headers of a tar. It is compact (the names, and five numbers for each), because a zip of 200,000
images has 120 MB of directory in Python's zipfile, and every worker has its own. The names of
members are not trusted: none can lead out of its archive.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import tarfile
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cxr_vlp.pipelines.errors import DataError

MEMBERS = 2_000_000  # members of an archive; MIMIC-CXR-JPG as a zip has 670,000 with its folders
DIRECTORY = 1 << 30  # bytes of a zip's directory
BLOCK = 1 << 22  # bytes of one header of a tar: a header can claim gigabytes

# how the bytes of a member are stored, or why they are not read
STORED, DEFLATED, PLAIN, ENCRYPTED, METHOD, LINK = range(6)
FAULTS = {ENCRYPTED: "archive.encrypted", METHOD: "archive.method", LINK: "archive.link"}

# Archives of reports, which the readers of MIMIC-CXR and Open-i open themselves.
OF_REPORTS = ("mimic-cxr-reports.zip", "nlmcxr_reports.tgz", "nlmcxr_reports.tar.gz")
_NESTED = re.compile(rb"\.(zip|tar|7z|rar|tgz|tbz2|txz|tzst|tar\.(gz|bz2|xz|zst))\Z", re.I)
_JUNK = b"__MACOSX/"  # what macOS keeps beside the files; unpacking there merges it into them
_DRIVE = re.compile(rb"[A-Za-z]:/")

# first bytes of files that have no cheap way to one member, whatever their names say
_PACKED = (
    ("gzip", re.compile(rb"\x1f\x8b")),
    ("bzip2", re.compile(rb"BZh[1-9]1AY&SY")),
    ("xz", re.compile(rb"\xfd7zXZ\0")),
    ("zstd", re.compile(rb"(?:\x28\xb5\x2f\xfd|[\x50-\x5f]\x2aM\x18)")),  # also one of pzstd
    ("lz4", re.compile(rb"\x04\x22M\x18")),
    ("7z", re.compile(rb"7z\xbc\xaf\x27\x1c")),
    ("rar", re.compile(rb"Rar!\x1a\x07")),
)
_USTAR = 257  # where a tar has its mark


class Entry(NamedTuple):
    """Where a member is."""

    start: int  # of its local header in a zip, of its bytes in a tar
    packed: int  # bytes in the archive
    size: int  # bytes
    crc: int  # 0 in a tar, which has none
    kind: int  # STORED to LINK


class Index:
    """The members of an archive by name, sorted; of two with one name the last, as unpacking does.

    `faults` counts the codes of members that are not listed (an unsafe or repeated name) and of
    archives inside the archive, which are listed as files.
    """

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.faults: Counter[str] = Counter()
        # start, packed, size, crc and kind of each member
        self.columns: tuple[array[int], ...] = (*(array("q") for _ in range(4)), array("b"))

    def add(self, name: bytes, entry: Entry) -> None:
        """Add a member in the order of the archive. Raises DataError for too many."""
        place = _place(name)
        if place is None:
            self.faults["archive.name"] += 1
        elif place and not place.startswith(_JUNK):
            if len(self.names) >= MEMBERS:
                raise DataError(f"more than {MEMBERS:,} members")
            self.names.append(place)
            for column, value in zip(self.columns, entry, strict=True):
                column.append(value)

    def sort(self) -> Index:
        """Sort the members that were added; return the index."""
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        kept = [
            at
            for at, after in zip(order, [*order[1:], None], strict=False)
            if after is None or self.names[at] != self.names[after]
        ]
        if repeated := len(order) - len(kept):
            self.faults["archive.twice"] += repeated
        self.names = [self.names[at] for at in kept]
        self.columns = tuple(
            array(column.typecode, (column[at] for at in kept)) for column in self.columns
        )
        if nested := sum(map(_is_nested, self.names)):
            self.faults["archive.nested"] += nested
        return self

    def find(self, name: bytes) -> Entry | None:
        """Return the member of this name, None without one. The index must be sorted."""
        at = bisect_left(self.names, name)
        if at == len(self.names) or self.names[at] != name:
            return None
        return Entry(*(column[at] for column in self.columns))

    def __iter__(self) -> Iterator[str]:
        for name in self.names:
            yield name.decode("utf-8", "surrogateescape")


def _is_nested(name: bytes) -> bool:
    last = name.rpartition(b"/")[2].lower()
    return bool(_NESTED.search(last)) and last.decode("utf-8", "replace") not in OF_REPORTS


def _place(name: bytes) -> bytes | None:
    """Return a member's path below its archive; b"" for a folder, None if it leads elsewhere."""
    if b"\0" in name or name.startswith(b"/") or _DRIVE.match(name):
        return None
    if b"./" in name or b"//" in name or name.endswith((b"/.", b"/..")) or name in (b".", b".."):
        parts = [part for part in name.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            return None
        return b"" if name.endswith((b"/", b"/.")) else b"/".join(parts)
    return b"" if name.endswith(b"/") else name


# --- zip

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
_FULL = 0xFFFFFFFF  # stands for a number that is in the zip64 field
_SPLIT = "is one part of a split zip: join the parts with `zip -s 0 NAME.zip --out WHOLE.zip`"


class _Directory(NamedTuple):
    start: int  # of the directory
    size: int
    members: int
    shift: int  # of all places, in a file with something before the zip


def of_zip(stream: BinaryIO) -> Index:
    """Return the index of a zip.

    Raises DataError with the reason, without the file's name, for one that is cut, split or
    damaged.
    """
    where = _directory(stream)
    stream.seek(where.start)
    data = stream.read(where.size)
    index, at, number = Index(), 0, 0
    try:
        while at < where.size:
            head = _CENTRAL.unpack_from(data, at)
            if head[0] != b"PK\1\2":
                raise DataError(_CUT)
            end = at + _CENTRAL.size + sum(head[12:15])
            _add_zipped(index, head, data[at + _CENTRAL.size : end], where.shift)
            at, number = end, number + 1
    except struct.error:
        raise DataError(_CUT) from None
    if number != where.members or at != where.size:
        raise DataError(_CUT)
    return index.sort()


_CUT = "is not a whole zip file: download it again"


def _directory(stream: BinaryIO) -> _Directory:
    """Find the directory of a zip by the record at its end."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _END.size - 0xFFFF))
    tail = stream.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise DataError(_CUT)
    _, disk, first, _here, members, length, start, _ = _END.unpack_from(tail, at)
    end = size - len(tail) + at
    if disk not in (0, 0xFFFF) or first not in (0, 0xFFFF):
        raise DataError(_SPLIT)
    if end >= _LOCATOR.size:
        stream.seek(end - _LOCATOR.size)
        magic, disk, place, disks = _LOCATOR.unpack(stream.read(_LOCATOR.size))
        if magic == b"PK\6\7":
            if disk or disks > 1:
                raise DataError(_SPLIT)
            end, members, length, start = _zip64(stream, end - _LOCATOR.size, place)
    shift = end - length - start
    if shift < 0 or length > DIRECTORY:
        raise DataError(_CUT)
    return _Directory(end - length, length, members, shift)


def _zip64(stream: BinaryIO, locator: int, place: int) -> tuple[int, int, int, int]:
    """Return (end of the directory, members, its bytes, its stated start) of a zip64."""
    # something before the zip shifts the record, which lies right before its locator
    for at in (place, locator - _END64.size):
        if 0 <= at <= locator - _END64.size:
            stream.seek(at)
            found = _END64.unpack(stream.read(_END64.size))
            if found[0] == b"PK\6\6":
                return at, found[7], found[8], found[9]
    raise DataError(_CUT)


def _add_zipped(index: Index, head: Sequence[int], rest: bytes, shift: int) -> None:
    """Add the member of one record of the directory."""
    system, flags, method, crc = head[2], head[5], head[6], head[9]
    name, extra = rest[: head[12]], rest[head[12] : head[12] + head[13]]
    size, packed, start = _sizes(head[11], head[10], head[18], extra)
    if not flags & 0x800:  # the name is not marked as UTF-8, and often is all the same
        name = _utf8(name)
    if system in (0, 10, 11):  # tools of Windows that write its separator
        name = name.replace(b"\\", b"/")
    if system == 3 and stat.S_ISLNK(head[17] >> 16):
        kind = LINK
    elif flags & 0x1:
        kind = ENCRYPTED
    else:
        kind = {0: STORED, 8: DEFLATED}.get(method, METHOD)
    index.add(name, Entry(start + shift, packed, size, crc, kind))


def _utf8(name: bytes) -> bytes:
    try:
        name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437").encode()
    return name


def _sizes(size: int, packed: int, start: int, extra: bytes) -> tuple[int, int, int]:
    """Return (size, packed size, start), those of 64 bits from the zip64 field."""
    values = [size, packed, start]
    if _FULL not in values:
        return size, packed, start
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            field = extra[4 : 4 + length]
            for number, value in enumerate(values):
                if value == _FULL:
                    values[number] = struct.unpack_from("<Q", field)[0] & (2**63 - 1)
                    field = field[8:]
            break
        extra = extra[4 + length :]
    return values[0], values[1], values[2]


# --- tar


class _Bounded(io.RawIOBase):
    """A tar, in which no header is read that claims gigabytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= BLOCK:
            raise tarfile.ReadError("a block that is too large")
        return self._stream.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()


def of_tar(stream: BinaryIO) -> Index:
    """Return the index of a plain tar.

    Raises DataError with the reason, without the file's name, for one that is cut or damaged.
    """
    stream.seek(0)
    index = Index()
    links: list[tuple[bytes, bytes]] = []
    try:
        with tarfile.open(fileobj=_Bounded(stream), mode="r:", encoding="utf-8") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them all
                _add_member(index, member, links)
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, struct.error):
        raise DataError(_TORN) from None
    # tarfile takes a header that is cut or damaged for the end, which is a block of zeros
    stream.seek(end)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DataError(_TORN)
    if any(stream.read(tarfile.RECORDSIZE)):
        raise DataError(
            "is several tar files in one: unpack it with `tar --ignore-zeros -xf NAME.tar`"
        )
    _join_links(index, links)
    return index.sort()


_TORN = "is not a whole tar file: download it again"


def _add_member(index: Index, member: tarfile.TarInfo, links: list[tuple[bytes, bytes]]) -> None:
    name, target = (
        text.encode("utf-8", "surrogateescape") for text in (member.name, member.linkname)
    )
    if member.isdir():
        return
    if member.islnk():
        links.append((name, target))
        return
    kind = LINK
    if member.isreg():
        kind = METHOD if member.issparse() else PLAIN
    index.add(name, Entry(member.offset_data, member.size, member.size, 0, kind))


def _join_links(index: Index, links: Sequence[tuple[bytes, bytes]]) -> None:
    """Add hard links, with which tar stores a file that it has stored before."""
    if not links:
        return
    places = Index()
    places.names = list(index.names)
    places.columns = tuple(column[:] for column in index.columns)
    places.sort()
    for name, target in links:
        found = places.find(_place(target) or b"")
        index.add(name, found or Entry(0, 0, 0, 0, LINK))


def packing(stream: BinaryIO) -> str:
    """Return how a file is packed that has to be unpacked first ("zstd"), "" for any other."""
    stream.seek(0)
    first = stream.read(16)
    return next((name for name, magic in _PACKED if magic.match(first)), "")


def of(path: Path, stream: BinaryIO) -> Index:
    """Return the index of an open zip or tar: of what it is, where its name says the other.

    One that is compressed as a whole (a `.tar` of zstd) has no members and the fault
    archive.packed. Raises DataError archive.broken with the remedy.
    """
    if packing(stream):
        return not_read()
    try:
        return of_zip(stream) if is_zip(path, stream) else of_tar(stream)
    except DataError as error:
        raise DataError(
            f"archive.broken: {path.name} {error}, or move it out of the root"
        ) from None


def not_read() -> Index:
    """Return the index of an archive that has to be unpacked: no members, one fault."""
    index = Index()
    index.faults["archive.packed"] = 1
    return index


def is_zip(path: Path, stream: BinaryIO) -> bool:
    """Return whether an open archive is a zip, by its first bytes before its name."""
    stream.seek(0)
    first = stream.read(_USTAR + 5)
    if first.startswith((b"PK\3\4", b"PK\5\6")):
        return True
    return path.name.lower().endswith(".zip") and first[_USTAR:] != b"ustar"
