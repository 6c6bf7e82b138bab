"""Open-i / Indiana University chest X-rays: the XML archive or folder, or the Kaggle tables.

One picture has three names (CXR1000_IM-0003-1001 in XML and PNG archive, 1000_IM-0003-1001.dcm.png
at Kaggle, 1000_IM-0003-1001.dcm), and report 1 is CXR1_1_IM-... in the XML only. Patients are not
told apart: every report counts as a patient of its own. Reports come in sections already.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import tarfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from nlp import labels as names
from nlp.settings import STRICT
from pipelines import paths, tables, views
from pipelines.faults import ConfigError, DataError, IngestError
from pipelines.records import Image, Lost, ReportRef, Study
from pipelines.sources.base import Assembled, Report, Rows, Table
from pipelines.splits import PatientRule
from pipelines.tables import Row

SECTIONS = ("findings", "impression", "indication", "comparison")
_IMAGE = re.compile(r"(?:^|/)(?:CXR)?(\d+)(?:_1)?_(IM-[0-9-]+)(?:\.dcm)?\.(png|dcm|jpe?g)$", re.I)
_NAME = re.compile(r"(?:CXR)?(\d+)(?:_1)?_(IM-[0-9-]+)", re.I)
_XML = re.compile(r"(?:^|/)(\d+)\.xml$")


@dataclass(frozen=True, config=STRICT)
class Openi:
    """Reader of Open-i; it has no options."""

    name: ClassVar[str] = "openi"
    title: ClassVar[str] = "Open-i Indiana University chest X-rays"
    licence: ClassVar[str] = "CC BY-NC-ND 4.0"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = False

    def tables(self, root: Path) -> tuple[Table, ...]:
        """Return where the reports are (one of three forms) and the lists of views."""
        archive = paths.find(root, "NLMCXR_reports.tgz")
        kaggle = paths.find(root, "indiana_reports.csv", "indiana_reports.csv.gz")
        if kaggle:
            reports = Table("reports", kaggle)
        elif archive:
            reports = Table("reports", archive)
        elif any(root.glob("**/ecgen-radiology/*.xml")):
            reports = Table("reports")
        else:
            raise ConfigError(
                "this is no Open-i tree: no NLMCXR_reports.tgz, ecgen-radiology/*.xml or "
                "indiana_reports.csv below the root"
            )
        optional = {
            "projections": paths.find(
                root, "indiana_projections.csv", "indiana_projections.csv.gz"
            ),
            # torchxrayvision's PA/L list, made by clustering the pictures
            "views": paths.find(root, "nlmcxr_tsne_pa.csv", "nlmcxr_tsne_pa.csv.gz"),
        }
        return (reports, *(Table(n, p) for n, p in optional.items() if p), Table("files"))

    def rows(self, root: Path, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (cxr<uid>, row). No row holds report text, only its digest and where it is."""
        if table.name == "files":
            for path in paths.walk(root):
                if match := _IMAGE.search(path):
                    yield f"cxr{match[1]}", {"image": match[2].lower(), "path": path}
        elif table.name == "projections":
            for row in tables.read(root / table.path, ("uid", "filename", "projection")):
                yield _view_row(row["filename"], row["projection"], table)
        elif table.name == "views":
            for row in tables.read(root / table.path, ("imageid", "tsne-view")):
                yield _view_row(row["imageid"], row["tsne-view"], table)
        elif table.path.endswith(".tgz"):
            archive = root / table.path
            for member, data in _archive(archive, paths.signature(archive)).items():
                yield _xml_row(member, data, table.path)
        elif table.path:
            reports = root / table.path
            for uid, row in _kaggle(reports, paths.signature(reports)).items():
                yield f"cxr{uid}", {"sha256": _sha256(_sections(row)), "mesh": row["MeSH"],
                                    "images": "", "path": table.path, "member": uid}  # fmt: skip
        else:
            for path in paths.walk(root):
                if "ecgen-radiology" in path and _XML.search(path):
                    yield _xml_row(path, (root / path).read_bytes(), path)

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join one report with its pictures."""
        notes: Counter[str] = Counter()
        columns = ("sha256", "mesh", "images")
        row, repeats = tables.sole(rows.get("reports", ()), columns, "a report")
        notes["csv.repeated_row"] += repeats
        on_disk: dict[str, str] = {}
        for file in sorted(rows.get("files", ()), key=lambda file: file["path"]):
            notes["image.duplicate_file"] += file["image"] in on_disk
            on_disk.setdefault(file["image"], file["path"])
        if row is None:
            return Assembled(None, 0, notes={"image.unlisted": len(on_disk)} if on_disk else {})
        named = {
            view["image"]: view["view"]
            for t in ("views", "projections")
            for view in rows.get(t, ())
        }
        # Kaggle's projections list the pictures; its reports table does not name them
        listed = set(row["images"].split()) or {v["image"] for v in rows.get("projections", ())}
        notes["image.unlisted"] += len(set(on_disk) - listed)
        notes["study.no_image"] += not listed
        images = tuple(
            Image(name, on_disk[name], "", *views.of(named.get(name, "")))
            for name in sorted(listed & set(on_disk))
        )
        missing = tuple(Lost("image.missing", name) for name in sorted(listed - set(on_disk)))
        labels = names.from_mesh(tuple(row["mesh"].split(";")))
        result = Study(
            source=self.name,
            key=study,
            patient=study,
            split=rule.split(study),
            images=images,
            report=ReportRef(row["path"], row["member"], row["sha256"]),
            labels=labels,
            labels_from="mesh" if labels else "",
        )
        return Assembled(result if images else None, len(listed), missing, +notes)

    def report(self, root: Path, ref: ReportRef) -> tuple[Report, str]:
        """Return a report's sections, without those that stand empty, and the digest of all."""
        path = paths.inside(root, ref.path)
        try:
            if ref.path.endswith(".tgz"):
                sections = _parse(_archive(path, paths.signature(path))[ref.member])[1]
            elif ref.member:
                sections = _sections(_kaggle(path, paths.signature(path))[ref.member])
            else:
                sections = _parse(path.read_bytes())[1]
        except (OSError, KeyError, ET.ParseError):
            raise IngestError("report.unreadable") from None
        return {name: text for name, text in sections.items() if text}, _sha256(sections)


