"""Reads reports from files, zip and tgz archives and XML, with limits on their size.

A report is a page of text. A file of more than a megabyte, a PDF, a login page or a pointer of
git-annex is not a report, and gets a code. An archive of 1.5 MB can unpack to gigabytes: it is read
one member at a time, with a limit for each, and is never in memory as a whole.
"""

from __future__ import annotations

import functools
import gzip
import io
import lzma
import os
import re
import struct
import tarfile
import tempfile
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from cxr_vlp.nlp.layout.nontext import is_text
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import archives, paths, places
from cxr_vlp.pipelines.files.raw_objects import RawObject

LONGEST = 1 << 20  # bytes of one report; the longest of MIMIC-CXR has 11 kB
MEMBERS = 1_000_000  # members of an archive; MIMIC-CXR has 227,835 reports
UNPACKED = 1 << 31  # bytes of all members of an archive together
BLOCK = 1 << 22  # bytes that are read from a .tgz at once: a header can claim gigabytes

# Errors of the libraries for archives that are truncated, encrypted, corrupt or of another method.
_ZIP = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError,
    struct.error, zlib.error, lzma.LZMAError, KeyError, OverflowError,
)  # fmt: skip
_TAR = (
    tarfile.TarError, gzip.BadGzipFile, EOFError, ValueError, struct.error, zlib.error,
    OverflowError,
)  # fmt: skip
_ENCRYPTED = 0x1  # bit of a zip member's flags


def of_file(path: Path) -> bytes:
    """Return the bytes of a report in a file of its own.

    Raises IngestError report.unreadable, report.not_file, report.too_long.
    """
    try:
        paths.must_be_plain(path, "report")
        with path.open("rb") as stream:
            data = stream.read(LONGEST + 1)
    except OSError:
        raise IngestError("report.unreadable") from None
    return _capped(data)


def _capped(data: bytes) -> bytes:
    if len(data) > LONGEST:
        raise IngestError("report.too_long")
    return data


def text(data: bytes) -> tuple[str, str]:
    """Return (a report's text, the note on its encoding: "" for UTF-8).

    Raises IngestError report.not_text.
    """
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            decoded, note = data.decode("utf-16"), "report.utf16"
        else:
            decoded, note = data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        try:
            decoded, note = data.decode("cp1252"), "report.cp1252"
        except UnicodeDecodeError:
            raise IngestError("report.not_text") from None
        foreign = sum(not c.isascii() for c in decoded)
        if foreign > len(decoded) // 4:  # in text with Latin letters only a few are not ASCII
            raise IngestError("report.not_text") from None
    if not is_text(decoded):
        raise IngestError("report.not_text")
    return decoded, note


_WHOLE = "a whole zip file; download it again"


@functools.lru_cache(maxsize=2)
def _zip(path: Path, signature: paths.Signature) -> zipfile.ZipFile:  # noqa: ARG001
    """Return the open archive; its directory of 227,835 names is read once in each process.

    An archive that was replaced has another signature and is opened again.
    """
    try:
        paths.must_be_plain(path, "report")
        # of a zip in a zip or in a store, the path is none that the library could open
        elsewhere = isinstance(path, archives.Member | RawObject)
        archive = zipfile.ZipFile(places.opened(path) if elsewhere else path)
    except IngestError as error:
        why = "a plain file" if error.code == "report.not_file" else _WHOLE
        raise DataError(f"report.zip: {path.name} is not {why}") from None
    except FileNotFoundError:
        raise DataError(f"report.zip: {path.name} is no longer there") from None
    except PermissionError:
        raise DataError(f"report.zip: {path.name}: correct its permissions") from None
    except _ZIP:
        raise DataError(f"report.zip: {path.name} is not {_WHOLE}") from None
    if len(archive.filelist) > MEMBERS:
        raise DataError(f"report.zip: {path.name} has more than {MEMBERS:,} members")
    return archive


