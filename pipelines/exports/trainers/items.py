"""The samples of an export for a trainer: their texts, labels and image files.

Every trainer reads its tables with pandas, which takes a cell such as `None`, `NA` or `nan` for a
missing value. A text of only such a word is therefore no text here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cxr_vlp.pipelines.cards.stored import Stored
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.exports import pixels
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import Sample

# all trainers call the second split so, and most read it from files of that name
SPLIT_NAMES = {"train": "train", "validate": "valid", "test": "test"}
CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Lesion", "Lung Opacity",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
COMPETITION = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")

NO_TEXT, SHORT_TEXT = "trainer.no_text", "trainer.short_text"
NO_LABEL, WRONG_VIEW = "trainer.no_label", "trainer.view"

# the words that pandas.read_csv takes for a missing value (pandas._libs.parsers.STR_NA_VALUES)
MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip

# pandas ends a cell at a NUL
_CONTROLS = dict.fromkeys([*range(32), 127], " ")


@dataclass(frozen=True, slots=True)
class Item:
    """A sample of an export, with the name of its set's tar."""

    sample: Sample
    image: bytes
    key: str
    shard: str

    @property
    def split(self) -> str:
        """The name of its split in the files of trainers: train, valid or test."""
        return SPLIT_NAMES[self.sample.split]

    @property
    def path(self) -> str:
        """The path of its image below the export: a folder for each tar, at most."""
        folder = self.shard.removesuffix(".tar")
        return f"images/{folder}/{self.key}.{pixels.suffix(self.image)}"

    def text(self, fields: Sequence[str]) -> str:
        """Return the first of these texts that is not empty, on one line; "" if none has text."""
        return next(filter(None, (said(getattr(self.sample, name)) for name in fields)), "")

    def label(self, name: str) -> int | str:
        """Return the value of a label as a cell of a table: 1, 0, -1 or "" for not mentioned."""
        return self.sample.labels.get(name, "")

    def labels(self, value: int, among: Collection[str]) -> list[str]:
        """Return the labels of one value, in the order of the format."""
        return [n for n, given in self.sample.labels.items() if given == value and n in among]


def said(text: str) -> str:
    """Return a text on one line, "" for one that pandas would read as a missing value."""
    line = " ".join(text.translate(_CONTROLS).split())
    return "" if line in MISSING else line


def fields(request: Request, default: Sequence[str]) -> Sequence[str]:
    """Return the texts that --caption names, or those that the trainer learns from."""
    return request.options.get("caption") or default


def of(request: Request, split: str = "") -> Iterator[Item]:
    """Yield the items of an export, set after set. Raises DataError for a broken sample."""
    for stored in request.samples(split):
        yield _item(stored)


def studies(request: Request, split: str = "") -> Iterator[list[Item]]:
    """Yield the items of each study; the images of a study are beside each other in one tar."""
    for _, group in groupby(of(request, split), key=_study):
        yield list(group)


def _study(item: Item) -> tuple[str, str, str, str]:
    sample = item.sample
    return sample.dataset, sample.split, sample.patient, sample.study


def _item(stored: Stored) -> Item:
    try:
        sample = Sample.from_json(stored.document)
    except FormatError as error:
        raise DataError(f"{stored.row['shard']}: {error}; run cxr-vlp verify on the set") from None
    if sample.key != stored.row["key"]:
        raise DataError(
            f"{stored.row['shard']}: changed since its set was made; run cxr-vlp verify on the set"
        )
    return Item(sample, stored.image, stored.row["key"], stored.row["shard"])


class Writer:
    """Writes the images of an export and counts what is written and what is left out."""

    def __init__(self, request: Request) -> None:
        self._out: Path = request.out
        self._side: int = request.options.get("side") or 0
        self.result = Result()

    def add(self, item: Item, path: str = "") -> str:
        """Write the image of an item, at `path` if it is given; return its path in the export."""
        path = path or item.path
        target = self._out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self._image(item))
        self.count(item)
        return path

    def _image(self, item: Item) -> bytes:
        size = item.sample.pixels
        if self._side and min(size.height, size.width) > self._side:
            return pixels.shortened(item.image, self._side)[0]
        return item.image

    def count(self, item: Item) -> None:
        """Count an item as written."""
        self.result.written[item.sample.split] += 1

    def leave_out(self, code: str, number: int = 1) -> None:
        """Count samples that the trainer cannot use."""
        self.result.left_out[code] += number
