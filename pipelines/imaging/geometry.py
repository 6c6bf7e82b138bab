"""Computes orientation, square pixels, and the position of the source image in the stored one.

The standard display of a frontal image has the patient's left on the right and the feet at the
bottom. PatientOrientation (0020,0020) names the directions of a row and of a column: L\\F is the
standard. The steps of a turn are letters: T transpose, X mirror left to right, Y flip upside down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from cxr_vlp.pipelines.imaging.parameters import ImageParameters
from cxr_vlp.pipelines.records import Placement


def turn_steps(directions: Sequence[str]) -> str:
    """Return the steps that turn an image to the standard display.

    `directions` are the letters of PatientOrientation: where a row leads, where a column leads.
    "" for an image in the standard orientation, or one that is not frontal.
    """
    if len(directions) != 2:
        return ""
    row, column = directions
    steps = ""
    if row in "HF" and column in "LR":
        steps, row, column = "T", column, row
    if row not in "LR" or column not in "HF":
        return ""  # a lateral image, or letters without a meaning
    return steps + "X" * (row == "R") + "Y" * (column == "H")


def orientation_note(steps: str) -> str:
    """Return the note on an image that needs these steps, "" if it needs none."""
    if not steps:
        return ""
    known = {"X": "orientation.mirrored", "Y": "orientation.upside_down"}
    return known.get(steps, "orientation.rotated")


def turned(image: np.ndarray, steps: str) -> np.ndarray:
    """Return the image after the steps."""
    for step in steps:
        image = cv2.transpose(image) if step == "T" else cv2.flip(image, int(step == "X"))
    return image


def squared(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Return (width, height) in square pixels, for pixels `aspect` times as high as wide.

    The side along which pixels are longer is stretched, so that no detail is lost.
    """
    if aspect > 1:
        return width, max(1, round(height * aspect))
    return max(1, round(width / aspect)), height


def scaled(width: int, height: int, parameters: ImageParameters) -> tuple[int, int]:
    """Return (width, height) in pixels after resizing and before padding; at least 1."""
    side = min(height, width) if parameters.resize == "shortest" else max(height, width)
    ratio = parameters.side / side
    if ratio > 1 and not parameters.enlarge:
        ratio = 1.0
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def placement(
    width: int, height: int, parameters: ImageParameters, aspect: float = 1.0, turn: str = ""
) -> Placement:
    """Return the position of a source image of this size, in pixels, in the stored image."""
    square, source = squared(width, height, aspect), (width, height)
    if "T" in turn:
        square, source = square[::-1], source[::-1]
    new_width, new_height = scaled(*square, parameters)
    offset = (0, 0)
    if parameters.resize == "pad":
        offset = ((parameters.side - new_width) // 2, (parameters.side - new_height) // 2)
    scales = new_width / source[0], new_height / source[1]
    return Placement(*scales, *offset, width=width, height=height, turn=turn)


def placement_of_facts(facts: Mapping[str, Any], parameters: ImageParameters) -> Placement:
    """Return the position of a source image, from the `pixels` field of its sample."""
    size = facts["source_width"], facts["source_height"]
    return placement(*size, parameters, facts["aspect"], facts["turned"])
