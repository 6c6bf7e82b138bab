"""MIMIC-CXR (DICOM + reports) and MIMIC-CXR-JPG, either or both below one root.

Layout: files/p10/p10000032/s50414267/<dicom_id>.dcm with the report NEXT TO the study's folder,
files/p10/p10000032/s50414267.txt, or in mimic-cxr-reports.zip. The JPG release adds metadata,
official split and label tables, and holds no reports. A partial download is normal: the tables
list 377,110 images whatever was fetched.
"""

from __future__ import annotations

import functools
import hashlib
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from nlp.labels import CHEXPERT14
from nlp.settings import STRICT
from pipelines import paths, tables, views
from pipelines.faults import ConfigError, DataError, IngestError
from pipelines.records import Image, Lost, ReportRef, Study
from pipelines.sources.base import Assembled, Report, Rows, Table, label_columns
from pipelines.splits import PatientRule
from pipelines.tables import Row

_IMAGE = re.compile(
    r"p\d\d/p(\d{8})/s(\d{8})/([0-9a-f]{8}(?:-[0-9a-f]{8}){4})\.(dcm(?:\.gz)?|jpe?g|png)$"
)
_REPORT = re.compile(r"p\d\d/p(\d{8})/s(\d{8})\.txt$")

# Table name -> (file name, columns it must have). Releases 2.0.0 and 2.1.0 share the names.
_TABLES = {
    "records": ("cxr-record-list.csv", ("subject_id", "study_id", "dicom_id")),
    "studies": ("cxr-study-list.csv", ("subject_id", "study_id")),
    "metadata": ("mimic-cxr-2.*-metadata.csv", ("dicom_id", "subject_id", "study_id")),
    "split": ("mimic-cxr-2.*-split.csv", ("dicom_id", "subject_id", "study_id", "split")),
    "chexpert": ("mimic-cxr-2.*-chexpert.csv", ("subject_id", "study_id", *CHEXPERT14)),
    "negbio": ("mimic-cxr-2.*-negbio.csv", ("subject_id", "study_id", *CHEXPERT14)),
}
_LISTS = ("records", "metadata")  # what names images that should be on disk


