"""Draws a heat map as a small PNG that is clear where it is low: it is laid over the image."""

from __future__ import annotations

from typing import Any

import cv2
import matplotlib as mpl
import numpy as np

from cxr_vlp.train.evaluation.scores import Floats

COLOURS = "inferno"  # a colour map of even steps for the eye, readable in grey and colour-blind
DARKEST = 0.35  # where in the colour map the colours begin: darker ones look like dark images
STRONGEST = 0.6  # of the colour over the image
SIDE = 64  # pixels: a map of patches holds no more, and whoever shows it enlarges it smoothly


def overlay(heat: Floats) -> bytes:
    """Return a PNG with an alpha channel of a map (H, W), its longer side SIDE pixels or fewer.

    The half of the map with the lowest values is clear, so that the image is seen as it is; from
    its median to its highest value, it becomes stronger. NaN (not seen by the model) is clear, and
    so is a flat map. The same map gives the same bytes.
    """
    strength = _smaller(scaled(heat))
    colour = mpl.colormaps[COLOURS](DARKEST + (1 - DARKEST) * strength)
    colour[..., 3] = STRONGEST * strength
    pixels: Any = np.rint(255 * colour[..., [2, 1, 0, 3]]).astype(np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def scaled(heat: Floats) -> Floats:
    """Return a map in 0..1: 0 up to its median, 1 at its highest value; 0 for NaN and flat maps."""
    seen = heat[~np.isnan(heat)]
    low, high = (np.median(seen), seen.max()) if seen.size else (0.0, 0.0)
    found = np.clip((heat - low) / ((high - low) or 1.0), 0, 1)
    return np.nan_to_num(found, nan=0.0)


def _smaller(strength: Floats) -> Floats:
    height, width = strength.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    found: Any = cv2.resize(strength, size, interpolation=cv2.INTER_AREA)
    return found
