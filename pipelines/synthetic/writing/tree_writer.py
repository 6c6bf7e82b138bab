"""Writes the persons of a tree in one or several processes, with the same bytes for any number.

Each person is written from the seed alone. The tables, which need all persons, are written at the
end by `Tree.write_tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2

from cxr_vlp.pipelines.executor.pool import in_order
from cxr_vlp.pipelines.synthetic.cases.people import Person

_PRELOAD = ("cxr_vlp.pipelines.synthetic.generate",)  # imported once for all workers
_CHUNK = (
    8  # persons a task: large enough to hide the cost of pickling, small enough to balance the load
)


Rows = dict[str, list[dict[str, str]]]  # by table


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of one person: rows by table, truth lines, (path, sha256) of the files."""

    rows: Rows
    truth: list[dict[str, Any]] = field(default_factory=list)
    sums: list[tuple[str, str]] = field(default_factory=list)
    texts: dict[str, bytes] = field(
        default_factory=dict
    )  # members that `write_tables` packs in an archive

    @property
    def images(self) -> int:
        """Return how many images the truth lists."""
        return sum(len(line["images"]) for line in self.truth)


class Tree(Protocol):
    """One collection's layout."""

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's files below `root`."""

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the tables below `root`."""


def no_progress(studies: int) -> None:
    """Ignore progress."""


def write_tree(
    tree: Tree,
    root: Path,
    persons: Sequence[Person],
    *,
    workers: int = 1,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write a whole tree; return what was written, in the order of the persons.

    `advance` is called with the number of studies of each finished chunk.
    """
    chunks = [persons[i : i + _CHUNK] for i in range(0, len(persons), _CHUNK)]
    tasks = [partial(_write_chunk, tree, root, chunk) for chunk in chunks]
    written = list(_collected(in_order(tasks, workers, _PRELOAD), advance))
    tree.write_tables(root, written)
    return written


def rows_of(written: Sequence[Written], table: str) -> Iterable[dict[str, str]]:
    """Return all rows of a table, in the order of the persons."""
    return (row for one in written for row in one.rows.get(table, ()))


def truth_of(written: Sequence[Written]) -> list[dict[str, Any]]:
    """Return all truth lines, in the order of the persons."""
    return [line for one in written for line in one.truth]


def _collected(
    chunks: Iterable[Sequence[Written]], advance: Callable[[int], None]
) -> Iterable[Written]:
    for chunk in chunks:
        yield from chunk
        advance(sum(len(one.truth) for one in chunk))


def _write_chunk(tree: Tree, root: Path, persons: Sequence[Person]) -> list[Written]:
    cv2.setNumThreads(1)
    return [tree.write_person(root, person) for person in persons]
