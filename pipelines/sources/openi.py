"""Reads Open-i (Indiana University chest X-rays): the XML archive or folder, or the Kaggle tables.

One image has three names (CXR1000_IM-0003-1001 in XML and PNG archive, 1000_IM-0003-1001.dcm.png at
Kaggle, 1000_IM-0003-1001.dcm), and report 1 is CXR1_1_IM-... in the XML only. The collection does
not identify patients: every report counts as its own patient. Reports are already divided into
sections.

R2Gen's copy (images/CXR1000_IM-0003/0.png and annotation.json) has findings, splits and images
alone. It does not say which image is which of the collection, so its images have keys of their own.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp import labels
from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import cells, csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, ReportRef, Study
from cxr_vlp.pipelines.sources import r2gen, reading, views
from cxr_vlp.pipelines.sources.base import (
    NOBODY,
    Assembled,
    Named,
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

SECTIONS = ("findings", "impression", "indication", "comparison")
_IMAGE = re.compile(
    r"(?:^|/)(?:CXR)?(\d+)(?:_1)?_(IM-[0-9-]+)(?:\.dcm)?\.(?:png|dcm|dicom|dcm\.gz|jpe?g)\Z",
    re.I | re.A,
)
_NAME = re.compile(r"(?:.*[/\\])?(?:CXR)?(\d+)(?:_1)?_(IM-[0-9-]+)", re.I | re.A)
# the names of images and reports in tables of others
_PLACE = re.compile(r"(?:^|[/\\])(?:CXR)?(\d+)(?:_1)?_(IM-[0-9-]+)(?:\.\w+)*\Z", re.I | re.A)
_REPORT = re.compile(r"(?:.*[/\\])?(?:CXR)?(\d+)(?:\.0|\.xml)?", re.I | re.A)
_XML = re.compile(r"(?:^|/)(\d+)\.xml\Z", re.I | re.A)
_FOLDER = re.compile(r"(?:^|/)ecgen-radiology/(?:.*/)?(\d+)\.xml\Z", re.I | re.A)
# images/CXR2384_IM-0942/0.png and /1.png of R2Gen's copy
_R2GEN = re.compile(
    r"(?:^|/)(?:CXR)?(\d+)(?:_1)?_(IM-[0-9-]+)/(\d{1,2})\.(?:png|jpe?g)\Z", re.I | re.A
)
_SEPARATOR = "\x1f"  # between the captions of a report


@dataclass(frozen=True, config=STRICT)
class Openi:
    """Reader of Open-i; it has no options."""

    name: ClassVar[str] = "openi"
    title: ClassVar[str] = "Open-i Indiana University chest X-rays"
    licence: ClassVar[str] = "CC BY-NC-ND 4.0"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = False
    views_from: ClassVar[str] = "indiana_projections.csv of Kaggle's copy, or nlmcxr_tsne_pa.csv"

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the listing of reports, in one of its four forms, and the lists of views."""
        archive = paths.find(root, "NLMCXR_reports.tgz", "NLMCXR_reports.tar.gz")
        kaggle = paths.find(root, "indiana_reports.csv", "indiana_reports.csv.gz")
        if kaggle:
            reports = Table("reports", kaggle)
        elif archive:
            reports = Table("reports", archive)
        elif any(map(_FOLDER.search, paths.walk(root))):
            reports = Table("reports", by_file=True)
        elif annotation := paths.find(root, *r2gen.NAMES):
            return (Table("annotation", annotation, lists=True), Table("r2gen files", by_file=True))
        else:
            raise ConfigError(
                "this is no Open-i tree: no NLMCXR_reports.tgz, ecgen-radiology/*.xml, "
                f"indiana_reports.csv or annotation.json; {paths.summary(root)}"
            )
        optional = {
            "projections": paths.find(
                root, "indiana_projections.csv", "indiana_projections.csv.gz"
            ),
            # torchxrayvision's PA/L list, made by clustering the images
            "views": paths.find(root, "nlmcxr_tsne_pa.csv", "nlmcxr_tsne_pa.csv.gz"),
        }
        # Kaggle's projections list the images; its reports table does not name them
        lists = "projections" if kaggle else ""
        found = (Table(n, p, n == lists) for n, p in optional.items() if p)
        return (reports, *found, Table("files", by_file=True))

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (cxr<uid>, row). A row has the digest and the place of a report, never its text."""
        if table.name == "files":
            yield from rows_of_files(
                root, (_IMAGE, lambda m: (f"cxr{int(m[1])}", {"image": m[2].lower()}))
            )
            return
        if table.name == "r2gen files":
            yield from rows_of_files(root, (_R2GEN, _r2gen_image))
            return
        if not table.path:
            yield from self._folder(root)
            return
        if table.name == "annotation":
            yield from keyed(table, r2gen.lines(root, table), _r2gen_row)
            return
        path = paths.inside(root, table.path)
        if table.name == "projections":
            lines = csv_tables.read(path, ("uid", "filename", "projection"))
            yield from keyed(table, lines, lambda r: _view_row(r["filename"], r["projection"]))
        elif table.name == "views":
            lines = csv_tables.read(path, ("imageid", "tsne-view"))
            yield from keyed(table, lines, lambda row: _view_row(row["imageid"], row["tsne-view"]))
        elif _is_archive(table.path):
            for member, data in reading.tgz_members(path, _XML):
                yield _xml_row(member, data, table.path)
        else:
            yield from keyed(
                table,
                csv_tables.read(path, _KAGGLE, optional=("image",)),
                lambda r: _kaggle_row(r, table.path),
            )

    def _folder(self, root: Root) -> Iterator[tuple[str, Row]]:
        found = rows_of_files(root, (_FOLDER, lambda match: (f"cxr{int(match[1])}", {})))
        for study, row in found:
            if study == NOBODY or row.get("fault"):
                continue  # the walk over the images counts folders that cannot be read
            try:
                data = reading.of_file(paths.inside(root, row["path"]))
            except IngestError as error:
                yield study, _broken(error.code)
            else:
                yield _xml_row(row["path"], data, row["path"])

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join one report with its images."""
        if "annotation" in rows:
            return self._r2gen(study, rows)
        notes: Counter[str] = Counter()
        on_disk = OnDisk.of(rows.get("files", ()), lambda path: not path.lower().endswith(".png"))
        notes["image.duplicate_file"] += on_disk.copies
        reports, projected = rows.get("reports", ()), rows.get("projections", ())
        by_projection = {row["image"] for row in projected}
        listed = {image for row in reports for image in row["images"].split()} or by_projection
        if any(row.get("fault") for row in reports):  # what it lists cannot be read
            listed = listed or set(on_disk.paths) | set(on_disk.faults)
        notes["image.unlisted"] += on_disk.unlisted(listed)
        if not reports:
            if by_projection:
                return refused("report.no_row", listed, on_disk, notes)
            return Assembled(None, 0, notes=+notes)
        try:
            result = self._study(study, rows, rule, listed, on_disk, notes)
        except IngestError as error:
            return refused(error.code, listed, on_disk, notes)
        missing = on_disk.missing(listed)
        return Assembled(result if result.images else None, len(listed), missing, +notes)

    def named(self, text: str, kind: str) -> Named | None:  # noqa: ARG002 - the form tells
        """Return what an image's name in one of its three forms, CXR1000 or 1000 name."""
        if match := _PLACE.search(text):
            study = f"cxr{int(match[1])}"
            return Named(study, study, match[2].lower())
        match = _REPORT.fullmatch(text)
        study = f"cxr{int(match[1])}" if match else ""
        return Named(study, study) if study else None

    def _r2gen(self, study: str, rows: Rows) -> Assembled:
        """Join one entry of R2Gen's list with its images."""
        notes: Counter[str] = Counter()
        on_disk = OnDisk.of(rows["r2gen files"], lambda path: not path.lower().endswith(".png"))
        notes["image.duplicate_file"] += on_disk.copies
        listed = {row["image"] for row in rows["annotation"]}
        notes["image.unlisted"] += on_disk.unlisted(listed)
        if not listed:
            return Assembled(None, 0, notes=+notes)
        try:
            row = _entry(rows["annotation"])
        except IngestError as error:
            return refused(error.code, listed, on_disk, notes)
        notes["report.missing"] += "report" not in row
        images = tuple(
            Image(name, on_disk.paths[name]) for name in sorted(listed & set(on_disk.paths))
        )
        report = ReportRef(row["path"], row["member"]) if "report" in row else None
        made = Study(self.name, study, study, row["split"], images, report)
        return Assembled(made if images else None, len(listed), on_disk.missing(listed), +notes)

    def _study(
        self,
        study: str,
        rows: Rows,
        rule: PatientRule,
        listed: set[str],
        on_disk: OnDisk,
        notes: Counter[str],
    ) -> Study:
        raise_fault(rows["reports"])
        row, repeats = csv_tables.sole_row(rows["reports"], ("sha256", "mesh", "images"))
        assert row is not None  # without a report row `assemble` returns earlier
        notes["csv.repeated_row"] += repeats
        notes["study.no_image"] += not listed
        notes["id.normalised"] += sum(bool(row.get("odd")) for row in rows["reports"])
        named: dict[str, str] = {}
        for table in ("views", "projections"):  # projections count where both name a view
            for view in rows.get(table, ()):
                if cells.known(view["view"]):
                    named[view["image"]] = view["view"]
        if len(listed) == 1:  # then a caption of the report's images is about this one
            named.setdefault(next(iter(listed)), _sole_caption(row["captions"]))
        images = tuple(
            Image(name, on_disk.paths[name], "", *views.of(named.get(name, "")))
            for name in sorted(listed & set(on_disk.paths))
        )
        mesh_labels = labels.from_mesh(row["mesh"].split(";"))
        return Study(
            source=self.name,
            key=study,
            patient=study,
            split=rule.split(study),
            images=images,
            report=ReportRef(row["path"], row["member"], row["sha256"]),
            labels=mesh_labels,
            labels_from="mesh" if mesh_labels else "",
        )

    def report(self, root: Root, ref: ReportRef) -> RawReport:
        """Return a report's sections that are not empty, and the digest of all."""
        path = paths.inside(root, ref.path)
        if ref.path.lower().endswith(".json"):
            found, digest = r2gen.report(path, ref.member)
            return RawReport(found, digest)
        if _is_archive(ref.path):
            spool = reading.Spool.of(path, _XML, paths.signature(path))
            sections = _sections_of_xml(reading.xml(spool.read(ref.member)))
        elif ref.member:
            row = _kaggle(path, paths.signature(path)).get(ref.member)
            if row is None:
                raise IngestError("report.unreadable")
            sections = row
        else:
            sections = _sections_of_xml(reading.xml(reading.of_file(path)))
        kept = {name: text for name, text in sections.items() if text}
        return RawReport(kept, _sha256(dict.fromkeys(SECTIONS, "") | kept))


