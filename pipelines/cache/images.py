"""Finds encoded images in the tars of earlier runs by their fingerprint.

Copying an image from an old tar takes a thousandth of the time of decoding it, so a changed text
or a change in another image of the part causes no decoding. The store has hashed the tar before.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.cache.store import Store
from cxr_vlp.pipelines.format import tar

MemberRange = tuple[int, int]  # (first byte, length)


@dataclass(frozen=True)
class CachedImage:
    """An encoded image and the `pixels` field of its sample."""

    data: bytes
    facts: Mapping[str, Any]


@dataclass
class CachedImages:
    """The images in earlier tars of a source; the part's own tars are searched first."""

    entries: Entries
    store: Store
    part: str
    neighbours: Sequence[str] = ()  # the parts that had entries when the run began
    _known: dict[str, list[tuple[str, Entry]]] = field(default_factory=dict)
    _searched_all: bool = False

    def prepare(self, images: Collection[str]) -> None:
        """Look up in the entries where images with these fingerprints may be."""
        self._known = {image[:16]: [] for image in images}
        self._add(self.entries.newest_first(self.part))

    def find(self, image: str) -> CachedImage | None:
        """Return the image with this fingerprint; None if no intact tar contains it.

        `image` must be one of those given to `prepare`.
        """
        for key, entry in self._candidates(image[:16]):
            path = self.store.find(entry)
            found = None if path is None else _read(path, key, image)
            if found is not None:
                return found
        return None

    def has(self, image: str) -> bool:
        """Return whether an intact tar should contain the image, without reading the image."""
        return any(self.store.find(entry) for _, entry in self._candidates(image[:16]))

    def _candidates(self, image: str) -> list[tuple[str, Entry]]:
        if not self._known[image] and not self._searched_all:
            # the study moved, or the number of parts changed: it is in another part's tar
            self._searched_all = True
            others = (name for name in self.neighbours if name != self.part)
            self._add(
                newest for name in others for newest in islice(self.entries.newest_first(name), 1)
            )
        return self._known[image]

    def _add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            bare = dataclasses.replace(entry, samples=())
            for sample in entry.samples:
                if sample.written and sample.image in self._known:
                    self._known[sample.image].append((sample.key, bare))


def _read(path: Path, key: str, image: str) -> CachedImage | None:
    ranges = _member_ranges(path, path.stat().st_mtime_ns)
    form = next((form for form in ("jpg", "png") if f"{key}.{form}" in ranges), None)
    if form is None or f"{key}.json" not in ranges:
        return None
    with path.open("rb") as stream:
        sample = json.loads(_bytes(stream, ranges[f"{key}.json"]))
        if sample["provenance"]["image_fingerprint"] != image:
            return None
        return CachedImage(_bytes(stream, ranges[f"{key}.{form}"]), sample["pixels"])


def _bytes(stream: Any, place: MemberRange) -> bytes:
    stream.seek(place[0])
    data: bytes = stream.read(place[1])
    return data


@lru_cache(maxsize=4)
def _member_ranges(path: Path, mtime: int) -> dict[str, MemberRange]:  # noqa: ARG001 - part of the cache's key
    """Return the byte ranges of the members of a tar that this project wrote."""
    with path.open("rb") as stream:
        return tar.places(stream)
