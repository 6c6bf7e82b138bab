"""The type of a sample: one image with texts, labels and origin, and its JSON member.

All samples of all sets have every field, so that typed readers (Hugging Face datasets, Arrow) take
any mix of sets. A field that the collection does not have is "", empty or null; it is never
invented. Only two things vary: `labels` has no key for a label that is not mentioned, and `age` and
`order` may be null.

These classes are the single source of the format: schema.py derives its table, features.json and
schema.json from their types and descriptions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar

from cxr_vlp.pipelines.format import versions
from cxr_vlp.pipelines.format.errors import FormatError

Part = TypeVar("Part")

SPLITS = ("train", "validate", "test")
VIEWS = ("frontal", "lateral", "other", "unknown")
STATUSES = ("normal", "abnormal", "uncertain", "nonfinding")
ASSERTIONS = ("present", "absent", "uncertain")
# the assertion that follows from each certainty (nlp/context/certainty.py)
ASSERTION_OF = {
    "definite": "present",
    "probable": "uncertain",
    "possible": "uncertain",
    "unlikely": "absent",
    "absent": "absent",
}
CERTAINTIES = tuple(ASSERTION_OF)
CHANGES = ("", "new", "worse", "better", "stable", "resolved")
POSITIONS = ("", "adequate", "malpositioned", "removed")
EDITS = ("kept", "cut", "reworded", "dropped")
# the sections of a report beside findings and impression (nlp/lexicon/en/headings.yaml)
SECTIONS = (
    "indication", "history", "technique", "comparison", "examination", "recommendation",
    "notification", "wet_read", "addendum", "preamble", "body", "end",
)  # fmt: skip
# the names of CheXpert-14, ChestX-ray14 and VinDr-CXR, each once (nlp/labels.py); a collection's
# further labels are in `labels_other`
LABELS = (
    "Aortic Enlargement", "Atelectasis", "COPD", "Calcification", "Cardiomegaly",
    "Clavicle Fracture", "Consolidation", "Edema", "Emphysema", "Enlarged Cardiomediastinum",
    "Enlarged PA", "Fibrosis", "Fracture", "Hernia", "ILD", "Infiltration", "Lung Cavity",
    "Lung Cyst", "Lung Lesion", "Lung Opacity", "Lung Tumor", "Mass", "Mediastinal Shift",
    "No Finding", "Nodule", "Nodule/Mass", "Other Disease", "Other Lesion", "Pleural Effusion",
    "Pleural Other", "Pleural Thickening", "Pneumonia", "Pneumothorax", "Rib Fracture",
    "Support Devices", "Tuberculosis",
)  # fmt: skip
TRANSLATED = ("findings", "impression")  # the sections that may have a translation

KEY = re.compile(r"[a-z0-9_-]+")
LONGEST_KEY = 90  # a USTAR name has at most 100 bytes, and ".json" follows the key


def sample_key(source: str, study: str, image: str) -> str:
    """Return the key of a sample: {source}-{study}-{image}."""
    return f"{source}-{study}-{image}"


def key_hash(key: str) -> str:
    """Return the 16 hex digits that stand for a key in logs, messages and reject files."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _field(says: str, default: Any = "", **facts: Any) -> Any:
    """Return a dataclass field with its description and further facts for the schema.

    `facts`: `one_of` (the allowed values), `keys` (of an object), `partly` (keys may be missing).
    """
    metadata = {"says": says, **facts}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


