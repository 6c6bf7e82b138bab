"""Applies windows and look-up tables: maps stored pixel values to 16-bit display grey.

Modality LUT, VOI, inversion, min-max and histogram equalisation are all functions of one value. So
each is applied once to every value that can occur (at most 65,536), and the image is looked up in
the result. A window is linear between its ends, so means of 2 x 2 pixels can be looked up as well
as the pixels themselves. In a non-linear table (equalised, a LUT of the file) only the pixels can.

Order, DICOM PS3.3 C.11: modality LUT, then VOI, then MONOCHROME1 is inverted. Inverting first gives
the wrong polarity wherever the window is not the full range.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from cxr_vlp.pipelines.imaging.dicom_header import ImageHeader, Lut

WHITE = 65535
_SHARES = {"percentile": (0.005, 0.995), "log": (0.005, 0.995)}  # of the pixels; otherwise all
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True, slots=True)
class DisplayLut:
    """The display grey of each stored value `low + i`: 0 black to 65,535 white."""

    low: int
    grey: np.ndarray  # (n,) uint16
    window: str  # "voi", "voi_lut", "stored", "log", "percentile", ...: what set the contrast
    bends: bool = False  # the table is non-linear: means of pixels must not be looked up in it
    otherwise: str = ""  # the note if it gives no plausible image

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the image as uint16 display grey, the shape of `values`."""
        if self.low < 0 or values.dtype.kind != "u":
            return self.grey[values.astype(np.int32) - self.low]
        # with an entry for every value from 0 on, nothing has to be subtracted from the image;
        # no value lies outside the table, and "wrap" is the only mode that copies no indices
        places = np.concatenate([np.zeros(self.low, np.uint16), self.grey])
        return np.take(places, values, mode="wrap")


