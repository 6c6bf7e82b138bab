"""An assembled study in, the study as the inventory holds it out: files read, patients placed.

Pure functions under the Beam graph of transforms.Inventory.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines import dicoms, paths, views
from pipelines.faults import DataError, IngestError
from pipelines.records import Image, Reject, Study, reject
from pipelines.sources.base import Source

DICOM = (".dcm", ".dicom")


def read_files(study: Study, source: Source, root: Path) -> tuple[Study | None, tuple[Reject, ...]]:
    """Read every file of a study once: digests, and what only a DICOM header tells.

    Returns None for the study when none of its images can be read. A report that cannot be read
    keeps its place without a digest; `texts` gives it its code.
    """
    images, headers, rejects = [], [], []
    for image in study.images:
        try:
            read, header = _read_image(image, root)
        except IngestError as error:
            rejects.append(reject(sample_key(study, image), error.code, "scan"))
            continue
        images.append(read)
        headers.append(header)
    if not images:
        return None, tuple(rejects)
    study = dataclasses.replace(study, images=tuple(images))
    return _with_report(_with_headers(study, headers), source, root), tuple(rejects)


def sample_key(study: Study, image: Image) -> str:
    """Return the key of an image's sample: {source}-{study}-{image}."""
    return f"{study.source}-{study.key}-{image.key}"


def _read_image(image: Image, root: Path) -> tuple[Image, dicoms.Header]:
    path = paths.inside(root, image.path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise IngestError("image.missing") from None
    except OSError:
        raise IngestError("image.unreadable") from None
    header = dicoms.Header()
    if path.suffix.lower() in DICOM:
        header = _peek(data)
    view, projection = image.view, image.projection
    if view == "unknown":
        view, projection = views.first(header.view_position, header.view_code)
    digest = hashlib.sha256(data).hexdigest()
    return dataclasses.replace(image, sha256=digest, view=view, projection=projection), header


def _peek(data: bytes) -> dicoms.Header:
    try:
        return dicoms.header(dicoms.parse(data, pixels=False))
    except IngestError:
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


def _with_report(study: Study, source: Source, root: Path) -> Study:
    if study.report is None or study.report.sha256:
        return study
    try:
        digest = source.report_sha256(root, study.report)
    except IngestError:
        return study
    return dataclasses.replace(study, report=dataclasses.replace(study.report, sha256=digest))


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
