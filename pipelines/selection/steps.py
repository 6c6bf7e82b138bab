"""Chooses samples step by step: a condition, lists, other splits, few shots, a draw of studies.

The steps, in their order; each works on what the steps before it left:

1. --where: rows of the table of samples for which all conditions are true; `split` is the source's
2. --keys: samples, studies or patients of a list
3. --unit study: all samples of a study of which one is left
4. --resplit: other splits, with every patient in one of them
5. --split: samples of some splits, by the new splits
6. --shots: N samples of every label, drawn from one split
7. --studies: N studies, drawn
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.selection import draws, id_files, query
from cxr_vlp.pipelines.selection.source_sets import NEW, SET

ALIASES = {"valid": "validate", "val": "validate", "validation": "validate", "dev": "validate"}
UNLISTED = ("stop", "keep", "drop")


@dataclass(frozen=True)
class Wanted:
    """What is selected: the flags of the command."""

    where: tuple[str, ...] = ()
    keys: Path | None = None
    ignore_missing: bool = False
    unit: str = "sample"
    resplit: Path | None = None
    unlisted: str = "stop"
    splits: tuple[str, ...] = ()
    shots: int = 0
    per: str = draws.LABELS
    shots_from: str = "train"
    studies: int = 0
    balance: str = ""
    seed: int = 0

    def steps(self) -> list[tuple[str, Callable[[pa.Table, Chosen], pa.Table]]]:
        """Return (flag, step) of the steps that are asked for, in their order."""
        every = (
            ("--where", self.where, self._where),
            ("--keys", self.keys, self._keys),
            ("--unit study", self.unit == "study" and (self.where or self.keys), self._whole),
            ("--resplit", self.resplit, self._resplit),
            ("--split", self.splits, self._splits),
            ("--shots", self.shots, self._shots),
            ("--studies", self.studies, self._studies),
        )
        return [(flag, step) for flag, asked, step in every if asked]

    def _where(self, table: pa.Table, _chosen: Chosen) -> pa.Table:
        # every condition is asked of all samples, so that their order does not matter
        found = [set(query.places(table, where)) for where in self.where]
        return table.take(pa.array(sorted(set.intersection(*found)), pa.int64()))

    def _keys(self, table: pa.Table, chosen: Chosen) -> pa.Table:
        assert self.keys
        listed = id_files.read(self.keys, "--keys")
        wanted = set(listed.ids)
        if repeated := len(listed.ids) - len(wanted):
            chosen.said.append(f"--keys: {repeated:,} entries are repeated")
        own = _own_ids(chosen.all, listed.column)
        unknown = wanted - {identity for row in own for identity in row}
        if unknown and not self.ignore_missing:
            raise ConfigError(
                f"--keys: {len(unknown):,} of {len(wanted):,} entries are no {listed.column} of "
                "the set; --ignore-missing goes on without them"
            )
        if unknown:
            chosen.said.append(f"--keys: {len(unknown):,} entries are not in the set")
        rows = _own_ids(table, listed.column)
        return table.filter(pa.array([not wanted.isdisjoint(row) for row in rows], pa.bool_()))

    def _whole(self, table: pa.Table, chosen: Chosen) -> pa.Table:
        return _studies_of(chosen.all, table)

    def _resplit(self, table: pa.Table, chosen: Chosen) -> pa.Table:
        assert self.resplit
        listed = id_files.read(self.resplit, "--resplit", "split")
        splits = _split_of(listed)
        found: list[str | None] = []
        for row, before in zip(
            _own_ids(table, listed.column), table.column(NEW).to_pylist(), strict=True
        ):
            new = next((splits[identity] for identity in row if identity in splits), None)
            found.append(before if new is None and self.unlisted == "keep" else new)
        absent = sum(new is None for new in found)
        if absent and self.unlisted == "stop":
            raise ConfigError(
                f"--resplit: {absent:,} of {len(found):,} samples are not in the file; "
                "--unlisted keep leaves them in their split, --unlisted drop leaves them out"
            )
        if absent:
            chosen.said.append(f"--resplit: {absent:,} samples are not in the file: left out")
        place = table.column_names.index(NEW)
        table = table.set_column(place, NEW, pa.array(found, pa.string()))
        table = table.filter(pc.is_valid(table.column(NEW)))
        _refuse_leakage(table)
        return table

    def _splits(self, table: pa.Table, _chosen: Chosen) -> pa.Table:
        return table.filter(pc.is_in(table.column(NEW), pa.array(self.splits)))

    def _shots(self, table: pa.Table, chosen: Chosen) -> pa.Table:
        inside = table.filter(pc.equal(table.column(NEW), self.shots_from))
        if not inside.num_rows:
            raise ConfigError(
                f"--shots: no sample of the split {self.shots_from} is left to draw from; "
                "--shots-from names another split"
            )
        draw = draws.shots(inside, self.shots, self.per, self.seed)
        chosen.said += draw.said
        drawn = inside.take(pa.array(draw.places, pa.int64()))
        return _studies_of(inside, drawn) if self.unit == "study" else drawn

    def _studies(self, table: pa.Table, chosen: Chosen) -> pa.Table:
        draw = draws.studies(table, self.studies, self.balance, self.seed)
        chosen.said += draw.said
        return table.take(pa.array(draw.places, pa.int64()))


@dataclass
class Chosen:
    """The samples that are left, the number after every step, and what must be said.

    `counts` holds (step, samples of every set).
    """

    all: pa.Table
    table: pa.Table
    counts: list[tuple[str, Counter[int]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def of(self, number: int) -> pa.Table:
        """Return the rows that are left of a set, by its number."""
        return self.table.filter(pc.equal(self.table.column(SET), number))


def choose(table: pa.Table, wanted: Wanted) -> Chosen:
    """Return what the steps leave of the united table of some sets.

    Raises ConfigError for a wrong condition, list or column, and if no sample is left; DataError
    if a patient would be in two splits.
    """
    chosen = Chosen(table, table)
    chosen.counts.append(("samples of the sets", _by_set(table)))
    for flag, step in wanted.steps():
        chosen.table = step(chosen.table, chosen)
        chosen.counts.append((flag, _by_set(chosen.table)))
        if not chosen.table.num_rows:
            raise ConfigError(_nothing(chosen))
    if not chosen.table.num_rows:
        raise ConfigError("the sets hold no samples")
    return chosen


def _nothing(chosen: Chosen) -> str:
    told = ", ".join(f"{step}: {sum(counts.values()):,}" for step, counts in chosen.counts)
    return (
        f"no sample is left ({told}); widen the last step. Without conditions, --dry-run prints "
        "what the sets hold"
    )


def _by_set(table: pa.Table) -> Counter[int]:
    return Counter(table.column(SET).to_pylist())


def _own_ids(table: pa.Table, name: str) -> list[tuple[id_files.Id, id_files.Id]]:
    """Return the two forms of every row's id: with its collection, and alone."""
    datasets, ids = table.column("dataset").to_pylist(), table.column(name).to_pylist()
    return [((dataset, one), ("", one)) for dataset, one in zip(datasets, ids, strict=True)]


