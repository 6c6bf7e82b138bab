"""Reads MIMIC-CXR (DICOM and reports) and MIMIC-CXR-JPG: their tables, images and reports.

One or both are below one root. Layout: files/p10/p10000032/s50414267/<dicom_id>.dcm, with the
report NEXT TO the study's folder, files/p10/p10000032/s50414267.txt, or in mimic-cxr-reports.zip.
The JPG release adds metadata, official split and label tables, and has no reports. A partial
download is normal: the tables always list all 377,110 images.

Reports may also stand in mimic_cxr_sectioned.csv, which the collection's authors' script makes, or
in R2Gen's annotation.json, which also lists the images where no table of MIMIC does.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import archives, cells, csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, ReportRef, Study
from cxr_vlp.pipelines.sources import placed, r2gen, reading, views
from cxr_vlp.pipelines.sources.base import (
    Assembled,
    Named,
    OnDisk,
    RawReport,
    Rows,
    Table,
    keyed,
    label_columns,
    raise_fault,
    refused,
    rows_of_files,
)
from cxr_vlp.pipelines.sources.splits import PatientRule

_DICOM = r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}"
_IMAGE = re.compile(
    rf"(?:^|/)p(\d{{8}})/s(\d{{8}})/({_DICOM})\.(?:(?:dcm|dicom)(?:\.gz)?|jpe?g|png)\Z", re.I | re.A
)
_DICOM_ID = re.compile(_DICOM, re.A)
# names in tables of others: files/p10/p10000032/s50414267/<dicom_id>.jpg, or the end of it
_PLACE = re.compile(
    rf"(?:^|[/\\])p(\d{{8}})(?:[/\\]s(\d{{8}})(?:[/\\]({_DICOM})(?:\.\w+)*|\.txt|[/\\])?)?[/\\]?\Z",
    re.I | re.A,
)
_STUDY_OR_IMAGE = re.compile(rf"(?:s(\d{{8}})(?:\.txt)?|({_DICOM})(?:\.\w+)*)", re.I | re.A)
_REPORT = re.compile(r"(?:^|/)p(\d{8})/s(\d{8})\.txt\Z", re.I | re.A)
_SUFFIXES = {"dicom": (".dcm", ".dicom", ".gz"), "jpg": (".jpg", ".jpeg", ".png")}

# Table name -> (file name, columns it must have). Releases 2.0.0 and 2.1.0 share the names.
_TABLES = {
    "records": ("cxr-record-list.csv", ("subject_id", "study_id", "dicom_id")),
    "studies": ("cxr-study-list.csv", ("subject_id", "study_id")),
    "metadata": ("mimic-cxr-2.*-metadata.csv", ("dicom_id", "subject_id", "study_id")),
    "split": ("mimic-cxr-2.*-split.csv", ("dicom_id", "subject_id", "study_id", "split")),
    "chexpert": ("mimic-cxr-2.*-chexpert.csv", ("subject_id", "study_id", *CHEXPERT14)),
    "negbio": ("mimic-cxr-2.*-negbio.csv", ("subject_id", "study_id", *CHEXPERT14)),
    "radiologists": ("mimic-cxr-2.*-test-set-labeled.csv", ("study_id",)),
    "sectioned": ("mimic_cxr_sectioned.csv", ("study",)),
}
# The radiologists' table calls Lung Opacity so.
_RADIOLOGISTS = (*CHEXPERT14, "Airspace Opacity")
# column of mimic_cxr_sectioned.csv -> section; the last paragraph is that of a report without
# findings and impression
_SECTIONS = {"impression": "impression", "findings": "findings", "last_paragraph": "body",
             "comparison": "comparison"}  # fmt: skip
_LISTS = ("records", "metadata")  # tables of images that should be on disk

# Columns of the metadata about the image, and about the procedure that it was part of.
_STATED = ("ViewPosition", "ViewCodeSequence_CodeMeaning")
_PROCEDURE = (
    "SeriesDescription",
    "AcquisitionDeviceProcessingDescription",
    "ProtocolName",
    "PerformedProcedureStepDescription",
    "ProcedureCodeSequence_CodeMeaning",
    "StudyDescription",
)
_COLUMNS = (*_STATED, *_PROCEDURE, "StudyDate", "StudyTime", *_RADIOLOGISTS, *_SECTIONS)


@dataclass(frozen=True, config=STRICT)
class Mimic:
    """Reader of MIMIC-CXR.

    `images` is the file to use if an image has both; `labels` is the labeler to use;
    `test_labels` says whose labels count for the 687 studies that radiologists labelled. Published
    numbers on the test split are most often against the labeler's.
    """

    images: Literal["dicom", "jpg"] = "dicom"
    labels: Literal["chexpert", "negbio"] = "chexpert"
    test_labels: Literal["labeler", "radiologists"] = "labeler"

    name: ClassVar[str] = "mimic"
    title: ClassVar[str] = "MIMIC-CXR"
    licence: ClassVar[str] = "PhysioNet Credentialed Health Data License 1.5.0"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = True
    views_from: ClassVar[str] = "mimic-cxr-2.*-metadata.csv.gz of MIMIC-CXR-JPG"

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the listings below the root; without any, the tree must hold images."""
        wanted = {**_TABLES, "zip": ("mimic-cxr-reports.zip", ())}
        del wanted["negbio" if self.labels == "chexpert" else "chexpert"]
        if self.test_labels == "labeler":
            del wanted["radiologists"]
        found = {n: paths.find(root, file, f"{file}.gz") for n, (file, _) in wanted.items()}
        found["annotation"] = paths.find(root, *r2gen.NAMES)
        lists = next((name for name in (*_LISTS, "annotation") if found[name]), "")
        listed = tuple(Table(name, path, name == lists) for name, path in found.items() if path)
        if not listed and not any(map(_IMAGE.search, paths.walk(root))):
            raise ConfigError(
                "this is no MIMIC-CXR tree: no cxr-record-list.csv.gz, annotation.json or "
                f"p10000032/s50414267/<dicom_id>.dcm or .jpg; {paths.summary(root)}"
            )
        return (*listed, Table("files", by_file=True))

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (s<study id>, row); a row of `files` is one image or report on disk."""
        if table.name == "files":
            yield from rows_of_files(root, (_IMAGE, _image_file), (_REPORT, _report_file))
        elif table.name == "zip":
            for match in reading.zip_names(paths.inside(root, table.path), _REPORT):
                study, row = _report_file(match)
                yield study, row | {"path": table.path, "member": match.string}
        elif table.name == "annotation":
            yield from keyed(table, r2gen.lines(root, table), _of_annotation)
        else:
            needed = _TABLES[table.name][1]
            lines = csv_tables.read(paths.inside(root, table.path), needed, optional=_COLUMNS)
            if table.name == "sectioned":
                lines = (_without_text(line, table.path) for line in lines)
            yield from keyed(table, lines, _of_table)

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join one study. Labels belong to the study and splits to the patient, never to a view."""
        notes: Counter[str] = Counter()
        notes["id.normalised"] = sum(bool(row.get("odd")) for r in rows.values() for row in r)
        images = [row for row in rows.get("files", ()) if "image" in row]
        suffixes = _SUFFIXES[self.images]
        on_disk = OnDisk.of(images, lambda path: not path.lower().endswith(suffixes))
        own = [table for table in _LISTS if table in rows]
        present = own or [table for table in ("annotation",) if table in rows]
        # if no table lists images, the images on disk are the list
        listed = {row["image"] for table in present for row in rows[table]}
        listed = listed if present else set(on_disk.paths) | set(on_disk.faults)
        notes["image.unlisted"] += on_disk.unlisted(listed)
        if present and not any(rows[name] for name in rows if name != "files"):
            notes["study.no_image"] += not images
            return Assembled(None, 0, notes=+notes)  # no table names the study
        try:
            return self._joined(study, rows, rule, listed, on_disk, notes)
        except IngestError as error:
            faulty = {row["image"] for table in present for row in rows[table] if "fault" in row}
            return refused(error.code, listed, on_disk, notes, faulty)

    def _joined(
        self,
        study: str,
        rows: Rows,
        rule: PatientRule,
        listed: set[str],
        on_disk: OnDisk,
        notes: Counter[str],
    ) -> Assembled:
        for name in (*_TABLES, "annotation"):
            raise_fault(rows.get(name, ()))
        subject = _subject(rows)
        if not subject:  # only tables without patients name the study: no image of it is here
            return Assembled(None, 0, notes={"study.no_image": 1})
        split = _split(rows, listed, rule, subject)
        if split is None:
            raise IngestError("split.unlisted")
        metadata = {row["image"]: row for row in rows.get("metadata", ())}
        images = tuple(
            _image(dicom, on_disk.paths[dicom], metadata.get(dicom, {}))
            for dicom in sorted(listed & set(on_disk.paths))
        )
        report = _report(rows, notes)
        if report is None:
            notes["report.missing"] += 1
        labels, labels_from = self._labels(rows, notes)
        result = Study(
            source=self.name,
            key=study,
            patient=subject,
            split=split,
            images=images,
            report=report,
            labels=labels,
            labels_from=labels_from,
            when=_when(rows, notes),
        )
        missing = on_disk.missing(listed)
        return Assembled(result if images else None, len(listed), missing, +notes)

    def named(self, text: str, kind: str) -> Named | None:
        """Return what a path, p10000032, s50414267, a dicom_id or bare digits name."""
        if match := _PLACE.search(text):
            return Named(match[1], f"s{match[2]}" if match[2] else "", (match[3] or "").lower())
        if match := _STUDY_OR_IMAGE.fullmatch(text):
            return Named("", f"s{match[1]}" if match[1] else "", (match[2] or "").lower())
        try:
            digits = cells.identifier(text, 8)
        except IngestError:
            return None
        found = {"patient": Named(digits), "study": Named("", f"s{digits}")}
        return found.get(kind)

    def _labels(self, rows: Rows, notes: Counter[str]) -> tuple[dict[str, int], str]:
        """Return the labels and who gave them: the radiologists, else the chosen labeler."""
        for name in ("radiologists", self.labels):
            columns = _RADIOLOGISTS if name == "radiologists" else CHEXPERT14
            row, repeats = csv_tables.sole_row(rows.get(name, ()), columns)
            notes["csv.repeated_row"] += repeats
            if row:
                return label_columns(row, [c for c in columns if c in row], notes), name
        return {}, ""

    def report(self, root: Root, ref: ReportRef) -> RawReport:
        """Return the report: a file's text unchanged, or the sections that a table has."""
        if ref.path.lower().endswith(".json"):
            return RawReport(*r2gen.report(paths.inside(root, ref.path), ref.member))
        if placed.is_place(ref.member):
            row = placed.row(paths.inside(root, ref.path), ref.member, tuple(_SECTIONS))
            sections = _sections(row)
            return RawReport(sections, placed.digest(sections))
        data = _bytes(root, ref)
        text, note = reading.text(data)
        return RawReport(text, hashlib.sha256(data).hexdigest(), note)


