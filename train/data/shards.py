"""Lists the tars of one split in folders of shards, with the number of samples in each.

The layout is the format's: FOLDER/{train,validate,test}/*.tar with a sizes.json beside the tars.
The name of the folder is the name of the source. The folder of a set on an object store has its
small files only (cxr_vlp.train.addresses makes it); its tars come when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.remote import sets as remote_sets
from cxr_vlp.pipelines.format.remote.tars import RemoteTar
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.train.errors import ConfigError, DataError

COUNT = "python -m cxr_vlp.pipelines.format.sizes DIR"  # what to do for tars without sizes.json
_VALIDATION = ("val", "valid", "validate", "validation", "dev")  # names that others give it
COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".tar.lz4")


@dataclass(frozen=True, slots=True)
class Shard:
    """One tar: its path, its number of samples by sizes.json, and its source.

    `remote`: where it is, if it is on an object store; then there is no file at its path.
    """

    path: Path
    samples: int
    source: str
    remote: RemoteTar | None = None

    @property
    def where(self) -> str:
        """The path or the address, for messages."""
        return self.remote.address if self.remote else str(self.path)

    @property
    def bytes(self) -> int:
        """The size of the tar."""
        return self.remote.size if self.remote else self.path.stat().st_size

    def open(self) -> BinaryIO:
        """Return the tar, opened; it is fetched first if it is on an object store.

        Raises OSError where a disk or a store does not give it; FormatError where what the store
        gives is not what the manifest names.
        """
        return self.remote.open() if self.remote else self.path.open("rb")

    def fetch(self) -> None:
        """Fetch the tar if it is on an object store and not here yet.

        Raises StoreError, or DataError where it is not the tar that the manifest names.
        """
        try:
            if self.remote is not None:
                self.remote.fetched()
        except FormatError as error:
            raise DataError(f"{self.where}: {error}") from None


def as_shard(found: Path | Shard) -> Shard:
    """Return a tar that is given by its path as a shard of which nothing else is known."""
    return found if isinstance(found, Shard) else Shard(found, 0, "")


def list_shards(folders: Sequence[Path], split: str) -> tuple[Shard, ...]:
    """Return the shards of a split over all folders, in the order of the folders, then by name.

    A folder without that split adds nothing. Raises ConfigError for a missing folder, for a tar
    that sizes.json does not count, and for one that it counts and that is not there: samples would
    be lost silently.
    """
    shards = tuple(shard for folder in sets(folders) for shard in _of_folder(folder, split))
    names = Counter(shard.path.name for shard in shards)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise ConfigError(f"two shards are named {twice[0]}: was a folder given twice?")
    return shards


def sets(folders: Sequence[Path]) -> tuple[Path, ...]:
    """Return the sets among the folders: each folder itself, or those right below it, by name.

    So `--shards data/shards` means every set in it.
    """
    return tuple(found for folder in folders for found in _sets(folder))


def digest(shards: Sequence[Shard]) -> str:
    """Return a sha256 that changes with the shards, and with their bytes if there is a manifest.

    A set on a disk and its copy on an object store have one digest.
    """
    rows = [[s.path.name, s.samples, s.bytes, s.source] for s in shards]
    text = hashlib.sha256(json.dumps(rows).encode())
    for folder in sorted({shard.path.parent.parent for shard in shards}):
        path = folder / manifest.NAME
        text.update(path.read_bytes() if path.is_file() else b"")
    return text.hexdigest()


def digests(shards: Sequence[Shard]) -> dict[str, str]:
    """Return source -> digest of its shards."""
    sources = sorted({shard.source for shard in shards})
    return {name: digest([shard for shard in shards if shard.source == name]) for name in sources}


def _sets(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of shards")
    if is_set(folder):
        return [folder]
    below = [path for path in sorted(folder.iterdir()) if path.name[0] != "." and is_set(path)]
    if not below:
        names = ", ".join(SPLITS)
        raise ConfigError(
            f"{folder}: no set of shards ({names}) in it or right below it{_misplaced(folder)}"
        )
    return below


def _misplaced(folder: Path) -> str:
    """Return what to do with tars that lie in no folder of a split, "" if there are none."""
    if (folder.parent / manifest.NAME).is_file():
        return f": it is a part of a set, name the set: {folder.parent}"
    if folder.name in SPLITS and any(folder.glob("*.tar")):
        return f": it is one split, name the folder around it: {folder.parent}"
    if any(folder.glob("*.tar")) or any(folder.glob("*/*.tar")):
        return (
            f": its tars must lie in folders named {', '.join(SPLITS)}, each with a "
            f"{manifest.SIZES} ({COUNT})"
        )
    deeper = next((p for depth in ("*/*", "*/*/*") for p in folder.glob(f"{depth}/*.tar")), None)
    if deeper is None:
        return ""
    return f": name the folder of the set, such as {deeper.parent.parent}"


def is_set(folder: Path) -> bool:
    """Return whether a folder is a set itself: it holds a split."""
    return any((folder / split).is_dir() for split in SPLITS)


def _of_folder(folder: Path, split: str) -> list[Shard]:
    remote = remote_sets.tars(folder)
    there = (folder / split).glob("*.tar")
    if remote is not None:
        there = (folder / name for name in remote if name.startswith(f"{split}/"))
    tars = {path.name: path for path in sorted(there)}
    sizes = _sizes(folder / split) if tars else {}
    odd = sorted(set(tars) ^ set(sizes))
    if odd:
        raise ConfigError(
            f"{folder / split}: {odd[0]} is in sizes.json or in the folder, not in both: copy the "
            "set again; if another program wrote the tars, remove sizes.json and count them with "
            f"{COUNT}"
        )
    _refuse_compressed(folder / split)
    _refuse_other_name(folder, split)
    source = folder.resolve().name
    return [
        Shard(path.resolve(), sizes[name], source, (remote or {}).get(f"{split}/{name}"))
        for name, path in tars.items()
    ]


def _refuse_other_name(folder: Path, split: str) -> None:
    """Raise ConfigError for validation tars under another name: they would not be used."""
    if split != "validate" or (folder / split).is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.lower() in _VALIDATION and any(path.glob("*.tar*")):
            raise ConfigError(f"{path}: rename this folder to {split}")


def _refuse_compressed(folder: Path) -> None:
    """Raise ConfigError for compressed tars: their samples would be lost silently."""
    number = sum(path.name.endswith(COMPRESSED) for path in folder.glob("[!.]*"))
    if number:
        raise ConfigError(
            f"{folder}: {number} compressed tars ({', '.join(COMPRESSED)}), which are not read: "
            f"unpack them (gunzip, unzstd, ...) and count the samples again with {COUNT}"
        )


def _sizes(folder: Path) -> dict[str, int]:
    path = folder / manifest.SIZES
    try:
        return manifest.sizes(folder)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; the loader takes its lengths from it: copy the set again; if "
            f"another program wrote the tars, count their samples with {COUNT}"
        ) from error
    except FormatError as error:
        raise ConfigError(
            f"{path}: {error}; copy the set again; if another program wrote the tars, remove it "
            f"and count their samples with {COUNT}"
        ) from error
