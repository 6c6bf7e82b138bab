"""An assembled study in, the study as the inventory holds it out: files read, patients placed.

Pure functions under the Beam graph of transforms.Inventory.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache.file_index import Memory
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.imaging import dicom_file, dicom_header
from cxr_vlp.pipelines.records import Image, Reject, ReportRef, Study, reject
from cxr_vlp.pipelines.sources import ids, views
from cxr_vlp.pipelines.sources.base import Source

DICOM = (".dcm", ".dicom", ".dcm.gz", ".dicom.gz")
LARGEST = 1 << 30  # bytes of an image's file, which is read as a whole
HEAD = 1 << 18  # bytes; more than any header of a plain radiograph


@dataclass(frozen=True)
class Reader:
    """How files are read: below which root, what of them is known already, and from whom."""

    root: Root
    memory: Memory
    official: bool = False  # the collection's own digests are believed


@dataclass(frozen=True)
class Read:
    """A study whose files were read; None where none of its images can be."""

    study: Study | None
    rejects: tuple[Reject, ...]
    notes: Mapping[str, int] = field(default_factory=dict)  # code -> how often


def read_files(study: Study, source: Source, reader: Reader) -> Read:
    """Read every file of a study once: digests, and what only a DICOM header tells.

    A file that has not moved since an earlier scan is not opened.

    A report that cannot be read is noted and keeps its place without a digest; `texts` gives it
    its code.
    """
    images, headers, rejects = [], [], []
    notes: Counter[str] = Counter()
    for image in study.images:
        try:
            read, header = _read_image(image, reader)
        except IngestError as error:
            rejects.append(reject(ids.of_image(study, image), error.code, "scan"))
            continue
        images.append(read)
        headers.append(header)
    if not images:
        return Read(None, tuple(rejects))
    notes["view.unknown"] += sum(image.view == "unknown" for image in images)
    study = _with_headers(dataclasses.replace(study, images=tuple(images)), headers)
    return Read(_with_report(study, source, reader, notes), tuple(rejects), +notes)


def _read_image(image: Image, reader: Reader) -> tuple[Image, dicom_header.StudyHeader]:
    path = paths.inside(reader.root, image.path)
    try:
        stat = paths.plain(path, "image")
        if stat.st_size > LARGEST:
            raise IngestError("image.too_large")
        known = reader.memory.get(image.path, stat)
        if known is None or not (known["read"] or reader.official):
            known = _facts(path, image, reader)
            reader.memory.keep(image.path, stat, known)
    except FileNotFoundError:
        raise IngestError("image.missing") from None
    except OSError:
        raise IngestError("image.unreadable") from None
    header = _header(known["header"])
    # what the list says holds also for a file whose digest was read before
    digest = (reader.official and reader.memory.official(image.path)) or known["sha256"]
    view, projection = image.view, image.projection
    if view == "unknown":
        stated = (header.view_position, header.view_code)
        view, projection = views.decide(stated, header.procedures)
    return dataclasses.replace(
        image, sha256=digest, size=stat.st_size, view=view, projection=projection
    ), header


def _facts(path: Path, image: Image, reader: Reader) -> dict[str, Any]:
    """Return digest and header facts; with an official digest no more than the header is read."""
    is_dicom = path.name.lower().endswith(DICOM)
    digest = reader.memory.official(image.path) if reader.official else ""
    header = dicom_header.StudyHeader()
    if digest:
        header = _peek_at(path) if is_dicom else header
        return {"sha256": digest, "header": dataclasses.asdict(header), "read": False}
    data = path.read_bytes()
    header = _peek(data) if is_dicom else header
    digest = hashlib.sha256(data).hexdigest()
    return {"sha256": digest, "header": dataclasses.asdict(header), "read": True}


def _header(values: Mapping[str, Any]) -> dicom_header.StudyHeader:
    return dicom_header.StudyHeader(**{**values, "procedures": tuple(values.get("procedures", ()))})


def _peek_at(path: Path) -> dicom_header.StudyHeader:
    with path.open("rb") as stream:
        header = _peek(stream.read(HEAD))
    return header if header != dicom_header.StudyHeader() else _peek(path.read_bytes())


def _unpacked(data: bytes) -> bytes:
    """Return the head of what a .dcm.gz holds; more of it is not needed, and may be a bomb."""
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            return stream.read(HEAD)
    except (EOFError, OSError, zlib.error):
        return b""


def _peek(data: bytes) -> dicom_header.StudyHeader:
    if data[:2] == b"\x1f\x8b":
        data = _unpacked(data)
    try:
        return dicom_header.study_header(dicom_file.parse(data, pixels=False))
    except IngestError:  # `shards` reports what is wrong with the file, with the same codes
        return dicom_header.StudyHeader()


def _with_headers(study: Study, headers: list[dicom_header.StudyHeader]) -> Study:
    sexes = [h.sex for h in headers if h.sex]
    ages = [h.age for h in headers if h.age is not None]
    times = [h.when for h in headers if h.when]
    return dataclasses.replace(
        study,
        sex=study.sex or next(iter(sexes), ""),
        age=study.age if study.age is not None else next(iter(ages), None),
        when=study.when or min(times, default=""),
    )


def _with_report(study: Study, source: Source, reader: Reader, notes: Counter[str]) -> Study:
    """Return the study with its report's digest; "" where the report cannot be read.

    It is the digest that `source.report` gives, also where the listing has one: a digest in the
    inventory means that the report could be read, and `texts` stops where it no longer can.
    """
    if study.report is None:
        return study
    try:
        facts = _report_facts(study.report, source, reader)
    except IngestError as error:
        notes[error.code] += 1
        facts = {"sha256": "", "note": ""}
    if facts.get("note"):
        notes[facts["note"]] += 1
    report = dataclasses.replace(study.report, sha256=facts["sha256"])
    return dataclasses.replace(study, report=report)


def _report_facts(report: ReportRef, source: Source, reader: Reader) -> Mapping[str, str]:
    """Return a report's digest and the note of how it is written. Raises IngestError report.*."""
    name = f"{report.path}\0{report.member}" if report.member else report.path
    try:
        stat = paths.inside(reader.root, report.path).stat()
    except OSError:
        raise IngestError("report.unreadable") from None
    known: Mapping[str, str] | None = reader.memory.get(name, stat)
    if known is None:
        read = source.report(reader.root, report)
        known = {"sha256": read.sha256, "note": read.note}
        reader.memory.keep(name, stat, known)
    return known


def place_patient(studies: Iterable[Study]) -> Iterator[Study]:
    """Yield a patient's studies in their order of time, where times tell one.

    Raises DataError when the patient stands in two splits: nothing after it could be trusted.
    """
    studies = sorted(studies, key=lambda study: (study.when, study.key))
    if len({study.split for study in studies}) > 1:
        raise DataError(
            "split.two: a patient stands in two splits of the official list, so that a model would "
            "be tested on whom it was trained on; mend the list, or take it away to have patients "
            "split by scan.validate and scan.test"
        )
    known = all(study.when for study in studies)
    for place, study in enumerate(studies):
        yield dataclasses.replace(study, order=place if known else None, when="")
