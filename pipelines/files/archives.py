"""Reads the members of zips and plain tars in place: an archive is a folder of its own name.

`CheXpert-v1.0.zip/train/patient00001/...` is the path of a member below the root. A `Member` is
such a path that can be opened, so readers work on it unchanged. Every opening has a file handle of
its own, so threads do not disturb each other, and an archive that was replaced is indexed again.
Other archives (.tar.gz, .7z, parts) have no cheap way to one member: `packed` tells their kind, and
`remedy` gives the commands that unpack them.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PosixPath
from typing import IO, Any, BinaryIO

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import archive_index, archive_store
from cxr_vlp.pipelines.files.archive_index import (
    DEFLATED,
    FAULTS,
    LOCAL,
    OF_REPORTS,
    PLAIN,
    Entry,
    Index,
)
from cxr_vlp.pipelines.files.archive_store import Signature
from cxr_vlp.pipelines.files.raw_objects import RawObject

BUFFER = 1 << 16  # bytes that a table's reader gets at once
BESIDE = 1 << 10  # bytes of the name and the extra field before a member of a zip
WINDOW = 1 << 26  # bytes of the first request for a member
_WITHIN = (".zip/", ".tar/")
_PLAIN_FILES = frozenset(("png", "jpg", "jpeg", "dcm", "dicom", "txt", "csv", "xml", "json", "tsv"))
_PACKED = re.compile(
    r"\.(?:tar\.(?:gz|bz2|xz|zst)|tgz|tbz2?|txz|tzst|7z|rar|(?:zip|7z|rar|tar)\.\d{2,3}|z\d{2}"
    r"|part_?(?:\d{1,3}|[a-z]{2}))\Z",
    re.I,
)
_BROKEN = (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError)
_INDEXING = threading.Lock()
# path -> (signature, index, or what is wrong: a broken tar of 200 GB is not read twice)
_INDICES: dict[str, tuple[Signature, Index | DataError]] = {}


def is_archive(name: str) -> bool:
    """Return whether a file of this name is an archive that is read in place."""
    return name[-4:].lower() in (".zip", ".tar") and name.lower() not in OF_REPORTS


def within(relative: str) -> bool:
    """Return whether a path may lead into an archive."""
    lower = relative.lower()
    return any(mark in lower for mark in _WITHIN)


def packed(name: str) -> str:
    """Return the kind of an archive that has to be unpacked, "" for any other file.

    The kind is that of the name (".tar.gz"); `packed_inside` looks into a file.
    """
    lower = name.lower()
    if lower.rpartition(".")[2] in _PLAIN_FILES or lower in OF_REPORTS:
        return ""
    found = _PACKED.search(lower)
    return _kind(found[0]) if found else ""


def packed_inside(path: Path) -> str:
    """Return the kind of a .zip or .tar that in truth is compressed (".tar (zstd)"), else ""."""
    try:
        with path.open("rb") as stream:
            found = archive_index.packing(stream)
            if not found and not _in_place(path, stream):
                return path.suffix.lower()
    except OSError:  # `index` says why
        return ""
    return f"{path.suffix.lower()} ({found})" if found else ""


def _kind(suffix: str) -> str:
    if suffix.startswith(".part"):
        return ".part*"
    if re.fullmatch(r"\.z\d\d", suffix):
        return ".z01"
    return re.sub(r"\d+\Z", "001", suffix) if re.search(r"\.\d+\Z", suffix) else suffix


def _in_place(path: Path, stream: BinaryIO) -> bool:
    """Return whether the members of an archive can be read where it is.

    A tar has no directory: in a store its index would take a request for each member.
    """
    return not isinstance(path, RawObject) or archive_index.is_zip(path, stream)


def remedy(kinds: Mapping[str, int], *, in_store: bool = False) -> str:
    """Return the commands that unpack archives, of which there are so many of each kind."""
    if in_store and kinds:
        said = ", ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))
        return (
            f"unpack the archives ({said}) on a disk and copy their files to the store, or make a "
            ".zip of each: of archives, only a .zip is read in a store"
        )
    return "; ".join(
        f"unpack the {number:,} {kind} archives, which are not read in place: "
        f"{_command(kind)} (in the root)"
        for kind, number in sorted(kinds.items())
    )


def _command(kind: str) -> str:
    if kind == ".part*":
        return "`cat NAME.part* | tar --zstd -xf -`"
    if kind == ".z01":
        return "`zip -s 0 NAME.zip --out WHOLE.zip`, then move the parts away"
    if kind == ".tar.001":
        return "`cat NAME.tar.* > NAME.tar`, then move the parts away"
    suffix, _, packing = kind.partition(" ")
    form = packing.strip("()") or suffix.lstrip(".")
    tool = "7z x" if form.startswith(("7z", "rar", "zip")) else "tar -xf"
    return f"`find . -iname '*{suffix}' -execdir {tool} {{}} \\;`"


def index(path: Path, kept: Path | None = None) -> Index:
    """Return the index of an archive, made once in each process for an unchanged file.

    That of a tar is also kept in the folder `kept`. Raises DataError with the remedy for an archive
    that is broken, or that may not be read.
    """
    try:
        return _current(path, kept)
    except PermissionError:
        raise DataError(f"archive.unreadable: {path.name}: correct its permissions") from None
    except FileNotFoundError:
        raise DataError(f"archive.unreadable: {path.name} is no longer there") from None


def _current(path: Path, kept: Path | None) -> Index:
    known = _INDICES.get(str(path))
    if known and known[0] == _signature(path.stat()):
        return _whole(known[1])
    with path.open("rb") as stream:
        return _of_open(path, stream, kept)


def _of_open(path: Path, stream: BinaryIO, kept: Path | None) -> Index:
    """Return the index of an open archive: of the file that is open, even if it was replaced."""
    # the ranges of an object are all of one version
    remote = isinstance(path, RawObject)
    signature = _signature(path.stat() if remote else os.fstat(stream.fileno()))
    known = _INDICES.get(str(path))
    if known is None or known[0] != signature:
        with _INDEXING:  # two threads that come at once make it once
            known = _INDICES.get(str(path))
            if known is None or known[0] != signature:
                known = (signature, _made_or_fault(path, stream, signature, kept))
                _INDICES[str(path)] = known
    return _whole(known[1])


def _whole(found: Index | DataError) -> Index:
    if isinstance(found, DataError):
        raise DataError(str(found))
    return found


def _made_or_fault(
    path: Path, stream: BinaryIO, signature: Signature, kept: Path | None
) -> Index | DataError:
    try:
        return _made(path, stream, signature, kept)
    except DataError as error:
        return error.with_traceback(None)


def _made(path: Path, stream: BinaryIO, signature: Signature, kept: Path | None) -> Index:
    if not _in_place(path, stream):
        return archive_index.not_read()
    if kept is None or path.name.lower().endswith(".zip"):  # a zip has a directory
        return archive_index.of(path, stream)
    place = archive_store.path_of(kept, path)
    found = archive_store.read(place, signature)
    if found is None:
        found = archive_index.of(path, stream)
        archive_store.write(place, signature, found)
    return found


def _signature(state: os.stat_result) -> Signature:
    return state.st_size, state.st_mtime_ns, state.st_ino


class Member(PosixPath):
    """The path of a member of an archive, which is opened and looked at like that of a file."""

    archive: Path | None = None  # None: the path of a file, such as a Member's parent
    inside: str = ""  # the member's name in the archive
    kept: Path | None = None  # where indices of tars are kept

    @classmethod
    def of(cls, archive: Path, inside: str, kept: Path | None = None) -> Member:
        """Return the path of a member, which need not exist."""
        made = cls(str(archive), inside)
        made.archive, made.inside, made.kept = archive, inside, kept
        return made

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the state of the member: its size, its archive's times.

        Its inode is made of all that changes if the member or the archive is replaced. Raises
        FileNotFoundError without the member, DataError as `index`.
        """
        if self.archive is None:
            return super().stat(follow_symlinks=follow_symlinks)
        whole = self.archive.stat()
        return _state(whole, self._entry(_current(self.archive, self.kept)))

    def open(  # type: ignore[override]
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """Open the member for reading.

        Raises FileNotFoundError without the member, IngestError archive.encrypted, archive.method,
        archive.link, archive.damaged (the last also while it is read), DataError as `index`.
        """
        if self.archive is None:
            return super().open(mode, buffering, encoding, errors, newline)
        if set(mode) - set("rbt"):
            raise PermissionError(f"{self.archive.name} is only read")
        found = io.BufferedReader(self._content(self.archive), BUFFER)
        return found if "b" in mode else io.TextIOWrapper(found, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """Return the member's bytes, at most as many as its archive states. Raises as `open`."""
        if self.archive is None:
            return super().read_bytes()
        with self._content(self.archive) as content:
            return content.whole()

    def sizes(self) -> tuple[int, int]:
        """Return (the member's size, its size in the archive), in bytes. Raises as `stat`."""
        assert self.archive is not None
        entry = self._entry(_current(self.archive, self.kept))
        return entry.size, entry.packed

    def deflated(self) -> bool:
        """Return whether a seek in the member unpacks all before it. Raises as `stat`."""
        assert self.archive is not None
        return self._entry(_current(self.archive, self.kept)).kind == DEFLATED

    def _content(self, archive: Path) -> _Content:
        if isinstance(archive, RawObject):
            return _of_object(archive, self._entry(_current(archive, self.kept)))
        stream = archive.open("rb")
        try:
            return _Content(stream, self._entry(_of_open(archive, stream, self.kept)))
        except BaseException:
            stream.close()
            raise

    def _entry(self, members: Index) -> Entry:
        entry = members.find(self.inside.encode("utf-8", "surrogateescape"))
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return entry


def _of_object(archive: RawObject, entry: Entry) -> _Content:
    """Return the content of a member: one request for its header and its bytes."""
    size = LOCAL.size + BESIDE + entry.packed
    return _Content(archive.window(entry.start, min(size, WINDOW)), entry)


def _state(whole: os.stat_result, entry: Entry) -> os.stat_result:
    named = repr((whole.st_ino, whole.st_size, *entry)).encode()
    inode = int.from_bytes(hashlib.blake2b(named, digest_size=8).digest())
    times = (whole.st_atime, whole.st_mtime, whole.st_ctime)
    exact = (whole.st_atime_ns, whole.st_mtime_ns, whole.st_ctime_ns)
    ids = (whole.st_dev, 1, whole.st_uid, whole.st_gid)
    return os.stat_result(
        (stat.S_IFREG | 0o444, inode, *ids, entry.size, *map(int, times), *times, *exact)
    )


class _Content(io.RawIOBase):
    """The bytes of a member, unpacked; it owns the open archive."""

    def __init__(self, stream: IO[bytes], entry: Entry) -> None:
        if entry.kind in FAULTS:
            raise IngestError(FAULTS[entry.kind])
        self._stream = stream
        self._size = entry.size
        self._start = entry.start
        self._at = 0
        self._zipped = None if entry.kind == PLAIN else _zipped(stream, entry)

    def whole(self) -> bytes:
        """Return all bytes. Raises IngestError archive.damaged."""
        data = self._next(self._size)
        if len(data) != self._size:
            raise IngestError("archive.damaged")
        return data

    def readinto(self, buffer: Any) -> int:
        data = self._next(min(len(buffer), self._size - self._at))
        if not data and self._at < self._size:
            raise IngestError("archive.damaged")
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        try:
            if self._zipped is not None:
                data = self._zipped.read(size)
            else:
                self._stream.seek(self._start + self._at)
                data = self._stream.read(size)
        except _BROKEN:
            raise IngestError("archive.damaged") from None
        self._at += len(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        self._at = min(max(0, place + (0, self._at, self._size)[whence]), self._size)
        if self._zipped is not None:
            try:
                self._zipped.seek(self._at)
            except _BROKEN:
                raise IngestError("archive.damaged") from None
        return self._at

    def close(self) -> None:
        self._stream.close()
        super().close()


def _zipped(stream: IO[bytes], entry: Entry) -> zipfile.ZipExtFile:
    """Return the reader of a zip's member, at its first byte."""
    stream.seek(entry.start)
    local = stream.read(LOCAL.size)
    if len(local) < LOCAL.size or not local.startswith(b"PK\3\4"):
        raise IngestError("archive.damaged")
    stream.seek(entry.start + LOCAL.size + sum(LOCAL.unpack(local)[-2:]))
    info = zipfile.ZipInfo()
    info.compress_type = zipfile.ZIP_DEFLATED if entry.kind == DEFLATED else zipfile.ZIP_STORED
    info.compress_size, info.file_size, info.CRC = entry.packed, entry.size, entry.crc
    return zipfile.ZipExtFile(stream, "r", info)
