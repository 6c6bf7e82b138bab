"""Checks that an image is plausible: not black, white, a stencil, noise or without its lower part.

The same rule serves `shards`, which then tries the next window or rejects the image, and `verify`,
which checks stored images. It reads the histogram and a few rows of the finished image and takes
almost no time.

The limits leave a margin. They were set with 374 radiographs and 17 DICOM files (seven collections;
laterals, scans of prints, collimated and weak images, at short sides of 224 and 512). Among these
and 449 drawn images the most extreme values are (in brackets: of files that show no chest)

    image within black edges   0.77  (0.54)  of at least 0.04
    share of black and white   0.18  (0.44)  of at most 0.90
    share of white             0.06  (0.44)  of at most 0.60
    range of 98 in 100         62            of at least 16
    grey levels in use         98    (66)    of at least 12
    likeness of neighbours     0.92  (0.76)  of at least 0.30
    rows' by columns' likeness 0.89          of at least 0.65
    share of one level         0.34          of at most 0.80
    rows lost at the end       0.012         of at most 0.04
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

ENDS = 2  # levels next to black and to white that count as such: a JPEG changes them a little
EQUALIZING = ("mimic_jpg", "chexpert_jpg")
ROWS = 64  # number of rows that are counted, evenly spread
LEAST_VISIBLE = 0.04  # share of the image within its black edges
_MIDDLE = (8, 247)  # darker or brighter rows are collimation and frames, not filled in by a decoder


@dataclass(frozen=True, slots=True)
class Limits:
    """The most extreme values that a plausible image may have."""

    ends: float = 0.90  # share of black and white pixels
    white: float = 0.60  # share of white pixels
    range: int = 16  # grey levels between 1 and 99 percent of the pixels, at least
    levels: int = 12  # that one pixel in 10,000 has, at least
    single: float = 0.80  # share of the most frequent level
    likeness: float = 0.30  # correlation of neighbours, at least
    below: float = 0.65  # that of rows below each other, by that of columns, at least
    lost: float = 0.04  # of the height: rows of one grey, or all alike, at the lower edge
    alike: int = 3  # grey levels by which such rows differ


MAKING = Limits()
# an image that passed in `shards` must pass in `verify` too, after encoding: a JPEG of low quality
# has few levels
STORED = Limits(
    ends=0.93,
    white=0.64,
    range=8,
    levels=3,
    single=0.88,
    likeness=0.25,
    below=0.55,
    lost=0.08,
    alike=2,
)


def fault(image: np.ndarray, recipe: str = "voi", *, is_stored: bool = False) -> str:
    """Return the fault of an 8-bit grey image, (height, width) uint8; "" for a plausible one.

    "clipped", "flat", "stencil", "noise" or "cut". Black edges do not count: they are collimation,
    or padding to a square. An equalising `recipe` turns black edges grey, so lost rows are not
    looked for.
    """
    limits = STORED if is_stored else MAKING
    visible = _within_edges(image)
    if visible.size < LEAST_VISIBLE * image.size:
        return "clipped"
    some = np.ascontiguousarray(visible[:: max(1, len(visible) // ROWS)])
    counts = cv2.calcHist([some], [0], None, [256], [0, 256]).ravel()
    found = fault_of_counts(counts, limits) or _noise(visible, limits)
    return found or ("" if recipe in EQUALIZING else _cut(visible, limits))


def fault_of_levels(levels: np.ndarray) -> str:
    """Return the fault of the levels, (height, width) uint8, which have no black edges."""
    visible = _within_edges(levels)
    if visible.size < LEAST_VISIBLE * levels.size:
        return "clipped"
    return fault_of_counts(np.bincount(visible.ravel(), minlength=256))


def is_stencil(values: np.ndarray) -> bool:
    """Return whether source values, (height, width) uint8, have only a few levels."""
    return np.count_nonzero(np.bincount(values.ravel())) < MAKING.levels


def fault_of_counts(counts: np.ndarray, limits: Limits = MAKING) -> str:
    """Return the fault that the histogram of 256 levels shows."""
    shares = np.cumsum(counts) / max(1.0, float(counts.sum()))
    black, white = float(shares[ENDS]), float(1 - shares[254 - ENDS])
    if black + white > limits.ends or white > limits.white:
        return "clipped"
    if counts.max() > limits.single * counts.sum():
        return "flat"
    first, last = np.searchsorted(shares, (0.01, 0.99))
    if last - first < limits.range:
        return "flat"
    used = np.count_nonzero(counts > counts.sum() / 10_000)
    return "stencil" if used < limits.levels else ""


def _within_edges(image: np.ndarray) -> np.ndarray:
    """Return the image without the rows and columns at its edges that are black throughout."""
    edges = (image[0], image[-1], image[:, 0], image[:, -1])
    # the middle of an edge is usually enough, and faster for a small JPEG than the whole edge
    if all(edge[len(edge) // 2] > ENDS or int(edge.max()) > ENDS for edge in edges):
        return image
    rows = np.flatnonzero(image.max(axis=1) > ENDS)
    columns = np.flatnonzero(image.max(axis=0) > ENDS)
    if not rows.size:
        return image[:0]
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _noise(image: np.ndarray, limits: Limits) -> str:
    """Return "noise" where neighbours are not alike, or rows do not belong below each other.

    The latter happens where Rows and Columns are exchanged: each row is still smooth.
    """
    rows = len(image) // 2 * 2
    step = 2 * max(1, rows * 4 // (2 * ROWS) // 2)
    few = np.stack([image[:rows:step], image[1:rows:step]]).astype(np.float32)
    few -= few.mean()
    power = float(np.vdot(few, few))
    if not power:
        return ""
    across = float(np.vdot(few[:, :, 1:], few[:, :, :-1])) / power
    down = 2 * float(np.vdot(few[0], few[1])) / power
    is_torn = down < limits.below * across
    return "noise" if is_torn or across < limits.likeness else ""


def _cut(image: np.ndarray, limits: Limits) -> str:
    """Return "cut" where a decoder filled in the last rows: one grey, or the last row repeated."""
    rows = max(2, int(limits.lost * image.shape[0]) + 1)
    last = image[-rows:]
    if int(cv2.absdiff(last[0], last[-1]).max()) > max(limits.alike, ENDS // 2):
        return ""  # the rows differ, the usual case

    if int(np.ptp(last)) <= limits.alike:
        return "cut" if _MIDDLE[0] < int(last[-1].mean()) < _MIDDLE[1] else ""
    steps = int((last.max(axis=0) - last.min(axis=0)).max())
    return "cut" if steps <= ENDS // 2 and int(np.ptp(last[-1])) > 4 * limits.alike else ""
