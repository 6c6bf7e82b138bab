"""Finds what changed in a raw tree since its inventory was made, and which studies that touches.

A changed file touches the studies whose rows name it, and those for which it gives rows, where the
reader lists file by file (`Table.by_file`). Where a table changed, or files were added or removed
and the reader finds the files of rows by their names, all tables are read again, and their rows are
compared with those of before: a study with another row is touched. Everything else is listed anew
as a whole.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import interrupts, parts
from cxr_vlp.pipelines.cache import (
    checksums,
    folder_look,
    identity,
    row_digest,
    scan_index,
    tree_listing,
)
from cxr_vlp.pipelines.cache.scan_index import DamagedError, ScanIndex
from cxr_vlp.pipelines.cache.tree_listing import Changes, Folder
from cxr_vlp.pipelines.executor.progress import COUNTS
from cxr_vlp.pipelines.files import archives, jsonl, paths
from cxr_vlp.pipelines.files.paths import Names, RawTree, Reading
from cxr_vlp.pipelines.files.spool import spool
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.sources.base import NOBODY, Source, Table
from cxr_vlp.pipelines.sources.ids import Ids
from cxr_vlp.pipelines.sources.layers import base as layered
from cxr_vlp.pipelines.sources.layers.base import OpenLayer, ReadLayer
from cxr_vlp.pipelines.sources.leave_out import LeftOut
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.stages import scan_join
from cxr_vlp.pipelines.stages.scan_join import Joining, Known, Record
from cxr_vlp.pipelines.stages.scan_study import ReadPatients
from cxr_vlp.pipelines.storage.place import is_remote

SHARE = 4  # an update of more than one of so many files costs more than a full scan


@dataclass(frozen=True)
class Plan:
    """What an inventory is made from, besides the tree's content."""

    source: Source
    tree: RawTree
    rule: PatientRule
    ids: Ids
    counts: Mapping[str, int]  # parts of each split
    official: bool
    recorded: Mapping[str, Any]  # the parameters
    opened_layers: tuple[OpenLayer, ...]
    read_left_out: Callable[[], LeftOut]
    terms: Mapping[str, Any]  # what the collection and its layers are (inventory_header.terms)
    kept: Path  # in the state folder: a second name of the index
    out: Path
    header: str  # name of the inventory's header

    @cached_property
    def layers(self) -> tuple[ReadLayer, ...]:
        """The layers, read."""
        return tuple(map(layered.read, self.opened_layers))

    @cached_property
    def left_out(self) -> LeftOut:
        """The lists of what is left out, read."""
        return self.read_left_out()

    @cached_property
    def key(self) -> str:
        """A digest of all this: an index with another key describes another inventory."""
        layers = self.terms["annotations"]  # with the digests of their tables
        root = str(self.tree.root)
        return fingerprints.of([dict(self.recorded), root, layers, own_code(self.source)])

    def names(self, *, linked: bool) -> Names:
        """Return what gives files one name; `linked` says whether folders of the tree are links."""
        return Names(str(self.tree.root), linked and not is_remote(self.tree.root))

    def joining(self, tables: Iterable[Table], names: Names) -> Joining:
        """Return how the rows of these tables are joined."""
        return Joining(self.source, tuple(tables), self.rule, self.ids, self.left_out, names)

    def work(self) -> ReadPatients:
        """Return the work that is mapped over the patients."""
        tree = self.tree
        return ReadPatients(self.source, tree.root, tree.links, tree.kept, self.official,
                            self.layers, self.counts)  # fmt: skip

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of all parts."""
        return parts.names(self.source.name, self.counts)

    @property
    def partial(self) -> Path:
        """Where a scan puts what it has read, for the next one if it does not come to its end."""
        return self.kept.with_suffix(".part")

    @property
    def rows(self) -> Path:
        """Where a scan puts the rows of the tables while it compares them."""
        return self.kept.with_suffix(".rows")


@dataclass
class Seen:
    """What a comparison of the tree with an index found."""

    index: ScanIndex
    inode: int  # of the index
    facts: Mapping[str, Any]  # of the last run
    changes: Changes = field(default_factory=Changes)
    folders: list[Folder] = field(default_factory=list)  # of which something changed
    gone: list[str] = field(default_factory=list)  # folders that are no longer there
    faults: Counter[str] = field(default_factory=Counter)
    links: dict[str, str] = field(default_factory=dict)  # of folders that are links: real paths

    @property
    def nothing(self) -> bool:
        """Whether the tree is as it was."""
        return not (self.folders or self.gone or self.changes.paths()) and self.led_as_before

    @property
    def led_as_before(self) -> bool:
        """Whether each path that leads to a file led to it before, and no other folder is lost."""
        same = dict(self.faults) == self.facts["faults"] and self.links == self.facts["links"]
        return same and not self.changes.relinked


def compare(plan: Plan) -> Seen | None:
    """Compare the tree with the index of the inventory.

    None if there is no index for these parameters, or the inventory is not the one it describes:
    then all is made anew.
    """
    path = plan.out / scan_index.NAME
    try:
        index = ScanIndex.opened(path)
        facts = index.fact("run") if index else None
        if index is None or not facts or facts["key"] != plan.key or not _intact(plan.out, facts):
            return None
        seen = Seen(index, path.stat().st_ino, facts)
        _compare(plan.tree, seen, path)
    except DamagedError:
        row_digest.DISCARDED.add()
        return None
    except tree_listing.LinkError:
        return None
    return seen


def _compare(tree: RawTree, seen: Seen, index: Path) -> None:
    if seen.facts["linked"]:
        gone = set(seen.index.folder_paths())
        for new in tree_listing.listed(tree, seen.faults, linked=True, links=seen.links):
            interrupts.check()
            gone.discard(new.path)
            _add(seen, new, seen.index.folder(new.path))
        _remove(seen, sorted(gone))
        return
    differing = folder_look.differing(seen.index, index, str(tree.root))
    for new, old in tree_listing.moved(tree, differing, seen.faults):
        _add(seen, new, old)
        below = set(old.folders) - set(new.folders) if old is not None else set()
        base = f"{new.path}/" if new.path else ""
        _remove(seen, sorted(base + name for name in below))


def _add(seen: Seen, new: Folder, old: Folder | None) -> None:
    """Add what differs between two listings of a folder."""
    seen.changes.compare(old, new)
    if old is None or new[1:] != old[1:]:
        seen.folders.append(new)


def _remove(seen: Seen, gone: Iterable[str]) -> None:
    """Add folders that are no longer there, and all that was in them."""
    for path in gone:
        old = seen.index.folder(path)
        if old is None:
            continue
        seen.gone.append(path)
        seen.changes.removed += [f"{path}/{entry[0]}" for entry in old.files]
        _remove(seen, (f"{path}/{name}" for name in old.folders))


def _intact(out: Path, facts: Mapping[str, Any]) -> bool:
    """Return whether the inventory has the files of the index, by identity or else by digest."""
    names = {path.name for path in out.iterdir()} - {scan_index.NAME}
    if names != facts["files"].keys():
        return False
    return all(
        identity.of(out / name) == tuple(found[:2]) or jsonl.sha256(out / name) == found[2]
        for name, found in facts["files"].items()
    )


def own_code(source: Source) -> str:
    """Return a digest of the code of a reader that another package brings; "" for one of ours.

    A version number says when our code lists a tree in another way (format/versions.py).
    """
    top = type(source).__module__.partition(".")[0]
    if top == __name__.partition(".")[0]:
        return ""
    file = Path(getattr(sys.modules[top], "__file__", None) or inspect.getfile(type(source)))
    found = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    return fingerprints.of([[path.name, jsonl.sha256(path)] for path in found])


def is_packed(name: str) -> bool:
    """Return whether a file is an archive, which holds files of the tree or should be unpacked."""
    return archives.is_archive(name) or bool(archives.packed(name))


@dataclass(frozen=True)
class Touched:
    """The studies that a change touches, and the rows that the changed files give now."""

    tables: tuple[Table, ...]
    studies: frozenset[str]
    rows: Mapping[str, Sequence[Record]]
    paths: frozenset[str]
    opened: frozenset[str] | None = None  # for all tables; None: these were not read again

    def stays(self, table: str, path: str) -> bool:
        """Return whether a row that a file gave before is not made again; "" is no single file."""
        if self.opened is not None and table not in _by_file(self.tables):
            return False
        return not path or path not in self.paths


def _by_file(tables: Iterable[Table]) -> set[str]:
    return {table.name for table in tables if table.by_file}


def touched(plan: Plan, seen: Seen) -> Touched | None:
    """Return what the changes touch; None if they touch more than single studies.

    Raises what the reader raises for a tree that is no longer its collection.
    """
    changed = seen.changes.paths()
    names = plan.names(linked=seen.facts["linked"])
    moved = set(map(names.of, changed))
    if not seen.led_as_before or _wide(plan, seen, changed) or moved & {*seen.facts["unseen"]}:
        return None
    tables = tuple(Table(*each) for each in seen.facts["tables"])
    rows: dict[str, list[Record]] = {}
    there = tuple(sorted({*seen.changes.added, *seen.changes.changed}))
    by_file = [table for table in tables if table.by_file]
    renamed = seen.changes.added or seen.changes.removed
    walks = [table.by_file for table in tables if not table.path]
    # what a reader finds may depend on the names of all files
    again = bool(moved & {*seen.facts["opened"]}) or bool(renamed and not (walks and all(walks)))
    if not again and renamed and plan.source.tables(plan.tree) != tables:
        return None
    tree = replace(plan.tree, reading=Reading(only=there))
    for study, record in scan_join.rows_of(plan.source, tree, by_file) if there else ():
        rows.setdefault(study, []).append(record)
    owned = (study for path in moved for study in seen.index.owners(path))
    studies = frozenset({*rows, *owned})
    if NOBODY in studies:  # rows that no single file gives
        return None
    found = Touched(tables, studies, rows, frozenset(changed))
    return _read_again(plan, seen, found, names) if again else found


def _read_again(plan: Plan, seen: Seen, found: Touched, names: Names) -> Touched | None:
    """Add the studies of which tables give other rows now; None if these are most studies."""
    tree = replace(plan.tree, reading=Reading())
    if plan.source.tables(tree) != found.tables:
        return None
    whole = [table for table in found.tables if not table.by_file]
    known = Known(dict(seen.index.given()))
    plan.rows.parent.mkdir(parents=True, exist_ok=True)
    with spool(plan.rows) as kept:
        for number in kept.put(_compared(plan.source, tree, whole, known)):
            COUNTS.add("rows", number)
            if _are_most(len(known.changed), len(known.given)):
                return None
        studies = found.studies | known.all_changed()
        if _are_most(len(studies), len(known.given)):
            return None
        rows = {study: [*of] for study, of in found.rows.items()}
        for study, record in kept.of(studies):
            rows.setdefault(study, []).append(record)
    assert tree.reading is not None
    opened = frozenset(map(names.of, tree.reading.opened))
    return replace(found, studies=studies, rows=rows, opened=opened)


def _compared(
    source: Source, tree: RawTree, tables: Iterable[Table], known: Known
) -> Iterator[tuple[str, Record]]:
    for study, record in scan_join.rows_of(source, tree, tables):
        known.see(study, record[0], record[2])
        yield study, record


def _are_most(changed: int, all_: int) -> bool:
    """Return whether so much changed that an update would cost more than a full scan."""
    return changed > SHARE and changed * SHARE > all_


def _wide(plan: Plan, seen: Seen, changed: set[str]) -> bool:
    """Return whether a changed file is one that decides what others mean, or most files changed."""
    if _are_most(len(changed), seen.facts["number"]):
        return True
    for path in changed:
        name = path.rpartition("/")[2]
        if is_packed(name) or not paths.readable(path):
            return True
        if plan.official and name == checksums.NAME:
            return True
    return False
