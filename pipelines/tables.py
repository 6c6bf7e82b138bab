"""A CSV file in, rows as dicts of strings out, by column name; anything odd stops with its line.

pandas shifts the columns of a row that is one field too long, reads ids as floats and a report
`NA` as a missing value. Here every cell stays text, the header must hold what the reader needs,
and a message gives file and line but never a cell.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from pipelines.faults import DataError

Row = dict[str, str]


def read(
    path: Path, required: Sequence[str], columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Yield the rows of a .csv or .csv.gz file (UTF-8, with or without BOM).

    `columns` replaces the file's own header by position, for files whose header is not one
    (NIH's holds commas inside brackets). Blank lines are passed over.
    Raises DataError: csv.encoding, csv.gzip, csv.header, csv.duplicate_column, csv.ragged,
    csv.quote.
    """
    # strict: a quote that never ends is an error, not one huge last cell
    lines = csv.reader(_decoded(path), strict=True)
    try:
        header = next(lines, None)
        if header is None:
            raise DataError(f"csv.header: {path.name} is empty")
        names = _header(path, header, required, columns)
        for cells in lines:
            if not cells:
                continue
            if columns is not None and not any(cells[len(names) :]):
                cells = cells[: len(names)]  # trailing commas stand in some releases, not in others
            if len(cells) != len(names):
                raise DataError(
                    f"csv.ragged: {path.name}, line {lines.line_num}: "
                    f"{len(cells)} fields where the header has {len(names)}"
                )
            yield dict(zip(names, cells, strict=True))
    except csv.Error:
        where = f"{path.name}, line {lines.line_num}"
        raise DataError(f"csv.quote: {where}: a quote that is wrong or never ends") from None


def _header(
    path: Path, found: list[str], required: Sequence[str], columns: Sequence[str] | None
) -> list[str]:
    if columns is not None:
        if len(found) < len(columns):
            raise DataError(f"csv.header: {path.name}: {len(found)} columns, not {len(columns)}")
        return list(columns)
    names = [name.strip() for name in found]
    missing = [name for name in required if name not in names]
    if missing:
        hint = "; is it separated by semicolons?" if len(names) == 1 and ";" in names[0] else ""
        raise DataError(f"csv.header: {path.name}: no column {missing[0]!r}{hint}")
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"csv.duplicate_column: {path.name}: {twice[0]!r} stands twice")
    return names


def text(path: Path) -> TextIO:
    """Open a text file, gzipped or not, as UTF-8 with or without BOM, line ends as they are."""
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _decoded(path: Path) -> Iterator[str]:
    number = 0
    with text(path) as lines:
        try:
            for line in lines:
                number += 1
                yield line.replace("\0", "")
        except UnicodeDecodeError:
            message = f"csv.encoding: {path.name}, after line {number}: not UTF-8 text"
            raise DataError(message) from None
        except (EOFError, gzip.BadGzipFile):
            message = f"csv.gzip: {path.name}, after line {number}: the gzip file is broken"
            raise DataError(message) from None


def sole(rows: Iterable[Row], columns: Sequence[str], what: str) -> tuple[Row | None, int]:
    """Return the one row that `rows` state (None without rows) and how many repeat it.

    Rows that repeat each other in `columns` are one statement; rows that contradict each other
    raise DataError, for no reader can know which of them is true.
    """
    rows = list(rows)
    kept = {tuple(row.get(c, "") for c in columns): row for row in rows}
    if len(kept) > 1:
        raise DataError(f"csv.conflict: {what} has {len(kept)} rows that contradict each other")
    return next(iter(kept.values()), None), max(0, len(rows) - 1)
