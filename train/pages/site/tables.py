"""Turns the tables of an evaluation's files into tables of the site: numbers and their intervals.

A column X with X_low and X_high becomes one cell with the interval below the number. Rows of one
measure each (columns measure, value, low, high, and chance or a note where there is one) become
rows with a column for each measure. A column that is empty in every row is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.train.pages.site import words

Row = Mapping[str, Any]
WHY = "why"  # the column that says why a row has no values: the last one
LONG = {"measure", "value"}  # the columns of rows of one measure each
ENDS = ("low", "high", "chance", "note")  # what belongs to a value
CODED = (
    "direction",
    "measure",
    "attribute",
    "label",
    "reader",
)  # columns of our own names, not of a set's


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what is written, interval and notes below it, and whether it is a number.

    sentence: it holds words that need a line, not a name.
    """

    text: str
    interval: str = ""
    numeric: bool = False
    notes: tuple[str, ...] = ()
    sentence: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its headings with whether each is over numbers, and its rows."""

    head: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]


def measured(row: Row, name: str) -> Cell:
    """Return the cell of a measure of a row of labels.csv."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return Cell(words.number(row.get(name)), words.interval(low, high), numeric=True)


def estimate(found: Mapping[str, Any] | None) -> Cell:
    """Return the cell of a measure of metrics.json: {value, low, high}."""
    given = found or {}
    text = words.number(given.get("value"))
    return Cell(text, words.interval(given.get("low"), given.get("high")), numeric=True)


def tidy(rows: Sequence[Row]) -> Table:
    """Return the table of the rows of a file, whose keys are equal."""
    if set(rows[0]) >= LONG:
        rows = _wide(rows)
    names = [name for name in rows[0] if any(row[name] not in ("", None) for row in rows)]
    ends = {f"{name}_{end}" for name in names for end in ENDS} & set(names)
    shown = sorted((name for name in names if name not in ends), key=lambda name: name == WHY)
    numeric = {name: all(_is_number(row[name]) for row in rows) for name in shown}
    body = tuple(tuple(_cell(row, name, numeric[name]) for name in shown) for row in rows)
    return Table(tuple((words.measure(name), numeric[name]) for name in shown), body)


def _cell(row: Row, name: str, numeric: bool) -> Cell:
    value = row[name]
    if not numeric:
        text = words.measure(str(value)) if name in CODED else str(value)
        return Cell(text, sentence=name == WHY)
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    whole = str(value).lstrip("-").isdigit()
    text = words.count(value) if whole else words.number(value)
    chance, note = row.get(f"{name}_chance"), row.get(f"{name}_note")
    notes = (f"chance {words.number(chance)}" if chance else "", str(note or ""))
    return Cell(text, words.interval(low, high), numeric=True, notes=tuple(filter(None, notes)))


def _wide(rows: Sequence[Row]) -> list[Row]:
    """Return rows with a column for each measure, from rows of one measure each."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    columns = list(dict.fromkeys(str(row["measure"]) for row in rows))
    ends = [name for name in ENDS if name in rows[0]]
    empty = {f"{name}{end}": "" for name in columns for end in ("", *(f"_{e}" for e in ends))}
    for row in rows:
        rest = {k: v for k, v in row.items() if k not in ("measure", "value", *ends)}
        wide = found.setdefault(tuple(rest.values()), rest | empty)
        wide[str(row["measure"])] = row["value"]
        wide |= {f"{row['measure']}_{end}": row[end] for end in ends}
    return list(found.values())


def _is_number(value: Any) -> bool:
    if value in ("", None):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True
