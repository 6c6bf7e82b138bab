"""The collections we read, by name: one module each, one registry. See base.py for the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_vlp.pipelines.config import build
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.sources.base import Source
from cxr_vlp.pipelines.sources.chexpert import Chexpert
from cxr_vlp.pipelines.sources.mimic import Mimic
from cxr_vlp.pipelines.sources.nih import Nih
from cxr_vlp.pipelines.sources.openi import Openi

KINDS: dict[str, type] = {kind.name: kind for kind in (Mimic, Chexpert, Nih, Openi)}


def reader(name: str, options: Mapping[str, Any], path: str = "params.yaml") -> Source:
    """Return the reader of a collection; `path` is where its options stand.

    Raises ConfigError for an unknown name, an unknown option or a value that is not allowed.
    """
    if name not in KINDS:
        raise ConfigError(f"no source {name!r}; known: {', '.join(sorted(KINDS))}")
    return build(KINDS[name], options, f"{path}: sources.{name}.reader")