def zip_names(path: Path, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Return the matches of a zip's member names, sorted; other members are ignored.

    Raises DataError report.zip for an archive that is broken as a whole, or is a bomb.
    """
    found = [
        (pattern.search(info.filename), info) for info in _zip(path, paths.signature(path)).filelist
    ]
    wanted = {match.string: (match, info) for match, info in found if match}
    if sum(min(info.file_size, LONGEST) for _, info in wanted.values()) > UNPACKED:
        raise DataError(f"report.zip: the reports in {path.name} unpack to gigabytes")
    return [match for _, (match, _) in sorted(wanted.items())]


def of_zip(path: Path, member: str) -> bytes:
    """Return the bytes of a report in a zip.

    Raises IngestError report.encrypted, report.too_long, report.unreadable; DataError as `_zip`.
    """
    archive = _zip(path, paths.signature(path))
    try:
        info = archive.getinfo(member)
        if info.flag_bits & _ENCRYPTED:
            raise IngestError("report.encrypted")
        if info.file_size > LONGEST:
            raise IngestError("report.too_long")
        with archive.open(info) as stream:
            return _capped(stream.read(LONGEST + 1))
    except _ZIP:
        raise IngestError("report.unreadable") from None


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a .tgz, limited for one read (BLOCK) and in total (UNPACKED)."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= BLOCK:
            raise tarfile.ReadError("a block that is too large")
        data: bytes = self._stream.read(size)
        self._check(self._stream.tell())
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        self._check(place)
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, place: int) -> None:
        if place > UNPACKED:
            raise tarfile.ReadError("an archive that is too large")


def tgz_members(path: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield (name, bytes) of a .tgz's members, one at a time; None for a member that is too long.

    Raises DataError report.archive for an archive that is broken as a whole, or is a bomb.
    """
    try:
        paths.must_be_plain(path, "report")
        with path.open("rb") as whole, gzip.open(whole) as packed, _tar(packed) as tar:
            for _ in range(MEMBERS):
                member = tar.next()
                if member is None:
                    return
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them all
                if not member.isreg() or not pattern.search(member.name):
                    continue
                data = None
                if member.size <= LONGEST and (stream := tar.extractfile(member)):
                    data = stream.read(LONGEST + 1)
                    if len(data) < member.size:
                        raise tarfile.ReadError
                yield member.name, data
    except (PermissionError, FileNotFoundError):
        raise DataError(f"report.archive: {path.name}: correct its permissions") from None
    except (*_TAR, IngestError):
        raise DataError(
            f"report.archive: {path.name} is not a whole .tgz of reports; download it again"
        ) from None
    raise DataError(f"report.archive: {path.name} has more than {MEMBERS:,} members")


def _tar(packed: gzip.GzipFile) -> tarfile.TarFile:
    return tarfile.open(fileobj=_Bounded(packed), mode="r:")


@dataclass(frozen=True)
class Spool:
    """The members of a .tgz in an unnamed temporary file: a .tgz has no random access."""

    stream: io.BufferedRandom
    places: dict[str, tuple[int, int]]

    @classmethod
    @functools.lru_cache(maxsize=2)
    def of(cls, path: Path, pattern: re.Pattern[str], signature: paths.Signature) -> Spool:  # noqa: ARG003
        """Unpack an archive, once in each process. Raises DataError as `tgz_members` does."""
        stream = tempfile.TemporaryFile()  # noqa: SIM115 - open for the life of the process
        places = {}
        for name, data in tgz_members(path, pattern):
            if data is not None:
                places[name] = (stream.tell(), len(data))
                stream.write(data)
        stream.flush()
        return cls(stream, places)

    def read(self, name: str) -> bytes:
        """Return the bytes of a member. Raises IngestError report.unreadable."""
        if name not in self.places:
            raise IngestError("report.unreadable")
        place, size = self.places[name]
        return os.pread(self.stream.fileno(), size, place)


def xml(data: bytes) -> ET.Element:
    """Return the root of an XML document without a DTD: its entities could expand without limit.

    Raises IngestError report.xml.
    """

    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = _refuse
    try:
        guard.Parse(data, True)
        return ET.fromstring(data)
    except (expat.ExpatError, ET.ParseError, LookupError, ValueError):
        raise IngestError("report.xml") from None


def _refuse(*_: object) -> None:
    raise IngestError("report.xml")
