"""Reads the files of a study (digests, DICOM headers) and orders the studies of a patient.

`ReadPatients` is the work of a scan that an engine maps: an element is a few hundred studies, those
of whole patients. It returns the lines of the inventory and what was read from each file.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import pickle
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import interrupts, parts
from cxr_vlp.pipelines.cache.file_index import FileIndex
from cxr_vlp.pipelines.engines.base import Element
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.executor.worker import WorkerState
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, Reject, ReportRef, Study, StudyHeader, dumps, reject
from cxr_vlp.pipelines.sources import ids, views
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.sources.layers import base as layered
from cxr_vlp.pipelines.sources.layers.base import ReadLayer

DICOM = (".dcm", ".dicom", ".dcm.gz", ".dicom.gz")
MAX_FILE = 1 << 30  # bytes of an image file, which is read as a whole
HEADER_BYTES = 1 << 18  # more than the header of any radiograph


@dataclass(frozen=True)
class FileReader:
    """How files are read: the root, the file index, and whether official digests are used."""

    root: Root
    index: FileIndex
    official: bool = False  # the collection's own digests are used


@dataclass(frozen=True)
class ScannedStudy:
    """A study whose files were read; `study` is None if none of its images is readable."""

    study: Study | None
    rejects: tuple[Reject, ...]
    notes: Mapping[str, int] = field(default_factory=dict)  # code -> how often


def read_files(study: Study, source: Source, reader: FileReader) -> ScannedStudy:
    """Read every file of a study once: digests, and the facts that only a DICOM header has.

    A file that did not change since an earlier scan is not opened. A report that cannot be read is
    noted and stays in the study without a digest; `texts` rejects it with its code.
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
        return ScannedStudy(None, tuple(rejects))
    notes["view.unknown"] += sum(image.view == "unknown" for image in images)
    study = _with_headers(dataclasses.replace(study, images=tuple(images)), headers)
    return ScannedStudy(_with_report(study, source, reader, notes), tuple(rejects), +notes)


def _read_image(image: Image, reader: FileReader) -> tuple[Image, StudyHeader]:
    path = paths.inside(reader.root, image.path)
    try:
        stat = paths.plain(path, "image")
        if stat.st_size > MAX_FILE:
            raise IngestError("image.too_large")
        known = reader.index.get(image.path, stat)
        # the digest of a list does not count once the list no longer names the file
        official = reader.official and reader.index.official(image.path)
        if known is None or not (known["read"] or official):
            known = _facts(path, image, reader)
            reader.index.store(image.path, stat, known)
    except FileNotFoundError:
        raise IngestError("image.missing") from None
    except OSError:
        raise IngestError("image.unreadable") from None
    header = _header(known["header"])
    # an official digest also replaces a digest that an earlier scan computed
    digest = official or known["sha256"]
    view, projection = image.view, image.projection
    if view == "unknown":
        stated = (header.view_position, header.view_code)
        view, projection = views.decide(stated, header.procedures)
    return dataclasses.replace(
        image, sha256=digest, size=stat.st_size, view=view, projection=projection
    ), header


def _facts(path: Path, image: Image, reader: FileReader) -> dict[str, Any]:
    """Return digest and header facts; with an official digest only the header is read."""
    is_dicom = path.name.lower().endswith(DICOM)
    digest = reader.index.official(image.path) if reader.official else ""
    header = StudyHeader()
    if digest:
        header = _peek_at(path) if is_dicom else header
        return {"sha256": digest, "header": dataclasses.asdict(header), "read": False}
    data = path.read_bytes()
    # an archive names its files by their UIDs, without a suffix
    header = _peek(data) if is_dicom or data[128:132] == b"DICM" else header
    digest = hashlib.sha256(data).hexdigest()
    return {"sha256": digest, "header": dataclasses.asdict(header), "read": True}


def _header(values: Mapping[str, Any]) -> StudyHeader:
    return StudyHeader(**{**values, "procedures": tuple(values.get("procedures", ()))})


def _peek_at(path: Path) -> StudyHeader:
    header = _peek(paths.first(path, HEADER_BYTES))
    return header if header != StudyHeader() else _peek(path.read_bytes())


def _unpacked(data: bytes) -> bytes:
    """Return the first bytes of the content of a .dcm.gz; the whole may be a decompression bomb."""
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            return stream.read(HEADER_BYTES)
    except (EOFError, OSError, zlib.error):
        return b""


def _peek(data: bytes) -> StudyHeader:
    # imported here because pydicom takes .2 s to import, and an unchanged tree needs none of it
    from cxr_vlp.pipelines.imaging import dicom_file, dicom_header

    if data[:2] == b"\x1f\x8b":
        data = _unpacked(data)
    try:
        return dicom_header.study_header(dicom_file.parse(data, pixels=False))
    except IngestError:  # the file is no DICOM file; a single bad element raises nothing
        return StudyHeader()  # `shards` rejects the file with the same code


def _with_headers(study: Study, headers: list[StudyHeader]) -> Study:
    sexes = [h.sex for h in headers if h.sex]
    ages = [h.age for h in headers if h.age is not None]
    times = [h.when for h in headers if h.when]
    return dataclasses.replace(
        study,
        sex=study.sex or next(iter(sexes), ""),
        age=study.age if study.age is not None else next(iter(ages), None),
        when=study.when or min(times, default=""),
    )