def _studies_of(table: pa.Table, some: pa.Table) -> pa.Table:
    """Return the rows of a table whose study has a row in `some`."""
    wanted = {row[0] for row in _own_ids(some, "study")}
    rows = _own_ids(table, "study")
    return table.filter(pa.array([row[0] in wanted for row in rows], pa.bool_()))


def _split_of(listed: id_files.IdFile) -> dict[id_files.Id, str]:
    """Return id -> split. Raises ConfigError for unknown splits and for ids in two of them."""
    values = [value.lower() for value in listed.values]
    splits = [ALIASES.get(value, value) for value in values]
    if wrong := sum(split not in SPLITS for split in splits):
        raise ConfigError(f"--resplit: {wrong:,} rows have a split that is not {_names(SPLITS)}")
    found: dict[id_files.Id, str] = {}
    twice = {
        identity
        for identity, split in zip(listed.ids, splits, strict=True)
        if found.setdefault(identity, split) != split
    }
    if twice:
        raise ConfigError(
            f"--resplit: {len(twice):,} {listed.column} ids have two splits in the file"
        )
    return found


def _names(words: Sequence[str]) -> str:
    return " or ".join(", ".join(words).rsplit(", ", 1))


def _refuse_leakage(table: pa.Table) -> None:
    """Raise DataError if a patient has samples in two splits."""
    splits: dict[id_files.Id, set[str]] = {}
    rows = zip(_own_ids(table, "patient"), table.column(NEW).to_pylist(), strict=True)
    for (patient, _), split in rows:
        splits.setdefault(patient, set()).add(split)
    if torn := sum(len(found) > 1 for found in splits.values()):
        raise DataError(
            f"--resplit: {torn:,} patients would be in two splits, and a model would be tested on "
            "its training data: give all studies of a patient one split"
        )
