"""An assembled study in, the study as the inventory holds it out: files read, patients placed.

Pure functions under the Beam graph of transforms.Inventory.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import ids, paths, views
from pipelines.decoding import dicoms
from pipelines.earlier.memory import Memory
from pipelines.faults import DataError, IngestError
from pipelines.records import Image, Reject, ReportRef, Study, reject
from pipelines.sources.base import Source

DICOM = (".dcm", ".dicom")
HEAD = 1 << 18  # bytes; more than any header of a plain radiograph


@dataclass(frozen=True)
class Reader:
    """How files are read: below which root, what of them is known already, and from whom."""

    root: Path
    memory: Memory
    official: bool = False  # the collection's own digests are believed


def read_files(
    study: Study, source: Source, reader: Reader
) -> tuple[Study | None, tuple[Reject, ...]]:
    """Read every file of a study once: digests, and what only a DICOM header tells.

    A file that has not moved since an earlier scan is not opened.

    Returns None for the study when none of its images can be read. A report that cannot be read
    keeps its place without a digest; `texts` gives it its code.
    """
    images, headers, rejects = [], [], []
    for image in study.images:
        try:
            read, header = _read_image(image, reader)
        except IngestError as error:
            rejects.append(reject(ids.of_image(study, image), error.code, "scan"))
            continue
        images.append(read)
        headers.append(header)
    if not images:
        return None, tuple(rejects)
    study = dataclasses.replace(study, images=tuple(images))
    return _with_report(_with_headers(study, headers), source, reader), tuple(rejects)


def _read_image(image: Image, reader: Reader) -> tuple[Image, dicoms.Header]:
    path = paths.inside(reader.root, image.path)
    try:
        stat = path.stat()
        known = reader.memory.get(image.path, stat)
        if known is None or not (known["read"] or reader.official):
            known = _facts(path, image, reader)
            reader.memory.keep(image.path, stat, known)
    except FileNotFoundError:
        raise IngestError("image.missing") from None
    except OSError:
        raise IngestError("image.unreadable") from None
    header = dicoms.Header(**known["header"])
    # what the list says holds also for a file whose digest was read before
    digest = (reader.official and reader.memory.official(image.path)) or known["sha256"]
    view, projection = image.view, image.projection
    if view == "unknown":
        view, projection = views.first(header.view_position, header.view_code)
    return dataclasses.replace(
        image, sha256=digest, size=stat.st_size, view=view, projection=projection
    ), header


def _facts(path: Path, image: Image, reader: Reader) -> dict[str, Any]:
    """Return digest and header facts; with an official digest no more than the header is read."""
    is_dicom = path.suffix.lower() in DICOM
    digest = reader.memory.official(image.path) if reader.official else ""
    header = dicoms.Header()
    if digest:
        header = _peek_at(path) if is_dicom else header
        return {"sha256": digest, "header": dataclasses.asdict(header), "read": False}
    data = path.read_bytes()
    header = _peek(data) if is_dicom else header
    digest = hashlib.sha256(data).hexdigest()
    return {"sha256": digest, "header": dataclasses.asdict(header), "read": True}


def _peek_at(path: Path) -> dicoms.Header:
    with path.open("rb") as stream:
        header = _peek(stream.read(HEAD))
    return header if header != dicoms.Header() else _peek(path.read_bytes())


def _peek(data: bytes) -> dicoms.Header:
    try:
        return dicoms.header(dicoms.parse(data, pixels=False))
    except Exception:  # also of an element that is read only now
        return dicoms.Header()  # `shards` will say what is wrong with it, with the same codes


def _with_headers(study: Study, headers: list[dicoms.Header]) -> Study:
    sexes = [h.sex for h in headers if h.sex]
    ages = [h.age for h in headers if h.age is not None]
    times = [h.when for h in headers if h.when]
    return dataclasses.replace(
        study,
        sex=study.sex or next(iter(sexes), ""),
        age=study.age if study.age is not None else next(iter(ages), None),
        when=study.when or min(times, default=""),
    )


def _with_report(study: Study, source: Source, reader: Reader) -> Study:
    """Return the study with its report's digest; "" where the report cannot be read.

    It is the digest that `source.report` gives, also where the listing has one: a digest in the
    inventory means that the report could be read, and `texts` stops where it no longer can.
    """
    if study.report is None:
        return study
    try:
        digest = _report_sha256(study.report, source, reader)
    except IngestError:
        digest = ""
    return dataclasses.replace(study, report=dataclasses.replace(study.report, sha256=digest))


def _report_sha256(report: ReportRef, source: Source, reader: Reader) -> str:
    name = f"{report.path}\0{report.member}" if report.member else report.path
    try:
        stat = paths.inside(reader.root, report.path).stat()
    except OSError:
        return source.report(reader.root, report)[1]  # which says what is wrong with it
    known = reader.memory.get(name, stat)
    if known is None:
        known = {"sha256": source.report(reader.root, report)[1]}
        reader.memory.keep(name, stat, known)
    return str(known["sha256"])


def place_patient(studies: Iterable[Study]) -> Iterator[Study]:
    """Yield a patient's studies in their order of time, where times tell one.

    Raises DataError when the patient stands in two splits: nothing after it could be trusted.
    """
    studies = sorted(studies, key=lambda study: (study.when, study.key))
    if len({study.split for study in studies}) > 1:
        raise DataError("split.two: a patient stands in two splits; mend the official list")
    known = all(study.when for study in studies)
    for place, study in enumerate(studies):
        yield dataclasses.replace(study, order=place if known else None, when="")