def _with_report(study: Study, source: Source, reader: FileReader, notes: Counter[str]) -> Study:
    """Return the study with its report's digest; "" if the report cannot be read.

    The digest is that of `source.report`, even if the listing has one: a digest in the inventory
    means that the report was readable, and `texts` stops if it no longer is.
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


def _report_facts(report: ReportRef, source: Source, reader: FileReader) -> Mapping[str, str]:
    """Return a report's digest and the note on its form. Raises IngestError report.*."""
    name = name_of_report(report)
    try:
        stat = paths.inside(reader.root, report.path).stat()
    except OSError:
        raise IngestError("report.unreadable") from None
    known: Mapping[str, str] | None = reader.index.get(name, stat)
    if known is None:
        read = source.report(reader.root, report)
        known = {"sha256": read.sha256, "note": read.note}
        reader.index.store(name, stat, known)
    return known


def name_of_report(report: ReportRef) -> str:
    """Return the name under which a file index holds what was read of a report."""
    return f"{report.path}\0{report.member}" if report.member else report.path


def names_of(study: Study) -> Iterator[str]:
    """Yield the names under which a file index holds what was read of a study's files."""
    yield from (image.path for image in study.images)
    if study.report is not None:
        yield name_of_report(study.report)


@dataclass(frozen=True)
class Patients:
    """An element's payload: the studies of whole patients, and what is known of their files."""

    studies: tuple[tuple[Study, ...], ...]  # of each patient
    known: FileIndex

    @property
    def unknown(self) -> int:
        """The number of files of which nothing is known."""
        names = {name for of in self.studies for study in of for name in names_of(study)}
        return len(names - self.known.known.keys())


@dataclass(frozen=True)
class Packed:
    """A payload in a tenth of its memory: an outside engine holds all that it is given."""

    data: bytes
    unknown: int

    @classmethod
    def of(cls, patients: Patients) -> Packed:
        """Return a payload that `patients` gives back."""
        return cls(zlib.compress(pickle.dumps(patients), 1), patients.unknown)

    @property
    def patients(self) -> Patients:
        """The payload."""
        found: Patients = pickle.loads(zlib.decompress(self.data))
        return found


@dataclass(frozen=True)
class ReadPatients:
    """Reads the files of patients, lays annotations on the images, and orders each patient."""

    source: Source
    root: Path
    links: bool
    kept: Path | None  # the folder of the indices of tars
    official: bool
    layers: tuple[ReadLayer, ...]
    counts: Mapping[str, int]  # parts of each split

    isolated = False  # it parses headers, and decodes no image
    spent = ()  # two attempts read the same

    def __call__(
        self,
        element: Element,
        worker: WorkerState | None = None,
        done: Callable[[int], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Return {"patients": the outcome of each, "read": what was read of files}.

        `done` is called with the number of images of each study that was read.
        """
        given: Patients | Packed = element.payload
        payload = given.patients if isinstance(given, Packed) else given
        tree = paths.RawTree(self.root, self.links, self.kept)
        reader = FileReader(tree, payload.known, self.official)
        # the threads of the command itself have no worker, and are seen by `done`
        noted = (lambda _: worker.step()) if worker else done
        found = [self._outcome(studies, reader, noted) for studies in payload.studies]
        read = [[name, *known] for name, known in payload.known.new.items()]
        return {"patients": found, "read": read}

    def _outcome(
        self, studies: Iterable[Study], reader: FileReader, done: Callable[[int], None]
    ) -> dict[str, Any]:
        """Return a patient's lines, as [part, key, images, text], and what is counted."""
        notes: Counter[str] = Counter()
        rejects: list[Reject] = []
        laid: list[tuple[str, str]] = []
        read = []
        patient, seen = "", 0
        for study in studies:
            interrupts.check()
            patient = study.patient
            made = read_files(study, self.source, reader)
            done(len(study.images))
            seen += len(study.images)
            notes.update(made.notes)
            rejects += made.rejects
            if made.study is not None:
                with_layers, matched = layered.lay(made.study, self.layers)
                read.append(with_layers)
                laid += [(layer, name) for layer, names in matched.items() for name in names]
        lines = map(self._line, layered.find_earlier(place_patient(read), self.layers))
        return {
            "patient": patient,
            "seen": seen,
            "lines": list(lines),
            "rejects": [dumps(each) for each in rejects],
            "notes": dict(notes),
            "laid": laid,
        }

    def _line(self, study: Study) -> tuple[str, str, int, str]:
        part = parts.of(self.source.name, study.split, study.key, self.counts)
        return part, study.key, len(study.images), dumps(study)


def place_patient(studies: Iterable[Study]) -> Iterator[Study]:
    """Yield a patient's studies in order of time, if every study has a time of its own.

    Several studies at one time have no order: some publishers write one date into all files.
    Raises DataError if the patient is in two splits, because a test score would be meaningless.
    """
    studies = sorted(studies, key=lambda study: (study.when, study.key))
    if len({study.split for study in studies}) > 1:
        raise DataError(
            "split.two: a patient is in two splits of the official list, so a model would be "
            "tested on a patient it was trained on; correct the list, or remove it to split "
            "patients by scan.validate and scan.test"
        )
    times = {study.when for study in studies}
    known = "" not in times and len(times) == len(studies)
    for place, study in enumerate(studies):
        yield dataclasses.replace(study, order=place if known else None, when="")
