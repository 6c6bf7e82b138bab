"""The table of a sample's fields, derived from the classes of sample.py, and its other forms.

`wrong` checks the JSON object of a sample, `features` is the table for Hugging Face datasets, and
`json_schema` is the table as JSON Schema, together with the lines of the manifest (manifest.py).

    python -m cxr_vlp.pipelines.format.schema          # the table as Markdown
    python -m cxr_vlp.pipelines.format.schema --json   # schema.json, as it is committed beside this
"""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from cxr_vlp.pipelines.format import manifest, versions
from cxr_vlp.pipelines.format.kinds import (
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Field,
    Items,
    Record,
    Value,
    described,
    holds,
)
from cxr_vlp.pipelines.format.sample import Sample

ID = f"urn:cxr-vlp:format:{versions.FORMAT}"
_VALUES = {str: TEXT, int: WHOLE, float: NUMBER, bool: FLAG}


def record_of(kind: type) -> Record:
    """Return the record that a dataclass of sample.py describes."""
    hints = typing.get_type_hints(kind)
    return Record(
        {
            each.name: Field(_kind_of(hints[each.name], each.metadata), each.metadata["says"])
            for each in dataclasses.fields(kind)
        },
        name=kind.__name__.lower(),
        says=(kind.__doc__ or "").strip(),
    )


def _kind_of(hint: Any, metadata: Mapping[str, Any]) -> Any:
    """Return the kind of a field from its type and the facts that `_field` stored."""
    arguments = typing.get_args(hint)
    if hint in _VALUES:
        return dataclasses.replace(_VALUES[hint], one_of=tuple(metadata.get("one_of", ())))
    if dataclasses.is_dataclass(hint):
        return record_of(typing.cast(type, hint))
    if type(None) in arguments:
        return dataclasses.replace(_VALUES[arguments[0]], nullable=True)
    if typing.get_origin(hint) is tuple:
        return Items(_kind_of(arguments[0], {}))
    keys = {name: Field(_VALUES[arguments[1]]) for name in metadata["keys"]}
    return Record(keys, metadata.get("partly", False))


SAMPLE = record_of(Sample)
FIELDS: Mapping[str, Field] = SAMPLE.fields


def wrong(sample: Mapping[str, Any]) -> Iterator[str]:
    """Yield the name of every field that is absent or not of its kind."""
    for name, field in FIELDS.items():
        if name not in sample or not holds(field.kind, sample[name]):
            yield name


def features(form: str) -> dict[str, Any]:
    """Return the columns of a set of jpg or png as `datasets.Features.from_dict` reads them.

    All sets of one image format have the same columns. A list is written [of], which every version
    of datasets reads.
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
    return {name: _feature(inner.kind) for name, inner in kind.fields.items()}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a sample, and in `$defs` of all its parts.

    `$defs/header` and `$defs/tar` are the first and the other lines of manifest.jsonl.
    """
    described_too = (
        manifest.HEADER, manifest.LAYER, manifest.SELECTION, manifest.EARLIER, manifest.LINE,
    )  # fmt: skip
    records = [*_named(SAMPLE), *described_too]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": f"cxr-vlp shard format {versions.FORMAT}: the JSON member of a sample",
        "description": "The lines of manifest.jsonl are $defs/header (the first) and $defs/tar.",
        "$ref": f"#/$defs/{SAMPLE.name}",
        "$defs": {record.name: described(record) for record in records},
    }


def _named(kind: Any) -> Iterator[Record]:
    """Yield the records with a name in a kind, each once."""
    if isinstance(kind, Items):
        yield from _named(kind.of)
    elif isinstance(kind, Record):
        if kind.name:
            yield kind
        for field in kind.fields.values():
            yield from _named(field.kind)


def markdown() -> str:
    """Return the table of fields as Markdown."""
    rows = [f"| `{name}` | {_shown(field.kind)} | {field.says} |" for name, field in FIELDS.items()]
    return "\n".join(["| field | type | |", "|---|---|---|", *rows]) + "\n"


def _shown(kind: Any) -> str:
    if isinstance(kind, Value):
        word = {"string": "string", "int64": "integer", "float64": "number", "bool": "boolean"}
        return word[kind.dtype] + (" or null" if kind.nullable else "")
    if isinstance(kind, Items):
        return f"list of {_shown(kind.of)}"
    inner = {_shown(field.kind) for field in kind.fields.values()}
    if len(inner) == 1 and len(kind.fields) > 2:
        keys = "some" if kind.partly else "each"
        return f"object, {keys} of {len(kind.fields)} keys: {inner.pop()}"
    return "{" + ", ".join(f"{name}: {_shown(f.kind)}" for name, f in kind.fields.items()) + "}"


if __name__ == "__main__":
    asked = sys.argv[1:] == ["--json"]
    sys.stdout.write(json.dumps(json_schema(), indent=1) + "\n" if asked else markdown())