class LutCandidates:
    """The candidate tables for an image with values `low` to `high`, by its header.

    `notes` are codes of impossible values in the header.
    """

    def __init__(self, low: int, high: int, header: ImageHeader, *, is_luma: bool = False) -> None:
        self.low, self.high, self.header, self.is_luma = low, high, header, is_luma
        self.notes = list(header.broken)
        self.linear = self._linear(np.arange(low, high + 1))

    def from_header(self) -> Iterator[DisplayLut]:
        """Yield the tables that the file specifies: its LUTs, its windows, or unchanged values."""
        if self.is_luma:
            yield self._stored()
            return
        if self.header.palette:
            yield self._palette()
            return
        for lut in self.header.voi_luts:
            yield self._lut(self._voi_lut(lut), "voi_lut", "lut.implausible", bends=True)
        for centre, width in self.header.windows:
            greys = _windowed(self.linear, centre, width, self.header.function)
            if greys is None:
                self.notes.append("window.implausible")
            else:
                bends = self.header.modality_lut is not None
                yield self._lut(greys, "voi", "window.implausible", bends=bends)
        if self._is_display():
            yield self._stored()

    def from_values(self, recipe: str, counts: np.ndarray) -> Iterator[DisplayLut]:
        """Yield the tables that follow from the range of the values, the best first, by recipe.

        `counts` is the histogram from `low` to `high`.

        voi         if no table of the file is plausible: percentile, then minmax
        percentile  0.5 to 99.5 percent of the pixels, without padding
        minmax      darkest to brightest pixel
        mimic_jpg   minmax, invert, equalise: how MIMIC-CXR-JPG was made (no VOI; mimic-cxr#16)
        chexpert_jpg  0 to brightest, invert, equalise: how CheXpert was made (chexpert-labeler#11)
        """
        if recipe in ("mimic_jpg", "chexpert_jpg"):
            yield equalized(self.stretched(recipe, counts), counts)
            return
        if recipe != "voi":
            yield self.stretched(recipe, counts)
            return
        if self.header.processing and self.header.linear:
            yield self.exposure(counts)
        yield self.stretched("percentile", counts)
        yield self.stretched("minmax", counts)

    def stretched(self, recipe: str, counts: np.ndarray) -> DisplayLut:
        """Return the table from the darkest to the brightest value of a share of the pixels."""
        first, last = _range(self.linear, counts, _SHARES.get(recipe, (0.0, 1.0)))
        if recipe == "chexpert_jpg":
            first = 0.0
        greys = np.clip((self.linear - first) / (last - first or 1.0), 0, 1)
        if self.header.processing and self.header.brightest:  # the header says which end is dense
            greys = 1 - greys if self.header.brightest > 0 else greys
            return DisplayLut(self.low, _rounded(greys), recipe)
        bends = self.header.modality_lut is not None
        return self._lut(greys, recipe, "", bends=bends)

    def exposure(self, counts: np.ndarray) -> DisplayLut:
        """Return the table for a detector's exposures: by their logarithm, dense is bright.

        Attenuation is exponential (PS3.3 C.8.11.3.1.2): a linear table would show only the air
        beside the patient, and everything else black.
        """
        falls = self.header.brightest < 0  # a low value is a high exposure
        values = (self.linear.max() - self.linear if falls else self.linear) + 0.0
        logs = np.log(np.maximum(values, 1.0))
        first, last = _range(logs, counts, _SHARES["log"])
        greys = 1 - np.clip((logs - first) / max(last - first, 1e-9), 0, 1)
        return DisplayLut(self.low, _rounded(greys), "log")

    def _lut(self, greys: np.ndarray, window: str, otherwise: str, *, bends: bool) -> DisplayLut:
        # by the range of the output, not by the image's maximum, which depends on the content
        greys = 1.0 - greys if self.header.inverted else greys
        return DisplayLut(self.low, _rounded(greys), window, bends, otherwise)

    def _linear(self, stored: np.ndarray) -> np.ndarray:
        """Return the values after the modality LUT or the rescaling, as float64."""
        header = self.header
        values = stored.astype(np.float64)
        if self.is_luma or header.palette:
            return values
        if header.modality_lut is not None:
            found = _looked_up(values, header.modality_lut)
        elif header.slope is None and header.intercept is None:
            return values
        else:
            slope = 1.0 if header.slope is None else header.slope
            with np.errstate(over="ignore", invalid="ignore"):
                found = values * slope + (header.intercept or 0.0)
        if values.size > 1 and not (np.isfinite(found).all() and np.ptp(found) > 0):
            self.notes.append("dicom.rescale_ignored")
            return values
        return found

    def _voi_lut(self, lut: Lut) -> np.ndarray:
        """Return the greys 0..1 of a VOI LUT; where its stated depth is wrong, by its entries."""
        used = int(lut.entries.max()).bit_length()
        wrong = not (1 <= lut.bits <= 16 and lut.bits - 1 <= used <= lut.bits)
        if wrong and used:
            self.notes.append("lut.depth_wrong")
        white = (1 << (used if wrong else lut.bits)) - 1
        return np.clip(_looked_up(self.linear, lut) / max(white, 1), 0, 1)

    def _palette(self) -> DisplayLut:
        found = np.zeros(self.linear.size)
        for weight, lut in zip(_LUMA, self.header.palette, strict=True):
            white = 65535 if lut.entries.max() > 255 else 255
            found += weight * _looked_up(self.linear, lut) / white
        return DisplayLut(self.low, _rounded(np.clip(found, 0, 1)), "palette", bends=True,
                     otherwise="lut.implausible")  # fmt: skip

    def _is_display(self) -> bool:
        """Return whether the values are display grey already: 8 bits, and not rescaled in reverse.

        Values of 8 bits are display grey also where the header allows more bits.
        """
        header = self.header
        if header.modality_lut is not None or (header.slope or 1.0) < 0 or self.low < 0:
            return False
        if header.stored <= 8:
            return True
        if header.processing or header.windows or header.voi_luts or not 128 <= self.high < 256:
            return False
        self.notes.append("dicom.bits_wrong")
        return True

    def _stored(self) -> DisplayLut:
        bits = self.header.stored if self.is_luma else min(self.header.stored, 8)
        white = max((1 << bits) - 1, (1 << self.high.bit_length()) - 1)
        greys = np.arange(self.low, self.high + 1) / white
        return self._lut(greys, "stored", "grey.stretched", bends=False)


