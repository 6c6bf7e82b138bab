"""Checks every value of a section of settings; an error names the key and the remedy.

It checks `params.yaml` and the recipes; all rooms import it. A section is a frozen pydantic
dataclass whose annotations say what is allowed:

    @dataclass(frozen=True, config=STRICT)
    class Shards:
        quality: Annotated[int, Field(ge=1, le=100)] = 95
        sections: Several[str] = ("indication",)

A new parameter is one such line.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo

from cxr_vlp.nlp.config.plain_yaml import SHOWN, SettingsError

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)
# old name -> today's: of version 0.2 (shards.size) and 0.3 (image.pictures, text.texts of a recipe)
RENAMED = {"size": "side", "pictures": "count", "texts": "count"}

T = TypeVar("T")


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{_shown(value)} is repeated")
    return values


# A list of any length.
Listed = Annotated[tuple[T, ...], BeforeValidator(_listed)]
# A list of any length whose values differ.
Several = Annotated[tuple[T, ...], BeforeValidator(_listed), AfterValidator(_distinct)]
# Two numbers.
Pair = Annotated[tuple[T, T], BeforeValidator(_listed)]


def build(kind: type[T], values: Any, where: str, *, secret: bool = False) -> T:
    """Return the section `kind` with the values of a file; missing values are the defaults.

    `where` opens every message: "params.yaml: shards". Raises SettingsError with a line for every
    unknown key (and the nearest known one) and every value that is not allowed.
    """
    faults: list[str] = []
    made = _section(kind, values, where, faults, secret=secret)
    if faults:
        raise SettingsError("\n".join(faults))
    return typing.cast("T", made)


def check(kind: type, values: Any, where: str) -> None:
    """Check every key and value of a part of a section, as `build` does, without building it.

    Whether the values fit together is not checked: the part is merged into another one first.
    """
    faults: list[str] = []
    _fields(kind, values, where, faults, secret=False, whole=False)
    if faults:
        raise SettingsError("\n".join(faults))


def value(hint: Any, found: Any, where: str) -> Any:
    """Return a single value, checked against a type. Raises SettingsError."""
    faults: list[str] = []
    made = _leaf(hint, found, where, faults, secret=False)
    if faults:
        raise SettingsError("\n".join(faults))
    return made


def known(names: Iterable[str], among: Collection[str], where: str, what: str = "key") -> None:
    """Refuse names that are not among the known ones. Raises SettingsError with the nearest."""
    faults = [_unknown(name, among, where, what) for name in names if name not in among]
    if faults:
        raise SettingsError("\n".join(faults))


def _at(where: str, name: str) -> str:
    """Return the place of a key; "recipe x:" is a whole file, "params.yaml: shards" a section."""
    return f"{where} {name}" if where.endswith(":") else f"{where}.{name}"


def _unknown(name: str, among: Collection[str], where: str, what: str) -> str:
    meant = nearest(name, among)
    listed = ", ".join(among) or "none"
    return f"{where.removesuffix(':')}: unknown {what} {name!r}{meant}; known: {listed}"


def nearest(name: str, among: Collection[str]) -> str:
    """Return ", did you mean 'x'?" for the known name that is most like this one, else ""."""
    if RENAMED.get(name) in among:
        return f" (did you mean {RENAMED[name]}?)"
    lowered = {each.lower(): each for each in among}
    found = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f" (did you mean {lowered[found[0]]}?)" if found else ""


def hints(kind: type) -> dict[str, Any]:
    """Return the fields of a section and what their annotations allow, in order."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {each.name: found[each.name] for each in dataclasses.fields(kind) if each.init}


