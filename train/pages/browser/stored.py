"""Reads the chosen samples of a set from their tars; the others are passed over, not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

import cv2
import numpy as np

from cxr_vlp.pipelines.format import tar
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import Sample, key_hash
from cxr_vlp.train.data.samples import IMAGES
from cxr_vlp.train.data.shards import as_shard
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.pages.browser.choice import Place

LARGEST = 12 * 1024  # bytes of a stored image that the site takes as it is
SIDE = 512  # pixels: the longer side of an image that is encoded again
QUALITY = 80

Span = tuple[int, int]  # first byte and number of bytes


@dataclass(frozen=True, slots=True)
class Chosen:
    """A sample that the browser shows.

    `image`: the bytes of a JPEG or PNG; `ending` of its file; `width` and `height` of the stored
    image in pixels, the frame of the boxes.
    """

    place: Place
    sample: Sample
    caption: str
    image: bytes
    ending: str
    width: int
    height: int


def read(places: Sequence[Place]) -> Iterator[Chosen]:
    """Yield the samples at these places, in their order, which is that of the tars.

    Raises DataError for a damaged tar, and for a sample or an image that cannot be read.
    """
    for tar_of, wanted in groupby(places, key=lambda place: place.tar):
        shard = as_shard(tar_of)
        try:
            with shard.open() as file:
                spans = _spans(file)
                for place in wanted:
                    yield _chosen(file, place, spans.get(place.key, {}))
        except FormatError as error:
            raise DataError(f"{shard.where}: {error}") from None


def _spans(file: BinaryIO) -> dict[str, dict[str, Span]]:
    """Return key -> ending -> where the member lies."""
    found: dict[str, dict[str, Span]] = {}
    for name, span in tar.places(file, folders=True).items():
        key, ending = tar.split_name(name)
        found.setdefault(key, {})[ending] = span
    return found


def _chosen(file: BinaryIO, place: Place, spans: Mapping[str, Span]) -> Chosen:
    endings = [ending for ending in IMAGES if ending in spans]
    if len(endings) != 1:
        raise DataError(f"{_where(place)} does not have one image; run cxr-vlp verify on the set")
    sample = Sample.from_json(_bytes(file, spans["json"]))
    caption = _bytes(file, spans["txt"]).decode(errors="replace") if "txt" in spans else ""
    stored = _bytes(file, spans[endings[0]])
    pixels = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DataError(f"{_where(place)}: the image cannot be decoded")
    image, ending = (stored, endings[0]) if len(stored) <= LARGEST else (_smaller(pixels), "jpg")
    height, width = pixels.shape[:2]
    return Chosen(place, sample, caption.strip(), image, ending, width, height)


def _smaller(pixels: np.ndarray) -> bytes:
    """Return an image as a JPEG whose longer side has at most SIDE pixels."""
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if reduced.dtype != np.uint8:  # a PNG of 16 bits, of another program
        reduced = cv2.convertScaleAbs(reduced, alpha=1 / 257)
    encoded = cv2.imencode(".jpg", reduced, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return bytes(encoded.tobytes())


def _bytes(file: BinaryIO, span: Span) -> bytes:
    file.seek(span[0])
    data = file.read(span[1])
    if len(data) < span[1]:
        raise FormatError("shard.torn", "cut off inside a member")
    return data


def _where(place: Place) -> str:
    return f"{as_shard(place.tar).where}: sample {key_hash(place.key)}"
