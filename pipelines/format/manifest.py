"""The files of a set beside its tars: manifest.jsonl, rejects.jsonl, sizes.json, features.json.

The first line of manifest.jsonl is the header of the set, each further line describes the tar of
one part. A set is a folder with such a manifest and the folders train, validate and test, in which
sizes.json gives the number of samples of every tar.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.kinds import (
    COUNTS,
    FLAG,
    TEXT,
    WHOLE,
    Field,
    Items,
    Open,
    Record,
    Value,
    holds,
)
from cxr_vlp.pipelines.format.sample import SPLITS

NAME = "manifest.jsonl"
REJECTS = "rejects.jsonl"
SIZES = "sizes.json"
FEATURES = "features.json"  # the sample's fields for Hugging Face datasets (schema.py)
# the files of a card (cards/card.py), if the set holds it as `select` writes it: no part of the set
CARD = ("README.md", "card.json", "croissant.json", "samples.parquet", "wids.json")

_STEP = Record(
    {
        "step": Field(TEXT, "the flag"),
        "samples": Field(WHOLE, "samples of this set that were left after it"),
    }
)
_SELECTION = {
    "source": Field(TEXT, "`digest` of the set that the samples are from"),
    "sources": Field(Items(TEXT), "`digest` of every set of the same selection, this one too"),
    "command": Field(TEXT, "the command; PATH, DIR and FILE stand for the user's paths"),
    "files": Field(Open(TEXT), "SHA-256 of the files of flags, by flag"),
    "steps": Field(Items(_STEP), "the steps of the selection, in their order"),
    "version": Field(WHOLE, "version of the code that selected"),
}
EARLIER = Record(
    _SELECTION,
    name="earlier_selection",
    says="A selection that the set of a later selection was made by.",
)
SELECTION = Record(
    _SELECTION | {"earlier": Field(Items(EARLIER), "the selections before it, the first first")},
    name="selection",
    says="How `cxr-vlp select` chose the samples of a set from another set.",
)

LAYER = Record(
    {
        "name": Field(TEXT, "as in `layer` of boxes and changes"),
        "title": Field(TEXT, "name of the layer, for people"),
        "licence": Field(TEXT, "licence of the layer"),
        "credentialed": Field(FLAG, "whether only credentialed users may see it"),
        "tables": Field(Open(TEXT), "SHA-256 of its tables, by file name"),
        "images": Field(WHOLE, "images of the collection that it annotates"),
    },
    name="layer",
    says="An annotation layer of a set: what others added to the images of a collection.",
)
HEADER = Record(
    {
        "format": Field(WHOLE, "version of the format"),
        "source": Field(TEXT, "the collection; begins the name of every tar"),
        "title": Field(TEXT, "name of the collection, for people"),
        "licence": Field(TEXT, "licence of the collection"),
        "credentialed": Field(FLAG, "whether only credentialed users may see the set"),
        "layers": Field(Items(LAYER), "the annotation layers that added boxes or changes"),
        "ids": Field(
            Value("string", one_of=("source", "salted")),
            "whether ids are the collection's own or salted hashes",
        ),
        "salt_sha256": Field(TEXT, "digest of the salt of ids and splits"),
        "parts": Field(COUNTS, "number of parts of every split"),
        "texts": Field(Open(), "parameters of the texts"),
        "texts_epoch": Field(WHOLE, "version of the code that made the texts"),
        "wording": Field(TEXT, "digest of the lexicon and of the user's additions to it"),
        "exceptions": Field(WHOLE, "number of the user's own rules for single studies"),
        "shards": Field(Open(), "parameters of the images and captions"),
        "pixels_epoch": Field(WHOLE, "version of the code that made the images"),
        "toolchain": Field(Open(TEXT), "versions of the libraries that decide the bytes"),
        "listed": Field(WHOLE, "images that the collection lists"),
        "dropped": Field(COUNTS, 'images lost, by "step code"'),
        "written": Field(WHOLE, "samples in the tars: listed less dropped"),
        "studies": Field(WHOLE, "studies in the tars"),
        "notes": Field(COUNTS, "how often each note was made"),
        "selection": Field(SELECTION, "of a set that `select` wrote: how", optional=True),
        "digest": Field(TEXT, "digest of the header, the other lines and the rejects"),
    },
    name="header",
    says="The first line of manifest.jsonl: the set as a whole.",
)
LINE = Record(
    {
        "name": Field(TEXT, "file name of the tar, in the folder of its split"),
        "split": Field(Value("string", one_of=SPLITS), "train, validate or test"),
        "fingerprint": Field(TEXT, "digest of all that decided the bytes of the tar"),
        "sha256": Field(TEXT, 'digest of the tar, "" if the part has no sample and no tar'),
        "bytes": Field(WHOLE, "size of the tar"),
        "samples": Field(WHOLE, "samples in it"),
        "studies": Field(WHOLE, "studies in it"),
        "patients": Field(WHOLE, "patients in it"),
        "rejects": Field(COUNTS, "images of the part that were lost, by code; none after `select`"),
        "notes": Field(COUNTS, "notes on its images, by code"),
    },
    name="tar",
    says="A further line of manifest.jsonl: a part of the set and its tar.",
)
REJECT = Record(
    {
        "code": Field(TEXT, "why (pipelines/codes.py)"),
        "images": Field(WHOLE, "listed images that are lost with it"),
        "key_hash": Field(TEXT, "hash of the key of the image or study; of the tar for `select`"),
        "step": Field(TEXT, "scan, texts, shards or select"),
    }
)


def typed(row: Any, record: Record) -> bool:
    """Return whether a row is an object with at least the fields of a record, each of its kind."""
    return isinstance(row, dict) and all(
        holds(field.kind, row[name]) if name in row else field.optional
        for name, field in record.fields.items()
    )


def header(folder: Path) -> dict[str, Any]:
    """Return the header of a set's manifest.

    Raises FormatError if the first line is not a JSON object, FileNotFoundError if the folder
    has no manifest.
    """
    with (folder / NAME).open("rb") as lines:
        return _row(lines.readline())


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return (header, lines of the tars) of a set, with the errors of `header`."""
    with (folder / NAME).open("rb") as lines:
        first, *others = [_row(line) for line in lines] or [_row(b"")]
    return first, others