def _is_archive(path: str) -> bool:
    return path.lower().endswith((".tgz", ".tar.gz"))


def _r2gen_image(match: re.Match[str]) -> tuple[str, Row]:
    """Return (study key, row) of an image: report 2384, image im-0942-0."""
    return f"cxr{int(match[1])}", {"image": f"{match[2].lower()}-{int(match[3])}"}


def _r2gen_row(row: Row) -> tuple[str, Row]:
    match = _R2GEN.search(row["image"])
    if match is None:
        raise IngestError("csv.image")
    study, found = _r2gen_image(match)
    return study, row | found


def _entry(rows: Sequence[Row]) -> Row:
    """Return a row of the one entry of a report. Raises IngestError csv.conflict, split.conflict.

    An entry has a row for each image.
    """
    if len({row["split"] for row in rows}) > 1:
        raise IngestError("split.conflict")
    row, _ = csv_tables.sole_row(rows, ("sha256",))
    assert row is not None  # `_r2gen` returns earlier without rows
    return row


def _view_row(name: str, view: str) -> tuple[str, Row]:
    match = _NAME.match(cells.known(name))
    if not match:
        raise IngestError("csv.image")
    return f"cxr{int(match[1])}", {"image": match[2].lower(), "view": view}


_KAGGLE = ("uid", "MeSH", "findings", "impression", "indication", "comparison")


