"""Reads the rows of a table file: CSV, TSV, JSON lines, JSON or Parquet.

Every cell becomes text, as csv_tables has it: a missing value is "", true is 1, and a list is JSON.
Each row has its number and, where it can be read again there, the place of its first byte. A row
that cannot be used has a code.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import archives, csv_tables, places
from cxr_vlp.pipelines.files.csv_tables import LINE, Line, Row
from cxr_vlp.pipelines.files.raw_objects import RawObject

TABLE = re.compile(r"\.(?:csv|tsv|tab|txt|jsonl|ndjson|json)(?:\.gz)?\Z|\.(?:parquet|pq)\Z", re.I)
SPREADSHEET = re.compile(r"\.(?:xlsx|xls|xlsm|ods)\Z", re.I)
SEEN = 1000  # rows of a file of JSON from which its columns are taken
WHOLE = 1 << 30  # bytes of a JSON file that is read as a whole
BATCH = 1024  # rows of a Parquet file that are in memory at once

_REMEDY = "download it again, or save it as CSV"


def header(path: Path) -> list[str]:
    """Return the columns of a table. Raises DataError for a file that is broken as a whole."""
    kind = _kind(path)
    if kind == "parquet":
        return list(_columns_of(path, _parquet(path)))
    if kind == "csv":
        return csv_tables.names_of(path, (), csv_tables.delimiter_of(path))
    found: dict[str, None] = {}
    for line in _head(rows(path)):
        found.update(dict.fromkeys(line.row))
    return list(found)


def _head(lines: Iterator[Line]) -> Iterator[Line]:
    for _, line in zip(range(SEEN), lines, strict=False):
        yield line


def rows(path: Path, columns: Iterable[str] = ()) -> Iterator[Line]:
    """Yield the rows of a table; of a Parquet file only `columns` are read, if any are given.

    Raises DataError for a file that is broken as a whole.
    """
    kind = _kind(path)
    if kind == "csv":
        yield from csv_tables.read(path, (), delimiter=csv_tables.delimiter_of(path))
    elif kind == "parquet":
        yield from _parquet_rows(path, tuple(columns))
    elif kind == "json" and not _is_lines(path):
        yield from _whole(path)
    else:
        yield from _json_lines(path)


def row_at(path: Path, place: int) -> Row | None:
    """Return the object of a file of JSON lines that begins at a byte, None if there is none."""
    with places.opened(path) as stream:
        stream.seek(place)
        return _row(stream.readline(LINE + 1))


def is_csv(path: Path) -> bool:
    """Return whether a table is CSV or TSV."""
    return _kind(path) == "csv"


def seekable(path: Path) -> bool:
    """Return whether a row can be read again at its place: CSV and JSON lines, not packed."""
    if _kind(path) == "parquet" or _packed(path):
        return False
    if isinstance(path, archives.Member) and path.deflated():
        return False
    return _kind(path) != "json" or _is_lines(path)


def _kind(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    if name.endswith((".json", ".jsonl", ".ndjson")):
        return "json" if name.endswith(".json") else "lines"
    if SPREADSHEET.search(name):
        raise DataError(f"csv.header: {path.name} is a spreadsheet; save it as CSV (UTF-8)")
    return "csv"


def _packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _is_lines(path: Path) -> bool:
    """Return whether a .json file has one object a line, as CheXpert's label files do."""
    with csv_tables.opened(path) as stream:
        return _row(stream.readline(LINE + 1)) is not None


def _json_lines(path: Path) -> Iterator[Line]:
    good = bad = number = place = 0
    with csv_tables.opened(path) as stream:
        try:
            while data := stream.readline(LINE + 1):
                number += 1
                if data.strip():
                    line = _json_line(number, data, place)
                    good, bad = good + (not line.code), bad + bool(line.code)
                    yield line
                place += len(data)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise DataError(
                f"csv.gzip: {path.name}, after line {number}: the gzip file is broken"
            ) from None
    if (bad and bad > max(csv_tables.MANY, good)) or (bad and not good):
        raise DataError(f"csv.object: {path.name}: most of its lines are no JSON object; {_REMEDY}")


def _json_line(number: int, data: bytes, place: int) -> Line:
    if len(data) > LINE:
        return Line(number, {}, "csv.row_too_long")
    row = _row(data)
    return Line(number, {}, "csv.object") if row is None else Line(number, row, "", place)


def _row(data: bytes) -> Row | None:
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return texts(found) if isinstance(found, dict) else None


def _whole(path: Path) -> Iterator[Line]:
    """Yield the objects of a JSON array, or of an object of objects, with their key as `key`."""
    with csv_tables.opened(path) as stream:
        data = stream.read(WHOLE + 1)
    if len(data) > WHOLE:
        raise DataError(f"csv.object: {path.name} is too large; save it as JSON lines")
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise DataError(f"csv.object: {path.name} is not whole JSON; {_REMEDY}") from None
    if isinstance(found, dict):
        found = [
            {"key": key, **value} if isinstance(value, dict) else value
            for key, value in found.items()
        ]
    if not isinstance(found, list):
        raise DataError(f"csv.object: {path.name} has no list of rows; {_REMEDY}")
    for number, each in enumerate(found, 1):
        fine = isinstance(each, dict)
        yield Line(number, texts(each) if fine else {}, "" if fine else "csv.object")


def texts(row: Mapping[str, Any]) -> Row:
    """Return a row whose values are text."""
    return {str(name).strip(): text(value) for name, value in row.items()}


def text(value: Any) -> str:
    """Return a value as the text of a cell."""
    if value is None or isinstance(value, bytes):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)  # dates and decimals of a Parquet file


def _parquet(path: Path) -> Any:
    # imported here because it takes a tenth of a second, and most tables are CSV
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        elsewhere = isinstance(path, archives.Member | RawObject)
        return pq.ParquetFile(pa.BufferReader(path.read_bytes()) if elsewhere else path)
    except (pa.ArrowException, OSError):
        raise DataError(f"csv.parquet: {path.name} is no whole Parquet file; {_REMEDY}") from None


def _columns_of(path: Path, file: Any) -> dict[str, str]:
    """Return name without blanks -> name of each column of a Parquet file."""
    names = file.schema_arrow.names
    found = {name.strip(): name for name in names}
    if len(found) < len(names):
        raise DataError(f"csv.duplicate_column: {path.name}: two of its columns have one name")
    return found


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Line]:
    import pyarrow as pa

    file = _parquet(path)
    known = _columns_of(path, file)
    names = [known[name] for name in known if not columns or name in columns]
    number = 0
    try:
        for batch in file.iter_batches(BATCH, columns=names):
            for row in batch.to_pylist():
                number += 1
                yield Line(number, texts(row))
    except (pa.ArrowException, OSError):
        raise DataError(
            f"csv.parquet: {path.name}, after row {number}: it is damaged; {_REMEDY}"
        ) from None