def _image_file(match: re.Match[str]) -> tuple[str, Row]:
    return f"s{match[2]}", {"subject_id": match[1], "image": match[3].lower()}


def _report_file(match: re.Match[str]) -> tuple[str, Row]:
    return f"s{match[2]}", {"subject_id": match[1], "report": "1"}


def _of_table(row: Row) -> tuple[str, Row]:
    """Return (study key, row) with the published form of ids that a spreadsheet may have changed.

    Raises IngestError csv.id if the row names no study.
    """
    study = cells.identifier(row["study_id"], 8, "s")
    try:
        if "subject_id" in row:  # the radiologists' table and the sectioned one have none
            row["subject_id"] = cells.identifier(row["subject_id"], 8, "p")
        if row["study_id"] != study:
            row["odd"] = "1"
        if "dicom_id" in row:
            row["image"] = _dicom_id(row["dicom_id"])
    except IngestError as error:
        # the image that the row may name counts as listed
        row = row | {"fault": error.code, "subject_id": "", "image": f"line of {study}"}
    return f"s{study}", row


def _without_text(line: Line, path: str) -> Line:
    """Return a line of mimic_cxr_sectioned.csv with the place and digest of its report."""
    if line.code:
        return line
    sections = _sections(line.row)
    study = cells.known(line.row["study"]).removeprefix("s")
    found = {"study_id": study, "sha256": placed.digest(sections)}
    return line._replace(row=found | (placed.reference(path, line) if sections else {}))


