"""Writes the tables and pages of an export for a trainer, row by row.

Tables are CSV in UTF-8, as pandas.read_csv reads it with its defaults.
"""

from __future__ import annotations

import contextlib
import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO


class Tables:
    """The CSV files of an export; each is begun with its first row, so that none is empty."""

    def __init__(self, out: Path, stack: contextlib.ExitStack) -> None:
        self._out, self._stack = out, stack
        self._writers: dict[str, csv.DictWriter[str]] = {}
        self.rows: Counter[str] = Counter()  # by file

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row to the file of this name; its first row gives the columns."""
        if name not in self._writers:
            self._writers[name] = self._begun(name, list(row))
        self._writers[name].writerow(row)
        self.rows[name] += 1

    def _begun(self, name: str, columns: list[str]) -> csv.DictWriter[str]:
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file: TextIO = self._stack.enter_context(path.open("w", encoding="utf-8", newline=""))
        writer = writer_of(file, columns)
        writer.writeheader()
        return writer


def writer_of(file: TextIO, columns: Sequence[str]) -> csv.DictWriter[str]:
    """Return the writer of a table in the form that pandas.read_csv reads."""
    return csv.DictWriter(file, list(columns), lineterminator="\n")


@contextlib.contextmanager
def writing(out: Path) -> Iterator[Tables]:
    """Yield the tables of an export; they are closed at the end of the block."""
    with contextlib.ExitStack() as stack:
        yield Tables(out, stack)


def page(out: Path, title: str, checked: str, parts: Sequence[str], made: Tables) -> None:
    """Write README.md: the lines with which the trainer reads this folder, and what it reads.

    `checked` names the repository and the revision whose code read such a folder.
    """
    count = ["| file | rows |", "|---|---|"]
    count += [f"| `{name}` | {number} |" for name, number in sorted(made.rows.items())]
    head = f"# For {title}\n\nMade by `cxr-vlp export`; checked against {checked}.\n"
    text = "\n".join([head, *(part.strip() + "\n" for part in (*parts, "\n".join(count)))])
    (out / "README.md").write_text(text, encoding="utf-8")
