"""The JSON member of a sample: one table of its fields, which samples, checks and readers share.

All samples of all sets have every key of the table, with a value of its kind, so that typed readers
(Hugging Face datasets, Arrow) take any mix of sets. Two things alone vary: `labels` has no key for
what is not mentioned, and `age` and `order` may be null.

    python -m cxr_vlp.pipelines.format.schema          # the table as Markdown
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cxr_vlp.nlp import labels as names
from cxr_vlp.nlp import translations

# what a report may be cut into (nlp/lexicon/headings.yaml) beside findings and impression
SECTIONS = (
    "indication", "history", "technique", "comparison", "examination", "recommendation",
    "notification", "wet_read", "addendum", "preamble", "body", "end",
)  # fmt: skip
# the names of the three label sets, each once; a collection's further names are `labels_other`
LABELS = tuple(sorted({*names.CHEXPERT14, *names.CHESTXRAY14, *names.VINDR}))

TRANSLATED = translations.FIELDS

FEATURES = "features.json"  # beside each manifest: the table for Hugging Face datasets
LARGEST = 2**63  # whole numbers stay below it: Arrow's are of 64 bits


@dataclass(frozen=True)
class Value:
    """A string, number or flag; `dtype` is its name in Arrow."""

    dtype: str
    nullable: bool = False


@dataclass(frozen=True)
class Items:
    """A list of things of one kind; it may be empty."""

    of: Any


@dataclass(frozen=True)
class Record:
    """An object with these keys: all of them, or with `partly` any of them."""

    fields: Mapping[str, Any]
    partly: bool = False


@dataclass(frozen=True)
class Field:
    """A field of the sample: its kind, and what README says of it."""

    kind: Any
    says: str


TEXT, WHOLE, NUMBER, FLAG = (Value(dtype) for dtype in ("string", "int64", "float64", "bool"))
MAYBE = Value("int64", nullable=True)
TYPES = {"string": str, "int64": int, "float64": float, "bool": bool}

MENTION = Record({
    "finding": TEXT, "label": TEXT, "assertion": TEXT, "start": WHOLE, "end": WHOLE,
    "anatomy": TEXT, "side": TEXT, "severity": TEXT, "trigger": TEXT, "implied": FLAG,
    "device": FLAG,
})  # fmt: skip
SENTENCE = Record({
    "text": TEXT, "section": TEXT, "index": WHOLE, "status": TEXT, "rule": TEXT,
    "mentions": Items(MENTION),
})  # fmt: skip
PIXELS = Record({
    "height": WHOLE, "width": WHOLE, "source_height": WHOLE, "source_width": WHOLE,
    "photometric": TEXT, "bits": WHOLE, "window": TEXT, "recipe": TEXT, "turned": TEXT,
    "aspect": NUMBER, "notes": Items(TEXT),
})  # fmt: skip
DIGESTS = ("image_sha256", "report_sha256", "image_fingerprint", "text_fingerprint")

FIELDS: Mapping[str, Field] = {
    "format": Field(WHOLE, "version of this table"),
    "caption": Field(TEXT, "the text of the .txt member; never empty"),
    "findings": Field(TEXT, "the whole section"),
    "impression": Field(TEXT, "the whole section"),
    "abnormal": Field(TEXT, "the report without its normal sentences"),
    "prompt": Field(TEXT, "the first of `prompts`"),
    "dataset": Field(TEXT, "the collection; begins the key"),
    "patient": Field(TEXT, "id of the patient"),
    "study": Field(TEXT, "id of the study"),
    "image": Field(TEXT, "id of the image in its study"),
    "split": Field(TEXT, "train, validate or test"),
    "view": Field(TEXT, "frontal, lateral, other or unknown"),
    "projection": Field(TEXT, "AP, PA, LL, ... as the collection gives it"),
    "sex": Field(TEXT, "F or M"),
    "age": Field(MAYBE, "years; null where nothing tells it"),
    "order": Field(MAYBE, "place of the study in the patient's history, from 0; null if unknown"),
    "sections": Field(
        Record(dict.fromkeys(SECTIONS, TEXT)),
        "the report's other sections, of those that `shards.sections` names",
    ),
    "labels": Field(
        Record(dict.fromkeys(LABELS, WHOLE), partly=True),
        "1 positive, 0 negative, -1 uncertain; not mentioned = no key; the names of CheXpert-14, "
        "ChestX-ray14 and VinDr-CXR",
    ),
    "labels_other": Field(
        Items(Record({"name": TEXT, "value": WHOLE})), "the collection's further labels, by name"
    ),
    "labels_from": Field(TEXT, "who gave the labels: chexpert, negbio, nih, mesh, report, ..."),
    "sentences": Field(
        Items(SENTENCE),
        "status normal, abnormal, uncertain or nonfinding; each mention present, absent or "
        "uncertain, with its place in the sentence",
    ),
    "prompts": Field(Items(TEXT), "label prompt texts"),
    "statements": Field(Items(TEXT), "the mentions said again in one standard form"),
    "translations": Field(
        Record(dict.fromkeys(TRANSLATED, TEXT)), "sections in other words (`texts.translations`)"
    ),
    "boxes": Field(
        Items(Record({"label": TEXT, "x": NUMBER, "y": NUMBER, "w": NUMBER, "h": NUMBER})),
        "in pixels of the stored image",
    ),
    "pixels": Field(PIXELS, "how the stored image was made; `notes` name what was odd"),
    "provenance": Field(
        Record(dict.fromkeys(DIGESTS, TEXT)), "digests of the sources and of all that decided"
    ),
}  # fmt: skip


def wrong(sample: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of every field of the table that is absent or not of its kind."""
    for name, field in FIELDS.items():
        if name not in sample or not holds(field.kind, sample[name]):
            yield name


