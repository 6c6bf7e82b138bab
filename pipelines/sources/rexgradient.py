"""Reads ReXGradient-160K: an object of studies for each split, and PNG images in deep folders.

Each study names its images in lists (`ImagePath`, `ImageViewPosition`) and has its report in four
sections, with the text None for an empty one. The paths begin with ../deid_png/, out of the
metadata's own folder: images are found by the folders and the name of their UIDs. The archive of
the images comes in parts that must be joined. There are no labels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files import cells, csv_tables, json_entries, paths, places
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.json_entries import Entry
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, ReportRef, SourceBox, Study
from cxr_vlp.pipelines.sources import label_studio, placed, reading, views
from cxr_vlp.pipelines.sources.base import (
    NOBODY,
    Assembled,
    OnDisk,
    RawReport,
    Rows,
    Table,
    raise_fault,
    refused,
    rows_of_files,
    sex_of,
)
from cxr_vlp.pipelines.sources.splits import PatientRule

SECTIONS = ("Indication", "Comparison", "Findings", "Impression")
SPLITS = {"train": "train", "validate": "valid", "test": "test"}  # ours -> in the file's name
# .../<patient>/<accession>/studies/<uid>/series/<uid>/instances/<sop>.png
_IMAGE = re.compile(
    r"(?:^|/)([\w-]+)/([\w-]+)/studies/([\w.-]+)/series/[\w.-]+/instances/([\w.-]+)"
    r"\.(?:png|jpe?g)\Z",
    re.I | re.A,
)
_PARTS = re.compile(r"(?:^|/)deid_png\.(?:part\d+|tar.*|tzst|zst)\Z", re.I)
_JOIN = (
    "the images are still packed: join the parts and unpack them beside metadata/, with "
    "`cat deid_png.part* | tar --zstd -xf -`"
)
_BOXES = "interstitial_pattern_bbox.json"
BOX_LABEL = "Interstitial Pattern"  # of a box that has no label of its own
_PLACE = ("number", "member")  # columns that differ between equal rows


@dataclass(frozen=True, config=STRICT)
class Rexgradient:
    """Reader of ReXGradient-160K. `boxes`: whether the boxes of interstitial patterns are read."""

    boxes: Literal["read", "none"] = "read"

    name: ClassVar[str] = "rexgradient"
    title: ClassVar[str] = "ReXGradient-160K"
    licence: ClassVar[str] = "ReXGradient-160K Non-Commercial Data Access and Use Agreement"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = True
    views_from: ClassVar[str] = "ImageViewPosition in *_metadata_view_position.json"

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the metadata of each split, and the boxes where they are."""
        found = {
            split: paths.find(root, f"{name}_metadata_view_position.json", f"{name}_metadata.json")
            for split, name in SPLITS.items()
        }
        if not any(found.values()):
            raise ConfigError(
                "this is no ReXGradient-160K tree: no train_metadata_view_position.json; "
                + paths.summary(root)
            )
        if _is_packed(root):
            raise ConfigError(f"rexgradient: {_JOIN}")
        boxes = paths.find(root, _BOXES) if self.boxes == "read" else ""
        listed = tuple(Table(split, path, lists=True) for split, path in found.items() if path)
        return (*listed, *((Table("boxes", boxes),) if boxes else ()), Table("files", by_file=True))

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (study key, row): a study of the metadata, a file, or a box."""
        if table.name == "files":
            yield from rows_of_files(root, (_IMAGE, lambda m: (_study(m), {"image": m[4]})))
        elif table.name == "boxes":
            yield from _rows_of_boxes(root, self.tables(root), table)
        else:
            yield from _rows_of_studies(root, table.path)

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:  # noqa: ARG002
        """Join one study. The key of an image is its place in the study's lists, from 0."""
        notes: Counter[str] = Counter()
        found = {split: rows[split] for split in SPLITS if rows.get(split)}
        named = {row["names"] for of in found.values() for row in of}
        names = list(dict.fromkeys(name for line in sorted(named) for name in line.split("\n")))
        keys = {name: str(place) for place, name in enumerate(names)}
        files = rows.get("files", ())
        on_disk = OnDisk.of([_keyed(row, keys) for row in files], lambda path: not _is_png(path))
        notes["image.duplicate_file"] += on_disk.copies
        notes["image.unlisted"] += on_disk.unlisted(keys.values())
        if not found:
            return Assembled(None, 0, notes=+notes)
        try:
            result = self._study(study, found, keys, on_disk, notes)
        except IngestError as error:
            return refused(error.code, keys.values(), on_disk, notes)
        result = _with_boxes(result, rows.get("boxes", ()), keys, notes)
        missing = on_disk.missing(keys.values())
        return Assembled(result if result.images else None, len(keys), missing, +notes)

    def _study(
        self,
        study: str,
        found: Rows,
        keys: Mapping[str, str],
        on_disk: OnDisk,
        notes: Counter[str],
    ) -> Study:
        split = next(iter(found))
        if len(found) > 1:
            raise IngestError("split.conflict")
        raise_fault(found[split])
        rows = sorted(found[split], key=lambda row: int(row["number"]))
        row, repeats = csv_tables.sole_row(rows, [c for c in rows[0] if c not in _PLACE])
        assert row is not None  # `found` has rows
        notes["csv.repeated_row"] += repeats
        names = row["names"].split("\n")
        seen = dict(zip(names, row["views"].split("\n"), strict=False))
        notes["csv.repeated_row"] += len(names) - len(set(names))
        notes["json.lists"] += bool(row["odd"])
        notes["report.missing"] += not row["report"]
        age = cells.years(row["age"])
        notes["age.bad_value"] += age is None and bool(row["age"])
        notes["date.bad_value"] += bool(row["date"]) and not _is_day(row["date"])
        return Study(
            source=self.name,
            key=study,
            patient=row["patient"],
            split=split,
            images=tuple(
                Image(key, on_disk.paths[key], "", *views.of(seen.get(name, "")))
                for name, key in keys.items()
                if key in on_disk.paths
            ),
            report=ReportRef(row["path"], row["member"]) if row["report"] else None,
            sex=sex_of(row["sex"]),
            age=age,
            when=row["date"] if _is_day(row["date"]) else "",
        )

    def report(self, root: Root, ref: ReportRef) -> RawReport:
        """Return the sections that are not empty, read from the study's place in the file."""
        sections = _sections(placed.entry(paths.inside(root, ref.path), ref.member))
        if sum(map(len, sections.values())) > reading.LONGEST:
            raise IngestError("report.too_long")
        return RawReport(sections, placed.digest(sections))


