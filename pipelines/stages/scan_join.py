"""Joins the rows of a study, and adds up what each study and each patient add to an inventory.

What a study adds (images listed, images lost, notes) is stored in the index of the scan, so that a
later scan takes away what a changed study added, and adds what it adds now.
"""

from __future__ import annotations

import hashlib
import json
import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_vlp.pipelines.cache.scan_index import Rows, StudyRow
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.records import Study, dumps
from cxr_vlp.pipelines.sources import base
from cxr_vlp.pipelines.sources.base import ORDER, Source, Table
from cxr_vlp.pipelines.sources.ids import Ids
from cxr_vlp.pipelines.sources.leave_out import LeftOut, Met
from cxr_vlp.pipelines.sources.splits import PatientRule

# how the counts are named: each of these, followed by what is counted
NOTE, LOST, HIT, LAID = "note:", "lost:", "hit:", "laid:"
Record = tuple[str, str, Row]  # table, the file that gave the row or "", row
WIDTH = 8  # bytes of the digest of a row


@dataclass
class Totals:
    """The counts of a whole inventory, and the rejects that were added and taken away."""

    counts: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)  # lines

    def add(self, made: Mapping[str, Any], sign: int = 1) -> None:
        """Add what a study or a patient adds, or with -1 take it away."""
        for name, number in made["counts"].items():
            self.counts[name] += sign * number
        for line in made["rejects"]:
            self.rejects[line] += sign


@dataclass(frozen=True)
class Joining:
    """How the rows of a study are joined: the reader, its tables, and what the parameters say."""

    source: Source
    tables: tuple[Table, ...]
    rule: PatientRule
    ids: Ids
    left_out: LeftOut
    names: paths.Names

    def study(self, study: str, rows: Rows) -> tuple[StudyRow, Met | None]:
        """Return (what the index holds of a study, the study); None if nothing of it is left."""
        given: dict[str, Sequence[Row]] = {t.name: [r for _, r in rows.get(t.name, ())]
                                           for t in self.tables}  # fmt: skip
        result = base.assembled(self.source, study, given, self.rule)
        met = self._met(result) if result.study is not None else None
        rejects = [self.ids.reject(study, lost) for lost in result.lost]
        counts = Counter({"listed": result.listed})
        counts.update({f"{NOTE}{code}": number for code, number in result.notes.items()})
        counts.update(f"{HIT}{hit.list}\0{hit.id}" for hit in (met.hits if met else ()))
        patient = met.study.patient if met else ""
        made = outcome(map(dumps, rejects), counts)
        return StudyRow(study, patient, self._given(rows), rows, made), met

    def _given(self, rows: Rows) -> bytes:
        whole = (table.name for table in self.tables if not table.by_file)
        return b"".join(digest(name, row) for name in whole for _, row in rows.get(name, ()))

    def _met(self, result: base.Assembled) -> Met:
        assert result.study is not None
        if self.left_out:
            return self.left_out.met(result.study, self.ids, result.lost)
        return Met(self.ids.study(result.study))

    def owners(self, row: StudyRow, study: Study | None) -> Iterator[tuple[str, str]]:
        """Yield (path, study) for the files that give a study's rows, and its images and report."""
        by_file = {table.name for table in self.tables if table.by_file}
        named = {at for table, rows in row.rows.items() if table in by_file for at, _ in rows}
        if study is not None:
            named.update(image.path for image in study.images)
            # a report inside a table or an archive changes with it, and then all is listed anew
            named.add(study.report.path if study.report and not study.report.member else "")
        yield from ((self.names.of(path), row.study) for path in named - {""})

    def unseen(self, row: StudyRow, study: Study) -> str:
        """Return the file of a report whose text may change without any row; "" if there is none.

        It is a report in a table of which no row has the place and the digest.
        """
        report = study.report
        if report is None or not report.member:
            return ""
        every = (each for rows in row.rows.values() for _, each in rows)
        told = any(each.get("member") == report.member and each.get("sha256") for each in every)
        return "" if told else self.names.of(report.path)


def digest(table: str, row: Row) -> bytes:
    """Return a digest of a row of a table, without its number."""
    plain = {name: cell for name, cell in row.items() if name != ORDER} if ORDER in row else row
    return hashlib.blake2b(marshal.dumps([table, plain], 2), digest_size=WIDTH).digest()


@dataclass
class Known:
    """Compares the rows that tables give now with those that they gave, study by study."""

    given: Mapping[str, bytes]  # study -> digests of its rows, in their order
    changed: set[str] = field(default_factory=set)  # studies with another row
    _seen: dict[str, int] = field(default_factory=dict)  # study -> bytes of `given`

    def see(self, study: str, table: str, row: Row) -> None:
        """Compare the next row of a study."""
        at = self._seen.get(study, 0)
        self._seen[study] = at + WIDTH
        if self.given.get(study, b"")[at : at + WIDTH] != digest(table, row):
            self.changed.add(study)

    def all_changed(self) -> set[str]:
        """Return the studies that have another row, or a row less; call it after all rows."""
        fewer = (name for name, all_ in self.given.items() if len(all_) != self._seen.get(name, 0))
        return self.changed.union(fewer)


def outcome(rejects: Iterable[str], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return what a study or a patient adds: lines of rejects, and counts of which none is 0."""
    found = Counter(counts)
    lines = list(rejects)
    for line in lines:
        row = json.loads(line)
        found[f"{LOST}{row['step']} {row['code']}"] += row.get("images", 0)
    return {"counts": {name: number for name, number in found.items() if number}, "rejects": lines}


def of_patient(read: Mapping[str, Any], left: Iterable[str]) -> dict[str, Any]:
    """Return what a patient adds: `read` is from ReadPatients, `left` the rejects of leave_out."""
    counts = Counter({f"{NOTE}{code}": number for code, number in read["notes"].items()})
    counts.update(f"{LAID}{layer}\0{image}" for layer, image in read["laid"])
    counts["studies"] = len(read["lines"])
    counts["images"] = sum(line[2] for line in read["lines"])
    return outcome([*left, *read["rejects"]], counts)


def rows_of(
    source: Source, tree: paths.RawTree, tables: Iterable[Table]
) -> Iterator[tuple[str, Record]]:
    """Yield (study, (table, the file that gave the row or "", row)) of tables."""
    reading = tree.reading or paths.Reading()
    for table in tables:
        reading.at = ""
        for study, row in source.rows(tree, table):
            yield study, (table.name, reading.at if table.by_file else "", row)


def grouped(records: Iterable[Record]) -> dict[str, list[tuple[str, Row]]]:
    """Return table -> rows of the records of one study."""
    found: dict[str, list[tuple[str, Row]]] = {}
    for table, at, row in records:
        found.setdefault(table, []).append((at, row))
    return found
