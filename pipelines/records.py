"""The records that the stages pass on, such as Study, Image and Reject, and their JSON form.

In memory they are frozen dataclasses, in a file each is one line of compact JSON with sorted keys
(`dumps`, `study_from_json`). A field that a source does not have is "", None or absent; it is never
invented.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format.sample import key_hash

_LEAVES = frozenset({str, int, float, bool, type(None)})  # types that JSON has


@dataclass(frozen=True, slots=True)
class SourceBox:
    """A finding's bounding box, in pixels of the source image, origin at the top left."""

    label: str
    x: float
    y: float
    w: float
    h: float
    phrase: str = ""  # the words of a report that describe it
    layer: str = ""  # the annotation layer that it is from; "": the collection itself
    frame: tuple[int, int] | None = None  # (width, height) it is given in; None: the image's frame


@dataclass(frozen=True, slots=True)
class SourceChange:
    """How a finding changed since an earlier image of the patient."""

    label: str
    change: str  # better, worse, stable, new, resolved
    earlier: str = ""  # the earlier image: its id in the layer until `scan` has found its sample
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a study: where its file is and what the collection says of its view."""

    key: str  # unique inside the study, [a-z0-9_-]+
    path: str  # POSIX, relative to the root of the raw tree
    sha256: str = ""  # of the file's bytes; "" until `scan` has read the file
    view: str = "unknown"  # frontal, lateral, other, unknown
    projection: str = ""  # AP, PA, LL, ... as the source gives it, upper case
    boxes: tuple[SourceBox, ...] = ()
    frame: tuple[int, int] | None = None  # (width, height) the boxes are given in; None: the file's
    size: int = 0  # of the file, in bytes
    origin: str = ""  # the source's own key, where `key` is a salted hash; stays in data/scan
    changes: tuple[SourceChange, ...] = ()
    # "inverted": a PNG or JPEG whose low values are white, as the collection says beside the file
    # (MONOCHROME1). A DICOM file says so itself
    polarity: str = ""


@dataclass(frozen=True, slots=True)
class ReportRef:
    """Where a study's report is. The text itself never leaves the raw tree before `texts`."""

    path: str  # a .txt, .xml, .csv or .zip below the root
    member: str = ""  # zip member or row id inside that file; "" for a file of its own
    sha256: str = ""  # of the report's bytes (of the member or row, not of the whole archive)


@dataclass(frozen=True, slots=True)
class Study:
    """One examination of one patient: its images, its report, the source's labels."""

    source: str
    key: str  # [a-z0-9_-]+, unique in the source
    patient: str  # the source's own id, or its salted hash (ids.py)
    split: str
    images: tuple[Image, ...]
    report: ReportRef | None = None
    labels: Mapping[str, int] = field(default_factory=dict)  # name -> 1, 0, -1
    labels_from: str = ""  # which of the source's label sets: "chexpert", "negbio", "mesh", ...
    sex: str = ""  # "F", "M" or ""
    age: int | None = None  # years
    order: int | None = None  # place in the patient's history, from 0; None if it is unknown
    when: str = ""  # sortable time of the study; used to find `order`, never written
    origin: str = ""  # the source's own study key, where `key` is a salted hash; stays in data/scan
    origin_patient: str = ""  # the source's own patient id; stays in data/scan
    secret: str = ""  # of a salted collection: the secret in its digests; stays in data/scan


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """What `scan` uses of a DICOM header if the tables of the collection lack it."""

    view_position: str = ""  # (0018,5101)
    view_code: str = ""  # (0054,0220): its meaning, else its value, and its modifiers' meanings
    procedures: tuple[str, ...] = ()  # names of the procedure, the most specific first
    sex: str = ""  # (0010,0040)
    age: int | None = None  # (0010,1010), years
    when: str = ""  # (0008,0020) + (0008,0030)


@dataclass(frozen=True, slots=True)
class Lost:
    """An image or a whole study that is listed and cannot be used, under the source's own ids."""

    code: str
    image: str = ""  # the image's key; "" for all images of the study
    images: int = 1  # how many listed images are lost with it


@dataclass(frozen=True, slots=True)
class Reject:
    """A listed image or study that cannot be used: its hashed key, the reason, the stage."""

    key_hash: str
    code: str  # "dicom.truncated", "image.missing", ...
    step: str  # "scan", "texts", "shards"
    images: int = 1  # how many listed images are lost with it; the flow table adds them up


@dataclass(frozen=True, slots=True)
class Placement:
    """The position of the source image in the stored image: stored = scale * source + offset.

    `scale_x` is along the stored image's rows. The source has `width` by `height` pixels; `turn`
    holds the steps that were applied to it before it was scaled: T transpose, X mirror left to
    right, Y flip upside down.
    """

    scale_x: float
    scale_y: float
    offset_x: int = 0
    offset_y: int = 0
    width: int = 0
    height: int = 0
    turn: str = ""

    def box(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        """Return (x, y, width, height) in pixels of the stored image, for a box of the source."""
        width, height = self.width, self.height
        for step in self.turn:
            if step == "T":
                x, y, w, h, width, height = y, x, h, w, height, width
            elif step == "X":
                x = width - x - w
            else:
                y = height - y - h
        return (
            x * self.scale_x + self.offset_x, y * self.scale_y + self.offset_y,
            w * self.scale_x, h * self.scale_y,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image and how it was made; `facts` is the sample's `pixels` field."""

    data: bytes
    facts: dict[str, Any]
    placement: Placement


def reject(key: str, code: str, step: str, images: int = 1) -> Reject:
    """Return the Reject of `key`; it holds the hash of the key only."""
    return Reject(key_hash(key), code, step, images)


def dumps(record: Any) -> str:
    """Return the one JSON form of a record or mapping: compact, sorted keys, UTF-8.

    Fields of a dataclass that are empty ("", None, (), {}) are left out.
    """
    return json.dumps(_plain(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind in _LEAVES:
        return value
    if dataclasses.is_dataclass(kind):
        pairs = ((name, getattr(value, name)) for name in _field_names(kind))
        return {name: _plain(v) for name, v in pairs if v not in ("", None, (), {})}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def study_from_json(line: str) -> Study:
    """Return the Study that `dumps` wrote."""
    row = json.loads(line)
    images = tuple(_image(values) for values in row["images"])
    report = ReportRef(**row["report"]) if "report" in row else None
    return Study(**{**row, "images": images, "report": report})


def lines(data: bytes) -> Iterator[str]:
    """Yield the lines of a file of JSON lines."""
    # split at line feeds only: JSON may hold U+2028 and U+0085, which end no record
    yield from (line.decode() for line in data.split(b"\n") if line)


def read_studies(path: Path) -> Iterator[Study]:
    """Yield the studies of one part of an inventory."""
    # file iteration, not splitlines, for the same reason as in `lines`
    with path.open(encoding="utf-8") as rows:
        yield from map(study_from_json, rows)


def _image(values: Mapping[str, Any]) -> Image:
    boxes = tuple(SourceBox(**_framed(box)) for box in values.get("boxes", ()))
    changes = tuple(SourceChange(**change) for change in values.get("changes", ()))
    return Image(**{**_framed(values), "boxes": boxes, "changes": changes})


def _framed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "frame": tuple(values["frame"]) if "frame" in values else None}