def _sections(row: Row) -> dict[str, str]:
    found = {name: cells.known(row.get(column)) for column, name in _SECTIONS.items()}
    return {name: text for name, text in found.items() if text}


def _of_annotation(row: Row) -> tuple[str, Row]:
    """Return (study key, row) of an image of R2Gen's list; its path repeats the ids."""
    stem = row["image"].rpartition("/")[2].partition(".")[0]
    match = _IMAGE.search(row["image"])
    given = {"subject_id": match[1], "study_id": match[2]} if match else {}
    stated = {name: row[name] for name in ("subject_id", "study_id") if row[name]}
    study, made = _of_table(row | {"dicom_id": stem} | given | stated)
    if match and "fault" not in made and (made["subject_id"], study) != (match[1], f"s{match[2]}"):
        made |= {"fault": "csv.conflict"}
    return study, made


def _dicom_id(cell: str) -> str:
    name = cell.strip().lower()
    if not _DICOM_ID.fullmatch(name):
        raise IngestError("csv.id")
    return name


def _subject(rows: Rows) -> str:
    """Return the patient; "" where only tables without patients name the study."""
    subjects = {row.get("subject_id", "") for r in rows.values() for row in r} - {""}
    if len(subjects) > 1:
        raise IngestError("study.two_patients")
    return subjects.pop() if subjects else ""


