"""The lexicon: YAML word lists in, plain Python values and one digest out.

Every scalar is read as a string (YAML would turn the word "no" into False).
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the C reader is ten times as fast


def files() -> tuple[Path, ...]:
    """Return the lexicon's files in the order of their names."""
    return tuple(sorted(FOLDER.glob("*.yaml")))


@functools.cache
def load(name: str) -> Any:
    """Return what `{name}.yaml` holds; do not change it, everyone shares it."""
    with (FOLDER / f"{name}.yaml").open(encoding="utf-8") as file:
        return yaml.load(file, Loader=_LOADER)


def words(name: str, group: str) -> frozenset[str]:
    """Return one list of `{name}.yaml` as a set."""
    return frozenset(load(name)[group])


@functools.cache
def digest() -> str:
    """Return the sha256 over all YAML bytes: part of every text fingerprint."""
    total = hashlib.sha256()
    for path in files():
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
