"""The sets that the page shows: their manifests and tables, and whether they have changed since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError

Stamp = tuple[int, int, int]  # inode, size and time of a manifest


@dataclass(frozen=True)
class OpenSet:
    """A set as it was when it was opened.

    `first` is the place of its first row in all rows. `faults` are the damaged tars, whose samples
    are not in the table: "train/NAME.tar" -> what is wrong.
    """

    name: str
    folder: Path
    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    table: pa.Table
    first: int
    stamp: Stamp
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def private(self) -> bool:
        """Whether only the user may read what is made from the set."""
        return protection(self.header).private

    def change(self) -> str:
        """Return "changed" or "gone" if the set on the disk is not the opened one, else ""."""
        path = self.folder / manifest.NAME
        try:
            if stamp_of(path) == self.stamp:
                return ""
            same = manifest.header(self.folder).get("digest") == self.header["digest"]
        except OSError:
            return "gone"
        except FormatError:
            return "changed"
        return "" if same else "changed"


@dataclass(frozen=True)
class Opened:
    """All opened sets and one table of their samples, set after set."""

    sets: tuple[OpenSet, ...]
    table: pa.Table

    @cached_property
    def firsts(self) -> np.ndarray[Any, Any]:
        """The place of every set's first row."""
        return np.array([each.first for each in self.sets])

    @property
    def faults(self) -> list[str]:
        """What is wrong with the damaged tars of all sets; their samples are not in the table."""
        return [fault for each in self.sets for fault in each.faults.values()]

    def set_at(self, place: int) -> OpenSet:
        """Return the set of the row at a place."""
        return self.sets[int(np.searchsorted(self.firsts, place, side="right")) - 1]

    def place_of(self, name: str, key: str) -> int | None:
        """Return the place of the sample with a key in the set with a name; None if not there."""
        for each in self.sets:
            if each.name == name:
                found = pc.index(each.table.column("key"), key).as_py()
                return None if found < 0 else each.first + found
        return None

    def row(self, place: int) -> dict[str, Any]:
        """Return the row at a place, with the name of its set under "set"."""
        return self.rows([place])[0]

    def rows(self, places: Iterable[int]) -> list[dict[str, Any]]:
        """Return the rows at some places."""
        chosen = pa.array(places, pa.int64())
        rows: list[dict[str, Any]] = self.table.take(chosen).to_pylist()
        names = [self.set_at(place).name for place in chosen.to_pylist()]
        return [row | {"set": name} for row, name in zip(rows, names, strict=True)]

    def study_of(self, place: int) -> list[int]:
        """Return the places of all images of the study of a sample."""
        this, row = self.set_at(place), self.row(place)
        same = pc.equal(this.table.column("study"), row["study"])
        same = pc.and_(same, pc.equal(this.table.column("patient"), row["patient"]))
        return [this.first + int(n) for n in pc.indices_nonzero(same).to_pylist()]


def read(folder: Path, state: Path, workers: int) -> Opened:
    """Open the sets in a folder. A set is named by its folder; addresses of the page hold the name.

    A damaged tar is left out and is among the faults of its set. Raises ConfigError if there is no
    set, DataError for a bad manifest, and if damaged tars leave no sample to show.
    """
    read_sets = [_read(path, state, workers) for path in _found(folder)]
    sizes = [each.table.num_rows for each in read_sets]
    table = pa.concat_tables([each.table for each in read_sets]).combine_chunks()
    sets, first = [], 0
    for each, size in zip(read_sets, sizes, strict=True):
        # a slice of the one table, so that the rows are in memory once
        sets.append(replace(each, table=table.slice(first, size), first=first))
        first += size
    opened = Opened(tuple(sets), table)
    if opened.faults and not table.num_rows:
        raise DataError(opened.faults[0])
    return opened


def _read(path: Path, state: Path, workers: int) -> OpenSet:
    stamp = stamp_of(path / manifest.NAME)  # before it is read: a later change is then seen
    header, lines = sample_table.manifest_of(path)
    _check_names(path, lines)
    table, faults = sample_table.readable(path, state, workers=workers)
    table = table.replace_schema_metadata(None)
    return OpenSet(name_of(path), path, header, lines, table, 0, stamp, faults)


def name_of(path: Path) -> str:
    """Return the name of a set: that of its folder."""
    return path.name or path.resolve().name  # "." has no name


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: give a set, or a folder of sets")
    found = list(manifest.sets(folder))
    if not found:
        raise ConfigError(f"no {manifest.NAME} in {folder} or in the folders right below it")
    return found


def _check_names(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a manifest whose tars are not plain files of the set. Raises DataError."""
    if any(Path(line["name"]).name != line["name"] for line in lines):
        raise DataError(f"{folder}: {manifest.NAME} names a tar outside the set; do not use it")


def private_header(folder: Path) -> Mapping[str, Any] | None:
    """Return the header of the first private set in a folder, None if there is none."""
    for path in _found(folder):
        header, _ = sample_table.manifest_of(path)
        if protection(header).private:
            return header
    return None


def protection(header: Mapping[str, Any]) -> Protection:
    """Return the protection of what is made from a set."""
    return Protection(
        header["source"], header["licence"], header["credentialed"], header["ids"] == "salted"
    )


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a manifest is replaced or rewritten. Raises OSError."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