def _kaggle_row(row: Row, path: str) -> tuple[str, Row]:
    uid = str(int(cells.identifier(row["uid"])))
    sections = _sections(row)
    found = {"sha256": _sha256(sections), "mesh": cells.known(row["MeSH"]), "images": "",
             "captions": row.get("image", ""), "path": path, "member": uid}  # fmt: skip
    return f"cxr{uid}", found | ({"odd": "1"} if uid != row["uid"].strip() else {})


@functools.lru_cache(maxsize=2)
def _kaggle(path: Path, signature: paths.Signature) -> Mapping[str, dict[str, str]]:  # noqa: ARG001
    """Return the sections of every report of the table, by uid; a changed table is read again."""
    found = {}
    for line in csv_tables.read(path, _KAGGLE):
        try:
            if not line.code:
                found[str(int(cells.identifier(line.row["uid"])))] = _sections(line.row)
        except IngestError:  # scan has counted it
            continue
    return found


def _sections(row: Row) -> dict[str, str]:
    """Return the sections of a row; pandas writes `nan` for a missing section."""
    return {name: " ".join(cells.known(row[name]).split()) for name in SECTIONS}


def _broken(code: str) -> Row:
    """Return the row of a report that cannot be read: its study cannot be used either."""
    return {"fault": code, "images": ""}


