"""Reads MS-CXR and MS-CXR-T, which annotate images of MIMIC-CXR.

MS-CXR: radiologists matched phrases of the reports with boxes. Its table has one row a box, and
several for a phrase that is seen in several places. A COCO file holds the same; it is read where
the table is not there. Boxes are in pixels of the full image, whose size each row gives. `split` is
not MIMIC's, and is not read.

MS-CXR-T: how five findings changed between two images of a patient. Its second table compares
sentences, names no image, and is not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cxr_vlp.nlp import labels
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import cells, csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.records import SourceBox, SourceChange
from cxr_vlp.pipelines.sources.layers import documents
from cxr_vlp.pipelines.sources.layers.base import Fact, bounded

_DICOM = re.compile(r"(?:^|[/\\_])([0-9a-f]{8}(?:-[0-9a-f]{8}){4})(?:\.\w+)*\Z", re.I | re.A)
_ALIGNED = ("MS_CXR_Local_Alignment*.csv", "MS_CXR_Local_Alignment*.csv.gz",
            "MS_CXR_Local_Alignment*.json")  # fmt: skip
_COMPARED = ("MS_CXR_T_temporal_image_classification*.csv",
             "MS_CXR_T_temporal_image_classification*.csv.gz")  # fmt: skip
_BOX = ("dicom_id", "category_name", "label_text", "x", "y", "w", "h", "image_width",
        "image_height")  # fmt: skip
_PAIR = ("dicom_id", "previous_dicom_id")
_FINDINGS = ("consolidation", "edema", "pleural_effusion", "pneumonia", "pneumothorax")
_ENDING = "_progression"
_CHANGES = {"improving": "better", "improved": "better", "stable": "stable",
            "worsening": "worse", "worsened": "worse"}  # fmt: skip
_PHYSIONET = "PhysioNet Credentialed Health Data License 1.5.0"


def dicom_id(text: str) -> str:
    """Return the id of the image that a path, a name or an id of MIMIC-CXR names; "" if none."""
    match = _DICOM.search(text.strip())
    return match[1].lower() if match else ""


@dataclass(frozen=True)
class MsCxr:
    """MS-CXR: phrases and their boxes."""

    name: ClassVar[str] = "mscxr"
    title: ClassVar[str] = "MS-CXR"
    licence: ClassVar[str] = _PHYSIONET
    credentialed: ClassVar[bool] = True
    on: ClassVar[str] = "MIMIC-CXR"

    def tables(self, root: RawTree) -> tuple[str, ...]:
        """Return the table, or the COCO file."""
        return (_found(root, _ALIGNED, self.title),)

    def facts(self, root: RawTree, table: str) -> Iterator[Fact]:
        """Yield the box of each row."""
        path = paths.inside(root, table)
        if table.lower().endswith(".json"):
            rows = ((f"{path.name} {place}", row) for place, row in _coco(documents.read(path)))
        else:
            lines = csv_tables.read(path, _BOX, optional=("path",))
            rows = ((f"{path.name} line {line.number}", line.row or line.code) for line in lines)
        for place, row in rows:
            yield _fact(place, row, _box_of)

    def image(self, text: str) -> str:
        """Return the DICOM id."""
        return dicom_id(text)


@dataclass(frozen=True)
class MsCxrT:
    """MS-CXR-T: how findings changed between two images."""

    name: ClassVar[str] = "mscxrt"
    title: ClassVar[str] = "MS-CXR-T"
    licence: ClassVar[str] = _PHYSIONET
    credentialed: ClassVar[bool] = True
    on: ClassVar[str] = "MIMIC-CXR"

    def tables(self, root: RawTree) -> tuple[str, ...]:
        """Return the table of image pairs."""
        return (_found(root, _COMPARED, self.title),)

    def facts(self, root: RawTree, table: str) -> Iterator[Fact]:
        """Yield the change of each finding of each row."""
        path = paths.inside(root, table)
        known = [f"{finding}{_ENDING}" for finding in _FINDINGS]
        for line in csv_tables.read(path, _PAIR, optional=known):
            place = f"{path.name} line {line.number}"
            if line.code:
                yield Fact(place, code=line.code)
            else:
                yield from _changes(place, line.row)

    def image(self, text: str) -> str:
        """Return the DICOM id."""
        return dicom_id(text)


def _found(root: RawTree, names: tuple[str, ...], title: str) -> str:
    if path := paths.find(root, *names):
        return path
    raise ConfigError(f"this is no folder of {title}: no {names[0]}; {paths.summary(root)}")


def _fact(place: str, row: Row | str, made: Any) -> Fact:
    """Return what a row says; a string is the code of a row that cannot be read."""
    if isinstance(row, str):
        return Fact(place, code=row)
    try:
        image, box = made(row)
    except IngestError as error:
        return Fact(place, code=error.code)
    return Fact(place, image, box)


def _box_of(row: Row) -> tuple[str, SourceBox]:
    """Return (image, box) of a row. Raises IngestError for one that gives no box."""
    image = dicom_id(row["dicom_id"])
    named = dicom_id(cells.known(row.get("path")))
    label = labels.canonical(cells.known(row["category_name"]))
    if not image or not label:
        raise IngestError("layer.bad_row")
    if named and named != image:  # the two columns name two images: which has the box?
        raise IngestError("layer.conflict")
    x, y, w, h = _numbers(row, "xywh")
    width, height = map(int, _numbers(row, ("image_width", "image_height")))
    if width < 1 or height < 1:
        raise IngestError("layer.bad_row")
    if not bounded((x, y, w, h), (width, height)):
        raise IngestError("layer.box")
    phrase = " ".join(cells.known(row["label_text"]).split())
    return image, SourceBox(label, x, y, w, h, phrase=phrase, frame=(width, height))


def _numbers(row: Row, names: Sequence[str]) -> list[float]:
    found = [number for name in names if (number := cells.number(row[name])) is not None]
    if len(found) < len(names):
        raise IngestError("layer.bad_row")
    return found


def _coco(document: Any) -> Iterator[tuple[str, Row | str]]:
    """Yield (place, row as in the table, or a code) for each annotation of a COCO file."""
    names = {each.get("id"): str(each.get("name", "")) for each in _list(document, "categories")}
    images = {each.get("id"): each for each in _list(document, "images")}
    for number, each in enumerate(_list(document, "annotations"), 1):
        image, box = images.get(each.get("image_id")), each.get("bbox")
        if image is None or not isinstance(box, list) or len(box) != 4:
            yield f"annotation {number}", "layer.bad_row"
            continue
        values = {
            "dicom_id": image.get("file_name", ""), "path": image.get("path", ""),
            "category_name": names.get(each.get("category_id"), ""),
            "label_text": each.get("label_text", ""),
            **dict(zip("xywh", box, strict=True)),
            "image_width": image.get("width", ""), "image_height": image.get("height", ""),
        }  # fmt: skip
        yield f"annotation {number}", {k: _text(value) for k, value in values.items()}


def _list(document: Any, name: str) -> list[Mapping[str, Any]]:
    found = document.get(name) if isinstance(document, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _changes(place: str, row: Row) -> Iterator[Fact]:
    """Yield the changes of a pair of images; a blank cell says nothing."""
    image, earlier = dicom_id(row["dicom_id"]), dicom_id(row["previous_dicom_id"])
    if not image or not earlier:
        yield Fact(place, code="layer.bad_row")
        return
    if image == earlier:
        yield Fact(place, code="layer.conflict")
        return
    for column in sorted(name for name in row if name.lower().endswith(_ENDING)):
        said = cells.known(row[column]).lower()
        if not said:
            continue
        if said not in _CHANGES:
            yield Fact(place, code=f"layer.bad_value:{column}")
            continue
        label = labels.canonical(column[: -len(_ENDING)])
        yield Fact(place, image, change=SourceChange(label, _CHANGES[said], earlier))
