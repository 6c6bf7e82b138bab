"""Builds frozen dataclasses from what a YAML file says, and reports every fault as a ConfigError.

params.yaml and the recipes are both read here, so a misspelt key fails before any work begins. The
checks themselves are `cxr_vlp.nlp.config`; what a key may hold is what the dataclass declares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cxr_vlp.nlp.config import plain_yaml, settings
from cxr_vlp.nlp.config.plain_yaml import SettingsError
from cxr_vlp.train.errors import ConfigError

T = TypeVar("T")


@contextmanager
def faults_of_the_user() -> Iterator[None]:
    """Turn a SettingsError inside the block into a ConfigError with the same message."""
    try:
        yield
    except SettingsError as error:
        raise ConfigError(str(error)) from None


def read_yaml(path: Path, secret: Collection[str] = ()) -> dict[str, Any]:
    """Return the mapping in a YAML file, {} for an empty one.

    `secret`: top-level keys whose values never appear in a message. Raises ConfigError, also for a
    key that DVC leaves out of what it hashes.
    """
    with faults_of_the_user():
        content = plain_yaml.read(path, secret)
        plain_yaml.hashed(content, str(path))
    return content


def build(cls: type[T], values: Any, where: str) -> T:
    """Return the dataclass `cls` filled from a mapping, nested sections included.

    `where` begins every message, for example "params.yaml: train". Raises ConfigError.
    """
    with faults_of_the_user():
        return settings.build(cls, values, where)


def check(cls: type, values: Any, where: str) -> None:
    """Check the keys and values of a part of a section, without building the section.

    `where` begins every message. Raises ConfigError.
    """
    with faults_of_the_user():
        settings.check(cls, values, where)
        plain_yaml.hashed(values, where)


def known(names: Collection[str], among: Collection[str], where: str, what: str) -> None:
    """Refuse a name that is not among the known names. Raises ConfigError with the nearest one."""
    with faults_of_the_user():
        settings.known(names, among, where, what)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`. Mappings are merged, other values are replaced.

    An empty section of `over` changes nothing.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and (value is None or isinstance(value, Mapping)):
            merged[key] = merge(old, value or {})
        else:
            merged[key] = value
    return merged
