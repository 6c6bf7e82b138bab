"""Encode an image file as an 8-bit grey image, with the facts of how it was made.

decode, at half the size where that will do -> grey table (grey.py), the first that gives a
plausible image -> square pixels, turned -> resize (resizing.py) -> jpg or png. Shards' JSON records
every choice in `pixels`, so nobody has to guess later how an image came to look as it does.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import (
    dicom_pixels,
    display_lut,
    jpeg_strip,
    orientation,
    padding,
    plausible,
    raster,
    resize,
)
from cxr_vlp.pipelines.imaging.dicom_attributes import Attributes
from cxr_vlp.pipelines.imaging.dicom_header import Gates
from cxr_vlp.pipelines.imaging.dicom_pixels import Film, Stored
from cxr_vlp.pipelines.imaging.display_lut import Greys, Table
from cxr_vlp.pipelines.imaging.geometry import placement, squared
from cxr_vlp.pipelines.records import Encoded

SMALLEST_SIDE = 64  # pixels; below it no chest radiograph is recognisable
SQUARE = 0.01  # pixels whose sides differ by less are square
_SAMPLED = 160  # pixels a side, about, that a table is judged by
_SUFFIXES = {"dicom": (".dcm", ".dicom", ".dic", ""), "image": (".png", ".jpg", ".jpeg")}


@dataclass(frozen=True, slots=True)
class Shown:
    """Display grey of a source image, (height, width) uint8 or uint16, halved some times."""

    grey: np.ndarray
    halvings: int
    size: resize.Size  # of the source
    bits: int
    window: str
    notes: frozenset[str] = frozenset()
    photometric: str = ""
    aspect: float = 1.0  # height of a pixel by its width
    letters: tuple[str, ...] = ()  # where a row leads, where a column does
    stored: bytes | None = None  # the file itself, where it can be kept as it is


def encode(data: bytes, suffix: str, shards: Shards) -> Encoded:
    """Return the stored form of one image file; `suffix` is its file name's, ".dcm", ".png".

    What the file is shows its content; the suffix decides where that tells nothing.
    Raises IngestError with a code: dicom.*, image.unreadable, image.too_large, image.degenerate,
    image.implausible.
    """
    max_pixels = shards.max_megapixels * 1_000_000
    suffix = suffix.lower()
    if data.startswith(b"\x1f\x8b"):
        data = _gunzip(data, max_pixels)
    suffix = suffix.removesuffix(".gz")
    kind = _kind(data, suffix)
    shown = (_film if kind == "dicom" else _picture)(data, shards, max_pixels)
    notes = set(shown.notes)
    if suffix not in _SUFFIXES[kind]:
        notes.add("file.suffix")
    steps = orientation.turn(shown.letters)
    notes |= {orientation.note(steps)} - {""}
    steps = steps if shards.orient == "turn" else ""
    height, width = shown.size
    at = placement(width, height, shards, shown.aspect, steps)
    image = _finished(shown, steps, shards)
    if plausible.fault(image, shards.recipe):
        raise IngestError("image.implausible")
    if shards.resize == "pad":
        image = resize.padded(image, shards.side, at)
    facts: dict[str, Any] = {
        "height": image.shape[0],
        "width": image.shape[1],
        "source_height": height,
        "source_width": width,
        "photometric": shown.photometric,
        "bits": shown.bits,
        "window": shown.window,
        "recipe": shards.recipe,
        "aspect": shown.aspect,
        "turned": steps,
        "notes": sorted(notes),
    }
    return Encoded(shown.stored or _compress(image, shards), facts, at)


def refuse(facts: Mapping[str, Any], shards: Shards) -> None:
    """Refuse an image that was made before by what it is known to be, as `encode` would.

    Raises IngestError: image.too_large, dicom.body_part, dicom.modality, dicom.for_processing.
    """
    if facts["source_height"] * facts["source_width"] > shards.max_megapixels * 1_000_000:
        raise IngestError("image.too_large")
    for name in ("modality", "body_part", "for_processing"):
        if getattr(shards, name) == "reject" and f"dicom.{name}" in facts["notes"]:
            raise IngestError(f"dicom.{name}")


def _kind(data: bytes, suffix: str) -> str:
    """Return "dicom" or "image", by the file's first bytes where they are known ones."""
    if data[128:132] == b"DICM":
        return "dicom"
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return "image"
    return "dicom" if suffix in _SUFFIXES["dicom"] else "image"


