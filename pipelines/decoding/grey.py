"""Stored pixel values in, a table from stored value to 16-bit display grey out.

Modality LUT, VOI, inversion, min-max and histogram equalisation are all functions of one value, so
each is applied once to every value that can occur (at most 65,536) and the picture is looked up:
the reference's own functions (pydicom's) decide, at a fraction of their cost on 8 million pixels.
A window is straight between its ends, so means of 2 x 2 pixels can be looked up as well as the
pixels themselves; where a table bends (equalised, a LUT of the file) only the pixels can be.

Order, DICOM PS3.3 C.11: modality LUT -> VOI -> then MONOCHROME1 is inverted. Inverting first gives
the wrong polarity wherever the window is not the full range.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

WHITE = 65535


@dataclass(frozen=True, slots=True)
class Table:
    """Display grey of each stored value `low + i`, 0 black to 65,535 white, and how it was made."""

    low: int
    grey: np.ndarray  # (n,) uint16
    window: str  # "voi", "voi_lut", "percentile", "minmax", "equalized": what set the contrast
    bends: bool = False  # means of pixels must not be looked up in it

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the picture as uint16 display grey, the shape of `values`."""
        if self.low < 0 or values.dtype.kind != "u":
            return self.grey[values.astype(np.int32) - self.low]
        # with a place for every value from 0 on nothing has to be taken off the picture first;
        # no value is beyond the table, and mode "wrap" is the one that copies no indices
        places = np.concatenate([np.zeros(self.low, np.uint16), self.grey])
        return np.take(places, values, mode="wrap")


def windowed(low: int, high: int, dtype: np.dtype, dataset: Dataset) -> Table | None:
    """Return the table of the file's own window; None where it has none that works, or a LUT.

    The range of the values, `low` to `high`, is all that counts: that of a halved picture will do.
    """
    if _has_lut(dataset):
        return None
    grey, window = _voi(_modality(np.arange(low, high + 1), dataset), dataset, dtype)
    return None if grey is None else _table(low, _inverted(grey, dataset), window, bends=False)


def table(values: np.ndarray, recipe: str, dataset: Dataset | None = None) -> Table:
    """Return the look-up table of a picture under a pixel recipe, from all of its pixels.

    `dataset` gives the LUTs, windows, padding and photometric interpretation of a DICOM file;
    without one the values are linear, bright is dense, and only the histogram counts.

    voi         window or VOI LUT of the file; the percentile window where it has none that works
    percentile  0.5 to 99.5 percent of the pixels, padding left out
    minmax      darkest to brightest pixel
    mimic_jpg   minmax, invert, equalise: how MIMIC-CXR-JPG was made (no VOI; mimic-cxr#16)
    chexpert_jpg  0 to brightest, invert, equalise: how CheXpert was made (chexpert-labeler#11)
    """
    low, counts = _histogram(values)
    dataset = Dataset() if dataset is None else dataset
    linear = _modality(np.arange(low, low + counts.size), dataset)
    counts = _without_padding(counts, low, dataset)
    grey, window = None, recipe
    if recipe == "voi":
        grey, window = _voi(linear, dataset, values.dtype)
    if grey is None:
        grey = _stretch(linear, counts, recipe)
        window = "percentile" if recipe == "voi" else recipe
    grey = _inverted(grey, dataset)
    if recipe in ("mimic_jpg", "chexpert_jpg"):
        return _table(low, _equalize(grey, counts), "equalized", bends=True)
    return _table(low, grey, window, bends=_has_lut(dataset))


def _table(low: int, grey: np.ndarray, window: str, *, bends: bool) -> Table:
    return Table(low, np.rint(grey * WHITE).astype(np.uint16), window, bends)