def _view_row(name: str, view: str, table: Table) -> tuple[str, Row]:
    match = _NAME.match(name)
    if not match:
        raise DataError(f"csv.image: {table.path}: a picture's name is not one of Open-i")
    return f"cxr{match[1]}", {"image": match[2].lower(), "view": view}


@functools.lru_cache(maxsize=2)
def _archive(path: Path, signature: paths.Signature) -> Mapping[str, bytes]:  # noqa: ARG001
    """Return the XML members of the archive (11 MB): a .tgz has no way to read one member."""
    try:
        with tarfile.open(path) as tar:
            members = [m for m in tar if m.isfile() and _XML.search(m.name)]
            return {m.name: tar.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError):
        raise DataError(f"report.archive: {path.name} is not a whole .tgz") from None


@functools.lru_cache(maxsize=2)
def _kaggle(path: Path, signature: paths.Signature) -> Mapping[str, Row]:  # noqa: ARG001
    needed = ("uid", "MeSH", "findings", "impression", "indication", "comparison")
    return {row["uid"].strip(): row for row in tables.read(path, needed)}


def _sections(row: Row) -> dict[str, str]:
    return {name: " ".join(row[name].split()) for name in SECTIONS}


def _xml_row(name: str, data: bytes, path: str) -> tuple[str, Row]:
    try:
        root, sections = _parse(data)
    except ET.ParseError:
        raise DataError(f"report.xml: {name.rsplit('/', 1)[-1]} is not whole XML") from None
    uid = root.find("uId")
    if uid is None or not re.fullmatch(r"CXR\d+", uid.get("id", "")):
        raise DataError(f"report.xml: {name.rsplit('/', 1)[-1]} has no uId")
    images = [_NAME.match(image.get("id", "")) for image in root.iter("parentImage")]
    mesh = [term.text or "" for term in root.iterfind(".//MeSH/major")]
    row = {
        "sha256": _sha256(sections),
        "mesh": ";".join(mesh),
        "images": " ".join(sorted({m[2].lower() for m in images if m})),
        "path": path,
        "member": name if path != name else "",
    }
    return uid.get("id", "").lower(), row


def _parse(data: bytes) -> tuple[ET.Element, dict[str, str]]:
    root = ET.fromstring(data)
    found = {
        str(part.get("Label", "")).lower(): " ".join("".join(part.itertext()).split())
        for part in root.iter("AbstractText")
    }
    return root, {name: found.get(name, "") for name in SECTIONS}


def _sha256(sections: Mapping[str, str]) -> str:
    text = json.dumps(dict(sections), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