def _image(dicom: str, path: str, metadata: Row) -> Image:
    """Return an image, its view by ViewPosition, the view code, or the name of the procedure."""
    stated = [metadata.get(name, "") for name in _STATED]
    view, projection = views.decide(stated, [metadata.get(name, "") for name in _PROCEDURE])
    return Image(dicom, path, view=view, projection=projection)


def _split(rows: Rows, listed: set[str], rule: PatientRule, subject: str) -> str | None:
    """Return the official split; None if there is a list that does not name the study."""
    own = any(table in rows for table in _LISTS)
    lists = "split" if "split" in rows or own else "annotation"
    if lists not in rows:
        return rule.split(subject)
    found = {cells.known(row["split"]).lower() for row in rows[lists] if row["image"] in listed} - {
        ""
    }
    if len(found) > 1:
        raise IngestError("split.conflict")
    split = next(iter(found), None)
    if split not in (None, "train", "validate", "test"):
        raise IngestError("split.unknown")
    return split


def _report(rows: Rows, notes: Counter[str]) -> ReportRef | None:
    """Return the report in the best form: a file, the zip, the sectioned table, R2Gen's list."""
    found = [r["path"] for r in rows.get("files", ()) if "report" in r and r["path"]]
    # an unpacked file rather than its copy in an archive
    found.sort(key=lambda path: (archives.within(path), path))
    zipped = sorted((r["path"], r["member"]) for r in rows.get("zip", ()))
    forms = [[(path, "") for path in found], zipped]
    for name in ("sectioned", "annotation"):
        row, repeats = csv_tables.sole_row(rows.get(name, ()), ("sha256",))
        # R2Gen's list has a row for each image of the study
        notes["csv.repeated_row"] += repeats if name == "sectioned" else 0
        notes["report.other_form"] += any(forms) and bool(row)
        forms.append([(row["path"], row["member"])] if row and "report" in row else [])
    best = next((form[0] for form in forms if form), None)
    return ReportRef(*best) if best else None


def _bytes(root: Root, ref: ReportRef) -> bytes:
    path = paths.inside(root, ref.path)
    return reading.of_zip(path, ref.member) if ref.member else reading.of_file(path)


def _when(rows: Rows, notes: Counter[str]) -> str:
    """Return a sortable StudyDate + StudyTime; in MIMIC-CXR times lack their leading zeros."""

    times = []
    for row in rows.get("metadata", ()):
        date = cells.known(row.get("StudyDate")).split(".")[0]
        time = cells.known(row.get("StudyTime")).split(".")[0]
        if date.isdigit():
            times.append(date + (time.zfill(6) if time.isdigit() else "000000"))
        elif date:
            notes["date.bad_value"] += 1
    return min(times, default="")
