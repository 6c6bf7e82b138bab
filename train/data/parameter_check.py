"""Stops a command whose sets of shards were made with other parameters than its params file gives.

DVC normally prevents this; here it is checked again. `dvc repro` keeps a folder of sets
(`--shards data/shards`) in step with params.yaml. A set that is named itself may come from anywhere
and is not compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.train.config import params
from cxr_vlp.train.data.set_choice import collections
from cxr_vlp.train.data.shards import sets
from cxr_vlp.train.errors import ConfigError, DataError


def check(folders: Sequence[Path], path: Path | None) -> None:
    """Compare the sets below the folders with section `shards` of a params file.

    Only what the file gives is compared: the defaults are known to `pipelines` alone. Sets whose
    source is not among `collections` are ignored. Raises ConfigError, which names the dotted key,
    both values and the remedy, or says that `collections` is no list of names.
    """
    if path is None:
        return
    wanted, chosen = params.whole(path).get("shards") or {}, collections(path)
    for folder in folders:
        for found in sets([folder]):
            if found == folder or not (found / manifest.NAME).is_file():
                continue
            header = _header(found)
            if chosen is None or header.get("source") in chosen:
                _same(header, wanted, found, path)


def _header(folder: Path) -> Mapping[str, Any]:
    try:
        return manifest.header(folder)
    except FormatError:
        path = folder / manifest.NAME
        raise DataError(f"{path} is damaged: run `cxr-vlp shards` again") from None


def _same(header: Mapping[str, Any], wanted: Any, found: Path, path: Path) -> None:
    made = header.get("shards")
    if not isinstance(made, Mapping) or not isinstance(wanted, Mapping):
        return
    source = header.get("source")
    for key, value in wanted.items():
        was = made.get(key)
        if (type(was) is bool, was) != (type(value) is bool, value):
            raise ConfigError(
                f"shards.{key} is {_word(value)} in {path}, and {found} was made with "
                f"{_word(was)}: run `cxr-vlp shards {source}` again (or `dvc repro "
                f"shards@{source}`), "
                "name the parameters it was made with in --params, or the set itself in --shards"
            )


def _word(value: Any) -> str:
    """Return a value as params.yaml writes it."""
    return value if isinstance(value, str) and value else json.dumps(value)
