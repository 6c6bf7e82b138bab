"""Draws a heat map over an image, as a PNG."""

from __future__ import annotations

from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from cxr_vlp.train.evaluation.frame import Floats

COLOURS = "inferno"  # a colour map of even steps for the eye, readable in grey and colour-blind
STRONGEST = 0.65  # of the colour over the image


def overlay(image_grey: npt.NDArray[np.uint8], heat: Floats) -> bytes:
    """Return a PNG (H, W) of an image (H, W) with a map (H, W) over it.

    The map is scaled to its own lowest and highest value. The higher it is, the less of the image
    shows through; where it is lowest, or NaN (not seen by the model), the image is as it was. The
    same arguments give the same bytes. Raises ValueError for a map of another size.
    """
    if image_grey.shape != heat.shape:
        raise ValueError(f"a map of {heat.shape} over an image of {image_grey.shape}")
    strength = scaled(heat)[..., None]
    colour = mpl.colormaps[COLOURS](strength[..., 0])[..., :3]
    share = STRONGEST * strength
    mixed = (1 - share) * (image_grey[..., None] / 255) + share * colour
    pixels: Any = np.rint(255 * mixed[..., ::-1]).astype(np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def scaled(heat: Floats) -> Floats:
    """Return a map in 0..1, by its lowest and highest value; 0 for NaN and for a flat map."""
    seen = heat[~np.isnan(heat)]
    low, high = (seen.min(), seen.max()) if seen.size else (0.0, 0.0)
    found: Floats = np.nan_to_num((heat - low) / ((high - low) or 1.0), nan=0.0)
    return found
