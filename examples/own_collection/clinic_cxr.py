"""A reader for a clinic's own collection: one table, a folder of images, a folder of reports.

    images.csv               columns patient, study, image, view; a row for each image
    images/STUDY/IMAGE.png   8-bit or 16-bit grey
    reports/STUDY.txt        the report of a study; it may be missing

`pip install examples/own_collection` registers it. Then `cxr-vlp scan clinic --root DIR ...` works.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, ReportRef, Study
from cxr_vlp.pipelines.sources import reading, views
from cxr_vlp.pipelines.sources.base import (
    Assembled,
    OnDisk,
    RawReport,
    Rows,
    Table,
    keyed,
    raise_fault,
    refused,
    rows_of_files,
)
from cxr_vlp.pipelines.sources.splits import PatientRule

_IMAGE = re.compile(r"(?:^|/)images/([a-z0-9]+)/([a-z0-9]+)\.png\Z")
_REPORT = re.compile(r"(?:^|/)reports/([a-z0-9]+)\.txt\Z")
_KEY = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Clinic:
    """The reader. A field is an option, as in `sources.clinic.reader: {frontal_only: true}`."""

    name: ClassVar[str] = "clinic"  # the same as the entry point's name
    title: ClassVar[str] = "Chest radiographs of our clinic"
    licence: ClassVar[str] = "internal"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = True
    views_from: ClassVar[str] = "the column view of images.csv"

    frontal_only: bool = False

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the table of images, and the walk over the tree that finds the files."""
        path = paths.find(root, "images.csv")
        if not path:
            raise ConfigError(f"this is no clinic tree: no images.csv; {paths.summary(root)}")
        return Table("images", path, lists=True), Table("files")

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (study, row) of each row of the table, or of each file."""
        if table.name == "files":
            image = (_IMAGE, lambda match: (match[1], {"image": match[2]}))
            report = (_REPORT, lambda match: (match[1], {"report": "1"}))
            yield from rows_of_files(root, image, report)
            return
        path = paths.inside(root, table.path)
        lines = csv_tables.read(path, ("patient", "study", "image", "view"))
        yield from keyed(table, lines, _of_table)

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join the images and the report of one study."""
        images = [row for row in rows.get("files", ()) if "image" in row]
        on_disk = OnDisk.of(images, lambda path: not path.startswith("images/"))
        table = rows.get("images", ())
        notes = Counter({"image.unlisted": on_disk.unlisted(row["image"] for row in table)})
        listed = {row["image"]: row for row in table if self._wanted(row)}
        if not listed:
            return Assembled(None, 0, notes=+notes)
        try:
            raise_fault(listed.values())
            result = self._study(study, rows, listed, on_disk, rule)
        except IngestError as error:
            return refused(error.code, listed, on_disk, notes)
        notes["report.missing"] += result.report is None
        missing = on_disk.missing(listed)
        return Assembled(result if result.images else None, len(listed), missing, +notes)

    def report(self, root: Root, ref: ReportRef) -> RawReport:
        """Return the report's text, and the digest of the bytes that it was read from."""
        data = reading.of_file(paths.inside(root, ref.path))
        text, note = reading.text(data)
        return RawReport(text, hashlib.sha256(data).hexdigest(), note)

    def _wanted(self, row: Row) -> bool:
        return not self.frontal_only or views.of(row["view"])[0] == "frontal"

    def _study(
        self, study: str, rows: Rows, listed: dict[str, Row], on_disk: OnDisk, rule: PatientRule
    ) -> Study:
        patients = {row["patient"] for row in listed.values()}
        if len(patients) > 1:
            raise IngestError("study.two_patients")
        patient = patients.pop()
        reports = sorted(row["path"] for row in rows.get("files", ()) if "report" in row)
        return Study(
            source=self.name,
            key=study,
            patient=patient,
            split=rule.split(patient),
            images=tuple(
                Image(name, on_disk.paths[name], "", *views.of(listed[name]["view"]))
                for name in sorted(listed)
                if name in on_disk.paths
            ),
            report=ReportRef(reports[0]) if reports and reports[0] else None,
        )


def _of_table(row: Row) -> tuple[str, Row]:
    """Return (study, row). Raises IngestError csv.id where the row does not name its image."""
    if not all(_KEY.fullmatch(row[name]) for name in ("patient", "study", "image")):
        raise IngestError("csv.id")
    return row["study"], row
