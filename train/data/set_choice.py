"""Folders and the params file's `collections` come in, the sets of shards that are used go out.

A set that is given itself is always used. Of a folder of sets only the named collections are; what
lies beside them is told, and a named one that is absent stops the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.config.params import whole
from cxr_vlp.train.data.shards import is_set, sets

KEY = "collections"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The folders of the sets that are used, and a line for each folder with others in it."""

    folders: tuple[Path, ...]
    beside: tuple[str, ...] = ()


def collections(params: Path | None) -> tuple[str, ...] | None:
    """Return what a params file names under `collections`; None where it says nothing.

    Raises ConfigError where that is no list of names.
    """
    found = whole(params).get(KEY) if params else None
    if found is None:
        return None
    if not isinstance(found, list) or not found or not all(isinstance(n, str) for n in found):
        raise ConfigError(f"{params}: {KEY}: give a list of names, such as [mimic, openi]")
    return tuple(found)


def choose(folders: Sequence[Path], named: Sequence[str] | None) -> Chosen:
    """Return the sets among the folders, limited to the named collections (None: no limit).

    Raises ConfigError where a folder holds no set, and where a named collection is in none.
    """
    used: list[Path] = []
    beside: list[str] = []
    for folder in folders:
        found = sets([folder])
        whole = named is None or is_set(folder)
        used += [each for each in found if whole or each.name in (named or ())]
        others = [] if whole else [each.name for each in found if each.name not in (named or ())]
        if others:
            beside.append(f"{folder} also holds {', '.join(others)}: not in {KEY}, not used")
    if all(is_set(folder) for folder in folders):
        return Chosen(tuple(used))
    absent = [name for name in named or () if name not in {each.name for each in used}]
    if absent:
        where = ", ".join(str(folder) for folder in folders)
        raise ConfigError(
            f"{where}: no set of {', '.join(absent)}, which {KEY} of the params file names: make "
            f"it (dvc repro shards@{absent[0]}), or take it out of {KEY}"
        )
    return Chosen(tuple(used), tuple(beside))
