"""What every export gets and gives: the chosen samples, an empty folder, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards import stored
from cxr_vlp.pipelines.cards.stored import Stored


@dataclass(frozen=True)
class Chosen:
    """A set, the header of its manifest, and the rows of its samples that are exported."""

    folder: Path
    header: Mapping[str, Any]
    table: pa.Table
    place: str = ""  # of the set below the folder that the command reads; "" if it is that folder

    def samples(self, split: str = "") -> Iterator[Stored]:
        """Yield the chosen samples of a split, or of all splits, in the order of the set."""
        table = self.table
        if split:
            table = table.filter(pc.equal(table.column("split"), split))
        yield from stored.samples(self.folder, table)


@dataclass(frozen=True)
class Request:
    """One export: what is chosen, where it is written, and the flags of the command.

    `out` is an empty staging folder. It is published when the exporter returns. `options`:
    `caption` (fields of text, the first that is not empty is the caption; () for the stored one),
    `side` (of the resized image in pixels; 0 for the stored image), `split`, `where`, `images`
    (whether image files are written), `embed` (whether images go into the table), `workers`.
    """

    chosen: tuple[Chosen, ...]
    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def samples(self, split: str = "") -> Iterator[Stored]:
        """Yield the chosen samples of all sets, set after set."""
        for each in self.chosen:
            yield from each.samples(split)

    @property
    def rows(self) -> int:
        """The number of chosen samples."""
        return sum(each.table.num_rows for each in self.chosen)


@dataclass
class Result:
    """What an export wrote: samples by split, and samples it left out by code, none unsaid."""

    written: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


class Exporter(Protocol):
    """Writes the chosen samples in one form. `about` is its line in the command's help."""

    about: str

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`. Raises ConfigError or DataError."""
