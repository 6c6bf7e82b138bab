"""Laying a tree's persons over several processes, with the same bytes for any number of them.

In: a `Tree`, a root and persons. Out: what was laid, in the order of the persons. Each person is
laid from the seed alone; the tables, which need all of them, are written by `Tree.finish` at last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2

from cxr_vlp.pipelines.executor.pool import in_order
from cxr_vlp.pipelines.synthetic.cases import Person

_PRELOAD = ("cxr_vlp.pipelines.synthetic.generate",)  # imported once, for all workers
_CHUNK = 8  # persons a task: large enough to hide its pickling, small enough to end together


Rows = dict[str, list[dict[str, str]]]  # by table


@dataclass(frozen=True, slots=True)
class Laid:
    """What one person left in a tree: rows by table, truth lines, (path, sha256) of the files."""

    rows: Rows
    truth: list[dict[str, Any]] = field(default_factory=list)
    sums: list[tuple[str, str]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)  # members `finish` packs in an archive

    @property
    def images(self) -> int:
        """Return how many pictures the truth lists."""
        return sum(len(line["images"]) for line in self.truth)


class Tree(Protocol):
    """One collection's layout."""

    def lay(self, root: Path, person: Person) -> Laid:
        """Write the person's files below `root`."""

    def finish(self, root: Path, laid: Sequence[Laid]) -> None:
        """Write the tables below `root`."""


def quiet(studies: int) -> None:
    """Hear of progress and say nothing."""


def lay_tree(
    tree: Tree,
    root: Path,
    persons: Sequence[Person],
    *,
    workers: int = 1,
    advance: Callable[[int], None] = quiet,
) -> list[Laid]:
    """Write a whole tree and return what was laid; `advance` hears of each chunk's studies."""
    chunks = [persons[i : i + _CHUNK] for i in range(0, len(persons), _CHUNK)]
    tasks = [partial(_lay_chunk, tree, root, chunk) for chunk in chunks]
    laid = list(_collected(in_order(tasks, workers, _PRELOAD), advance))
    tree.finish(root, laid)
    return laid


def rows_of(laid: Sequence[Laid], table: str) -> Iterable[dict[str, str]]:
    """Return all rows of a table, in the order of the persons."""
    return (row for one in laid for row in one.rows.get(table, ()))


def truth_of(laid: Sequence[Laid]) -> list[dict[str, Any]]:
    """Return all truth lines, in the order of the persons."""
    return [line for one in laid for line in one.truth]


def _collected(chunks: Iterable[Sequence[Laid]], advance: Callable[[int], None]) -> Iterable[Laid]:
    for chunk in chunks:
        yield from chunk
        advance(sum(len(one.truth) for one in chunk))


def _lay_chunk(tree: Tree, root: Path, persons: Sequence[Person]) -> list[Laid]:
    cv2.setNumThreads(1)
    return [tree.lay(root, person) for person in persons]