def _inverted(grey: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return greys 0..1 with bright as dense.

    Against the output's range, not the picture's own maximum: the latter shifts with content.
    """
    return 1.0 - grey if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _has_lut(dataset: Dataset) -> bool:
    return any(dataset.get(name) for name in ("ModalityLUTSequence", "VOILUTSequence"))


def _histogram(values: np.ndarray) -> tuple[int, np.ndarray]:
    """Return (smallest value, how often each from there on occurs).

    OpenCV counts five times as fast as numpy; it hands out float32, which rounds a count above
    16.7 million by one in as many.
    """
    low = int(values.min())
    if values.dtype not in (np.uint8, np.uint16):
        return low, np.bincount((values.astype(np.int32) - low).ravel())
    high = int(values.max())
    counts = cv2.calcHist([values], [0], None, [high - low + 1], [low, high + 1])
    return low, counts.ravel().astype(np.int64)


def _without_padding(counts: np.ndarray, low: int, dataset: Dataset) -> np.ndarray:
    """Leave PixelPaddingValue (0028,0120) out of the histogram, unless nothing else is there."""
    padding = dataset.get("PixelPaddingValue")
    if isinstance(padding, int) and 0 <= padding - low < counts.size:
        rest = counts.copy()
        rest[padding - low] = 0
        return rest if rest.any() else counts
    return counts


def _modality(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            linear = apply_modality_lut(stored, dataset).astype(np.float64)
        except Exception:
            return stored.astype(np.float64)
    return linear if np.isfinite(linear).all() else stored.astype(np.float64)


def _voi(linear: np.ndarray, dataset: Dataset, dtype: np.dtype) -> tuple[np.ndarray | None, str]:
    """Return the greys 0..1 under the file's own VOI, or None where it has none that works."""
    sequence = dataset.get("VOILUTSequence")
    if sequence:
        grey = _voi_table(linear, dataset, dtype)
        if grey is not None:
            return grey, "voi_lut"
    centre, width = _first(dataset, "WindowCenter"), _first(dataset, "WindowWidth")
    if centre is None or width is None or width < 1:
        return None, ""
    if str(dataset.get("VOILUTFunction", "LINEAR")).upper() == "SIGMOID":  # PS3.3 C.11.2.1.3.1
        return 1 / (1 + np.exp(np.clip(-4 * (linear - centre) / width, -60, 60))), "voi"
    # PS3.3 C.11.2.1.2.1: the linear function with its half-value and one-value offsets
    grey = np.clip((linear - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)
    # a window that shows nothing of this picture is a wrong tag, not a black picture
    return (grey, "voi") if np.ptp(grey) > 0 else (None, "")


def _voi_table(linear: np.ndarray, dataset: Dataset, dtype: np.dtype) -> np.ndarray | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            output = apply_voi_lut(linear.astype(dtype), dataset, prefer_lut=True)
            bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        except Exception:
            return None
    grey = output.astype(np.float64) / ((1 << bits) - 1)
    usable = bool(np.isfinite(grey).all() and np.ptp(grey) > 0)
    return np.clip(grey, 0, 1) if usable else None


def _first(dataset: Dataset, name: str) -> float | None:
    """Return the first value of a window tag; some files repeat it (['5292','5292','5292'])."""
    try:
        value = dataset.get(name)
        number = float(value if isinstance(value, int | float | str) else value[0])
    except Exception:
        return None
    return number if math.isfinite(number) else None


def _stretch(linear: np.ndarray, counts: np.ndarray, recipe: str) -> np.ndarray:
    order = np.argsort(linear, kind="stable")
    seen = np.cumsum(counts[order])
    share = (0.005, 0.995) if recipe in ("voi", "percentile") else (0.0, 1.0)
    first = linear[order[np.searchsorted(seen, max(1, share[0] * seen[-1]))]]
    last = linear[order[np.searchsorted(seen, share[1] * seen[-1])]]
    if last <= first:  # nearly all pixels alike: a film with a large blank border
        present = linear[counts > 0]
        first, last = present.min(), present.max()
    if recipe == "chexpert_jpg":
        first = 0.0
    return np.clip((linear - first) / max(last - first, 1e-9), 0, 1)


def _equalize(grey: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Equalise as cv2.equalizeHist does: on the 256 grey levels, by the cumulative histogram."""
    levels = np.rint(grey * 255).astype(np.int64)
    histogram = np.bincount(levels, weights=counts, minlength=256)
    seen = np.cumsum(histogram)
    lowest = histogram[np.flatnonzero(histogram)[0]]
    scale = max(seen[-1] - lowest, 1)
    return np.clip((seen - lowest) / scale, 0, 1)[levels]