def _section(kind: type, values: Any, where: str, faults: list[str], *, secret: bool) -> Any:
    before = len(faults)
    made = _fields(kind, values, where, faults, secret=secret)
    if len(faults) > before:
        return None
    try:
        return kind(**made)
    except ValidationError as error:
        faults += [
            f"{where.removesuffix(':')}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
    except (TypeError, ValueError) as error:
        faults.append(f"{where.removesuffix(':')}: {error}")
    return None


def _fields(
    kind: type,
    values: Any,
    where: str,
    faults: list[str],
    *,
    secret: bool,
    whole: bool = True,
) -> dict[str, Any]:
    if values is None:  # a section whose keys are all commented out
        return {}
    if not isinstance(values, Mapping):
        faults.append(f"{where}: expected keys and values, found {_found(values, secret=secret)}")
        return {}
    allowed, made = hints(kind), {}
    for name, found in values.items():
        if name not in allowed:
            faults.append(_unknown(str(name), allowed, where, "key"))
        elif dataclasses.is_dataclass(allowed[name]):
            inner = _at(where, name)
            if whole:
                made[name] = _section(allowed[name], found, inner, faults, secret=secret)
            else:
                _fields(allowed[name], found, inner, faults, secret=secret, whole=False)
        elif (part := _part(allowed[name])) is not None:
            made[name] = _of_part(part, found, _at(where, name), faults, secret=secret)
        else:
            made[name] = _leaf(allowed[name], found, _at(where, name), faults, secret=secret)
    return made


@dataclasses.dataclass(frozen=True)
class Short:
    """Annotates a part of a section that has a short form, which `whole` makes keys and values."""

    whole: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class _Part:
    """A part of a section that may be absent (`Labels | None`), or a list of such parts."""

    kind: type
    several: bool = False
    whole: Callable[[Any], Any] | None = None  # makes keys and values of a short form


@functools.cache
def _part(hint: Any) -> _Part | None:
    """Return the part that an annotation allows, None for a single value."""
    if get_origin(hint) is Annotated:
        bare, *extras = get_args(hint)
        part = _part(bare)
        short = next((each.whole for each in extras if isinstance(each, Short)), None)
        return dataclasses.replace(part, whole=short) if part and short else part
    inner = [each for each in get_args(hint) if each not in (type(None), ...)]
    if len(inner) != 1 or not dataclasses.is_dataclass(inner[0]):
        return None
    if get_origin(hint) is tuple or isinstance(hint, types.UnionType):
        return _Part(typing.cast("type", inner[0]), get_origin(hint) is tuple)
    return None


def _of_part(part: _Part, found: Any, where: str, faults: list[str], *, secret: bool) -> Any:
    if not part.several:
        made = part.whole(found) if part.whole else found
        if made is None or isinstance(made, part.kind):
            return made
        return _section(part.kind, made, where, faults, secret=secret)
    if not isinstance(found, list | tuple):
        faults.append(f"{where}: expected a list, found {_found(found, secret=secret)}")
        return ()
    return tuple(
        _section(part.kind, each, f"{where}[{place}]", faults, secret=secret)
        for place, each in enumerate(found)
    )


def _leaf(hint: Any, found: Any, where: str, faults: list[str], *, secret: bool) -> Any:
    # pydantic compares with ==, and to Python 1 is True
    if get_origin(hint) is Literal and type(found) not in set(map(type, get_args(hint))):
        faults.append(f"{where}: expected {expected(hint)}, found {_found(found, secret=secret)}")
        return None
    try:
        return _adapter(hint).validate_python(found)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            # a pair that lacks its second value is wrong as a whole
            loc = each["loc"][:-1] if each["type"] == "missing" else each["loc"]
            place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc)
            if each["type"] == "value_error":
                said = each["msg"].removeprefix("Value error, ")
            else:
                wanted = expected(_inner(hint, loc))
                said = f"expected {wanted}, found {_found(each['input'], secret=secret)}"
                said += _remedy(hint, each, secret=secret)
            faults.append(f"{where}{place.removesuffix('.[key]')}: {said}")
    return None


@functools.cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint, config=STRICT)
    except PydanticUserError:  # a type with a configuration of its own
        return TypeAdapter(hint)


def _inner(hint: Any, place: tuple[int | str, ...]) -> Any:
    """Return the type of an item at a place within a list or mapping of a type."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if not place or get_origin(bare) not in (tuple, Mapping, dict):
        return hint
    inner = get_args(bare)
    is_items = get_origin(bare) is not tuple or inner[-1] is Ellipsis
    if get_origin(bare) is tuple:
        index = 0 if is_items else min(int(place[0]), len(inner) - 1)
    else:
        index = 1
    return _inner(inner[index], place[1:])


def expected(hint: Any) -> str:
    """Return what a type allows, in words: "a whole number from 1 to 100"."""
    if get_origin(hint) is Annotated:
        bare, *extras = get_args(hint)
        return expected(bare) + _limits(extras)
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(_written, get_args(hint)))}"
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        if inner[-1] is Ellipsis:
            return f"a list ({expected(inner[0])} each)"
        return f"a list of {len(inner)} ({expected(inner[0])} each)"
    if get_origin(hint) in (Mapping, dict):
        return f"keys and values ({expected(get_args(hint)[1])} each)"
    if isinstance(hint, types.UnionType):
        return " or ".join(map(expected, get_args(hint)))
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return words.get(hint, "a value")


def _written(value: Any) -> str:
    """Return one of several allowed values as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _limits(extras: Iterable[Any]) -> str:
    flat = [m for e in extras for m in (e.metadata if isinstance(e, FieldInfo) else [e])]
    found = {
        n: getattr(m, n)
        for m in flat
        for n in ("ge", "gt", "le", "lt", "min_length")
        if hasattr(m, n)
    }
    said = f" from {found['ge']}" if "ge" in found else ""
    said += f" above {found['gt']}" if "gt" in found else ""
    said += f" to {found['le']}" if "le" in found else ""
    said += f" below {found['lt']}" if "lt" in found else ""
    return said + (", not empty" if found.get("min_length") else "")


def _remedy(hint: Any, fault: Mapping[str, Any], *, secret: bool) -> str:
    found = fault["input"]
    bare = _inner(hint, fault["loc"])
    bare = get_args(bare)[0] if get_origin(bare) is Annotated else bare
    if isinstance(found, str) and not secret:
        if get_origin(bare) is Literal:
            return nearest(found, [_written(each) for each in get_args(bare)])
        if bare in (bool, int, float):
            return " (a text: leave the quotes out)"
        if get_origin(bare) is tuple:
            return f" (write [{found[:SHOWN]}])"
    if bare is str and isinstance(found, bool | int | float):
        return " (quote it)"
    return ""


def _found(value: Any, *, secret: bool) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return kinds.get(type(value), _shown(value)) if secret else _shown(value)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "keys and values"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite" if value == value else "no number (nan)"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