def _xml_row(name: str, data: bytes | None, path: str) -> tuple[str, Row]:
    """Return (study key, row) of an XML report; the file name gives the key if the XML does not."""

    match = _XML.search(name)
    study = f"cxr{int(match[1])}" if match else NOBODY
    if data is None or not paths.readable(name):
        return study, _broken("report.too_long" if data is None else "path.encoding")
    try:
        root = reading.xml(data)
    except IngestError as error:
        return study, _broken(error.code)
    uid = root.find("uId")
    stated = re.fullmatch(r"CXR(\d+)", uid.get("id", ""), re.A) if uid is not None else None
    if stated is None:
        return study, _broken("report.xml")
    images = [_NAME.match(image.get("id", "")) for image in root.iter("parentImage")]
    mesh = [term.text or "" for term in root.iterfind(".//MeSH/major")]
    row = {
        "sha256": _sha256(_sections_of_xml(root)),
        "mesh": ";".join(mesh),
        "images": " ".join(sorted({m[2].lower() for m in images if m})),
        "captions": _SEPARATOR.join(caption.text or "" for caption in root.iter("caption")),
        "path": path,
        "member": name if path != name else "",
    }
    return f"cxr{int(stated[1])}", row


def _sole_caption(captions: str) -> str:
    """Return the caption that all of a report's images share, "" if they differ."""
    found = set(captions.split(_SEPARATOR))
    return found.pop() if len(found) == 1 else ""


def _sections_of_xml(root: ET.Element) -> dict[str, str]:
    found = {
        str(part.get("Label", "")).lower(): " ".join("".join(part.itertext()).split())
        for part in root.iter("AbstractText")
    }
    return {name: found.get(name, "") for name in SECTIONS}


def _sha256(sections: Mapping[str, str]) -> str:
    text = json.dumps(dict(sections), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
