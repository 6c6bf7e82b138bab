"""The samples of an export with their caption, image and JSON as the flags of the command ask.

A resized image keeps its format. The JSON member then has its new size, and its boxes are those of
the new image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.pipelines.cards.stored import Stored
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.exports import pixels
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.format.sample import sample_key

NAMES = ("dataset", "study", "image")  # the fields that make a key


@dataclass(slots=True)
class Item:
    """One sample to be written."""

    row: dict[str, Any]  # of the table of samples
    document: dict[str, Any]  # the JSON member
    caption: str
    image: bytes
    raw: bytes = b""  # the JSON member as it is stored; b"" if it was changed

    @property
    def key(self) -> str:
        """The key of the sample; it holds only letters that a file name may hold."""
        return str(self.row["key"])

    @property
    def split(self) -> str:
        """The split: train, validate or test."""
        return str(self.row["split"])

    @property
    def form(self) -> str:
        """The format of the image and the suffix of its file: jpg or png."""
        return pixels.suffix(self.image)

    @property
    def json(self) -> bytes:
        """The bytes of the JSON member, in the form in which sets store it."""
        return self.raw or dumped(self.document)


def dumped(value: Any) -> bytes:
    """Return a JSON value in the form of a set's JSON members: sorted keys, no blanks, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def splits(request: Request) -> list[str]:
    """Return the splits that have a chosen sample, in the order in which they occur."""
    found = (each.table.column("split").unique().to_pylist() for each in request.chosen)
    return list(dict.fromkeys(split for names in found for split in names))


def items(request: Request, result: Result, split: str = "") -> Iterator[Item]:
    """Yield the samples to be written and count them, and those that are left out, in `result`.

    Raises DataError for a sample that is not what the table of samples says.
    """
    fields, side = request.options["caption"], request.options["side"]
    for stored in request.samples(split):
        item = _item(stored, fields)
        if not item.caption:
            result.left_out["text.empty"] += 1
            continue
        if side and min(item.row["height"], item.row["width"]) > side:
            _resize(item, side)
        result.written[item.split] += 1
        yield item


def _item(stored: Stored, fields: Sequence[str]) -> Item:
    try:
        document = json.loads(stored.document)
        same = sample_key(*(document[name] for name in NAMES)) == stored.row["key"]
        caption = stored.caption.decode()
    except (ValueError, KeyError, TypeError, RecursionError):
        same = False
    if not same:
        shard = stored.row["shard"]
        raise DataError(f"{shard}: changed since its set was made; run cxr-vlp verify on the set")
    if not fields or fields[0] == "caption":
        return Item(stored.row, document, caption, stored.image, stored.document)
    chosen = next((document[name] for name in fields if document[name]), "")
    return Item(stored.row, document | {"caption": chosen}, chosen, stored.image)


def _resize(item: Item, side: int) -> None:
    """Shorten the image, write its new size to the row and the JSON, and move the boxes."""
    item.image, (height, width) = pixels.shortened(item.image, side)
    down, across = height / item.row["height"], width / item.row["width"]
    size = {"height": height, "width": width}
    factors = {"x": across, "w": across, "y": down, "h": down}
    boxes = [
        box | {name: box[name] * factor for name, factor in factors.items()}
        for box in item.document["boxes"]
    ]
    described = item.document["pixels"] | size
    item.row |= size
    item.document, item.raw = item.document | {"boxes": boxes, "pixels": described}, b""
