"""Find the pixels that are padding: no part of the image, to be left out of it and shown black.

PixelPaddingValue (0028,0120) names a value, or with PixelPaddingRangeLimit (0028,0121) a range. The
pixels of the anatomy may have it as well, and in some files half of them do: only what is joined to
an edge of the image counts.
"""

from __future__ import annotations

import cv2
import numpy as np

MOST = 0.65  # share of the image; more than that is no padding, whatever the header says
_INSIDE = 0.01  # share of pixels with the value that are joined to no edge: the value is in use


def region(values: np.ndarray, low: int, high: int) -> tuple[np.ndarray | None, bool]:
    """Return (the mask of the padding, or None where there is none, whether that was doubtful)."""
    named = (values >= low) & (values <= high)
    if not named.any():
        return None, False
    _, labels = cv2.connectedComponents(named.astype(np.uint8), connectivity=4)
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.zeros(int(labels.max()) + 1, bool)
    outside[edges] = True
    outside[0] = False  # what is no padding
    mask = outside[labels]
    share = float(mask.mean())
    if share > MOST or share == 0:
        return None, True
    return mask, float(named.mean()) - share > _INSIDE