def _is_packed(root: Root) -> bool:
    """Return whether the tree has the archive of the images, or its parts, and no image."""
    packed = False
    for path in paths.walk(root):
        if _IMAGE.search(path):
            return False
        packed = packed or bool(_PARTS.search(path))
    return packed


def _study(match: re.Match[str]) -> str:
    """Return the key of a study: its accession number, and a hash of its UID of 64 characters."""
    uid = hashlib.sha256(match[3].encode()).hexdigest()[:8]
    return f"{match[2]}-{uid}".lower()


def _is_png(path: str) -> bool:
    return path.lower().endswith(".png")


def _keyed(row: Row, keys: Mapping[str, str]) -> Row:
    return row | {"image": keys.get(row["image"], row["image"])}


def _is_day(text: str) -> bool:
    return len(text) == 8 and text.isascii() and text.isdigit()


def _rows_of_studies(root: Root, path: str) -> Iterator[tuple[str, Row]]:
    """Yield (study key, row). Raises DataError csv.no_row for metadata without a study."""
    entry = None
    for entry in json_entries.of_object(paths.inside(root, path)):
        yield _of_entry(entry, path)
    if entry is None:
        name = path.rpartition("/")[2]
        raise DataError(f"csv.no_row: {name} has no study; download it again")


def _of_entry(entry: Entry, path: str) -> tuple[str, Row]:
    """Return (study key, row) of a study; NOBODY where its paths do not name one study."""
    stated = _list(entry.value.get("ImagePath"))
    matches = [_IMAGE.search(text.replace("\\", "/")) for text in stated]
    found = [match for match in matches if match]
    if len({_study(match) for match in found}) != 1 or len(found) != len(stated):
        where = {"file": path.rpartition("/")[2], "line": str(entry.number)}
        fault = "csv.path" if stated else "study.no_image"
        return NOBODY, {"fault": fault, "images": str(len(set(stated))), **where}
    row = (
        _facts(entry, path)
        | _report(entry.value)
        | {"names": "\n".join(match[4] for match in found)}
    )
    positions = _list(entry.value.get("ImageViewPosition"))
    odd = bool(positions) and len(positions) != len(found)
    row |= {"odd": "1" if odd else "", "views": "" if odd else "\n".join(positions)}
    patients = {match[1] for match in found} | ({row["patient"]} - {""})
    if len(patients) > 1:
        row["fault"] = "study.two_patients"
    return _study(found[0]), row | {"patient": found[0][1]}


