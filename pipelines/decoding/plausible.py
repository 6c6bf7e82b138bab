"""Tell an image from what is none: black, white, a stencil, noise, or one with its lower part lost.

One rule for the maker, who tries the next window then or rejects the image, and for verify, which
looks at what is stored. It reads the histogram and a few rows of the finished image and costs next
to nothing.

The limits leave room. Of the 374 radiographs and 17 DICOM files that they were set with (seven
collections, laterals, scans of prints, collimated and weak ones, at a short side of 512), and of
600 drawn ones, the farthest are

    share of black and white   0.48 of at most 0.90   (teeth; of chests 0.32)
    share of white             0.06 of at most 0.60
    range of 98 in 100         63   of at least 16
    grey levels in use         99   of at least 12
    likeness of neighbours     0.95 of at least 0.30
    rows lost at the end       0    of at most 0.03
"""

from __future__ import annotations

import cv2
import numpy as np

ENDS = 2  # levels next to black, and to white, that count as such: a JPEG moves them a little
MOST_ENDS = 0.90  # share of black and white pixels
MOST_WHITE = 0.60
LEAST_RANGE = 16  # grey levels between 1 and 99 percent of the pixels
LEAST_LEVELS = 12  # that one pixel in 10,000 has
LEAST_LIKENESS = 0.30  # correlation of neighbours
MOST_LOST = 0.03  # of the height: rows of one grey, or all alike, at the lower edge
_MIDDLE = (8, 247)  # rows darker or brighter are collimation and frames, not what decoders fill in


def fault(image: np.ndarray) -> str:
    """Return what is wrong with an 8-bit grey image, (height, width) uint8; "" for a plausible one.

    "clipped", "flat", "stencil", "noise" or "cut".
    """
    counts = cv2.calcHist([image], [0], None, [256], [0, 256]).ravel()
    return fault_of_counts(counts) or _noise(image) or _cut(image)


def fault_of_counts(counts: np.ndarray) -> str:
    """Return what is wrong by the number of pixels of each of 256 levels alone."""
    shares = np.cumsum(counts) / max(1.0, float(counts.sum()))
    black, white = float(shares[ENDS]), float(1 - shares[254 - ENDS])
    if black + white > MOST_ENDS or white > MOST_WHITE:
        return "clipped"
    first, last = np.searchsorted(shares, (0.01, 0.99))
    if last - first < LEAST_RANGE:
        return "flat"
    used = np.count_nonzero(counts > counts.sum() / 10_000)
    return "stencil" if used < LEAST_LEVELS else ""


def _noise(image: np.ndarray) -> str:
    few = image[::4].astype(np.float32)
    few -= few.mean()
    power = float(np.vdot(few, few))
    alike = float(np.vdot(few[:, 1:], few[:, :-1])) / power if power else 1.0
    return "noise" if alike < LEAST_LIKENESS else ""


def _cut(image: np.ndarray) -> str:
    """Tell rows at the lower edge that a decoder filled in: one grey, or the last row repeated."""
    rows = max(2, int(MOST_LOST * image.shape[0]) + 1)
    last = image[-rows:]
    spread = int(np.ptp(last[-1]))
    if spread <= ENDS:
        constant = int(np.ptp(last)) <= ENDS
        return "cut" if constant and _MIDDLE[0] < int(last[-1, 0]) < _MIDDLE[1] else ""
    low, high = last.min(axis=0), last.max(axis=0)
    repeated = int((high - low).max()) <= ENDS and spread > 4 * ENDS
    return "cut" if repeated else ""
