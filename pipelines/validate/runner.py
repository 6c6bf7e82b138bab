"""Checks finished sets, each set alone and all sets together: the work of `verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.executor import pool
from cxr_vlp.pipelines.files import privacy
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.validate import foreign, leakage, rederive
from cxr_vlp.pipelines.validate import manifest as declared
from cxr_vlp.pipelines.validate.foreign import TarFolder
from cxr_vlp.pipelines.validate.leakage import Ledger, Place
from cxr_vlp.pipelines.validate.manifest import Declared
from cxr_vlp.pipelines.validate.near_duplicates import Found, Prints
from cxr_vlp.pipelines.validate.shard import CheckedTar, check_tar


def check(
    folders: Sequence[Path],
    *,
    deep: bool,
    workers: int = 1,
    rederivation: rederive.Rederivation | None = None,
    others: Sequence[TarFolder] = (),
    near: NearDuplicates | None = None,
) -> dict[str, Any]:
    """Return {"sets", "deep", "breaches", "notes"} of finished sets.

    `others` are folders of tars that belong to no set; `near` gets the near-duplicates of the sets.

    A breach or note is {"code", "where", "count"}. Raises OSError if the disk does not give a
    file, ConfigError if a set was made of other folders or parameters than `rederivation` names.
    """
    results = CheckResults()
    sets = list(_read(folders, results))
    work = [_work(a_set, deep, rederivation, near is not None) for a_set in sets]
    tasks = [task for works in work for _, task in works]
    tasks += [task for other in others for task in _foreign_work(other)]
    done = pool.with_progress(tasks, workers, "verify")
    rows = []
    for a_set, works in zip(sets, work, strict=True):
        if privacy.open_to_others(a_set.folder, a_set.header):
            results.notes["set.open_to_others", a_set.folder.name] += 1
        for code, where in declared.breaches(a_set):
            results.breach(code, f"{a_set.folder.name}: {where}")
        if rederivation:
            _compare_tables(a_set, rederivation, results)
        if not a_set.same_code:
            results.notes["fingerprints.other_code", a_set.folder.name] += 1
        row = Row(a_set.folder.name, len(a_set.tars))
        for split, _ in works:
            result = next(done)
            results.enter(Place(row.name, split), result, row)
            if near is not None and isinstance(result, CheckedTar):
                near.prints.add(Place(row.name, split), result.prints)
        rows.append(row.plain())
    for other in others:
        row = Row(other.folder.name, len(other.tars))
        results.enter_foreign(other, [*islice(done, row.shards)], row)
        rows.append(row.plain())
    next(done, None)  # reaches the end: the progress bar is removed, the workers end
    results.compare()
    if near is not None:
        results.enter_near(near, workers)
    return {
        "sets": rows,
        "deep": deep,
        "breaches": results.breaches,
        "notes": [
            {"code": code, "where": where, "count": count}
            for (code, where), count in sorted(results.notes.items())
        ],
    }


def _read(folders: Sequence[Path], results: CheckResults) -> list[Declared]:
    sets = []
    for folder in folders:
        try:
            sets.append(declared.read(folder))
        except FormatError as error:
            why = f" ({error})" if str(error) else ""
            results.breach(error.code, f"{folder.name}: {manifest.NAME}{why}")
    return sets


def _work(
    a_set: Declared, deep: bool, rederivation: rederive.Rederivation | None, near: bool
) -> list[tuple[str, Callable[[], Any]]]:
    """Return (split, task) for every tar that exists, and for those with samples to make again."""
    work: list[tuple[str, Callable[[], Any]]] = []
    for line in a_set.tars:
        tar = a_set.tar(line)
        if tar is not None:  # declared.breaches reports a missing one
            expected = a_set.expected(line)
            work.append(
                (line["split"], partial(check_tar, tar, line, expected, deep=deep, near=near))
            )
    remade = rederivation.tasks(a_set) if rederivation else ()
    return [*work, *((task.split, partial(rederive.remake, task)) for task in remade)]


def _compare_tables(
    a_set: Declared, rederivation: rederive.Rederivation, results: CheckResults
) -> None:
    """Add a breach for every raw table that changed since scan, a note for a layer that is gone."""
    changed, gone = rederive.layers(rederivation.settings, a_set.header)
    odd = [f"table {name}" for name in rederive.tables(rederivation.origin(a_set))]
    for name in (*odd, *(f"layer {name}" for name in changed)):
        results.breach(rederive.CHANGED, f"{a_set.folder.name}: {name}")
    for name in gone:
        results.notes[rederive.GONE, f"{a_set.folder.name}: layer {name}"] += 1


def _foreign_work(other: TarFolder) -> list[Callable[[], Any]]:
    paths = enumerate(other.tars, start=1)
    return [partial(foreign.check_tar, path, number) for number, path in paths]


@dataclass
class NearDuplicates:
    """The fingerprints of all sets, then the pairs that they gave."""

    prints: Prints = field(default_factory=Prints)
    found: Sequence[Found] = ()


@dataclass
class Row:
    """The row of one set in the table."""

    name: str
    shards: int
    samples: int = 0
    size: int = 0
    rederived: int = 0
    patients: set[bytes] = field(default_factory=set)

    def plain(self) -> dict[str, Any]:
        """Return the row as it is printed."""
        return {
            "set": self.name,
            "shards": self.shards,
            "samples": self.samples,
            "patients": len(self.patients),
            "bytes": self.size,
            "rederived": self.rederived,
        }


@dataclass
class CheckResults:
    """The breaches and notes so far, and the ledgers over all sets."""

    breaches: list[dict[str, Any]] = field(default_factory=list)
    notes: Counter[tuple[str, str]] = field(default_factory=Counter)
    keys: Ledger = field(default_factory=Ledger)
    patients: Ledger = field(default_factory=Ledger)
    sources: Ledger = field(default_factory=Ledger)
    images: Ledger = field(default_factory=Ledger)
    names: Ledger = field(default_factory=Ledger)

    def breach(self, code: str, where: str, count: int = 1) -> None:
        """Add a breach."""
        self.breaches.append({"code": code, "where": where, "count": count})

    def enter(self, place: Place, result: CheckedTar | rederive.Outcomes, row: Row) -> None:
        """Add the result of a task."""
        if isinstance(result, CheckedTar):
            self._enter_seen(place, result, row)
            return
        row.rederived += result.compared
        for code, where in result.breaches:
            self.breach(code, f"{place.set}: {where}")
        self.notes.update({(code, place.set): count for code, count in result.notes.items()})

    def enter_foreign(self, other: TarFolder, tars: Sequence[CheckedTar], row: Row) -> None:
        """Add the results of tars that belong to no set; their folders are named after splits."""
        self._enter_seen(Place(row.name, ""), foreign.together(other, tars), row)
        for path, checked in zip(other.tars, tars, strict=True):
            row.patients.update(leakage.each(checked.patients))
            self.patients.add(Place(row.name, path.parent.name), bytes(checked.patients))

    def _enter_seen(self, place: Place, checked: CheckedTar, row: Row) -> None:
        row.samples += checked.samples
        row.size += checked.size
        row.patients.update(leakage.each(checked.patients))
        for code, (where, count) in checked.breaches.items():
            self.breach(code, f"{place.set}: {where}", count)
        for name in ("keys", "patients", "sources", "images", "names"):
            getattr(self, name).add(place, bytes(getattr(checked, name)))

    def compare(self) -> None:
        """Compare the sets with each other, and every set with itself."""
        if twice := self.keys.twice():
            self.breach("key.twice", "over all shards", twice)
        for where, count in self.patients.across().items():
            self.breach("patient.two_splits", where, count)
        for where, count in self.names.between(sets=True).items():
            self.breach("image.two_splits", f"{where} (same id)", count)
        for ledger, how in ((self.sources, "same file"), (self.images, "same grey values")):
            for where, count in ledger.between(sets=True).items():
                self.breach("image.two_splits", f"{where} ({how})", count)
            # a collection repeats an image under two patients: its users cannot correct that
            for where, count in ledger.between(sets=False).items():
                self.notes["image.own_splits", f"{where} ({how})"] += count
            for where, count in ledger.within().items():
                self.notes["image.twice", f"{where} ({how})"] += count

    def enter_near(self, near: NearDuplicates, workers: int) -> None:
        """Compare the fingerprints of all images, and count the pairs by their places."""
        near.found = near.prints.pairs(workers)
        pairs = Counter(found.places for found in near.found)
        for (one, other), count in sorted(pairs.items()):
            if one.split != other.split:
                self.breach("leakage.near_duplicate", f"{one} and {other}", count)
            else:
                where = f"{one} and {other}" if one != other else str(one)
                self.notes["image.near_duplicate", where] += count
        if near.prints.blank:
            self.notes["image.blank", "over all sets"] += near.prints.blank
