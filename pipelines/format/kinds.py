"""The kinds of values in the JSON objects of the format: their check and their JSON Schema.

sample.py's classes and manifest.py's tables are made of these kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LARGEST = 2**63  # whole numbers stay below it: Arrow's have 64 bits
TYPES = {"string": str, "int64": int, "float64": float, "bool": bool}
JSON_TYPES = {"string": "string", "int64": "integer", "float64": "number", "bool": "boolean"}


@dataclass(frozen=True)
class Value:
    """A string, number or flag; `dtype` is its name in Arrow, `one_of` the allowed values."""

    dtype: str
    nullable: bool = False
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Items:
    """A list of values of one kind; it may be empty."""

    of: Any


@dataclass(frozen=True)
class Record:
    """An object with these keys: all of them, or with `partly` any of them."""

    fields: Mapping[str, Field]
    partly: bool = False
    name: str = ""  # under which JSON Schema describes it once; "" for one of equal fields
    says: str = ""


@dataclass(frozen=True)
class Open:
    """An object whose keys the format does not fix; `of` is the kind of its values, if known."""

    of: Value | None = None


@dataclass(frozen=True)
class Field:
    """A field of an object: its kind and its description."""

    kind: Value | Items | Record | Open
    says: str = ""
    optional: bool = False  # the object may lack it


TEXT, WHOLE, NUMBER, FLAG = (Value(dtype) for dtype in ("string", "int64", "float64", "bool"))
COUNTS = Open(WHOLE)


def holds(kind: Any, value: Any) -> bool:
    """Return whether a value is of a kind; here True is not a number, and 1 is not a float."""
    if isinstance(kind, Value):
        if value is None:
            return kind.nullable
        fits = type(value) is TYPES[kind.dtype]
        return fits and (kind.dtype != "int64" or -LARGEST <= value < LARGEST)
    if isinstance(kind, Items):
        return isinstance(value, list) and all(holds(kind.of, item) for item in value)
    if not isinstance(value, dict):
        return False
    if isinstance(kind, Open):
        return True
    if not (kind.partly or value.keys() == kind.fields.keys()):
        return False
    known = kind.fields
    return all(name in known and holds(known[name].kind, v) for name, v in value.items())


def json_schema(kind: Any) -> dict[str, Any]:
    """Return the JSON Schema of a kind; a named record is a reference into `$defs`."""
    if isinstance(kind, Value):
        word = JSON_TYPES[kind.dtype]
        found: dict[str, Any] = {"type": [word, "null"] if kind.nullable else word}
        return found | ({"enum": list(kind.one_of)} if kind.one_of else {})
    if isinstance(kind, Items):
        return {"type": "array", "items": json_schema(kind.of)}
    if isinstance(kind, Open):
        return {"type": "object"} | (
            {"additionalProperties": json_schema(kind.of)} if kind.of else {}
        )
    return {"$ref": f"#/$defs/{kind.name}"} if kind.name else described(kind)


def described(kind: Record) -> dict[str, Any]:
    """Return the JSON Schema of a record in full.

    Further keys are allowed: a later minor version may add some, and readers ignore them.
    """
    properties = {
        name: json_schema(field.kind) | ({"description": field.says} if field.says else {})
        for name, field in kind.fields.items()
    }
    found: dict[str, Any] = {"description": kind.says} if kind.says else {}
    found |= {"type": "object", "properties": properties}
    needed = [name for name, field in kind.fields.items() if not field.optional]
    return found if kind.partly else found | {"required": needed}