# Mention and Sentence are not frozen: a sample has a dozen of them, and the constructor of a frozen
# class takes 3.5 times as long (25 of the 1300 microseconds in which the loader reads a sample).
@dataclass(slots=True)
class Mention:
    """A finding or device that a sentence mentions."""

    finding: str = _field("name of the finding, or the type of the device")
    label: str = _field('its label in the label sets, "" if it has none')
    assertion: str = _field("present, absent or uncertain", one_of=ASSERTIONS)
    start: int = _field("first character in the sentence", 0)
    end: int = _field("the character after the last", 0)
    anatomy: str = _field("where in the chest")
    side: str = _field("left, right or bilateral")
    severity: str = _field("small, moderate, severe, ...")
    trigger: str = _field("the word that negates the finding or makes it uncertain")
    implied: bool = _field("whether another word implies the finding", False)
    device: bool = _field("whether it is a device", False)
    certainty: str = _field(
        "definite, probable, possible, unlikely or absent", "definite", one_of=CERTAINTIES
    )
    change: str = _field(
        'since an earlier image: new, worse, better, stable or resolved; "" if unsaid',
        one_of=CHANGES,
    )
    change_words: str = _field("the words that say so")
    places: tuple[str, ...] = _field("lobes and zones with their side: right upper lobe, ...", ())
    sizes_mm: tuple[float, ...] = _field("sizes in the order of the sentence, in mm", ())
    suggests: tuple[str, ...] = _field(
        "findings of the sentence that this one is said to point to", ()
    )
    position: str = _field(
        'of a device: adequate, malpositioned or removed; "" if unsaid', one_of=POSITIONS
    )
    tip: str = _field("of a device: where its tip or end lies")


@dataclass(slots=True)
class Sentence:
    """A sentence of the report and what it says of the image."""

    text: str = _field("the sentence")
    section: str = _field("the section of the report")
    index: int = _field("place in its section, from 0", 0)
    status: str = _field("normal, abnormal, uncertain or nonfinding", one_of=STATUSES)
    rule: str = _field("the rule that decided the status")
    mentions: tuple[Mention, ...] = _field("the findings and devices it mentions", ())
    prior_free: str = _field('the sentence as a single image can justify it; "" if nothing is left')
    edit: str = _field(
        "what `prior_free` changed: kept, cut, reworded or dropped", "kept", one_of=EDITS
    )


@dataclass(frozen=True, slots=True)
class OtherLabel:
    """A label that none of the three label sets names."""

    name: str = _field("name of the label")
    value: int = _field("1 positive, 0 negative, -1 uncertain", 0)


@dataclass(frozen=True, slots=True)
class Box:
    """The bounding box of a finding, in pixels of the stored image, from the top left corner.

    Several boxes may have one phrase.
    """

    label: str = _field("name of the finding")
    x: float = _field("left side", 0.0)
    y: float = _field("upper side", 0.0)
    w: float = _field("width", 0.0)
    h: float = _field("height", 0.0)
    phrase: str = _field('the words of a report that describe it; "" if none are given')
    layer: str = _field('the annotation layer that it is from; "": the collection itself')


@dataclass(frozen=True, slots=True)
class Change:
    """How a finding changed since an earlier image of the patient, as an annotator saw it."""

    label: str = _field("name of the finding")
    change: str = _field("better, worse, stable, new or resolved", one_of=CHANGES[1:])
    earlier: str = _field('key of the earlier image\'s sample; "" if the collection lacks it')
    layer: str = _field("the annotation layer that it is from")


@dataclass(frozen=True, slots=True)
class Pixels:
    """How the stored image was made."""

    height: int = _field("of the stored image, in pixels", 0)
    width: int = _field("of the stored image, in pixels", 0)
    source_height: int = _field("of the collection's image, in pixels", 0)
    source_width: int = _field("of the collection's image, in pixels", 0)
    photometric: str = _field("PhotometricInterpretation, or the kind of the image file")
    bits: int = _field("bits of a stored value of the collection's image", 0)
    window: str = _field("how stored values became grey levels")
    recipe: str = _field("`shards.recipe`")
    turned: str = _field("how the image was turned, if it was")
    aspect: float = _field("height by width of a pixel of the collection's image", 0.0)
    notes: tuple[str, ...] = _field("codes of what was unusual, sorted", ())


