"""Reads any collection whose images a table lists: options.py says how columns are named."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import ReportRef
from cxr_vlp.pipelines.sources.base import (
    NOBODY,
    ORDER,
    Assembled,
    Named,
    RawReport,
    Rows,
    Table,
    as_stated,
    keyed_lines,
)
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.sources.table import (
    facts,
    formats,
    keys,
    label_cells,
    plan,
    texts,
    values,
)
from cxr_vlp.pipelines.sources.table.joining import Joining
from cxr_vlp.pipelines.sources.table.options import Options
from cxr_vlp.pipelines.sources.table.plan import Listing, Part, Plan

# The key of rows that only count; it is longer than any key that keys.py makes.
_COUNTED = "what-the-tables-and-the-files-do-not-share"


@dataclass(frozen=True, config=STRICT)
class TableReader(Options):
    """Reader of a collection that a table describes."""

    name: ClassVar[str] = "table"

    @property
    def has_reports(self) -> bool:
        """Whether the options say where reports are."""
        own = bool(self.text or self.report_file or self.sections)
        return own or any(also.text or also.sections for also in self.also)

    @property
    def views_from(self) -> str:
        """The option that gives the views."""
        return f"the option {self.name}.reader.view: a column with a view or a projection"

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the tables of images, the further tables, and the walk over the files.

        Raises ConfigError and DataError as `plan.of` does.
        """
        return plan.fresh(self, root).tables()

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (study key, facts) for each row, and what the walk over the files found."""
        listing = plan.listing(self, root)
        if table.name == plan.FILES:
            yield from _of_walk(listing)
            return
        made = plan.kept(self, root)
        part = made.part(table.name)
        path = paths.inside(root, part.path)
        reading = _Reading(self, made, part, listing, root, formats.seekable(path))
        yield from keyed_lines(table, formats.rows(path, part.meaning.columns()), reading)
        yield from reading.unmatched()

    def understood(self, root: Root) -> list[tuple[str, str, str]]:
        """Return (option, columns, how): given, guessed, not used, or why nothing was guessed."""
        return plan.kept(self, root).understood()

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join the rows of one study."""
        if study == _COUNTED:
            return Assembled(None, 0, notes=_counts(rows))
        return Joining.of(self, self.name, study, rows, rule).result()

    def named(self, text: str, kind: str) -> Named | None:
        """Return what an id or a path in another table names."""
        stated = as_stated(text, kind)
        try:
            key = keys.key(keys.restored(text)[0])
        except IngestError:
            return None
        return stated._replace(study=stated.study and key, image=stated.image and key)

    def report(self, root: Root, ref: ReportRef) -> RawReport:
        """Return a report from its row, or from a file of its own.

        Raises IngestError report.language where the options say that no report is English.
        """
        if self.language not in ("", "en"):
            raise IngestError("report.language")
        if not ref.member:
            return texts.read_file(root, ref)
        part = plan.kept(self, root).part(ref.member.partition(" ")[0])
        return texts.read(part, root, ref)


def _of_walk(listing: Listing) -> Iterator[tuple[str, Row]]:
    unlisted = listing.disk.unlisted(listing.studies)
    if unlisted:
        yield _COUNTED, {"image.unlisted": str(unlisted)}
    for number, code in enumerate(listing.disk.faults, 1):
        yield NOBODY, {"fault": code, "file": "", "line": str(number), "images": "0"}


def _counts(rows: Rows) -> dict[str, int]:
    found: Counter[str] = Counter()
    for of_table in rows.values():
        for row in of_table:
            found.update({code: int(number) for code, number in row.items()})
    return found


@dataclasses.dataclass
class _Reading:
    """Makes the rows of one table; it counts those that are joined to an image and those not."""

    options: TableReader
    plan: Plan
    part: Part
    listing: Listing
    root: Root
    seekable: bool
    joined: int = 0
    alone: int = 0

    def __call__(self, line: Line) -> tuple[str, Row]:
        """Return (study key, facts). Raises IngestError for a row that names no image or study."""
        return self._of_image(line) if self.part.lists else self._further(line)

    def _of_image(self, line: Line) -> tuple[str, Row]:
        parts, study = plan.stated_in(self.part.meaning, line.row)
        tail = self.listing.tails.tail(parts)
        row = self._facts(line) | {"image": tail} | self._file(line.row, tail)
        if label_cells.excluded(self.part.meaning.exclude, line.row):
            row["lost"] = "image.excluded"
        if parts in self.listing.torn:
            row["fault"] = "csv.conflict"
        return study or keys.key(tail), row

    def _file(self, row: Row, tail: str) -> Row:
        stated = self.part.meaning.image.of(row)
        try:
            path, copies = self.listing.disk.find(stated, tail, self.options.prefer)
        except IngestError as error:
            return {"lost": error.code}
        return {"path": path} | ({"copies": str(copies)} if copies else {})

    def _facts(self, line: Line) -> Row:
        try:
            found = facts.of_row(
                self.part, line, self.plan.options, self.listing.names, seekable=self.seekable
            )
        except IngestError as error:  # the study is refused with it
            return {"fault": error.code, ORDER: str(line.number)}
        if self.part.meaning.report_file and found.get("report"):
            return found | self._report_file(found["report"])
        return found

    def _report_file(self, stated: str) -> Row:
        """Return where a report's file is, below the root or beside the table."""
        beside = self.part.path.rpartition("/")[0]
        for path in dict.fromkeys((stated, f"{beside}/{stated}" if beside else stated)):
            try:
                if paths.there(self.root, path):
                    return {"report": path}
            except IngestError as error:
                return {"report": "", "fault": error.code}
        return {"report": "", "report_blank": "1"}

    def _further(self, line: Line) -> tuple[str, Row]:
        """Return the study and the facts of a row of a further table."""
        meaning = self.part.meaning
        tail = ""
        if meaning.image:
            parts, _ = plan.stated_in(dataclasses.replace(meaning, study=values.Pick()), line.row)
            tail = self.listing.tails.tail(parts)
            study = self.listing.studies.get(tail, "")
        else:
            study = plan.study_of(meaning, line.row)
            study = study if study in self.listing.known else ""
        self.joined += bool(study)
        self.alone += not study
        if not study:
            return _COUNTED, {"csv.unmatched": "1"}
        return study, self._facts(line) | ({"image": tail} if tail else {})

    def unmatched(self) -> Iterator[tuple[str, Row]]:
        """Yield nothing. Raises DataError csv.unmatched where no row of a table was joined."""
        if self.alone and not self.joined:
            by = "image" if self.part.meaning.image else "study"
            name = self.part.path.rpartition("/")[2]
            raise DataError(
                f"csv.unmatched: no row of {name} has the {by} of a row of the tables that list "
                f"images; correct the option {by} of that table"
            )
        yield from ()
