"""Were the sets that a command found made with the parameters of its params file? Else it stops.

The second line of defence behind DVC. A folder of sets (`--shards data/shards`) is what `dvc repro`
keeps in step with params.yaml; a set that is named itself may come from anywhere, and is not
compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.train.config.params import Params
from cxr_vlp.train.data.shards import sets
from cxr_vlp.train.errors import ConfigError, DataError

MANIFEST = "manifest.jsonl"


def check(folders: Sequence[Path], params: Params) -> None:
    """Hold the sets below the folders against section `shards` of a params file.

    Compared is what the file says: what it leaves to the default is the other room's to know. Sets
    whose source is not among `collections` are left alone. Raises ConfigError, which names the
    dotted key, both values and the remedy.
    """
    if params.path is None:
        return
    for folder in folders:
        for found in sets([folder]):
            if found == folder or not (found / MANIFEST).is_file():
                continue
            header = _header(found / MANIFEST)
            if params.collections is None or header.get("source") in params.collections:
                _same(header, params.shards, found, params.path)


def _header(path: Path) -> Mapping[str, Any]:
    with path.open(encoding="utf-8") as lines:
        line = lines.readline()
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, Mapping):
        raise DataError(f"{path} is damaged: run `cxr-vlp shards` again")
    return header


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
