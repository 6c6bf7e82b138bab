"""All fields of a sample as typed Arrow columns, and as the features of Hugging Face datasets.

The types come from the table of the format (format/schema.py): every list and object has the same
type in every file, also where all its values are empty. `image` is the picture; the id of the image
is `image_id`.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.exports.formats.columns import IMAGE_ID
from cxr_vlp.pipelines.exports.formats.items import Item
from cxr_vlp.pipelines.format import schema
from cxr_vlp.pipelines.format.kinds import Items, Value

_TYPES = {
    "string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(),
}  # fmt: skip
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def columns() -> pa.Schema:
    """Return the columns, with the features in the metadata that `datasets` reads."""
    fields = [(_renamed(name), _type(field.kind)) for name, field in schema.FIELDS.items()]
    info = {"info": {"features": features()}}
    made = pa.schema([("image", _PICTURE), ("key", pa.string()), *fields])
    return made.with_metadata({"huggingface": json.dumps(info)})


def features() -> dict[str, Any]:
    """Return the columns as `datasets.Features.from_dict` reads them."""
    of_json = schema.features("jpg")["json"]
    first = {"image": {"_type": "Image"}, "key": {"dtype": "string", "_type": "Value"}}
    return first | {_renamed(name): feature for name, feature in of_json.items()}


def yaml_features(feature: Any = None) -> list[dict[str, Any]]:
    """Return the columns as the YAML of a hub's README.md names them."""
    fields = features() if feature is None else feature
    return [{"name": name, **_yaml(inner)} for name, inner in fields.items()]


def row(item: Item) -> dict[str, Any]:
    """Return the columns of a sample."""
    picture = {"bytes": item.image, "path": f"{item.key}.{item.form}"}
    fields = {_renamed(name): value for name, value in item.document.items()}
    return {**fields, "image": picture, "key": item.key}


def _type(kind: Any) -> pa.DataType:
    if isinstance(kind, Value):
        return _TYPES[kind.dtype]
    if isinstance(kind, Items):
        return pa.list_(_type(kind.of))
    return pa.struct([(name, _type(field.kind)) for name, field in kind.fields.items()])


def _yaml(feature: Any) -> dict[str, Any]:
    if isinstance(feature, list):
        inner = _yaml(feature[0])
        return {"list": inner.get("struct") or inner["dtype"]}
    if "_type" not in feature:
        return {"struct": yaml_features(feature)}
    return {"dtype": feature.get("dtype") or feature["_type"].lower()}


def _renamed(name: str) -> str:
    return IMAGE_ID if name == "image" else name