def _facts(entry: Entry, path: str) -> Row:
    value = entry.value
    return {
        "path": path,
        "number": str(entry.number),
        "member": places.name(entry.start, entry.size),
        "patient": _text(value.get("PatientID")),
        "sex": _text(value.get("PatientSex")),
        "age": _text(value.get("PatientAge")),
        "date": _text(value.get("StudyDate")).removesuffix(".0"),
    }


def _report(value: Mapping[str, Any]) -> Row:
    """Return the digest of the report, or the fault of one that cannot be used."""
    try:
        sections = _sections(value)
    except IngestError as error:
        return {"report": "", "fault": error.code}
    return {"report": placed.digest(sections) if sections else ""}


def _text(value: Any) -> str:
    """Return a value as text, "" for every spelling of a missing one: None, "None", NaN."""
    return cells.known("" if value is None else str(value))


def _list(value: Any) -> list[str]:
    found = value if isinstance(value, list) else [value] if value else []
    return [_text(one).replace("\n", " ") for one in found]


def _sections(value: Mapping[str, Any]) -> dict[str, str]:
    """Return the sections that are not empty. Raises IngestError report.not_text."""
    found = {}
    for name in SECTIONS:
        stated = value.get(name)
        if not isinstance(stated, str | None) and stated == stated:  # pandas' nan is no value
            raise IngestError("report.not_text")
        if text := _text(stated):
            found[name.lower()] = placed.checked(text)
    return found


def _rows_of_boxes(root: Root, tables: Iterable[Table], table: Table) -> Iterator[tuple[str, Row]]:
    """Yield (study key, box); a box of an image that no study names is yielded under NOBODY.

    A box names its image by `<study>_<sop>.png`, without the folders: the metadata are read once
    more for the studies of the few images that have boxes.
    """
    wanted: dict[str, list[Row]] = {}
    for box in label_studio.boxes(paths.inside(root, table.path), BOX_LABEL):
        sop = box.image.rpartition("_")[2].rpartition(".")[0]
        wanted.setdefault(sop, []).append(_box_row(sop, box))
    for each in (t for t in tables if t.name in SPLITS):
        for entry in json_entries.of_object(paths.inside(root, each.path)):
            study, row = _of_entry(entry, each.path)
            for sop in row["names"].split("\n") if "names" in row else ():
                yield from ((study, box) for box in wanted.pop(sop, ()))
    for number, _ in enumerate((box for of in wanted.values() for box in of), 1):
        where = {"file": table.path.rpartition("/")[2], "line": str(number), "images": "0"}
        yield NOBODY, {"fault": "list.image", **where}


def _box_row(sop: str, box: label_studio.Named) -> Row:
    sides = " ".join(map(repr, box.sides)) if box.sides else ""
    return {"image": sop, "label": box.label, "sides": sides}


def _with_boxes(
    study: Study, rows: Iterable[Row], keys: Mapping[str, str], notes: Counter[str]
) -> Study:
    found: dict[str, set[SourceBox]] = {}
    for row in rows:
        sides = [float(side) for side in row["sides"].split()]
        notes["box.bad_value"] += not sides
        if sides:
            x, y, w, h = sides
            found.setdefault(keys[row["image"]], set()).add(SourceBox(row["label"], x, y, w, h))
    images = tuple(
        dataclasses.replace(image, boxes=_in_order(found[image.key]), frame=label_studio.FRAME)
        if image.key in found
        else image
        for image in study.images
    )
    return dataclasses.replace(study, images=images)


def _in_order(boxes: Iterable[SourceBox]) -> tuple[SourceBox, ...]:
    return tuple(sorted(boxes, key=lambda box: (box.label, box.x, box.y, box.w, box.h)))
