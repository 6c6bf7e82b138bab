"""Reads the headers that other programs write into tars: USTAR, extended headers of pax, GNU.

webdataset's ShardWriter puts a pax header with the time of day before every member; GNU tar writes
a header of its own for a long name. What such headers say of the next member is joined here. Files
that are no tar at all are named: compressed ones, and pointers of Git LFS.

Offsets: POSIX 1003.1, pax, "ustar Interchange Format".
"""

from __future__ import annotations

import tarfile

from cxr_vlp.pipelines.format.errors import FormatError

LARGEST = 1 << 28  # bytes of a member that is read; four times the largest image of a set
_LONGEST_EXTENDED = 1 << 20  # bytes of an extended header
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_NO_HEADER = (
    "cannot be read: member {} is damaged, or not a plain file: links, special files and members "
    "of more than 256 MiB are not read"
)
_OLD = "a tar of the old form V7; pack it again with tar --format=ustar"
_GZIP = "gzip-compressed; unpack it (gunzip) and name it .tar"
_NO_TARS = {  # how a file begins that is no tar, and what it is
    b"\x1f\x8b": _GZIP,
    b"BZh": "bzip2-compressed; unpack it (bunzip2) and name it .tar",
    b"\xfd7zXZ": "xz-compressed; unpack it (unxz) and name it .tar",
    b"\x28\xb5\x2f\xfd": "zstd-compressed; unpack it (unzstd) and name it .tar",
    b"\x04\x22\x4d\x18": "lz4-compressed; unpack it (unlz4) and name it .tar",
    b"PK\x03\x04": "a zip archive; unpack it, and pack the files with tar --sort=name",
    b"version https://git-lfs": "a pointer of Git LFS; get the file itself (git lfs pull)",
}


def unreadable(place: int) -> FormatError:
    """Return the error of a member that is no plain file, or that cannot be read."""
    return FormatError("member.header", _NO_HEADER.format(place))


def no_header(block: bytes, place: int) -> FormatError:
    """Return the error of bytes that are no header, where the member number `place` begins."""
    kind = next((what for begin, what in _NO_TARS.items() if block.startswith(begin)), "")
    if place == 1 and kind:
        return FormatError("shard.no_tar", f"is no tar: it is {kind}")
    if len(block) < tarfile.BLOCKSIZE:
        return FormatError("shard.torn", f"cut off before member {place}")
    if _sum_holds(block):
        return FormatError("shard.torn", f"member {place}: {_OLD}")
    return FormatError("shard.torn", _NO_HEADER.format(place))


def read(block: bytes, place: int) -> tuple[bytes, str, int]:
    """Return (type flag, name, size in bytes) of a header of any writer.

    Raises FormatError for a block that is no header, and for a member that is too large.
    """
    if not _sound(block):
        raise no_header(block, place)
    try:
        name, size = _name(block), octal(block[124:136])
    except ValueError:  # a size that is no number
        raise unreadable(place) from None
    if size > LARGEST:
        raise unreadable(place)
    return block[156:157], name, size


def octal(field: bytes) -> int:
    """Return a number of octal digits. Raises ValueError for signs, underscores and other bytes."""
    digits = field.strip(b"\0 ")
    if not digits.isdigit():
        raise ValueError("no number")
    return int(digits, 8)


class Extended:
    """What the headers before a member say of it."""

    def __init__(self) -> None:
        self.found = False  # whether there was such a header
        self._path = ""
        self._size: int | None = None

    def begins(self, kind: bytes, size: int, place: int) -> bool:
        """Return whether this is the header of an extended one, whose `size` bytes follow.

        Raises FormatError for one that is too long.
        """
        if kind in _EXTENDED and size > _LONGEST_EXTENDED:
            raise unreadable(place)
        return kind in _EXTENDED

    def add(self, kind: bytes, data: bytes, place: int) -> None:
        """Note what an extended header says. Raises FormatError for one that is damaged."""
        self.found = True
        try:
            if kind == tarfile.GNUTYPE_LONGNAME:
                self._path = data.rstrip(b"\0").decode()
                return
            said = _records(data)
            if kind == tarfile.XGLTYPE and said:  # a name or a size for all members
                raise unreadable(place)
            self._path = said.get("path", self._path)
            self._size = octal(b"%o" % int(said["size"])) if "size" in said else self._size
        except ValueError:
            raise unreadable(place) from None

    def member(self, kind: bytes, name: str, size: int, place: int) -> tuple[str, int]:
        """Return (name, size in bytes) of the member whose own header gives `name` and `size`.

        Raises FormatError for what is no plain file.
        """
        name, size = self._path or name, size if self._size is None else self._size
        if not name or not _is_utf8(name) or kind not in _PLAIN or size > LARGEST:
            raise unreadable(place)
        return name.removeprefix("./"), size


def _records(data: bytes) -> dict[str, str]:
    """Return the path and the size in the records of a pax header, each "LENGTH KEY=VALUE\\n".

    Other records (times, owners, comments) change no byte of a member. Raises ValueError for a
    damaged record, and for those of a sparse file, whose stored bytes are not the file's.
    """
    found = {}
    while data:
        length = int(data[: data.index(b" ")])
        record, data = data[:length], data[length:]
        key, equals, value = record[record.index(b" ") + 1 : -1].partition(b"=")
        if len(record) != length or record[-1:] != b"\n" or not equals:
            raise ValueError("no record")
        if key.startswith(b"GNU.sparse"):
            raise ValueError("sparse")
        if key in (b"path", b"size"):
            found[key.decode()] = value.decode()
    return found


def _sound(block: bytes) -> bool:
    """Return whether a block is a header of USTAR, pax or GNU with the right check sum."""
    return block[257:262] == b"ustar" and _sum_holds(block)


def _sum_holds(block: bytes) -> bool:
    try:
        told = octal(block[148:156])
    except ValueError:
        return False
    # the sum is taken with eight blanks in place of itself
    return sum(block) - sum(block[148:156]) + 8 * 32 == told


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _name(block: bytes) -> str:
    """Return the name; GNU tar cuts a long one between any two bytes, and gives it before."""
    name = block[:100].partition(b"\0")[0].decode(errors="surrogateescape")
    if block[257:263] != b"ustar\0":  # GNU has times where USTAR has the beginning of a long name
        return name
    prefix = block[345:500].partition(b"\0")[0].decode(errors="surrogateescape")
    return f"{prefix}/{name}" if prefix else name
