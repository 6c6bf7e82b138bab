"""Reads the user's lists of samples, studies or patients: text, CSV or Parquet.

A text file (.txt) has one key a line. A table (.csv, .csv.gz, .tsv, .parquet) has a column `key`,
`study` or `patient`; with several of them the first in this order counts. If it has a column
`dataset` too, an id is only looked up in that collection. Messages hold numbers, never an id.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_vlp.pipelines.errors import ConfigError

COLUMNS = ("key", "study", "patient")
_ENDINGS = ".txt, .csv, .csv.gz, .tsv or .parquet"

Id = tuple[str, str]  # (dataset or "", key, study or patient)


@dataclass(frozen=True)
class IdFile:
    """The ids of a file in its order, of which column of the table of samples they are."""

    column: str
    ids: tuple[Id, ...]
    values: tuple[str, ...]  # of a further column, one an id; () if none was asked for


def read(path: Path, flag: str, value: str = "") -> IdFile:
    """Return the ids of a file, and those of its column `value`.

    Raises ConfigError for a file that is absent, broken, empty or lacks a column.
    """
    if not path.is_file():
        raise ConfigError(f"{flag} {path}: no such file")
    try:
        names, rows = _table(path)
    except (OSError, EOFError, zlib.error, ValueError, csv.Error, pa.ArrowException):
        raise ConfigError(f"{flag} {path}: no valid file; give a {_ENDINGS} in UTF-8") from None
    column = next((name for name in COLUMNS if name in names), "")
    if not column or value not in ("", *names):
        needed = f"key, study or patient{value and f', and a column {value}'}"
        raise ConfigError(f"{flag} {path}: a table needs a column {needed}")
    found = list(zip(*(_cells(names, rows, each) for each in ("dataset", column)), strict=True))
    if not found:
        raise ConfigError(f"{flag} {path}: the file is empty")
    if blank := sum(not identity for _, identity in found):
        raise ConfigError(f"{flag} {path}: {blank:,} rows have no {column}")
    return IdFile(column, tuple(found), tuple(_cells(names, rows, value)) if value else ())


def _cells(names: Sequence[str], rows: Sequence[Sequence[str]], name: str) -> list[str]:
    if name not in names:
        return [""] * len(rows)
    place = names.index(name)
    return [row[place] for row in rows]


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return (names of the columns, rows). Raises ValueError for a row of another length."""
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        return _parquet(path)
    data = path.read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8-sig")
    if not name.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz")):
        return ["key"], list(_lines(text))
    tab = ".tsv" in name
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tab else ","))
    rows = [[cell.strip() for cell in row] for row in rows if any(row)]
    names = [cell.lower() for cell in rows[0]] if rows else []
    if any(len(row) != len(names) for row in rows) or len(set(names)) != len(names):
        raise ValueError
    return names, rows[1:]


def _lines(text: str) -> Iterator[list[str]]:
    """Yield the lines that are not blank. Raises ValueError for a line that holds a table's row."""
    for line in map(str.strip, text.split("\n")):
        if "," in line or "\t" in line:
            raise ValueError
        if line:
            yield [line]


def _parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    wanted = {*COLUMNS, "dataset", "split"}
    names = [name for name in pq.read_schema(path).names if name.lower() in wanted]
    table = pq.read_table(path, columns=names)
    columns = [_texts(table.column(name)) for name in names]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return [name.lower() for name in names], rows


def _texts(column: pa.ChunkedArray) -> list[str]:
    values = column.to_pylist()
    return ["" if value is None else str(value).strip() for value in values]