def holds(kind: Any, value: Any) -> bool:
    """Tell whether a value is of a kind."""
    if isinstance(kind, Value):
        if value is None:
            return kind.nullable
        fits = type(value) is TYPES[kind.dtype]
        return fits and (kind.dtype != "int64" or -LARGEST <= value < LARGEST)
    if isinstance(kind, Items):
        return isinstance(value, list) and all(holds(kind.of, item) for item in value)
    if not isinstance(value, dict) or not (kind.partly or value.keys() == kind.fields.keys()):
        return False
    return all(name in kind.fields and holds(kind.fields[name], v) for name, v in value.items())


def features(form: str) -> dict[str, Any]:
    """Return the columns of a set of jpg or png as `datasets.Features.from_dict` reads them.

    The same for all sets of a form. A list is written [of], which datasets has always read.
    """
    return {
        "__key__": _feature(TEXT),
        "__url__": _feature(TEXT),
        form: {"_type": "Image"},
        "json": {name: _feature(field.kind) for name, field in FIELDS.items()},
        "txt": _feature(TEXT),
    }


def _feature(kind: Any) -> Any:
    if isinstance(kind, Value):
        return {"dtype": kind.dtype, "_type": "Value"}
    if isinstance(kind, Items):
        return [_feature(kind.of)]
    return {name: _feature(inner) for name, inner in kind.fields.items()}


def markdown() -> str:
    """Return the table for README."""
    rows = [f"| `{name}` | {_said(field.kind)} | {field.says} |" for name, field in FIELDS.items()]
    return "\n".join(["| field | type | |", "|---|---|---|", *rows]) + "\n"


def _said(kind: Any) -> str:
    if isinstance(kind, Value):
        word = {"string": "string", "int64": "integer", "float64": "number", "bool": "boolean"}
        return word[kind.dtype] + (" or null" if kind.nullable else "")
    if isinstance(kind, Items):
        return f"list of {_said(kind.of)}"
    inner = set(map(_said, kind.fields.values()))
    if len(inner) == 1 and len(kind.fields) > 2:
        keys = "some" if kind.partly else "each"
        return f"object, {keys} of {len(kind.fields)} keys: {inner.pop()}"
    return "{" + ", ".join(f"{name}: {_said(k)}" for name, k in kind.fields.items()) + "}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
