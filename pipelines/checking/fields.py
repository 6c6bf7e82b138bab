"""A sample's JSON member in, every breach of what README says of its fields out.

Codes are made of our own words alone: no field's content can reach a report through them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nlp.translations import FIELDS
from pipelines import fingerprints, parts
from pipelines.records import SPLITS, VIEWS

NAMED = ("caption", "dataset", "patient", "study", "image")  # never empty
STRINGS = (
    *NAMED, "findings", "impression", "abnormal", "prompt", "split", "view", "projection", "sex",
    "labels_from",
)  # fmt: skip
LISTS = ("sentences", "prompts", "statements", "boxes")
MAPPINGS = ("sections", "labels", "pixels", "provenance")
OPTIONAL = ("age", "order")
KNOWN = {*STRINGS, *LISTS, *MAPPINGS, *OPTIONAL, "translations"}
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
    same_code: bool  # False: how fingerprints were made is not known here

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
    kinds = [(STRINGS, str), (LISTS, list), (MAPPINGS, dict)]
    wrong = [n for names, kind in kinds for n in names if not isinstance(sample.get(n), kind)]
    if wrong:  # what follows takes these for granted
        yield f"json.field:{wrong[0]}"
        return
    if sample.keys() - KNOWN:
        yield "json.unknown"
    if sample["caption"].encode() != text:
        yield "caption.differs"
    yield from _identity(sample, key, expected)
    for name, holds in CHECKS.items():
        if not holds(sample[name]):
            yield f"json.{name}"
    if not all(type(sample.get(name, 0)) is int and sample.get(name, 0) >= 0 for name in OPTIONAL):
        yield "json.numbers"
    if "translations" in sample and not _translations(sample["translations"], sample):
        yield "json.translations"
    if not _boxes(sample["boxes"], sample["pixels"]):
        yield "json.boxes"
    if sample["pixels"].get("recipe") != expected.recipe:
        yield "json.recipe"
    origin = sample["provenance"]
    wanted = expected.image_fingerprint(str(origin.get("image_sha256")))
    if expected.same_code and origin.get("image_fingerprint") != wanted:
        yield "provenance.differs"


def _identity(sample: Mapping[str, Any], key: str, expected: Expected) -> Iterator[str]:
    if not all(sample[name].strip() for name in NAMED):
        yield "json.empty"
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


def _sentence(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("mentions"), list):
        return False
    strings = all(isinstance(value.get(name), str) for name in ("text", "section", "rule"))
    return (
        strings
        and type(value.get("index")) is int
        and value.get("status") in STATUSES
        and all(_mention(mention, len(value["text"])) for mention in value["mentions"])
    )


def _mention(value: Any, length: int) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("finding"), str):
        return False
    start, end = value.get("start"), value.get("end")
    spans = type(start) is int and type(end) is int and 0 <= start < end <= length
    return spans and value.get("assertion") in ASSERTIONS


def _boxes(boxes: list[Any], pixels: Mapping[str, Any]) -> bool:
    """Tell whether every box lies on the stored picture, at least in part."""
    return all(isinstance(box, dict) and _box(box, pixels) for box in boxes)


def _box(box: Mapping[str, Any], pixels: Mapping[str, Any]) -> bool:
    x, y, w, h = (_number(box.get(name)) for name in ("x", "y", "w", "h"))
    width, height = _number(pixels.get("width")), _number(pixels.get("height"))
    over = w > 0 and h > 0 and x < width and y < height and x + w > 0 and y + h > 0
    return over and isinstance(box.get("label"), str)


def _number(value: Any) -> float:
    """Return a number as it is and anything else as NaN, with which no comparison holds."""
    return value if isinstance(value, int | float) and type(value) is not bool else math.nan


def _pixels(value: Mapping[str, Any]) -> bool:
    sizes = ("height", "width", "source_height", "source_width")
    return (
        all(type(value.get(name)) is int and value[name] > 0 for name in sizes)
        and type(value.get("bits")) is int
        and all(
            isinstance(value.get(name), str)
            for name in ("photometric", "window", "recipe", "turned")
        )
        and _number(value.get("aspect")) > 0
        and _notes(value.get("notes"))
    )


def _notes(value: Any) -> bool:
    """Tell a sorted list of codes, each there once."""
    return (
        isinstance(value, list)
        and all(isinstance(code, str) for code in value)
        and value == sorted(set(value))
    )


def _provenance(value: Mapping[str, Any]) -> bool:
    names = ("image_sha256", "image_fingerprint", "text_fingerprint")
    found = [value.get(name) for name in names]
    report = value.get("report_sha256")
    found += [report] if report != "" else []  # no report at all
    return all(isinstance(digest, str) and SHA256.fullmatch(digest) for digest in found)


def _texts(value: list[Any]) -> bool:
    return all(isinstance(text, str) and text.strip() for text in value)


def _translations(value: Any, sample: Mapping[str, Any]) -> bool:
    """Tell whether these are sections the sample has, each in words that are not its own."""
    return (
        isinstance(value, dict)
        and bool(value)
        and value.keys() <= set(FIELDS)
        and _texts(list(value.values()))
        and all(sample[name] and text != sample[name] for name, text in value.items())
    )


CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "view": lambda value: value in VIEWS,
    "sex": lambda value: value in ("", "F", "M"),
    "labels": lambda value: all(type(n) is int and -1 <= n <= 1 for n in value.values()),
    "prompts": _texts,
    "statements": _texts,
    "sections": lambda value: _texts(list(value.values())),
    "sentences": lambda value: all(map(_sentence, value)),
    "pixels": _pixels,
    "provenance": _provenance,
}