def sizes(folder: Path) -> dict[str, int]:
    """Return the number of samples of every tar in the folder of a split, from its sizes.json.

    Raises FormatError if it is not such an object, FileNotFoundError if there is none.
    """
    try:
        found = json.loads((folder / SIZES).read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(type(number) is int for number in found.values()):
        raise FormatError("sizes.differ", "not valid JSON: an object of tar names and numbers")
    return found


def folder_name(header: Mapping[str, Any]) -> str:
    """Return the folder of a set's files below the set's place in an object store.

    It is the beginning of the header's digest, so it changes with the set; "" if there is none.
    """
    digest = header.get("digest")
    # nothing else may become a path: a manifest may come from elsewhere
    found = re.match(r"[0-9a-f]{16}", digest) if isinstance(digest, str) else None
    return found[0] if found else ""


def sets(folder: Path) -> Iterator[Path]:
    """Yield the sets in a folder: the folder itself, or those right below it."""
    if (folder / NAME).is_file():
        yield folder
        return
    found = (path.parent for path in sorted(folder.glob(f"*/{NAME}")))
    yield from (path for path in found if not path.name.startswith("."))  # staging is no set


def files(lines: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the relative paths of all files of a set with these lines."""
    tars = {f"{line['split']}/{line['name']}" for line in lines if line["samples"]}
    return tars | {f"{split}/{SIZES}" for split in SPLITS} | {NAME, REJECTS, FEATURES}


def digest(header: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], rejects: Path) -> str:
    """Return what header["digest"] must be; the tars are in it by the digests on their lines."""
    facts = {name: value for name, value in header.items() if name != "digest"}
    with rejects.open("rb") as stream:
        of_rejects = hashlib.file_digest(stream, "sha256").hexdigest()
    return fingerprints.of([facts, list(lines), of_rejects])


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise FormatError("manifest.broken", f"a line of {NAME} is not a JSON object")
    return row
