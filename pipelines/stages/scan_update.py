"""Makes or updates an inventory: joins what changed, reads it, and writes the parts it is in.

Everything here runs in the process of the command; only the reading of files is mapped over an
engine. A tree of any size needs the same memory: rows, studies and lines are sorted in files
(files/spool.py), and elements are made a few at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
import os
import pickle
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.cache import checksums, identity, scan_index, tree_listing
from cxr_vlp.pipelines.cache.file_index import FileIndex
from cxr_vlp.pipelines.cache.scan_index import DamagedError, Rows, ScanIndex, StudyRow
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.executor.progress import COUNTS
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.files.paths import RawTree, Reading
from cxr_vlp.pipelines.files.spool import Spool, spool
from cxr_vlp.pipelines.records import Study, dumps
from cxr_vlp.pipelines.sources.base import Table
from cxr_vlp.pipelines.sources.leave_out import Met
from cxr_vlp.pipelines.stages import inventory_header, scan_changes, scan_join
from cxr_vlp.pipelines.stages.scan_changes import Plan, Seen, Touched
from cxr_vlp.pipelines.stages.scan_join import Joining, Totals
from cxr_vlp.pipelines.stages.scan_study import Packed, Patients, ReadPatients, names_of

CHUNK = 256  # studies of an element, or more where one patient has more
ROOM = 64 << 20  # bytes of what an outside engine gets at once: it takes a while to start
PER_PATIENT = 256  # bytes that the driver holds for a patient, beside the elements
FEWER = 4  # elements of each thread that are in memory at once
MOST_THREADS = 256  # they wait for disks and hash; more only hold memory
FEW = 200  # unknown files that are read in this process
SAVED = 1000  # rows that are stored at once
REJECTS = "rejects.jsonl"
Left = dict[str, list[str]]  # patient -> lines of the images that lists leave out
Read = tuple[Mapping[str, Any], list[str]]  # what a patient's files gave, and the lines of `Left`
Piece = tuple[Element, Left]  # the payload is None if nothing is left of its patients
T = TypeVar("T")


class Mapped(NamedTuple):
    """How the work is done on elements, and which of them are given at once."""

    do: Callable[[ReadPatients, Sequence[Element]], Iterator[tuple[str, Mapping[str, Any]]]]
    batches: Callable[[Iterable[Piece]], Iterator[list[Piece]]]


@dataclass
class Made:
    """A new inventory in its staging folder, without its header."""

    files: dict[str, str]  # part -> sha256
    tables: dict[str, str]  # of the collection -> sha256
    counts: Counter[str]
    index: ScanIndex
    run: dict[str, Any]  # what the index remembers of the run
    rejects_changed: bool = True

    def finish(self, staging: Path, files: Mapping[str, Any] | None = None) -> None:
        """Close the index; `files` are those that it describes, if not the new ones."""
        described = self._described(staging) if files is None else files
        self.index.set_fact("run", {**self.run, "files": described})
        self.index.set_fact("counts", +self.counts)
        self.index.close()
        with (staging / scan_index.NAME).open("rb") as written:
            os.fsync(written.fileno())

    def _described(self, staging: Path) -> dict[str, Any]:
        """Return name -> identity and sha256 of each file; the digests of the parts are known."""
        names = sorted({path.name for path in staging.iterdir()} - {scan_index.NAME})
        known = {f"{part}.jsonl": digest for part, digest in self.files.items()}
        return {
            name: [*(identity.of(path) or ()), known.get(name) or jsonl.sha256(path)]
            for name, path in ((name, staging / name) for name in names)
        }


@dataclass
class Writer:
    """Fills the index and the staging folder of one scan."""

    plan: Plan
    staging: Path
    mapped: Mapped
    index: ScanIndex
    totals: Totals = field(default_factory=Totals)
    unseen: set[str] = field(default_factory=set)  # files of reports (Joining.unseen)

    def keep(self, joining: Joining, batch: Sequence[tuple[StudyRow, Met | None]]) -> None:
        """Put studies, and which files they are made from, into the index and the totals."""
        for row, met in batch:
            self.totals.add(row.made)
            self.unseen.add(joining.unseen(row, met.study) if met else "")
        self.index.set_studies(row for row, _ in batch)
        self.index.set_owners(
            pair for row, met in batch for pair in joining.owners(row, met.study if met else None)
        )

    def read(self, elements: Iterable[Piece]) -> Iterator[Read]:
        """Read the files of all patients; yield what each gave, and what was left out of it."""
        work = self.plan.work()
        with _partial(self.plan) as partial:
            for batch in self.mapped.batches(elements):
                left = {name: lines for _, names in batch for name, lines in names.items()}
                chosen = [element for element, _ in batch if element.payload is not None]
                for _, result in self.mapped.do(work, chosen):
                    read = [(name, tuple(state), facts) for name, state, facts in result["read"]]
                    self.index.set_facts(read)
                    partial.set_facts(read)
                    partial.save()
                    for found in result["patients"]:
                        yield found, left.pop(found["patient"])
                for name, lines in left.items():
                    yield _nothing(name), lines

    def store(self, found: Iterable[Read]) -> Iterator[tuple[str, tuple[str, str]]]:
        """Store what patients add; yield (place of a line, (patient, line)) of their studies."""
        for batch in _batches(found, SAVED):
            interrupts.check()
            added = [(read["patient"], scan_join.of_patient(read, left)) for read, left in batch]
            for _, made in added:
                self.totals.add(made)
            self.index.set_patients(added)
            for read, _ in batch:
                for part, key, _, text in read["lines"]:
                    yield f"{part}\0{key}", (read["patient"], text)

    def write(self, part: str, lines: Iterable[tuple[str, str, str]]) -> str:
        """Write a part from (key, patient, line) in their order; return its digest."""
        digest = hashlib.sha256()

        def noted() -> Iterator[str]:
            for batch in _batches(lines, SAVED):
                interrupts.check()
                self.index.set_lines((part, key, patient) for key, patient, _ in batch)
                for _, _, text in batch:
                    digest.update(text.encode() + b"\n")
                    yield text

        jsonl.write_lines(self.staging / f"{part}.jsonl", noted())
        return digest.hexdigest()


# ---- the whole tree


def full(plan: Plan, staging: Path, mapped: Mapped) -> Made:
    """Make the whole inventory in its staging folder, with its index.

    Raises what the reader raises, and DataError for a patient in two splits.
    """
    index = ScanIndex.new(staging / scan_index.NAME)
    writer = Writer(plan, staging, mapped, index)
    root = str(plan.tree.root)
    index.learn([plan.out / scan_index.NAME, plan.kept, plan.partial], root)
    index.set_fact("root", root)
    run = _listed(plan, index)
    tree = replace(plan.tree, reading=Reading())
    tables = plan.source.tables(tree)  # raises ConfigError if the root is not the collection
    if plan.official:
        index.set_official(checksums.of(plan.tree.root))
    names = plan.names(linked=run["linked"])
    joining = plan.joining(tables, names)
    with spool(staging / ".people") as people, spool(staging / ".lines") as lines:
        with spool(staging / ".rows") as rows:
            opened = _read_tables(plan, tree, tables, rows)
            _join(writer, joining, rows, people)
        groups = itertools.groupby(people.sorted(), key=lambda pair: pair[0])
        met = ((name, [pickle.loads(one) for _, one in of]) for name, of in groups)
        for _ in lines.put(
            writer.store(writer.read(elements(joining, met, index, official=plan.official)))
        ):
            pass
        files = _write_parts(writer, lines)
    jsonl.write_lines(staging / REJECTS, sorted(writer.totals.rejects.elements()))
    run |= {"tables": [_plain(table) for table in tables]}
    run |= {"opened": sorted(map(names.of, opened)), "unseen": sorted(writer.unseen - {""})}
    return Made(files, _digests(tree, tables), writer.totals.counts, index, run)


def _digests(tree: RawTree, tables: Iterable[Table]) -> dict[str, str]:
    return {t.name: jsonl.sha256(paths.inside(tree, t.path)) for t in tables if t.path}


def _listed(plan: Plan, index: ScanIndex) -> dict[str, Any]:
    """Put the listing of the tree into an index; return what the run remembers of it."""
    try:
        return _list(plan, index, linked=False)
    except tree_listing.LinkError:
        index.remove_folders(list(index.folder_paths()))
        return _list(plan, index, linked=True)


def _list(plan: Plan, index: ScanIndex, *, linked: bool) -> dict[str, Any]:
    faults: Counter[str] = Counter()
    links: dict[str, str] = {}
    number, packed = 0, False
    for batch in _batches(
        tree_listing.listed(plan.tree, faults, linked=linked, links=links), SAVED
    ):
        interrupts.check()
        index.set_folders(batch)
        names = [entry[0] for folder in batch for entry in folder.files]
        number += len(names)
        packed = packed or any(scan_changes.is_packed(name) for name in names)
    return {"key": plan.key, "faults": dict(faults), "linked": linked, "links": links,
            "number": number, "packed": packed}  # fmt: skip


def _read_tables(plan: Plan, tree: RawTree, tables: Sequence[Table], rows: Spool) -> set[str]:
    """Put the rows of all tables into the spool; return the files that were opened for them.

    What a table that is made file by file opens is not meant: it concerns that file alone.
    """
    assert tree.reading is not None
    together = [table for table in tables if not table.by_file]
    for number in rows.put(scan_join.rows_of(plan.source, tree, together)):
        COUNTS.add("rows", number)
    opened = set(tree.reading.opened)
    single = [table for table in tables if table.by_file]
    for number in rows.put(scan_join.rows_of(plan.source, tree, single)):
        COUNTS.add("rows", number)
    return opened


def _join(writer: Writer, joining: Joining, rows: Spool, people: Spool) -> None:
    """Join the rows of each study; put the studies into the spool of people."""
    groups = itertools.groupby(rows.sorted(), key=lambda pair: pair[0])
    joined = (
        joining.study(study, scan_join.grouped(record for _, record in of)) for study, of in groups
    )
    for batch in _batches(joined, SAVED):
        interrupts.check()
        COUNTS.add("studies", len(batch))
        writer.keep(joining, batch)
        met = [one for _, one in batch if one is not None]
        COUNTS.add("images", sum(len(one.study.images) for one in met))
        for _ in people.put((one.study.patient, pickle.dumps(one)) for one in met):
            pass


def _write_parts(writer: Writer, lines: Spool) -> dict[str, str]:
    """Write every part, also one without studies; return their digests."""
    files = dict.fromkeys(writer.plan.parts, "")
    for part, of in itertools.groupby(lines.sorted(), lambda pair: pair[0].partition("\0")[0]):
        found = ((key.partition("\0")[2], patient, text) for key, (patient, text) in of)
        files[part] = writer.write(part, found)
    return {part: digest or writer.write(part, ()) for part, digest in files.items()}


# ---- what changed


def changed(plan: Plan, staging: Path, mapped: Mapped, seen: Seen, what: Touched) -> Made:
    """Make the inventory from the one in `plan.out` and what changed; see `full`.

    Raises DamagedError if that one cannot be used.
    """
    index = ScanIndex.copied(plan.out / scan_index.NAME, staging / scan_index.NAME)
    writer = Writer(plan, staging, mapped, index)
    writer.totals.counts.update(seen.index.fact("counts"))
    index.remove_folders(seen.gone)
    index.set_folders(seen.folders)
    joining = plan.joining(what.tables, plan.names(linked=seen.facts["linked"]))
    people = _people(writer, joining, seen.index, what)
    parts = {part for patient in people for part in seen.index.parts_of(patient)}
    for patient in people:
        made = seen.index.patient(patient)
        if made is not None:
            writer.totals.add(made, -1)
        index.remove_patient(patient)
    met = ((name, of) for name, of in sorted(people.items()) if of)
    lines = sorted(writer.store(writer.read(elements(joining, met, index, official=plan.official))))
    new: dict[str, list[tuple[str, str, str]]] = {part: [] for part in sorted(parts)}
    for place, (patient, text) in lines:
        part, _, key = place.partition("\0")
        new.setdefault(part, []).append((key, patient, text))
    header = jsonl.read_json(plan.out / plan.header)
    files = dict(header["files"])
    for part, added in new.items():
        files[part] = _rewritten(writer, seen.index, part, added, people)
    moved = _patch_rejects(writer)
    _check(writer)
    for name in plan.parts:
        if name not in new:
            _link(plan.out / f"{name}.jsonl", staging / f"{name}.jsonl")
    unseen = {*seen.facts["unseen"], *writer.unseen} - {""}
    run = {**seen.facts, "number": _number(seen), "unseen": sorted(unseen)}
    digests = header["tables"]
    if what.opened is not None:
        run["opened"] = sorted(what.opened)
        digests = _digests(plan.tree, what.tables)
    return Made(files, digests, writer.totals.counts, index, run, moved)


def _number(seen: Seen) -> int:
    """Return the number of files in the tree."""
    return int(seen.facts["number"]) + len(seen.changes.added) - len(seen.changes.removed)


def _people(
    writer: Writer, joining: Joining, old: ScanIndex, what: Touched
) -> dict[str, list[Met]]:
    """Join the touched studies again, and all studies of the patients that they are or were of.

    Return patient -> studies: none for a patient of whom nothing is left.
    """
    people: dict[str, list[Met]] = {}
    for study in sorted(what.studies):
        before = old.study(study)
        if before is not None:
            writer.totals.add(before.made, -1)
            people.setdefault(before.patient, [])
        rows = _rows(study, before, what)
        if not rows:
            writer.index.remove_study(study)
            continue
        row, met = joining.study(study, rows)
        writer.keep(joining, [(row, met)])
        if met is not None:
            people.setdefault(met.study.patient, []).append(met)
    people.pop("", None)
    for patient, found in people.items():
        for row in old.studies_of(patient):
            if row.study not in what.studies:
                _, met = joining.study(row.study, row.rows)
                found += [met] if met is not None else []
    return people


def _rows(study: str, before: StudyRow | None, what: Touched) -> Rows:
    """Return the rows that a study had, with those that the changed files give now."""
    rows = {
        table: [(at, row) for at, row in found if what.stays(table, at)]
        for table, found in (before.rows if before else {}).items()
    }
    for table, found in scan_join.grouped(what.rows.get(study, ())).items():
        rows.setdefault(table, []).extend(found)
    return {table: found for table, found in rows.items() if found}


def _rewritten(
    writer: Writer,
    old: ScanIndex,
    part: str,
    added: Sequence[tuple[str, str, str]],
    people: Mapping[str, object],
) -> str:
    """Write a part with the lines of these patients replaced; return its digest."""
    kept = _kept(old, writer.plan.out, part, people)
    lines = heapq.merge(kept, sorted(added), key=lambda line: line[0])
    writer.index.remove_lines(part)
    return writer.write(part, lines)


def _kept(
    old: ScanIndex, out: Path, part: str, people: Mapping[str, object]
) -> Iterator[tuple[str, str, str]]:
    """Yield (key, patient, line) of a part without the lines of some patients."""
    with (out / f"{part}.jsonl").open(encoding="utf-8", newline="\n") as file:
        try:
            for (key, patient), text in zip(old.lines(part), file, strict=True):
                if f'"key":"{key}"' not in text:
                    raise DamagedError
                if patient not in people:
                    yield key, patient, text.rstrip("\n")
        except ValueError:  # more lines than keys, or fewer
            raise DamagedError from None


def _patch_rejects(writer: Writer) -> bool:
    """Write the rejects: those of before, without what was taken away, and what was added.

    Return whether they changed.
    """
    old, new = writer.plan.out / REJECTS, writer.staging / REJECTS
    changed = {line: number for line, number in writer.totals.rejects.items() if number}
    if not changed:
        _link(old, new)
        return False
    with old.open(encoding="utf-8", newline="\n") as lines:
        found = Counter(line.rstrip("\n") for line in lines)
    found.update(changed)
    if min(found.values()) < 0:
        raise DamagedError
    jsonl.write_lines(new, sorted(found.elements()))
    return True


def _check(writer: Writer) -> None:
    """Raise DamagedError if what was taken away and added does not add up.

    A row has a digest, but nothing shows that a damaged page of the index still names the row.
    """
    counts = writer.totals.counts
    lost = sum(inventory_header.counted(counts, scan_join.LOST).values())
    if (
        min(counts.values(), default=0) < 0
        or counts["listed"] != lost + counts["images"]
        or counts["studies"] != writer.index.number_of_lines()
    ):
        raise DamagedError


def _link(old: Path, new: Path) -> None:
    """Give a file that stays the same a name in the new folder."""
    try:
        os.link(old, new)
    except OSError:  # a file system without links
        shutil.copy2(old, new)


# ---- elements


def elements(
    joining: Joining,
    people: Iterable[tuple[str, Sequence[Met]]],
    index: ScanIndex,
    *,
    official: bool,
) -> Iterator[Piece]:
    """Yield elements of about CHUNK studies of whole patients, with what is left out of each.

    Every patient is in one of the two: also one of whom nothing is left.
    """
    studies: list[tuple[Study, ...]] = []
    left: Left = {}
    numbers = itertools.count()
    for patient, met in people:
        if joining.left_out:
            kept = joining.left_out.kept(met)
            found, left[patient] = kept.studies, [dumps(each) for each in kept.rejects]
        else:
            found, left[patient] = tuple(each.study for each in met), []
        studies += [found] if found else []
        if sum(map(len, studies)) >= CHUNK:
            yield _element(next(numbers), studies, index, official=official), left
            studies, left = [], {}
    if left:
        yield _element(next(numbers), studies, index, official=official), left


def _element(
    number: int, studies: Sequence[tuple[Study, ...]], index: ScanIndex, *, official: bool
) -> Element:
    """Return an element; its payload is None without studies."""
    if not studies:
        return Element(f"patients-{number:06}")
    names = (name for of in studies for study in of for name in names_of(study))
    named = (image.path for of in studies for one in of for image in one.images if official)
    known = FileIndex(dict(index.read_facts(names)), index.official(named))
    return Element(f"patients-{number:06}", Patients(tuple(studies), known))


def here(
    work: ReadPatients, chosen: Sequence[Element], workers: int = 1
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Do elements in this process, in threads: reading and hashing files do not exclude others.

    Files are counted as they are read: an element may take a minute.
    """
    do = partial(work, done=partial(COUNTS.add, "files"))
    if workers == 1 or len(chosen) == 1:
        yield from ((element.name, do(element)) for element in chosen)
        return
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from zip((e.name for e in chosen), pool.map(do, chosen), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def packed(found: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Yield elements in batches of about ROOM bytes, with payloads that are packed."""
    batch: list[Piece] = []
    size = 0
    for element, left in found:
        small = Packed.of(element.payload) if element.payload is not None else None
        batch.append((element._replace(payload=small), left))
        size += len(small.data) if small else 0
        size += sum(PER_PATIENT + sum(map(len, lines)) for lines in left.values())
        if size >= ROOM:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def is_small(chosen: Iterable[Element]) -> bool:
    """Return whether packed elements have few files of which nothing is known."""
    return sum(element.payload.unknown for element in chosen) < FEW


def _nothing(patient: str) -> dict[str, Any]:
    """Return what reading gives for a patient of whom the lists leave nothing."""
    return {"patient": patient, "lines": [], "seen": 0, "rejects": [], "notes": {}, "laid": []}


@contextlib.contextmanager
def _partial(plan: Plan) -> Iterator[ScanIndex]:
    """Yield an index for what is read now; it stays in the state folder if the scan is stopped."""
    plan.partial.parent.mkdir(parents=True, exist_ok=True)
    with ScanIndex.appended(plan.partial) as made:
        made.set_fact("root", str(plan.tree.root))
        yield made


def _plain(table: Table) -> list[Any]:
    return [table.name, table.path, table.lists, table.by_file]


def in_batches(size: int) -> Callable[[Iterable[Piece]], Iterator[list[Piece]]]:
    """Return what yields elements in batches of `size`."""
    return partial(_batches, size=size)


def _batches(found: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(found)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
