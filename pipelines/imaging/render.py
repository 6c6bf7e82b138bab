"""Renders an image file as display grey: decodes it and chooses the first plausible look-up table.

A window is applied to means of 2 x 2 stored values. Percentiles, equalisation, the LUTs of the file
and padding use every pixel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import (
    dicom_pixels,
    display_lut,
    geometry,
    jpeg_strip,
    plausible,
    raster,
    resize,
)
from cxr_vlp.pipelines.imaging.dicom_file import Gates
from cxr_vlp.pipelines.imaging.dicom_header import ImageHeader
from cxr_vlp.pipelines.imaging.dicom_pixels import DicomImage, Stored
from cxr_vlp.pipelines.imaging.display_lut import DisplayLut, LutCandidates
from cxr_vlp.pipelines.imaging.parameters import ImageParameters
from cxr_vlp.pipelines.imaging.raster import RasterImage

SMALLEST_SIDE = 64  # pixels; on a smaller image no chest radiograph is recognisable
SQUARE = 0.01  # pixels whose sides differ by a smaller share are square
_SAMPLED = 160  # pixels a side, about, by which a table is judged


@dataclass(frozen=True, slots=True)
class Rendered:
    """Display grey of a source image, (height, width) uint8 or uint16, halved some times."""

    grey: np.ndarray
    halvings: int
    size: resize.Size  # of the source
    bits: int
    window: str
    notes: frozenset[str] = frozenset()
    photometric: str = ""
    aspect: float = 1.0  # height of a pixel by its width
    directions: tuple[str, ...] = ()  # where a row leads, where a column leads
    stored: bytes | None = None  # the file's own bytes, if they can be stored unchanged


def dicom(data: bytes, parameters: ImageParameters, max_pixels: int) -> Rendered:
    """Return the display grey of a DICOM file. Raises IngestError dicom.* and image.*."""
    gates = Gates(parameters.body_part, parameters.modality, parameters.for_processing)
    image = dicom_pixels.opened(data, max_pixels, gates)
    header = image.header
    aspect = round(header.aspect, 6) if abs(header.aspect - 1) > SQUARE else 1.0
    width, height = geometry.squared(image.size[1], image.size[0], aspect)
    if width * height > max_pixels:
        raise IngestError("image.too_large")
    values = _DicomValues(image, resize.halvings((height, width), parameters))
    notes = set(image.notes)
    for lut in values.luts(parameters.recipe):
        if not values.fault(lut):
            break
        notes.add(lut.otherwise)
    else:
        raise IngestError("image.implausible")
    return Rendered(
        values.grey(lut), values.times, image.size, header.stored, lut.window,
        frozenset(notes | values.notes) - {""}, header.photometric, aspect, header.orientation,
    )  # fmt: skip


@dataclass
class _DicomValues:
    """The stored values of a DICOM image, whole or halved, and their greys under a table."""

    image: DicomImage
    times: int  # halvings
    notes: set[str] = field(default_factory=set)

    def luts(self, recipe: str) -> Iterator[DisplayLut]:
        """Yield the tables to try, the best first."""
        header = self.image.header
        low, high = _refuse_degenerate(self.image.size, self.halved, lambda: self.stored.values)
        if self.stored_is_needed:
            self.notes |= {"dicom.bits_wrong"} if self.stored.bits_wrong else set()
        whole = header.has_lut or self.padding is not None
        if recipe == "voi":
            if whole:
                low, high = int(self.stored.values.min()), int(self.stored.values.max())
            yield from self._candidates(low, high, lambda luts: luts.from_header())
        values = self.stored.values
        counts = display_lut.histogram(values, self.padding)
        low, high = int(values.min()), int(values.max())
        yield from self._candidates(low, high, lambda luts: luts.from_values(recipe, counts))

    def _candidates(
        self, low: int, high: int, ask: Callable[[LutCandidates], Iterator[DisplayLut]]
    ) -> Iterator[DisplayLut]:
        is_luma = self.stored_is_needed and self.stored.is_luma
        candidates = LutCandidates(low, high, self.image.header, is_luma=is_luma)
        for lut in ask(candidates):
            self.notes.update(candidates.notes)
            yield lut
        self.notes.update(candidates.notes)

    @property
    def stored_is_needed(self) -> bool:
        """Whether every pixel has to be decoded."""
        return self._reduced is None

    @cached_property
    def _reduced(self) -> np.ndarray | None:
        header = self.image.header
        every = header.padding is not None or header.has_lut or header.processing
        return None if every else self.image.reduced(self.times)

    @cached_property
    def stored(self) -> Stored:
        """Every pixel's value."""
        return self.image.stored()

    @cached_property
    def halved(self) -> np.ndarray:
        """Means of 2 x 2 values, repeated `times` times."""
        if self._reduced is not None:
            return self._reduced
        return resize.halved(self.stored.values, self.times)

    @cached_property
    def padding(self) -> np.ndarray | None:
        """The mask of the padding, None if there is none."""
        stated = self.image.header.padding
        if stated is None or (self.stored_is_needed and self.stored.is_luma):
            return None
        mask, is_doubtful = dicom_pixels.padding_mask(self.stored.values, *stated)
        self.notes |= {"padding.implausible"} if is_doubtful else set()
        return mask

    def fault(self, lut: DisplayLut) -> str:
        """Return the fault of the image under a table, from a sample of its pixels."""
        whole = lut.bends or self.padding is not None
        values = self.stored.values if whole else self.halved
        levels = lut.apply(_sample(values)) >> 8
        if self.padding is None:
            return plausible.fault_of_levels(levels)
        levels = levels[~_sample(self.padding)]
        return plausible.fault_of_counts(np.bincount(levels, minlength=256))

    def grey(self, lut: DisplayLut) -> np.ndarray:
        """Return the image under a table, halved; padding is black."""
        if not lut.bends and self.padding is None:
            return lut.apply(self.halved)
        grey = lut.apply(self.stored.values)
        if self.padding is not None:
            grey[self.padding] = 0
        return resize.halved(grey, self.times)


