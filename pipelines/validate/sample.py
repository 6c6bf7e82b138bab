"""A sample's JSON member in, every breach of what README says of its fields out.

Codes are made of our own words alone: no field's content can reach a report through them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.pipelines import parts
from cxr_vlp.pipelines.format import fingerprints, schema, versions
from cxr_vlp.pipelines.records import SPLITS, VIEWS
from cxr_vlp.pipelines.sources import ids

NAMED = ("caption", "dataset", "patient", "study", "image")  # never empty
STATUSES = ("normal", "abnormal", "uncertain", "nonfinding")
ASSERTIONS = ("present", "absent", "uncertain")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Expected:
    """What the manifest says that every sample of a tar has in common."""

    source: str
    split: str
    part: str
    counts: Mapping[str, int]
    recipe: str
    form: str
    largest: int  # pixels
    image_parameters: Mapping[str, Any]
    pixels_epoch: int
    toolchain: Mapping[str, str]
    salted: bool  # patients, studies and images are hashes
    same_code: bool  # False: how fingerprints were made is not known here
    texts_made_by: Sequence[Any] | None = None  # None: likewise, of the texts

    def image_fingerprint(self, source_sha256: str) -> str:
        """Return what the fingerprint of a picture made as the header says must be."""
        made_by = [dict(self.image_parameters), self.pixels_epoch, dict(self.toolchain)]
        return fingerprints.of([source_sha256, *made_by])


def parse(document: bytes) -> tuple[dict[str, Any], str]:
    """Return (the JSON object, "") or ({}, code) where it is none or not in its one form.

    In its one form every string can be written as UTF-8 again, which escapes in JSON do not grant.
    """
    try:
        text = document.decode()
        sample = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}, "json.broken"
    if not isinstance(sample, dict):
        return {}, "json.broken"
    form = json.dumps(sample, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return (sample, "") if form == text else ({}, "json.form")


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def breaches(sample: Mapping[str, Any], text: bytes, key: str, expected: Expected) -> Iterator[str]:
    """Yield a code for every promise a parsed sample breaks; `text` is its caption member."""
    wrong = next(schema.wrong(sample), None)
    if wrong:  # what follows takes the kinds of all fields for granted
        yield f"json.field:{wrong}"
        return
    if sample["format"] != versions.FORMAT:
        yield "json.format"
    if sample.keys() - schema.FIELDS.keys():
        yield "json.unknown"
    if sample["caption"].encode() != text:
        yield "caption.differs"
    yield from _identity(sample, key, expected)
    for name, holds in CHECKS.items():
        if not holds(sample[name]):
            yield f"json.{name}"
    if not _translations(sample["translations"], sample):
        yield "json.translations"
    if not all(_box(box, sample["pixels"]) for box in sample["boxes"]):
        yield "json.boxes"
    if sample["pixels"]["recipe"] != expected.recipe:
        yield "json.recipe"
    origin = sample["provenance"]
    wanted = expected.image_fingerprint(origin["image_sha256"])
    if expected.same_code and origin["image_fingerprint"] != wanted:
        yield "provenance.differs"
    if expected.texts_made_by is not None and origin["text_fingerprint"] != _text_fingerprint(
        sample, expected.texts_made_by
    ):
        yield "provenance.text_differs"


def _identity(sample: Mapping[str, Any], key: str, expected: Expected) -> Iterator[str]:
    if not all(sample[name].strip() for name in NAMED):
        yield "json.empty"
    if expected.salted and not all(
        ids.HASHED.fullmatch(sample[name]) for name in ("patient", "study", "image")
    ):
        yield "ids.raw"
    if sample["dataset"] != expected.source:
        yield "json.dataset"
    if "-".join(sample[name] for name in ("dataset", "study", "image")) != key:
        yield "json.key"
    if sample["split"] != expected.split:
        yield "json.split"
    if sample["split"] in SPLITS and expected.part != parts.of(
        expected.source, sample["split"], sample["study"], expected.counts
    ):
        yield "study.elsewhere"


def _text_fingerprint(sample: Mapping[str, Any], made_by: Sequence[Any]) -> str:
    """Return what the fingerprint of this sample's texts must be."""
    labels = sample["labels"] | {row["name"]: row["value"] for row in sample["labels_other"]}
    found = fingerprints.text_of(sample["provenance"]["report_sha256"], labels, made_by)
    said = {name: text for name, text in sample["translations"].items() if text}
    return fingerprints.translated(found, said)


def _sentence(value: Mapping[str, Any]) -> bool:
    mentions = value["mentions"]
    return value["status"] in STATUSES and all(_mention(m, len(value["text"])) for m in mentions)


def _mention(value: Mapping[str, Any], length: int) -> bool:
    named = bool(value["finding"]) and value["assertion"] in ASSERTIONS
    return named and 0 <= value["start"] < value["end"] <= length


def _box(box: Mapping[str, Any], pixels: Mapping[str, Any]) -> bool:
    """Tell whether a box lies on the stored picture, at least in part; one with a NaN does not."""
    x, y, w, h = (box[name] for name in ("x", "y", "w", "h"))
    on = x < pixels["width"] and y < pixels["height"] and x + w > 0 and y + h > 0
    return w > 0 and h > 0 and on and all(map(math.isfinite, (x, y, w, h)))


def _pixels(value: Mapping[str, Any]) -> bool:
    sizes = ("height", "width", "source_height", "source_width")
    notes = value["notes"]
    sized = all(value[name] > 0 for name in sizes) and value["aspect"] > 0
    return sized and notes == sorted(set(notes)) and all(notes)


def _provenance(value: Mapping[str, Any]) -> bool:
    found = [digest for name, digest in value.items() if digest or name != "report_sha256"]
    return all(SHA256.fullmatch(digest) for digest in found)  # "" of a report: there is none


def _texts(value: Sequence[str]) -> bool:
    return all(text.strip() for text in value)


def _label(value: int) -> bool:
    return -1 <= value <= 1


def _other_labels(value: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether these are labels of other names than `labels` has, each once, by name."""
    names = [row["name"] for row in value]
    others = names == sorted(set(names)) and not set(names) & set(schema.LABELS)
    return others and all(row["name"] and _label(row["value"]) for row in value)


def _translations(value: Mapping[str, str], sample: Mapping[str, Any]) -> bool:
    """Tell whether these are sections the sample has, each in words that are not its own."""
    said = {name: text for name, text in value.items() if text}
    own = all(sample[name] and text != sample[name] for name, text in said.items())
    return own and _texts(list(said.values()))


CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "view": lambda value: value in VIEWS,
    "sex": lambda value: value in ("", "F", "M"),
    "age": lambda value: value is None or value >= 0,
    "order": lambda value: value is None or value >= 0,
    "labels": lambda value: all(map(_label, value.values())),
    "labels_other": _other_labels,
    "prompts": _texts,
    "statements": _texts,
    "sections": lambda value: _texts([text for text in value.values() if text]),
    "sentences": lambda value: all(map(_sentence, value)),
    "pixels": _pixels,
    "provenance": _provenance,
}
