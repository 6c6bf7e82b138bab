"""Folders of shards come in, the list of tars of one split with their sample counts goes out.

The layout is the contract's: FOLDER/{train,validate,test}/*.tar with a sizes.json beside the
tars. The folder's name is the source's name.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.train.errors import ConfigError

SPLITS = ("train", "validate", "test")


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar: its path, how many samples its sizes.json promises, the source it belongs to."""

    path: Path
    samples: int
    source: str


def list_shards(folders: Sequence[Path], split: str) -> tuple[Shard, ...]:
    """Return the shards of a split over all folders, in the order of the folders, then by name.

    A folder without that split adds nothing; a missing folder, a tar that sizes.json does not
    count, or one that it counts and that is not there, is an error: samples would be lost without
    a word.
    """
    shards = tuple(shard for folder in sets(folders) for shard in _of_folder(folder, split))
    names = Counter(shard.path.name for shard in shards)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise ConfigError(f"two shards are named {twice[0]}: was a folder given twice?")
    return shards


def sets(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the sets among the folders: each itself, or those right below it, by name.

    So `--shards data/shards` means every set there is.
    """
    return tuple(found for folder in folders for found in _sets(folder))


def digest(shards: Sequence[Shard]) -> str:
    """Return a sha256 that changes with the shards, and with their bytes where a manifest tells."""
    rows = [[s.path.name, s.samples, s.path.stat().st_size, s.source] for s in shards]
    text = hashlib.sha256(json.dumps(rows).encode())
    for folder in sorted({shard.path.parent.parent for shard in shards}):
        manifest = folder / "manifest.jsonl"
        text.update(manifest.read_bytes() if manifest.is_file() else b"")
    return text.hexdigest()


def _sets(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of shards")
    if is_set(folder):
        return [folder]
    below = [path for path in sorted(folder.iterdir()) if path.name[0] != "." and is_set(path)]
    if not below:
        names = ", ".join(SPLITS)
        raise ConfigError(f"{folder}: no set of shards ({names}) in it or right below it")
    return below


def is_set(folder: Path) -> bool:
    """Tell whether a folder is a set itself: it holds a split."""
    return any((folder / split).is_dir() for split in SPLITS)


def _of_folder(folder: Path, split: str) -> list[Shard]:
    tars = {path.name: path for path in sorted((folder / split).glob("*.tar"))}
    sizes = _sizes(folder / split / "sizes.json") if tars else {}
    odd = sorted(set(tars) ^ set(sizes))
    if odd:
        raise ConfigError(
            f"{folder / split}: {odd[0]} is in sizes.json or in the folder, not in both"
        )
    source = folder.resolve().name
    return [Shard(path.resolve(), sizes[name], source) for name, path in tars.items()]


def _sizes(path: Path) -> dict[str, int]:
    try:
        sizes = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; the loader takes its lengths from it") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON") from error
    return {str(name): int(count) for name, count in sizes.items()}