def _sample(values: np.ndarray) -> np.ndarray:
    step = max(1, min(values.shape) // _SAMPLED)
    return values[::step, ::step]


def png_or_jpeg(
    data: bytes, parameters: ImageParameters, max_pixels: int, *, inverted: bool = False
) -> Rendered:
    """Return the display grey of a PNG or JPEG file. Raises IngestError image.*.

    For recipe voi its 8 bits are display grey already. 16 bits have no window, and most files use
    a part of their range only: for recipe voi they are stretched between two percentiles.
    `inverted`: low values are white, as the collection says beside the file; they become black.
    """
    image = raster.opened(data, max_pixels)
    times = resize.halvings(image.size, parameters)
    notes = frozenset({"grey.inverted"} if inverted else ())
    stored = None if inverted else _unchanged(image, parameters)
    if stored is not None:  # below it is decoded as it will be stored: so what is stored decodes
        image = dataclasses.replace(image, data=stored)
    if parameters.recipe == "voi" and not image.deep:
        done = min(times, image.halvings)
        whole = image.values(done)
        values = resize.halved(whole, times - done)
        _refuse_degenerate(image.size, values, image.values)
        if plausible.is_stencil(_sample(whole)):  # means of 2 x 2 would have more levels
            raise IngestError("image.implausible")
        values = cv2.bitwise_not(values) if inverted else values
        if not plausible.fault_of_levels(_sample(values)):
            return Rendered(
                values, times, image.size, 8, "stored", notes, _photometric(inverted),
                stored=stored,
            )  # fmt: skip
        notes |= {"grey.stretched"}  # as for a DICOM file with the same 8 bits
    return _stretched(image, parameters.recipe, times, notes, inverted=inverted)


def _stretched(
    image: RasterImage, recipe: str, times: int, notes: frozenset[str], *, inverted: bool
) -> Rendered:
    """Return a PNG or JPEG under the table that follows from its values."""
    values = image.values()
    _refuse_degenerate(image.size, values, lambda: values)
    header = ImageHeader(photometric=_photometric(inverted) or "MONOCHROME2")
    candidates = LutCandidates(int(values.min()), int(values.max()), header)
    lut = next(candidates.from_values(recipe, display_lut.histogram(values)))
    grey = _halved_under(lut, values, times)
    bits = 8 * values.dtype.itemsize
    return Rendered(grey, times, image.size, bits, lut.window, notes, _photometric(inverted))


def _photometric(inverted: bool) -> str:
    return "MONOCHROME1" if inverted else ""


def _halved_under(lut: DisplayLut, values: np.ndarray, times: int) -> np.ndarray:
    if lut.bends:
        return resize.halved(lut.apply(values), times)
    return lut.apply(resize.halved(values, times))


def _unchanged(image: RasterImage, parameters: ImageParameters) -> bytes | None:
    """Return the JPEG to be stored unchanged, None if pixels or format have to change."""
    keeps = parameters.recipe == "voi" and parameters.format == "jpg" and image.halvings > 0
    same = resize.wanted(image.size, parameters) == image.size
    square = parameters.resize != "pad" or image.size == (parameters.side, parameters.side)
    if not (keeps and same and square):
        return None
    return jpeg_strip.stripped(image.data, parameters.quality)


def _refuse_degenerate(
    size: resize.Size, values: np.ndarray, whole: Callable[[], np.ndarray]
) -> tuple[int, int]:
    """Return (lowest, highest) of the values; refuse an image of one value, or a tiny one.

    `values` may be halved: the means of a fine grid are all equal, so that `whole` decides.
    Raises IngestError image.degenerate.
    """
    if min(size) < SMALLEST_SIDE:
        raise IngestError("image.degenerate")
    low, high = int(values.min()), int(values.max())
    if low == high and np.ptp(whole()) == 0:
        raise IngestError("image.degenerate")
    return low, high
