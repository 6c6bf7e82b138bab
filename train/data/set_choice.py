"""Chooses the sets of shards for a command, from folders and the `collections` of params.yaml.

A set that is given by its own path is always used. Of a folder of sets, only the named collections
are used: the others are reported, and a named collection that is missing stops the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.train.data.shards import is_set, sets
from cxr_vlp.train.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ChosenSets:
    """The folders of the sets that are used, and a line for each folder with unused sets in it."""

    folders: tuple[Path, ...]
    unused: tuple[str, ...] = ()


def choose(folders: Sequence[Path], named: Sequence[str] | None) -> ChosenSets:
    """Return the sets among the folders, limited to the named collections (None: no limit).

    Raises ConfigError where a folder holds no set, and where a named collection has no set.
    """
    used: list[Path] = []
    unused: list[str] = []
    for folder in folders:
        found = sets([folder])
        whole = named is None or is_set(folder)
        used += [each for each in found if whole or each.name in (named or ())]
        others = [] if whole else [each.name for each in found if each.name not in (named or ())]
        if others:
            unused.append(f"{folder} also holds {', '.join(others)}: not in collections, not used")
    if all(is_set(folder) for folder in folders):
        return ChosenSets(tuple(used))
    absent = [name for name in named or () if name not in {each.name for each in used}]
    if absent:
        where = ", ".join(str(folder) for folder in folders)
        raise ConfigError(
            f"{where}: no set of {', '.join(absent)}, which `collections` of the params file "
            f"names: make it (dvc repro shards@{absent[0]}), pull it (dvc pull "
            f"shards@{absent[0]}), or remove it from `collections`"
        )
    return ChosenSets(tuple(used), tuple(unused))
