"""Reads tables whose columns are answers, and whose rows are findings.

    Finding      | Yes | No          ->  Pneumothorax: No
    Pneumothorax |     | X

The columns are parted by "|" or by tabs. A row without a mark says nothing and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cxr_vlp.nlp import lexicon

_ANSWERS = lexicon.words("layout", "box_answers")
_NOTES = lexicon.words("layout", "table_notes")
_MARK = re.compile(r"[xX✓✔✗✘+*]|\[ ?[xX✓✔+] ?\]|☑|☒|■")
_EMPTY = re.compile(r"[\s\[\]()☐□._–-]*")
_RULE = re.compile(r"[\s|:+=-]+")


def read(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines, each row of a table as "finding: answer"; its head is left out."""
    columns: list[str] = []
    for line in lines:
        cells = _cells(line)
        head = _head(cells)
        if head:
            columns = head
        elif not columns:
            yield line
        elif not line.strip() or not _RULE.fullmatch(line):
            said = _row(cells, columns)
            if said is None:  # the table is at its end
                columns, said = [], line
            yield said


def _cells(line: str) -> list[str]:
    mark = "|" if "|" in line else "\t"
    line = line.strip(" \r")
    if mark == "|" and line.startswith("|"):
        line = line[1:].removesuffix("|")
    return [cell.strip() for cell in line.split(mark)]


def _head(cells: list[str]) -> list[str]:
    """Return the columns after the first where two or more are answers: "Finding | Yes | No"."""
    columns = [cell.lower() for cell in cells]
    if columns[0] not in _ANSWERS:
        columns = columns[1:]
    answers = sum(column in _ANSWERS for column in columns)
    return columns if answers > 1 and set(columns) <= _ANSWERS | _NOTES else []


def _row(cells: list[str], columns: list[str]) -> str | None:
    """Return what a row says, "" where no cell is marked; None for what is no row of the table."""
    if len(cells) < 2 or not cells[0] or len(cells) > len(columns) + 1:
        return None
    said, notes = [], []
    for cell, column in zip(cells[1:], columns, strict=False):
        if column in _NOTES:
            notes += [cell] if cell else []
        elif _MARK.fullmatch(cell):
            said.append(column)
        elif not _EMPTY.fullmatch(cell):
            return None
    if len(said) > 1:
        return None
    return f"{cells[0].rstrip(':')}: {', '.join([*said, *notes])}" if said else ""
