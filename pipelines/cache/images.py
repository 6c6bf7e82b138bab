"""Finds encoded images in the tars of earlier runs by their fingerprint.

Copying an image from an old tar takes a thousandth of the time of decoding it, so a changed text
or a change in another image of the part causes no decoding. The part's own tars are searched first,
by the key of the sample; the driver sends their entries. An image that is in none of them may be in
the tar of another part (image_index.py), where the state folder can be read.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.cache.image_index import ImageIndex
from cxr_vlp.pipelines.cache.store import Store
from cxr_vlp.pipelines.format import tar
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import is_remote

MemberRange = tuple[int, int]  # (first byte, length)
FORMATS = ("jpg", "png")


@dataclass(frozen=True)
class CachedImage:
    """An encoded image and the `pixels` field of its sample."""

    data: bytes
    facts: Mapping[str, Any]


@dataclass
class CachedImages:
    """The images in earlier tars of a source."""

    store: Store
    old: Sequence[Entry] = ()  # of the part itself, the newest first
    entries: Entries | None = None  # of all parts, and
    index: ImageIndex | None = None  # where their images are; None: only `old` is searched
    _paths: dict[tuple[str, str], Path | None] = field(default_factory=dict)
    _copies: tempfile.TemporaryDirectory[str] | None = None  # of tars in object stores

    def close(self) -> None:
        """Remove the copies of tars that were made on this machine."""
        if self._copies is not None:
            self._copies.cleanup()

    def find(self, image: str, key: str) -> CachedImage | None:
        """Return the image with this fingerprint; None if no intact tar contains it.

        `key` is that of its sample, under which the part's own tars have it.
        """
        for path, name in self._candidates(image, key):
            found = _read(path, name, image)
            if found is not None:
                return found
        return None

    def has(self, image: str, key: str) -> bool:
        """Return whether an intact tar contains the image, without reading the image."""
        return any(_is_there(path, name, image) for path, name in self._candidates(image, key))

    def _candidates(self, image: str, key: str) -> Iterator[tuple[Path, str]]:
        """Yield (tar, key) where the image may be."""
        for entry in self.old:
            path = self._path(entry)
            if path is not None:
                yield path, key
        if self.entries is None or self.index is None:
            return
        for found in self.index.find(image):
            name = (found.part, found.fingerprint)
            other = None if name in self._paths else self.entries.of(*name)
            path = self._path(other) if other else self._paths.get(name)
            if path is not None:
                yield path, found.key

    def _path(self, entry: Entry) -> Path | None:
        """Return the intact tar of an entry, which is searched once."""
        name = (entry.part, entry.fingerprint)
        if name not in self._paths:
            found = self.store.find(entry) if entry.sha256 else None
            self._paths[name] = self._local(found) if found and is_remote(found) else found
        return self._paths[name]

    def _local(self, found: Path) -> Path:
        """Return a copy on this machine: a request for each sample would take longer."""
        self._copies = self._copies or tempfile.TemporaryDirectory(prefix="cxr-vlp-")
        target = Path(self._copies.name) / f"{len(self._paths)}-{found.name}"
        objects.get_file(found, target)
        return target


def _read(path: Path, key: str, image: str) -> CachedImage | None:
    sample = _sample(path, key, image)
    if sample is None:
        return None
    ranges = _ranges(path)
    form = next(form for form in FORMATS if f"{key}.{form}" in ranges)
    return CachedImage(_bytes(path, ranges[f"{key}.{form}"]), sample["pixels"])


def _is_there(path: Path, key: str, image: str) -> bool:
    return _sample(path, key, image) is not None


def _sample(path: Path, key: str, image: str) -> Mapping[str, Any] | None:
    """Return the JSON member of a sample whose image has this fingerprint."""
    ranges = _ranges(path)
    if f"{key}.json" not in ranges or not any(f"{key}.{form}" in ranges for form in FORMATS):
        return None
    sample = json.loads(_bytes(path, ranges[f"{key}.json"]))
    same = sample["provenance"]["image_fingerprint"] == image
    return sample if same else None


def _bytes(path: Path, place: MemberRange) -> bytes:
    return objects.read_range(path, *place)


def _ranges(path: Path) -> dict[str, MemberRange]:
    return _member_ranges(path, objects.identity(path))


@lru_cache(maxsize=24)  # a part has up to 16 old tars
def _member_ranges(path: Path, identity: str) -> dict[str, MemberRange]:  # noqa: ARG001 - part of the cache's key
    """Return the byte ranges of the members of a tar that this project wrote."""
    with path.open("rb") as stream:
        return tar.places(stream)
