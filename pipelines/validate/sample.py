"""Checks the JSON member of a sample: every rule of the format for its fields.

A code of a breach consists of words in this file and of field names, so no content of a field
gets into a report.
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
from cxr_vlp.pipelines.format.sample import (
    ASSERTION_OF,
    CHANGES,
    EDITS,
    LABELS,
    POSITIONS,
    SPLITS,
    STATUSES,
    VIEWS,
    Box,
    Change,
    Mention,
    OtherLabel,
    Pixels,
    Provenance,
    Sample,
    Sentence,
)
from cxr_vlp.pipelines.sources import ids

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Expected:
    """The values that every sample of a tar has, by the manifest."""

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
    same_code: bool  # False: image fingerprints cannot be computed
    texts_made_by: Sequence[Any] | None = None  # None: text fingerprints cannot be computed

    def image_fingerprint(self, source_sha256: str, polarity: str = "") -> str:
        """Return the fingerprint of an image that was made with the parameters of the header."""
        parameters = fingerprints.with_polarity(self.image_parameters, polarity)
        made_by = [parameters, self.pixels_epoch, dict(self.toolchain)]
        return fingerprints.image_of(source_sha256, made_by)


def parse(document: bytes) -> tuple[dict[str, Any], str]:
    """Return (the JSON object, "") or ({}, code) if it is not a JSON object in the canonical form.

    In the canonical form every string can be written as UTF-8 again; escapes in JSON can hold
    others.
    """
    try:
        text = document.decode()
        row = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}, "json.broken"
    if not isinstance(row, dict):
        return {}, "json.broken"
    form = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return (row, "") if form == text else ({}, "json.form")


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def typed(row: Mapping[str, Any]) -> tuple[Sample | None, list[str]]:
    """Return (the sample of a JSON object, codes of its keys); None if a value has a wrong type."""
    wrong = next(schema.wrong(row), None)
    if wrong:
        return None, [f"json.field:{wrong}"]
    if row["format"] != versions.FORMAT:
        return None, ["json.format"]
    more = row.keys() - schema.FIELDS.keys()
    return Sample.from_dict(row), ["json.unknown"] if more else []


def breaches(sample: Sample, text: bytes, key: str, expected: Expected) -> Iterator[str]:
    """Yield a code for every rule that a sample breaks; `text` is its caption member."""
    if sample.caption.encode() != text:
        yield "caption.differs"
    yield from _identity(sample, key, expected)
    yield from (code for code, holds in CHECKS.items() if not holds(sample))
    if sample.pixels.recipe != expected.recipe:
        yield "json.recipe"
    yield from _fingerprints(sample, expected)


def _identity(sample: Sample, key: str, expected: Expected) -> Iterator[str]:
    named = (sample.caption, sample.dataset, sample.patient, sample.study, sample.image)
    if not all(value.strip() for value in named):
        yield "json.empty"
    shown = [*named[2:], *(id_ for each in sample.changes for id_ in each.earlier.split("-")[1:])]
    if expected.salted and not all(map(ids.HASHED.fullmatch, shown)):
        yield "ids.raw"
    if sample.dataset != expected.source:
        yield "json.dataset"
    if sample.key != key:
        yield "json.key"
    if sample.split != expected.split:
        yield "json.split"
    if sample.split in SPLITS and expected.part != parts.of(
        expected.source, sample.split, sample.study, expected.counts
    ):
        yield "study.elsewhere"


def _fingerprints(sample: Sample, expected: Expected) -> Iterator[str]:
    origin = sample.provenance
    # a DICOM file under the name of a PNG has its own polarity, whatever is stated beside it
    known = ("inverted",) if "grey.inverted" in sample.pixels.notes else ("", "inverted")
    wanted = {expected.image_fingerprint(origin.image_sha256, polarity) for polarity in known}
    if expected.same_code and origin.image_fingerprint not in wanted:
        yield "provenance.differs"
    made_by = expected.texts_made_by
    if made_by is not None and origin.text_fingerprint != _text_fingerprint(sample, made_by):
        yield "provenance.text_differs"


def _text_fingerprint(sample: Sample, made_by: Sequence[Any]) -> str:
    """Return the fingerprint that the texts of this sample must have."""
    found = fingerprints.text_of(sample.provenance.report_sha256, sample.all_labels, made_by)
    translations = {name: text for name, text in sample.translations.items() if text}
    return fingerprints.translated(found, translations)


def _sentence(sentence: Sentence) -> bool:
    length = len(sentence.text)
    known = sentence.status in STATUSES and sentence.edit in EDITS
    # "" stands for a sentence of which nothing is left, and for no other
    edited = (sentence.edit == "dropped") == (not sentence.prior_free)
    kept = sentence.edit != "kept" or sentence.prior_free == sentence.text
    return known and edited and kept and all(_mention(m, length) for m in sentence.mentions)


def _mention(mention: Mention, length: int) -> bool:
    graded = ASSERTION_OF.get(mention.certainty) == mention.assertion
    named = bool(mention.finding) and graded and mention.change in CHANGES
    placed = mention.position in POSITIONS and (
        mention.device or not (mention.position or mention.tip)
    )
    sized = all(size > 0 and math.isfinite(size) for size in mention.sizes_mm)
    return named and placed and sized and 0 <= mention.start < mention.end <= length


def _box(box: Box, pixels: Pixels) -> bool:
    """Return whether at least a part of a box is on the stored image; one with a NaN is not."""
    on = box.x < pixels.width and box.y < pixels.height and box.x + box.w > 0 and box.y + box.h > 0
    return box.w > 0 and box.h > 0 and on and all(map(math.isfinite, (box.x, box.y, box.w, box.h)))


def _change(change: Change, sample: Sample) -> bool:
    """Return whether a change has a finding, a layer, and another image of its collection."""
    own = not change.earlier or change.earlier.startswith(f"{sample.dataset}-")
    named = bool(change.label and change.layer) and change.change in CHANGES[1:]
    return named and own and change.earlier != sample.key


def _pixels(pixels: Pixels) -> bool:
    sizes = (pixels.height, pixels.width, pixels.source_height, pixels.source_width)
    notes = list(pixels.notes)
    sized = all(size > 0 for size in sizes) and pixels.aspect > 0
    return sized and notes == sorted(set(notes)) and all(notes)


def _provenance(origin: Provenance) -> bool:
    digests = [origin.image_sha256, origin.image_fingerprint, origin.text_fingerprint]
    if origin.report_sha256:  # "": there is no report
        digests.append(origin.report_sha256)
    return all(map(SHA256.fullmatch, digests))


def _texts(texts: Sequence[str]) -> bool:
    return all(text.strip() for text in texts)


def _label(value: int) -> bool:
    return -1 <= value <= 1


def _other_labels(others: Sequence[OtherLabel]) -> bool:
    """Return whether the names are not in LABELS, not repeated and sorted, and the values valid."""
    names = [other.name for other in others]
    sound = names == sorted(set(names)) and not set(names) & set(LABELS)
    return sound and all(other.name and _label(other.value) for other in others)


def _translations(sample: Sample) -> bool:
    """Return whether each translation is of a section that the sample has, and differs from it."""
    given = {name: text for name, text in sample.translations.items() if text}
    original = {"findings": sample.findings, "impression": sample.impression}
    differ = all(original[name] and text != original[name] for name, text in given.items())
    return differ and _texts(list(given.values()))


CHECKS: Mapping[str, Callable[[Sample], bool]] = {
    "json.view": lambda sample: sample.view in VIEWS,
    "json.sex": lambda sample: sample.sex in ("", "F", "M"),
    "json.age": lambda sample: sample.age is None or sample.age >= 0,
    "json.order": lambda sample: sample.order is None or sample.order >= 0,
    "json.labels": lambda sample: all(map(_label, sample.labels.values())),
    "json.labels_other": lambda sample: _other_labels(sample.labels_other),
    "json.prompts": lambda sample: _texts(sample.prompts),
    "json.statements": lambda sample: _texts(sample.statements),
    "json.sections": lambda sample: _texts([text for text in sample.sections.values() if text]),
    "json.sentences": lambda sample: all(map(_sentence, sample.sentences)),
    "json.pixels": lambda sample: _pixels(sample.pixels),
    "json.provenance": lambda sample: _provenance(sample.provenance),
    "json.translations": _translations,
    "json.boxes": lambda sample: all(_box(box, sample.pixels) for box in sample.boxes),
    "json.changes": lambda sample: all(_change(each, sample) for each in sample.changes),
}