@dataclass(frozen=True, slots=True)
class Provenance:
    """SHA-256 digests of what the sample was made from and of all that decided it."""

    image_sha256: str = _field("of the collection's image file")
    report_sha256: str = _field('of the report, "" if there is none')
    image_fingerprint: str = _field("of the file, the parameters and libraries of the image")
    text_fingerprint: str = _field("of the report, labels, parameters and libraries of the texts")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a study with its texts, labels and origin: the JSON member of a sample."""

    format: int = _field("version of this table", versions.FORMAT)
    caption: str = _field("the text of the .txt member; never empty")
    findings: str = _field("the whole section")
    impression: str = _field("the whole section")
    abnormal: str = _field("the report without its normal sentences")
    prior_free: str = _field("findings and impression without what only an earlier image can tell")
    prompt: str = _field("the first of `prompts`")
    dataset: str = _field("the collection; begins the key")
    patient: str = _field("id of the patient")
    study: str = _field("id of the study")
    image: str = _field("id of the image in its study")
    split: str = _field("train, validate or test", one_of=SPLITS)
    view: str = _field("frontal, lateral, other or unknown", "unknown", one_of=VIEWS)
    projection: str = _field("AP, PA, LL, ... as the collection gives it")
    sex: str = _field("F or M", one_of=("", "F", "M"))
    age: int | None = _field("years; null if unknown", None)
    order: int | None = _field(
        "place of the study in the patient's history, from 0; null if unknown", None
    )
    sections: Mapping[str, str] = _field(
        "the report's other sections, of those that `shards.sections` names", dict, keys=SECTIONS
    )
    labels: Mapping[str, int] = _field(
        "1 positive, 0 negative, -1 uncertain; not mentioned = no key; the names of CheXpert-14, "
        "ChestX-ray14 and VinDr-CXR",
        dict,
        keys=LABELS,
        partly=True,
    )
    labels_other: tuple[OtherLabel, ...] = _field("the collection's further labels, by name", ())
    labels_from: str = _field("who gave the labels: chexpert, negbio, nih, mesh, report, ...")
    sentences: tuple[Sentence, ...] = _field(
        "status normal, abnormal, uncertain or nonfinding; each mention present, absent or "
        "uncertain, with its place in the sentence",
        (),
    )
    prompts: tuple[str, ...] = _field("label prompt texts", ())
    statements: tuple[str, ...] = _field("each mention as a sentence in one standard form", ())
    translations: Mapping[str, str] = _field(
        "translations of sections (`texts.translations`)", dict, keys=TRANSLATED
    )
    boxes: tuple[Box, ...] = _field("in pixels of the stored image", ())
    changes: tuple[Change, ...] = _field(
        "how findings changed since an earlier image, by annotators who saw both", ()
    )
    pixels: Pixels = _field(  # noqa: RUF009 - it returns a field, and the default is frozen
        "how the stored image was made; `notes` name what was unusual", Pixels()
    )
    provenance: Provenance = _field(  # noqa: RUF009
        "digests of the sources and of all that decided the sample", Provenance()
    )

    @classmethod
    def from_json(cls, document: bytes, *, texts: bool = True) -> Sample:
        """Return the sample in a JSON member; `texts=False` leaves out the fields of TEXTS.

        Unknown keys are ignored and absent or null ones get their default, so that a reader accepts
        the sets of a later minor version. Raises FormatError for anything but a JSON object, and
        for another number in `format`.
        """
        try:
            row = json.loads(document)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise FormatError("json.broken", "the JSON member is not a JSON object")
        return cls.from_dict(row, texts=texts)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], *, texts: bool = True) -> Sample:
        """Return the sample of a JSON object, under the rules of `from_json`."""
        refused = versions.refusal(row.get("format"))
        if refused:
            raise FormatError("json.format", refused)
        known = _NAMES if texts else _FACTS
        values = {name: v for name, v in row.items() if v is not None and name in known}
        try:
            for name in _NESTED & values.keys():
                values[name] = _READERS[name](values[name])
            return cls(**values)
        except (TypeError, AttributeError, ValueError):
            raise FormatError("json.field", "a field of the sample has the wrong type") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the sample as the JSON object of its member."""
        plain: dict[str, Any] = json.loads(self.to_json())
        return plain

    def to_json(self) -> bytes:
        """Return the bytes of the JSON member: sorted keys, no blanks, UTF-8."""
        text = json.dumps(
            self, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False,
            allow_nan=False,
        )  # fmt: skip
        return text.encode()

    @property
    def key(self) -> str:
        """The sample's key, with which the names of its members begin."""
        return sample_key(self.dataset, self.study, self.image)

    @property
    def all_labels(self) -> Mapping[str, int]:
        """`labels` and `labels_other` together, by name."""
        if not self.labels_other:
            return self.labels
        return {**self.labels, **{other.name: other.value for other in self.labels_other}}

    def without_texts(self) -> Sample:
        """Return the sample without the fields of TEXTS; the rest is quick to send."""
        return Sample(**dict(zip(_FACT_NAMES, _fact_values(self), strict=True)))

    def translated(self, sections: Iterable[str]) -> Sample:
        """Return the sample with some of its sections replaced by their translations."""
        values = dict(zip(_PART_NAMES[Sample], _all_values(self), strict=True))
        values.update((name, self.translations[name]) for name in sections)
        return Sample(**values)

    def __reduce__(self) -> tuple[type[Sample], tuple[Any, ...]]:
        # a dataclass with slots is pickled field by field in Python, ten times slower
        return Sample, _all_values(self)


