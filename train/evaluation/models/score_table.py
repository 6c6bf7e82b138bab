"""Reads a table of another program: csv, tsv, parquet or jsonl, as columns of values.

A cell is a text (csv, tsv) or a plain value; an empty one is None. A cell is named by the line of
the file (csv, tsv, jsonl) or the row from 1 (parquet), never by what is in it: it may be an id.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.scores import Floats

ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl")


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a file by name, in its order; `lines` are the places of its rows in it."""

    path: Path
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]

    def texts(self, column: str) -> list[str]:
        """Return a column as texts, "" for an empty cell."""
        return ["" if cell is None else str(cell).strip() for cell in self.columns[column]]

    def numbers(self, column: str, *, empty: float | None = None) -> Floats:
        """Return a column as float64; `empty` stands for an empty cell, None: it is an error.

        Raises DataError with the line and the column for what is no finite number.
        """
        return np.array([
            self._number(cell, column, line, empty)
            for cell, line in zip(self.columns[column], self.lines, strict=True)
        ], dtype=np.float64)  # fmt: skip

    def _number(self, cell: Any, column: str, line: int, empty: float | None) -> float:
        missing = cell is None or (isinstance(cell, str) and not cell.strip())
        missing = missing or (isinstance(cell, float) and math.isnan(cell))
        if missing and empty is not None:
            return empty
        try:
            number = math.nan if missing or isinstance(cell, bool) else float(cell)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            what = "is empty" if missing else "is no finite number"
            raise DataError(f"{self.path}, line {line}, column {column!r}: {what}")
        return number


def read(path: Path) -> Table:
    """Return the table in a file. Raises DataError for another kind of file and a damaged one."""
    readers = {".csv": _delimited, ".tsv": _delimited, ".parquet": _parquet, ".jsonl": _jsonl}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: the name of a table ends with {', '.join(ENDINGS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    table = readers[path.suffix.lower()](path)
    if not table.lines:
        raise DataError(f"{path}: no row in it")
    return table


def _delimited(path: Path) -> Table:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows, lines = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            for row in reader:
                if row:  # a blank line is no row
                    rows.append(row)
                    lines.append(reader.line_num)
    except UnicodeDecodeError:
        raise DataError(f"{path}: the text is not UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: not a table of {delimiter!r}: {error}") from None
    _check_header(header, path)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise DataError(f"{path}, line {line}: {len(row)} cells under {len(header)} columns")
    cells = list(zip(*rows, strict=True)) or [()] * len(header)
    return Table(path, dict(zip((n.strip() for n in header), cells, strict=True)), lines)


def _parquet(path: Path) -> Table:
    try:
        found = pq.read_table(path)
    except (pa.ArrowException, OSError):
        raise DataError(f"{path}: not a parquet file, or cut short") from None
    _check_header(found.column_names, path)
    columns = {name: found[name].to_pylist() for name in found.column_names}
    return Table(path, columns, range(1, found.num_rows + 1))


def _jsonl(path: Path) -> Table:
    rows, lines = [], []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: the text is not UTF-8") from None
    for line, content in enumerate(text.split("\n"), 1):
        if content.strip():
            rows.append(_object(content, path, line))
            lines.append(line)
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(path, {name: [row.get(name) for row in rows] for name in names}, lines)


def _object(content: str, path: Path, line: int) -> dict[str, Any]:
    try:
        row = json.loads(content)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {line}: not a JSON object")
    return row


def _check_header(header: Sequence[str], path: Path) -> None:
    names = [name.strip() for name in header]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        what = f"the column {twice[0]!r} is there twice" if twice else "no header in it"
        raise DataError(f"{path}: {what}")
