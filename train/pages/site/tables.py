"""Turns the tables of an evaluation's files into tables of the site: numbers and their intervals.

A column X with X_low and X_high becomes one cell with the interval below the number. A column that
is empty in every row is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.train.pages.site import words

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what is written, the interval below it, and whether it is a number."""

    text: str
    interval: str = ""
    numeric: bool = False


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
    names = [name for name in rows[0] if any(row[name] not in ("", None) for row in rows)]
    ends = {f"{name}_{end}" for name in names for end in ("low", "high")} & set(names)
    shown = [name for name in names if name not in ends]
    numeric = {name: all(_is_number(row[name]) for row in rows) for name in shown}
    body = tuple(tuple(_cell(row, name, numeric[name]) for name in shown) for row in rows)
    return Table(tuple((words.measure(name), numeric[name]) for name in shown), body)


def _cell(row: Row, name: str, numeric: bool) -> Cell:
    value = row[name]
    if not numeric:
        return Cell(str(value))
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    whole = str(value).lstrip("-").isdigit()
    text = words.count(value) if whole else words.number(value)
    return Cell(text, words.interval(low, high), numeric=True)


def _is_number(value: Any) -> bool:
    if value in ("", None):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True