def histogram(values: np.ndarray, left_out: np.ndarray | None = None) -> np.ndarray:
    """Return how often each value from the lowest on occurs, without the pixels of `left_out`.

    OpenCV counts five times as fast as numpy. It returns float32, which rounds a count above 16.7
    million by one in as many.
    """
    low = int(values.min())
    if values.dtype not in (np.uint8, np.uint16):
        weights = None if left_out is None else ~left_out.ravel()
        return np.bincount((values.astype(np.int32) - low).ravel(), weights).astype(np.int64)
    high = int(values.max())
    mask = None if left_out is None else (~left_out).astype(np.uint8)
    counts = cv2.calcHist([values], [0], mask, [high - low + 1], [low, high + 1])
    return counts.ravel().astype(np.int64)


def equalized(table: DisplayLut, counts: np.ndarray) -> DisplayLut:
    """Equalise as cv2.equalizeHist does: 256 grey levels by their cumulative histogram."""
    levels = np.rint(table.grey / WHITE * 255).astype(np.int64)
    found = np.bincount(levels, weights=counts, minlength=256)
    cumulative = np.cumsum(found)
    lowest = found[np.flatnonzero(found)[0]]
    greys = np.clip((cumulative - lowest) / max(cumulative[-1] - lowest, 1), 0, 1)[levels]
    return DisplayLut(table.low, _rounded(greys), "equalized", bends=True)


def _rounded(greys: np.ndarray) -> np.ndarray:
    return np.rint(greys * WHITE).astype(np.uint16)


def _looked_up(values: np.ndarray, lut: Lut) -> np.ndarray:
    """Return the entries for values; values outside the table get its first or last entry.

    The first input is signed if the values are, which descriptors do not always say.
    """
    first = lut.first % 65536
    if first >= 32768 and (values.min() < 0 or values.max() < first):
        first -= 65536
    places = np.clip(np.rint(values) - first, 0, lut.entries.size - 1)
    return lut.entries[places.astype(np.int64)]


def _windowed(linear: np.ndarray, centre: float, width: float, function: str) -> np.ndarray | None:
    """Return the greys 0..1 under a window, None if the window is impossible."""
    if not (math.isfinite(centre) and math.isfinite(width) and width > 0):
        return None
    if function == "SIGMOID":  # PS3.3 C.11.2.1.3.1
        return 1 / (1 + np.exp(np.clip(-4 * (linear - centre) / width, -60, 60)))
    if function == "LINEAR_EXACT" or width < 1:  # C.11.2.1.3.2; LINEAR has no meaning below 1
        return np.clip((linear - centre) / width + 0.5, 0, 1)
    # C.11.2.1.2.1: the linear function with its half-value and one-value offsets
    return np.clip((linear - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)


def _range(
    linear: np.ndarray, counts: np.ndarray, shares: tuple[float, float]
) -> tuple[float, float]:
    """Return the two values below which these shares of the pixels lie."""
    order = np.argsort(linear, kind="stable")
    cumulative = np.cumsum(counts[order])
    first = linear[order[np.searchsorted(cumulative, max(1, shares[0] * cumulative[-1]))]]
    last = linear[order[np.searchsorted(cumulative, shares[1] * cumulative[-1])]]
    if last <= first:  # nearly all pixels are equal: an image with a large blank border
        present = linear[counts > 0]
        first, last = present.min(), present.max()
    return float(first), float(last)
