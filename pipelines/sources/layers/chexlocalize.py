"""Reads CheXlocalize: outlines of ten findings on the images of CheXpert's valid and test sets.

gt_annotations_{val,test}.json holds the outlines, gt_segmentations_{val,test}.json the same as
masks, COCO's run lengths. Of each set the outlines are read, or the masks where those are not
there. An outline, or a part of a mask that touches no other part, becomes the box around it. Only
images with a finding are in the outlines; an image that is not there has no annotated finding, and
nothing is concluded from that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from cxr_vlp.nlp import labels
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.records import SourceBox
from cxr_vlp.pipelines.sources.layers import documents
from cxr_vlp.pipelines.sources.layers.base import Fact, Size, bounded

_IMAGE = re.compile(
    r"(?:^|[/\\])patient(\d+)[/\\_-]study(\d+)[/\\_-](view\d+_[a-z]+)(?:\.\w+)*\Z", re.I | re.A
)
_SETS = ("val", "test")
_SIZE = "img_size"  # height and width
_LARGEST = 1 << 28  # pixels of a mask; those of CheXpert have at most 12 million
Sides = tuple[float, float, float, float]


@dataclass(frozen=True)
class CheXlocalize:
    """CheXlocalize: boxes around outlines that radiologists drew."""

    name: ClassVar[str] = "chexlocalize"
    title: ClassVar[str] = "CheXlocalize"
    licence: ClassVar[str] = "Stanford University Dataset Research Use Agreement"
    credentialed: ClassVar[bool] = True
    on: ClassVar[str] = "CheXpert"

    def tables(self, root: RawTree) -> tuple[str, ...]:
        """Return the file of outlines of each set, or its file of masks."""
        found = [
            paths.find(root, f"gt_annotations_{name}.json*", f"gt_segmentations_{name}.json*")
            for name in _SETS
        ]
        if not any(found):
            raise ConfigError(
                "this is no folder of CheXlocalize: no gt_annotations_val.json, and no "
                f"gt_segmentations_val.json; {paths.summary(root)}"
            )
        return tuple(path for path in found if path)

    def facts(self, root: RawTree, table: str) -> Iterator[Fact]:
        """Yield the boxes of each image and finding."""
        path = paths.inside(root, table)
        document = documents.read(path)
        images = document.items() if isinstance(document, dict) else ()
        for number, (name, findings) in enumerate(images, 1):
            place, image = f"{path.name} image {number}", self.image(name)
            if not image or not isinstance(findings, dict):
                yield Fact(place, code="layer.bad_row")
                continue
            for finding, drawn in findings.items():
                if finding != _SIZE:
                    yield from _facts(place, image, finding, drawn, findings.get(_SIZE))

    def image(self, text: str) -> str:
        """Return patient64622_study1_view1_frontal, with the zeros that a copy may have lost."""
        match = _IMAGE.search(text)
        if match is None:
            return ""
        return f"patient{match[1].zfill(5)}_study{int(match[2])}_{match[3].lower()}"


def _facts(place: str, image: str, finding: str, drawn: Any, stated: Any) -> Iterator[Fact]:
    """Yield the boxes of one finding; a mask without a pixel has none."""
    label = labels.canonical(finding)
    try:
        mask = isinstance(drawn, dict)
        frame = _frame(drawn.get("size") if mask else stated)
        found = _of_mask(drawn.get("counts"), frame) if mask else _of_outlines(drawn)
    except IngestError as error:
        yield Fact(place, code=error.code)
        return
    for sides in found:
        if sides is not None and bounded(sides, frame):
            yield Fact(place, image, SourceBox(label, *sides, frame=frame))
        else:
            yield Fact(place, code="layer.box")


def _frame(stated: Any) -> Size:
    """Return (width, height) of the size that the file gives as [height, width]."""
    sound = isinstance(stated, list) and len(stated) == 2
    if not sound or not all(type(side) is int and side > 0 for side in stated):
        raise IngestError("layer.bad_row")
    return stated[1], stated[0]


def _of_outlines(outlines: Any) -> list[Sides | None]:
    """Return the box around each outline [[x, y], ...]; None for one that is no list of points."""
    if not isinstance(outlines, list):
        raise IngestError("layer.bad_row")
    return [_around(outline) for outline in outlines]


def _around(outline: Any) -> Sides | None:
    try:
        points = np.asarray(outline, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        return None
    if not len(points):
        return None
    (x, y), (right, below) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x, y, right - x, below - y


def _of_mask(counts: Any, frame: Size) -> list[Sides]:
    """Return the box around each part of a mask in COCO's run lengths, column by column.

    Raises IngestError for run lengths that do not fill the mask.
    """
    width, height = frame
    runs = _runs(counts) if isinstance(counts, str) else counts
    sound = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if not sound or width * height > _LARGEST or sum(runs) != width * height:
        raise IngestError("layer.bad_row")
    if len(runs) < 2:
        return []
    flat = np.repeat(np.arange(len(runs), dtype=np.int64) % 2, runs).astype(np.uint8)
    mask = np.ascontiguousarray(flat.reshape(width, height).T)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return [_sides(row) for row in stats[1:].tolist()]


def _sides(row: Sequence[int]) -> Sides:
    x, y, w, h = row[:4]
    return float(x), float(y), float(w), float(h)


def _runs(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed text.

    A number is written in groups of five bits, the lowest first, each in a character from "0" on;
    bit 32 says that another group follows, bit 16 of the last group that the number is negative.
    From the fourth on, a number is the difference to the one two places before.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise IngestError("layer.bad_row")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
