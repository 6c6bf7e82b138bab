"""Encoded pictures of earlier tars, by the fingerprint of what made them.

Copying a picture out of an old tar takes a thousandth of decoding it, so a new text or a changed
neighbour decodes nothing. The tar is one that the stock has just hashed.
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

from cxr_vlp.pipelines.cache.entries import Receipt, Receipts
from cxr_vlp.pipelines.cache.store import Stock
from cxr_vlp.pipelines.format import tar

Place = tuple[int, int]  # (first byte, length)


@dataclass(frozen=True)
class OldPicture:
    """An encoded picture and the `pixels` field of its sample."""

    data: bytes
    facts: Mapping[str, Any]


@dataclass
class OldPictures:
    """The pictures that earlier tars of a source hold, this part's own tars first."""

    receipts: Receipts
    stock: Stock
    part: str
    neighbours: Sequence[str] = ()  # the parts that had receipts when the run began
    _known: dict[str, list[tuple[str, Receipt]]] = field(default_factory=dict)
    _asked_all: bool = False

    def expect(self, images: Collection[str]) -> None:
        """Look up, in receipts alone, where pictures with these fingerprints may lie."""
        self._known = {image[:16]: [] for image in images}
        self._learn(self.receipts.latest(self.part))

    def find(self, image: str) -> OldPicture | None:
        """Return the expected picture with this fingerprint, None where no sound tar has it."""
        for key, receipt in self._places(image[:16]):
            path = self.stock.find(receipt)
            picture = None if path is None else _read(path, key, image)
            if picture is not None:
                return picture
        return None

    def knows(self, image: str) -> bool:
        """Tell whether a sound tar should hold the picture, without reading it from there."""
        return any(self.stock.find(receipt) for _, receipt in self._places(image[:16]))

    def _places(self, image: str) -> list[tuple[str, Receipt]]:
        if not self._known[image] and not self._asked_all:
            # a study that moved, or another number of parts: it lies in a neighbour's tar
            self._asked_all = True
            others = (name for name in self.neighbours if name != self.part)
            self._learn(
                newest for name in others for newest in islice(self.receipts.latest(name), 1)
            )
        return self._known[image]

    def _learn(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            bare = dataclasses.replace(receipt, samples=())
            for sample in receipt.samples:
                if sample.written and sample.image in self._known:
                    self._known[sample.image].append((sample.key, bare))


def _read(path: Path, key: str, image: str) -> OldPicture | None:
    places = _index(path, path.stat().st_mtime_ns)
    form = next((form for form in ("jpg", "png") if f"{key}.{form}" in places), None)
    if form is None or f"{key}.json" not in places:
        return None
    with path.open("rb") as stream:
        sample = json.loads(_bytes(stream, places[f"{key}.json"]))
        if sample["provenance"]["image_fingerprint"] != image:
            return None
        return OldPicture(_bytes(stream, places[f"{key}.{form}"]), sample["pixels"])


def _bytes(stream: Any, place: Place) -> bytes:
    stream.seek(place[0])
    data: bytes = stream.read(place[1])
    return data


@lru_cache(maxsize=4)
def _index(path: Path, mtime: int) -> dict[str, Place]:  # noqa: ARG001 - part of the cache's key
    """Return where the members of one of our own tars lie."""
    with path.open("rb") as stream:
        return tar.places(stream)