@dataclass(frozen=True, config=STRICT)
class Mimic:
    """Reader of MIMIC-CXR. `images`: which file where both are there; `labels`: which labeler's."""

    images: Literal["dicom", "jpg"] = "dicom"
    labels: Literal["chexpert", "negbio"] = "chexpert"

    name: ClassVar[str] = "mimic"
    title: ClassVar[str] = "MIMIC-CXR"
    licence: ClassVar[str] = "PhysioNet Credentialed Health Data License 1.5.0"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = True

    def tables(self, root: Path) -> tuple[Table, ...]:
        """Return the listings below the root; without any, the tree itself must hold images."""
        wanted = {**_TABLES, "zip": ("mimic-cxr-reports.zip", ())}
        del wanted["negbio" if self.labels == "chexpert" else "chexpert"]
        found = {n: paths.find(root, file, f"{file}.gz") for n, (file, _) in wanted.items()}
        listed = tuple(Table(name, path) for name, path in found.items() if path)
        if not listed and not any(root.glob("**/files")):
            raise ConfigError(
                "this is no MIMIC-CXR tree: expected files/ or cxr-record-list.csv.gz within three "
                "folders below the root"
            )
        return (*listed, Table("files"))

    def rows(self, root: Path, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (s<study id>, row); a row of `files` is one image or report on disk."""
        if table.name == "files":
            yield from _files(root)
        elif table.name == "zip":
            yield from _zipped(root, table.path)
        else:
            for row in tables.read(root / table.path, _TABLES[table.name][1]):
                yield "s" + row["study_id"].strip().lstrip("s"), row

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join one study. Labels and splits are the study's and the patient's, never a view's."""
        notes: Counter[str] = Counter()
        subject = _subject(rows)
        listed, on_disk = _images(rows, notes)
        images, lost = self._choose(listed, on_disk, rows)
        split = _split(rows, listed, rule, subject)
        if split is None:
            unlisted = Lost("split.unlisted", images=len(images))
            lost, images = (*lost, unlisted) if images else lost, ()
        report = _report(rows)
        if report is None:
            notes["report.missing"] += 1
        row, repeats = tables.sole(rows.get(self.labels, ()), CHEXPERT14, "a study's label table")
        notes["csv.repeated_row"] += repeats
        result = Study(
            source=self.name,
            key=study,
            patient=subject,
            split=split or "",
            images=images,
            report=report,
            labels=label_columns(row, CHEXPERT14, notes),
            labels_from=self.labels if row else "",
            when=_when(rows),
        )
        return Assembled(result if images else None, len(listed), lost, +notes)

    def _choose(
        self, listed: dict[str, Row], on_disk: dict[str, list[str]], rows: Rows
    ) -> tuple[tuple[Image, ...], tuple[Lost, ...]]:
        metadata = {row["dicom_id"]: row for row in rows.get("metadata", ())}
        images, lost = [], []
        for dicom in sorted(listed):
            if dicom not in on_disk:
                lost.append(Lost("image.missing", dicom))
                continue
            suffixes = (".dcm", ".gz") if self.images == "dicom" else (".jpg", "jpeg", ".png")
            path = min(on_disk[dicom], key=lambda p: (not p.endswith(suffixes), p))
            view, projection = _view(metadata.get(dicom, {}))
            images.append(Image(dicom, path, view=view, projection=projection))
        return tuple(images), tuple(lost)

    def report(self, root: Path, ref: ReportRef) -> tuple[Report, str]:
        """Return the report's text as it stands in the file, and the digest of its bytes."""
        data = _bytes(root, ref)
        return data.decode("utf-8", errors="replace"), hashlib.sha256(data).hexdigest()


def _files(root: Path) -> Iterator[tuple[str, Row]]:
    for path in paths.walk(root):
        if match := _IMAGE.search(path):
            subject, study, dicom, _ = match.groups()
            yield f"s{study}", {"subject_id": subject, "dicom_id": dicom, "path": path}
        elif match := _REPORT.search(path):
            yield f"s{match[2]}", {"subject_id": match[1], "report": path}


def _zipped(root: Path, path: str) -> Iterator[tuple[str, Row]]:
    for member in sorted(_archive(root / path, paths.signature(root / path)).namelist()):
        if match := _REPORT.search(member):
            yield f"s{match[2]}", {"subject_id": match[1], "report": path, "member": member}


@functools.lru_cache(maxsize=2)
def _archive(path: Path, signature: paths.Signature) -> zipfile.ZipFile:  # noqa: ARG001
    """Return the open archive; its directory of 227,835 names is read once a process.

    An archive that was replaced has another signature and is opened again.
    """
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise DataError(f"report.zip: {path.name} is not a whole zip file") from None


def _bytes(root: Path, ref: ReportRef) -> bytes:
    path = paths.inside(root, ref.path)
    try:
        if not ref.member:
            return path.read_bytes()
        return _archive(path, paths.signature(path)).read(ref.member)
    except (OSError, KeyError, zipfile.BadZipFile):
        raise IngestError("report.unreadable") from None


def _subject(rows: Rows) -> str:
    subjects = {row["subject_id"].strip().lstrip("p") for r in rows.values() for row in r}
    if len(subjects) != 1:
        raise DataError(f"study.two_patients: a study is listed under {len(subjects)} patients")
    return subjects.pop()


def _images(rows: Rows, notes: Counter[str]) -> tuple[dict[str, Row], dict[str, list[str]]]:
    """Return the listed images, and the files on disk, by dicom id.

    Where no table lists images the tree is its own list.
    """
    on_disk: dict[str, list[str]] = {}
    for row in rows.get("files", ()):
        if "dicom_id" in row:
            on_disk.setdefault(row["dicom_id"], []).append(row["path"])
    present = [table for table in _LISTS if table in rows]
    listed = {row["dicom_id"]: row for table in present for row in rows[table]}
    if not present:
        return {dicom: {} for dicom in on_disk}, on_disk
    notes["image.unlisted"] += len(set(on_disk) - set(listed))
    return listed, on_disk


def _split(rows: Rows, listed: dict[str, Row], rule: PatientRule, subject: str) -> str | None:
    """Return the official split; None where the list exists and does not name the study."""
    if "split" not in rows:
        return rule.split(subject)
    found = {row["split"].strip() for row in rows["split"] if row["dicom_id"] in listed}
    if len(found) > 1:
        raise DataError("split.conflict: a study stands in two splits of the official list")
    split = next(iter(found), None)
    if split not in (None, "train", "validate", "test"):
        raise DataError(
            "split.unknown: the split table has a split that is not train/validate/test"
        )
    return split


def _report(rows: Rows) -> ReportRef | None:
    files = sorted(r["report"] for r in rows.get("files", ()) if "report" in r)
    if files:
        return ReportRef(files[0])
    zipped = sorted((r["report"], r["member"]) for r in rows.get("zip", ()))
    return ReportRef(*zipped[0]) if zipped else None


def _view(metadata: Row) -> tuple[str, str]:
    """Return the view by ViewPosition, often empty, then by the view code's meaning."""
    return views.first(
        metadata.get("ViewPosition", ""), metadata.get("ViewCodeSequence_CodeMeaning", "")
    )


def _when(rows: Rows) -> str:
    """Return a sortable StudyDate + StudyTime; times have lost their leading zeros (mimic-cxr)."""
    times = []
    for row in rows.get("metadata", ()):
        date, time = row.get("StudyDate", "").strip(), row.get("StudyTime", "").strip()
        whole = time.split(".")[0]
        if date:
            times.append(date.split(".")[0] + (whole.zfill(6) if whole.isdigit() else "000000"))
    return min(times, default="")
