"""Writes the tables and pages of an export for a trainer, row by row.

Tables are CSV in UTF-8, as pandas.read_csv reads it with its defaults.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO



class Tables:
    """The CSV files of an export; each is begun with its first row, so that none is empty."""

    def __init__(self, out: Path, stack: contextlib.ExitStack) -> None:
        self._out, self._stack = out, stack
        self._open: dict[str, Any] = {}

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row to the file of this name; its first row gives the columns."""
        if name not in self._open:
            path = self._out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            file: TextIO = self._stack.enter_context(path.open("w", encoding="utf-8", newline=""))
            writer = csv.DictWriter(file, list(row), lineterminator="\n", strict=True)
            writer.writeheader()
            self._open[name] = writer
        self._open[name].writerow(row)

    @property
    def names(self) -> list[str]:
        """The files that have a row, sorted."""
        return sorted(self._open)


@contextlib.contextmanager
def writing(out: Path) -> Iterator[Tables]:
    """Yield the tables of an export; they are closed at the end of the block."""
    with contextlib.ExitStack() as stack:
        yield Tables(out, stack)


def page(out: Path, title: str, checked: str, parts: Sequence[str]) -> None:
    """Write README.md: how the trainer is set to read this folder, and what it then reads.

    `checked` names the repository and the revision whose code read such a folder.
    """
    head = f"# For {title}\n\nChecked against {checked}.\n"
    text = "\n".join([head, *(part.strip() + "\n" for part in parts)])
    (out / "README.md").write_text(text, encoding="utf-8")