def _finished(shown: Shown, steps: str, shards: Shards) -> np.ndarray:
    """Return the uint8 image at its wanted size: in square pixels, turned, resized."""
    picture, size = shown.grey, shown.size
    if shown.aspect != 1:
        width, height = squared(size[1], size[0], shown.aspect)
        size = (height, width)
        halved = tuple(max(1, round(side / 2**shown.halvings)) for side in (width, height))
        picture = cv2.resize(picture, halved, interpolation=cv2.INTER_CUBIC)
    if steps:
        picture = orientation.turned(picture, steps)
        size = size[::-1] if "T" in steps else size
    return resize.resized(picture, shown.halvings, size, shards)


def _gunzip(data: bytes, max_pixels: int) -> bytes:
    limit = 2 * max_pixels + (1 << 20)  # 16 bits a pixel and a header
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            raw = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error):
        raise IngestError("image.unreadable") from None
    if len(raw) > limit:
        raise IngestError("image.too_large")
    return raw


def _film(data: bytes, shards: Shards, max_pixels: int) -> Shown:
    """Return a DICOM file's display grey, by the first table that gives a plausible image.

    A window is laid on means of 2 x 2 stored values; what needs every pixel (percentiles,
    equalisation, the file's own LUTs, padding) gets every pixel.
    """
    gates = Gates(shards.body_part, shards.modality, shards.for_processing)
    film = dicom_pixels.opened(data, max_pixels, gates)
    header = film.header
    aspect = round(header.aspect, 6) if abs(header.aspect - 1) > SQUARE else 1.0
    width, height = squared(film.size[1], film.size[0], aspect)
    if width * height > max_pixels:
        raise IngestError("image.too_large")
    values = _Values(film, resize.halvings((height, width), shards))
    notes = set(film.notes)
    for table in values.tables(shards.recipe):
        if not values.fault(table):
            break
        notes.add(table.otherwise)
    else:
        raise IngestError("image.implausible")
    return Shown(
        values.shown(table), values.times, film.size, header.stored, table.window,
        frozenset(notes | values.notes) - {""}, header.photometric, aspect, header.orientation,
    )  # fmt: skip


@dataclass
class _Values:
    """The stored values of a DICOM file, whole or halved, and how they look under a table."""

    film: Film
    times: int  # halvings
    notes: set[str] = field(default_factory=set)

    def tables(self, recipe: str) -> Iterator[Table]:
        """Yield the tables to try, the best first."""
        header = self.film.header
        low, high = _refuse_degenerate(self.film.size, self.halved, lambda: self.stored.values)
        if self.stored_is_needed:
            self.notes |= {"dicom.bits_wrong"} if self.stored.bits_wrong else set()
        whole = header.has_lut or self.padding is not None
        if recipe == "voi":
            if whole:
                low, high = int(self.stored.values.min()), int(self.stored.values.max())
            yield from self._greys(low, high, lambda greys: greys.own())
        values = self.stored.values
        counts = display_lut.histogram(values, self.padding)
        low, high = int(values.min()), int(values.max())
        yield from self._greys(low, high, lambda greys: greys.stretches(recipe, counts))

    def _greys(
        self, low: int, high: int, ask: Callable[[Greys], Iterator[Table]]
    ) -> Iterator[Table]:
        is_luma = self.stored_is_needed and self.stored.is_luma
        greys = Greys(low, high, self.film.header, is_luma=is_luma)
        for table in ask(greys):
            self.notes.update(greys.notes)
            yield table
        self.notes.update(greys.notes)

    @property
    def stored_is_needed(self) -> bool:
        """Whether every pixel has to be decoded."""
        return self._reduced is None

    @cached_property
    def _reduced(self) -> np.ndarray | None:
        header = self.film.header
        every = header.padding is not None or header.has_lut or header.processing
        return None if every else self.film.reduced(self.times)

    @cached_property
    def stored(self) -> Stored:
        """Every pixel's value."""
        return self.film.stored()

    @cached_property
    def halved(self) -> np.ndarray:
        """Means of 2 x 2, `times` times over."""
        if self._reduced is not None:
            return self._reduced
        return resize.halved(self.stored.values, self.times)

    @cached_property
    def padding(self) -> np.ndarray | None:
        """The mask of the padding, None where there is none."""
        told = self.film.header.padding
        if told is None or (self.stored_is_needed and self.stored.is_luma):
            return None
        mask, is_doubtful = padding.region(self.stored.values, *told)
        self.notes |= {"padding.implausible"} if is_doubtful else set()
        return mask

    def fault(self, table: Table) -> str:
        """Return what is wrong with the image under a table, by some of its pixels."""
        whole = table.bends or self.padding is not None
        values = self.stored.values if whole else self.halved
        levels = table.apply(_some(values)) >> 8
        if self.padding is None:
            return plausible.fault_of_levels(levels)
        levels = levels[~_some(self.padding)]
        return plausible.fault_of_counts(np.bincount(levels, minlength=256))

    def shown(self, table: Table) -> np.ndarray:
        """Return the image under a table, halved; padding is black."""
        if not table.bends and self.padding is None:
            return table.apply(self.halved)
        shown = table.apply(self.stored.values)
        if self.padding is not None:
            shown[self.padding] = 0
        return resize.halved(shown, self.times)


