"""The collections we read, by name: one module each, one registry. See base.py for the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.faults import ConfigError
from pipelines.params import build
from pipelines.sources.base import Source
from pipelines.sources.chexpert import Chexpert
from pipelines.sources.mimic import Mimic
from pipelines.sources.nih import Nih
from pipelines.sources.openi import Openi

KINDS: dict[str, type] = {kind.name: kind for kind in (Mimic, Chexpert, Nih, Openi)}


def reader(name: str, options: Mapping[str, Any], path: str = "params.yaml") -> Source:
    """Return the reader of a collection; `path` is where its options stand.

    Raises ConfigError for an unknown name, an unknown option or a value that is not allowed.
    """
    if name not in KINDS:
        raise ConfigError(f"no source {name!r}; known: {', '.join(sorted(KINDS))}")
    return build(KINDS[name], options, f"{path}: sources.{name}.reader")
