"""A mapping read from YAML comes in, a frozen dataclass goes out, or an error that names the key.

Both `params.yaml` and the recipes pass through here, so a misspelt key fails before any work is
done.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from train.errors import ConfigError

T = TypeVar("T")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file ({} for an empty one)."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({error})") from error
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path}: expected keys and values at the top level")
    return content or {}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings merge, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Return `cls(**values)` with nested sections built and numbers made of the declared type.

    `where` opens every message. YAML 1.1 reads `1e-3` as a string: a float field takes it as a
    number.
    """
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        known = ", ".join(sorted(hints))
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known keys: {known}")
    made = {key: _cast(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return cls(**made)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error


def plain(section: Any) -> dict[str, Any]:
    """Return a dataclass as the nested mapping of plain values that JSON and YAML can write."""
    return dataclasses.asdict(section)


def _cast(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected keys and values")
        return build(typing.cast("type[Any]", hint), value, where)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _cast_tuple(typing.get_args(hint), value, where)
    if origin in (dict, Mapping, typing.get_origin(Mapping[str, Any])):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected keys and values")
        return dict(value)
    if origin is typing.Literal:
        known = typing.get_args(hint)
        if not any(value == each and type(value) is type(each) for each in known):
            names = ", ".join(str(each).lower() for each in known)
            raise ConfigError(f"{where}: {value!r} is not one of {names}")
        return value
    if isinstance(hint, types.UnionType):
        raise ConfigError(f"{where}: declared with a union, which no section may use")
    return _cast_scalar(hint, value, where)


def _cast_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ConfigError(f"{where}: expected a list")
    open_ended = len(args) == 2 and args[1] is Ellipsis
    if not open_ended and len(items) != len(args):
        raise ConfigError(f"{where}: expected {len(args)} values, got {len(items)}")
    hints = [args[0]] * len(items) if open_ended else args
    return tuple(_cast(hint, item, where) for hint, item in zip(hints, items, strict=True))


def _cast_scalar(hint: Any, value: Any, where: str) -> Any:
    wrong = ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError as error:
            raise wrong from error
    exact = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    if not exact:
        raise wrong
    return value