def _some(values: np.ndarray) -> np.ndarray:
    step = max(1, min(values.shape) // _SAMPLED)
    return values[::step, ::step]


def _picture(data: bytes, shards: Shards, max_pixels: int) -> Shown:
    """Return a PNG's or JPEG's display grey; 8 bits are display grey already for recipe voi."""
    picture = raster.opened(data, max_pixels)
    times = resize.halvings(picture.size, shards)
    notes: frozenset[str] = frozenset()
    stored = _as_it_is(picture, shards)
    if stored is not None:  # decoded below as it will be stored, so what is stored can be decoded
        picture = dataclasses.replace(picture, data=stored)
    if shards.recipe == "voi" and not picture.deep:
        done = min(times, picture.halvings)
        whole = picture.values(done)
        values = resize.halved(whole, times - done)
        _refuse_degenerate(picture.size, values, picture.values)
        if plausible.is_stencil(_some(whole)):  # means of 2 x 2 would have more levels
            raise IngestError("image.implausible")
        if not plausible.fault_of_levels(_some(values)):
            return Shown(values, times, picture.size, 8, "stored", stored=stored)
        notes = frozenset({"grey.stretched"})  # as a DICOM of the same 8 bits is
    values = picture.values()
    _refuse_degenerate(picture.size, values, lambda: values)
    greys = Greys(int(values.min()), int(values.max()), Attributes())
    table = next(greys.stretches(shards.recipe, display_lut.histogram(values)))
    made = _halved_under(table, values, times)
    return Shown(made, times, picture.size, 8 * values.dtype.itemsize, table.window, notes)


def _halved_under(table: Table, values: np.ndarray, times: int) -> np.ndarray:
    if table.bends:
        return resize.halved(table.apply(values), times)
    return table.apply(resize.halved(values, times))


def _as_it_is(picture: raster.Picture, shards: Shards) -> bytes | None:
    """Return the JPEG to be stored unchanged, None where pixels or form have to change."""
    keeps = shards.recipe == "voi" and shards.format == "jpg" and picture.halvings > 0
    same = resize.wanted(picture.size, shards) == picture.size
    square = shards.resize != "pad" or picture.size == (shards.side, shards.side)
    return jpeg_strip.bare(picture.data, shards.quality) if keeps and same and square else None


def _refuse_degenerate(
    size: resize.Size, values: np.ndarray, whole: Callable[[], np.ndarray]
) -> tuple[int, int]:
    """Return (lowest, highest) of the values; refuse a picture that is all one value, or tiny.

    A fine grid has one mean everywhere, so the whole picture has the last word.
    """
    if min(size) < SMALLEST_SIDE:
        raise IngestError("image.degenerate")
    low, high = int(values.min()), int(values.max())
    if low == high and np.ptp(whole()) == 0:
        raise IngestError("image.degenerate")
    return low, high


def _compress(picture: np.ndarray, shards: Shards) -> bytes:
    if shards.format == "png":
        options = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, shards.quality]
    done, buffer = cv2.imencode("." + shards.format, picture, options)
    if not done:
        raise IngestError("image.unencodable")
    return buffer.tobytes()
