"""A mapping read from YAML comes in, a frozen dataclass goes out, or an error that names the key.

Both `params.yaml` and the recipes pass through here, so a misspelt key fails before any work is
done. What a key may hold is what the dataclass declares (cxr_vlp.nlp.config.settings).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cxr_vlp.nlp.config import plain_yaml, settings
from cxr_vlp.nlp.config.plain_yaml import SettingsError
from cxr_vlp.train.errors import ConfigError

T = TypeVar("T")


def read_yaml(path: Path, secret: Collection[str] = ()) -> dict[str, Any]:
    """Return the mapping in a YAML file ({} for an empty one); values below `secret` stay unsaid.

    Raises ConfigError, also for a key that DVC leaves out of what it hashes.
    """
    try:
        content = plain_yaml.read(path, secret)
        plain_yaml.hashed(content, str(path))
    except SettingsError as error:
        raise ConfigError(str(error)) from None
    return content


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings merge, anything else is replaced.

    A section of `over` with nothing in it changes nothing.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and (value is None or isinstance(value, Mapping)):
            merged[key] = merge(old, value or {})
        else:
            merged[key] = value
    return merged


def build(cls: type[T], values: Any, where: str) -> T:
    """Return `cls(**values)` with nested sections built. Raises ConfigError; `where` opens it."""
    try:
        return settings.build(cls, values, where)
    except SettingsError as error:
        raise ConfigError(str(error)) from None


def check(cls: type, values: Any, where: str) -> None:
    """Hold a part of a section against its class. Raises ConfigError; `where` opens it."""
    try:
        settings.check(cls, values, where)
        plain_yaml.hashed(values, where)
    except SettingsError as error:
        raise ConfigError(str(error)) from None


def known(names: Collection[str], among: Collection[str], where: str, what: str) -> None:
    """Refuse a name that is not among the known ones. Raises ConfigError with the nearest."""
    try:
        settings.known(names, among, where, what)
    except SettingsError as error:
        raise ConfigError(str(error)) from None


def plain(section: Any) -> dict[str, Any]:
    """Return a dataclass as the nested mapping of plain values that JSON and YAML can write."""
    return dataclasses.asdict(section)