# The fields of text and of origin. They stay with the worker that reads the sample: sending them to
# the training process costs as much as reading the image.
TEXTS = frozenset({
    "caption", "findings", "impression", "abnormal", "prior_free", "prompt", "sections",
    "translations", "prompts", "sentences", "statements", "boxes", "changes", "pixels",
    "provenance",
})  # fmt: skip


def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


_PARTS = (Mention, Sentence, OtherLabel, Box, Change, Pixels, Provenance, Sample)
_PART_NAMES: dict[type, tuple[str, ...]] = {kind: _names(kind) for kind in _PARTS}
_NAMES = frozenset(_PART_NAMES[Sample])
_FACT_NAMES = tuple(name for name in _PART_NAMES[Sample] if name not in TEXTS)
_FACTS = frozenset(_FACT_NAMES)
_fact_values = attrgetter(*_FACT_NAMES)
_all_values = attrgetter(*_PART_NAMES[Sample])


def _plain(part: Any) -> dict[str, Any]:
    """Return the fields of a part of a sample, for json.dumps."""
    return {name: getattr(part, name) for name in _PART_NAMES[type(part)]}


def part_of(kind: type[Part], row: Mapping[str, Any]) -> Part:
    """Return a part of a sample from its JSON object; keys of later versions are ignored."""
    try:
        return kind(**row)
    except TypeError:
        known = _PART_NAMES[kind]
        return kind(**{name: row[name] for name in known if name in row})


def sentence_of(row: Mapping[str, Any]) -> Sentence:
    """Return a sentence from its JSON object."""
    mentions = [_mention(mention) for mention in row.get("mentions") or ()]
    return part_of(Sentence, {**row, "mentions": tuple(mentions)})


def _mention(row: Mapping[str, Any]) -> Mention:
    lists = {name: tuple(row.get(name) or ()) for name in _LISTS}
    return part_of(Mention, {**row, **lists})


def _pixels(row: Mapping[str, Any]) -> Pixels:
    return part_of(Pixels, {**row, "notes": tuple(row.get("notes") or ())})


def _boxes(rows: Iterable[Mapping[str, Any]]) -> tuple[Box, ...]:
    return tuple([part_of(Box, row) for row in rows])


def _changes(rows: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    return tuple([part_of(Change, row) for row in rows])


def _others(rows: Iterable[Mapping[str, Any]]) -> tuple[OtherLabel, ...]:
    return tuple([part_of(OtherLabel, row) for row in rows])


_LISTS = ("places", "sizes_mm", "suggests")
_READERS: Mapping[str, Any] = {
    "sentences": lambda rows: tuple([sentence_of(row) for row in rows]),
    "labels_other": _others,
    "boxes": _boxes,
    "changes": _changes,
    "pixels": _pixels,
    "provenance": lambda row: part_of(Provenance, row),
    "prompts": tuple,
    "statements": tuple,
}
_NESTED = _READERS.keys()
