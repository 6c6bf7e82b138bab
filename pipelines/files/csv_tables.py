"""Reads CSV tables row by row, as dicts of strings by column name, with a code for each bad row.

pandas shifts the columns of a row that is one field too long, reads ids as floats and a report `NA`
as a missing value. Here every cell stays text, and the header must have the columns that the reader
needs. One bad row does not stop a run: it is yielded as a line with a code, and the caller counts
it. A table that is broken as a whole stops the run. Messages give the file and the
line but never a cell.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import stat
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import archives, cells

Row = dict[str, str]

CELL = 1 << 20  # characters; a longer cell is neither a report nor an id
LINE = 1 << 22  # bytes; the limit of a line, and of a row that spans several lines
PACKED = 1 << 24  # bytes to which any .gz may unpack; it may unpack to more only up to
RATIO = 100  # times its size (gzip reduces real tables to a tenth)
MANY = 1000  # bad rows; with more of them than good rows, a table is broken as a whole

_UNDECODED = re.compile("[\udc80-\udcff\0]")  # bytes that are not UTF-8, and NUL
_REMEDY = {
    "csv.encoding": "not UTF-8 text; save it as UTF-8",
    "csv.ragged": "more or fewer fields than the header",
    "csv.quote": "a quote that is misplaced or never ends",
    "csv.cell_too_long": f"a cell of more than {CELL:,} characters",
    "csv.row_too_long": f"a row of more than {LINE:,} bytes",
}

csv.field_size_limit(CELL)  # applies to the whole process; Python's default is an eighth of it


class Line(NamedTuple):
    """One row of a table. A `code` says why it cannot be used; `row` is then {}."""

    number: int  # of the line where the row begins, from 1
    row: Row
    code: str = ""
    place: int = 0  # of the row's first byte, in the unpacked file


def read(
    path: Path,
    required: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    optional: Sequence[str] = (),
    stated: Sequence[str] = (),
    delimiter: str = ",",
) -> Iterator[Line]:
    """Yield the rows of a .csv or .csv.gz file (UTF-8, with or without BOM), bad ones with a code.

    `required` columns must be present, `optional` ones are used if present; upper and lower case do
    not matter. `columns` replaces the file's own header by position, for a header that cannot be
    parsed (NIH's has commas inside brackets); the header must then begin with the words of
    `stated`, where "" means any. Skipped are rows whose cells are all empty, which
    spreadsheets append, and repetitions of the header, which occur in files that were joined.
    Codes: csv.ragged, csv.quote, csv.encoding, csv.cell_too_long, csv.row_too_long. Raises
    DataError for a table that is broken as a whole: csv.header, csv.duplicate_column, csv.encoding,
    csv.gzip, csv.bomb, csv.not_file; or the code of the first bad row, where no row is good, or
    where more than a thousand rows are bad and they outnumber the good ones.
    """
    with opened(path) as stream:
        lines = _Lines(stream, path.name)
        found = _first(path, lines, delimiter)
        if columns is None:
            names = _names(path, found, required, optional)
        else:
            names = _by_position(path, found, columns, stated)
        good = bad = 0
        first = None
        rows = csv.reader(lines, strict=True, delimiter=delimiter)
        for line in _rows(lines, rows, names, found, by_position=columns is not None):
            if line.code:
                bad, first = bad + 1, first or line
                if bad > max(MANY, good):
                    break
            good += not line.code
            yield line
        if first and (not good or bad > max(MANY, good)):
            raise DataError(
                f"{first.code}: {path.name}, line {first.number}: {_REMEDY[first.code]}; "
                "so are most of its rows"
            )


# strict: a quote that never ends is an error, not one huge last cell
def _rows(
    lines: _Lines,
    reader: Iterator[list[str]],
    names: list[str],
    header: list[str],
    *,
    by_position: bool,
) -> Iterator[Line]:
    while True:
        lines.begin()
        try:
            found = next(reader, None)
        except (csv.Error, _TooLongError) as error:
            code = _code(error)
            lines.back()  # only the row's first line is lost: the following lines may be good
            yield Line(lines.number, {}, code)
            continue
        if found is None:
            return
        if lines.code:
            yield Line(lines.first, {}, lines.code)
        elif any(map(str.strip, found)) and found != header:
            if by_position and not any(found[len(names) :]):
                # some releases have trailing commas
                found = found[: len(names)]
            if len(found) != len(names):
                yield Line(lines.first, {}, "csv.ragged")
            else:
                yield Line(lines.first, dict(zip(names, found, strict=True)), "", lines.place)


def _code(error: Exception) -> str:
    if isinstance(error, _TooLongError):
        return "csv.row_too_long"
    return "csv.cell_too_long" if "field limit" in str(error) else "csv.quote"


_LONG = "".join(["too ", "long"])  # stands for a line that is too long; compared by identity


class _TooLongError(Exception):
    """The row that is being read is longer than the limit."""


class _Lines:
    """The lines of an open file as text, for csv.reader; can return to a row's second line."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.number = 0  # of the last line that was returned
        self.first = 1  # number of the first line of the row that is being read
        self.code = ""  # what is wrong with the text of that row
        self.place = 0  # of the first byte of that row
        self._stream = stream
        self._name = name
        self._given: list[tuple[str, int]] = []  # lines, each with the place of its first byte
        self._waiting: deque[tuple[str, int]] = deque()
        self._size = 0
        self._end = 0  # of what was read

    def begin(self) -> None:
        """Start a row with the next line."""
        self.first, self.code = self.number + 1, ""
        self._given.clear()
        self._size = 0

    def back(self) -> None:
        """Return to the second line of the row that is being read."""
        again = self._given[1:]
        self._waiting.extendleft(reversed(again))
        self.number -= len(again)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line, place = self._waiting.popleft() if self._waiting else self._read()
        if not self._given:
            self.place = place
        self.number += 1
        self._given.append((line, place))
        self._size += len(line)
        if line is _LONG or self._size > LINE:
            raise _TooLongError
        if not line.isascii() or "\0" in line:
            self.code = "csv.encoding" if _UNDECODED.search(line) else self.code
        return line

    def _read(self) -> tuple[str, int]:
        place = self._end
        try:
            data = self._stream.readline(LINE + 1)
            self._end += len(data)
            if len(data) > LINE:
                while data and not data.endswith(b"\n"):
                    data = self._stream.readline(LINE)  # skipped, and never in memory as a whole
                    self._end += len(data)
                return _LONG, place
        except IngestError as error:  # of a member of an archive
            raise _unread(error, self._name) from None
        except (EOFError, gzip.BadGzipFile, zlib.error):
            message = f"csv.gzip: {self._name}, after line {self.number}: the gzip file is broken"
            raise DataError(message) from None
        if not data:
            raise StopIteration
        if self.number == 0 and data.startswith(b"\xef\xbb\xbf"):
            data, place = data[3:], 3
        text = data.decode("utf-8", "surrogateescape")
        if "\r" in text:  # alone it also ends a line, in files of old spreadsheets
            text, *more = io.StringIO(text, newline="").readlines()
            after = place + len(text.encode("utf-8", "surrogateescape"))
            for line in more:
                self._waiting.append((line, after))
                after += len(line.encode("utf-8", "surrogateescape"))
        return text, place


def _first(path: Path, lines: _Lines, delimiter: str = ",") -> list[str]:
    """Return the fields of a table's first line."""
    lines.begin()
    try:
        found = next(csv.reader(lines, strict=True, delimiter=delimiter), None)
    except (csv.Error, _TooLongError) as error:
        code = _code(error)
        raise DataError(f"{code}: {path.name}, line 1: {_REMEDY[code]}") from None
    if found is None:
        raise DataError(f"csv.header: {path.name} is empty")
    if lines.code:
        raise DataError(f"{lines.code}: {path.name}, line 1: {_REMEDY[lines.code]}")
    return found


def _names(
    path: Path, found: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> list[str]:
    """Return the column names of a header; a column with a blank name is not read."""
    names = [name.strip() for name in found]
    known = {name.lower(): name for name in (*optional, *required) if name not in names}
    names = [known.get(name.lower(), name) for name in names]
    missing = [name for name in required if name not in names]
    if missing:
        raise DataError(f"csv.header: {path.name}: no column {missing[0]!r}{_hint(found)}")
    stated = [name for name in names if name]
    if len(set(stated)) != len(stated):
        twice = sorted({name for name in stated if stated.count(name) > 1})
        raise DataError(f"csv.duplicate_column: {path.name}: there are two columns {twice[0]!r}")
    return names


def _hint(found: Sequence[str]) -> str:
    """Return the remedy for a header with another separator, "" for any other header."""
    separators = {";": "semicolons", "\t": "tabs", "|": "bars"}
    word = next((word for mark, word in separators.items() if found and mark in found[0]), "")
    return f"; it is separated by {word}, save it with commas" if word else ""


def _by_position(
    path: Path, found: Sequence[str], columns: Sequence[str], stated: Sequence[str]
) -> list[str]:
    """Return `columns` after checking that the header begins as stated, so that they fit."""
    if len(found) < len(columns):
        raise DataError(
            f"csv.header: {path.name}: {len(found)} columns, not {len(columns)}{_hint(found)}"
        )
    for number, (word, name) in enumerate(zip(stated, found, strict=False), 1):
        if word and name.strip().lower() != word.lower():
            raise DataError(
                f"csv.header: {path.name}: column {number} is not {word!r}; keep the order of the "
                "published table"
            )
    return list(columns)


def names_of(path: Path, names: Sequence[str] = (), delimiter: str = ",") -> list[str]:
    """Return the column names in a table's first line; those in `names` with that spelling.

    Raises DataError as `read` does.
    """
    with opened(path) as stream:
        return _names(path, _first(path, _Lines(stream, path.name), delimiter), (), names)


def row_in(
    stream: BinaryIO, name: str, place: int, names: Sequence[str], delimiter: str = ","
) -> Row | None:
    """Return the row that begins at a byte of an open table; None if none does."""
    stream.seek(place)
    lines = _Lines(stream, name)
    lines.number = 1  # so that no byte order mark is looked for
    rows = csv.reader(lines, strict=True, delimiter=delimiter)
    line = next(_rows(lines, rows, list(names), [], by_position=False), None)
    return line.row if line and not line.code else None


def delimiter_of(path: Path) -> str:
    """Return what separates the fields of a table's first line: a comma, tab, semicolon or bar.

    It is the one that makes most fields. Raises DataError as `read` does.
    """
    with opened(path) as stream:
        line = stream.readline(LINE).decode("utf-8", "replace")
    return max(",\t;|", key=lambda mark: len(next(csv.reader([line], delimiter=mark), [])))


def listed(path: Path) -> Iterator[Line]:
    """Yield the first word of every line of a list that is not blank, as the column `name`.

    Codes: csv.encoding, csv.row_too_long. Raises DataError for a file that is broken as a whole.
    """
    with opened(path) as stream:
        lines = _Lines(stream, path.name)
        while True:
            lines.begin()
            try:
                words = next(lines).split()
            except StopIteration:
                return
            except _TooLongError:
                yield Line(lines.first, {}, "csv.row_too_long")
                continue
            if lines.code:
                yield Line(lines.first, {}, lines.code)
            elif words:
                yield Line(lines.first, {"name": words[0]})


def opened(path: Path) -> BinaryIO:
    """Open a table, unpacked if its content is gzip: browsers unpack a .gz and keep its name."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"csv.not_file: {path.name} is not a plain file")
        with path.open("rb") as stream:
            magic = stream.read(2)
    except PermissionError:
        raise DataError(f"csv.unreadable: {path.name}: correct its permissions") from None
    except FileNotFoundError:
        raise DataError(f"csv.unreadable: {path.name} is no longer there") from None
    except IngestError as error:
        raise _unread(error, path.name) from None
    return _by_content(path, magic)


def _by_content(path: Path, magic: bytes) -> BinaryIO:
    if magic in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"csv.encoding: {path.name} is UTF-16 text; save it as UTF-8")
    if magic == b"PK":
        raise DataError(f"csv.header: {path.name} is a zip file; unpack it")
    if magic == b"\x1f\x8b":
        _check_size(path)
        return io.BufferedReader(_Gzip(path.open("rb")))  # splits lines in C
    _check_member(path)
    return path.open("rb")


class _Gzip(gzip.GzipFile):
    """A .gz that also closes the file that it reads."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(fileobj=stream)
        self._stream = stream

    def close(self) -> None:
        super().close()
        self._stream.close()


def _unread(error: IngestError, name: str) -> DataError:
    return DataError(f"{error.code}: {name}: unpack its archive, or download it again")


def _check_size(path: Path) -> None:
    """Refuse a .gz that unpacks to more than a table of its size can: it might fill the disk."""
    most = max(PACKED, RATIO * path.stat().st_size)
    size = 0
    try:
        with _Gzip(path.open("rb")) as stream:
            while block := stream.read(1 << 20):
                size += len(block)
                if size > most:
                    raise DataError(
                        f"csv.bomb: {path.name} unpacks to more than {RATIO} times its size; "
                        "unpack it yourself if it is valid"
                    )
    except IngestError as error:
        raise _unread(error, path.name) from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(
            f"csv.gzip: {path.name}: the gzip file is broken; download it again"
        ) from None


def _check_member(path: Path) -> None:
    """Refuse a member of a zip that unpacks to more than a table of its size can."""
    if isinstance(path, archives.Member):
        size, packed = path.sizes()
        if size > max(PACKED, RATIO * packed):
            raise DataError(
                f"csv.bomb: {path.name} unpacks to more than {RATIO} times its size in the "
                "archive; unpack it yourself if it is valid"
            )


def sole_row(rows: Iterable[Row], columns: Sequence[str]) -> tuple[Row | None, int]:
    """Return (the first of the rows, None without rows; how many rows repeat it).

    Rows repeat each other if they are equal in `columns`. Raises IngestError csv.conflict for rows
    that contradict each other: nobody can know which of them is true.
    """

    rows = list(rows)
    kept = {tuple(cells.plain(row.get(c)) for c in columns): row for row in reversed(rows)}
    if len(kept) > 1:
        raise IngestError("csv.conflict")
    return next(iter(kept.values()), None), max(0, len(rows) - 1)
