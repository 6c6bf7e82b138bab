"""Bring a frontal image to the standard display: the patient's left at the right, the feet below.

PatientOrientation (0020,0020) names where a row and where a column lead: L\\F is the standard.
A turn is written as its steps: T transposed, X mirrored left to right, Y upside down.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def turn(letters: Sequence[str]) -> str:
    """Return the steps to the standard display; "" where it is that, or no frontal image."""
    if len(letters) != 2:
        return ""
    row, column = letters
    steps = ""
    if row in "HF" and column in "LR":
        steps, row, column = "T", column, row
    if row not in "LR" or column not in "HF":
        return ""  # a lateral image, or letters that mean nothing
    return steps + "X" * (row == "R") + "Y" * (column == "H")


def note(steps: str) -> str:
    """Return the note on an image that needs these steps, "" for none."""
    if not steps:
        return ""
    known = {"X": "orientation.mirrored", "Y": "orientation.upside_down"}
    return known.get(steps, "orientation.rotated")


def turned(image: np.ndarray, steps: str) -> np.ndarray:
    """Return the image after the steps."""
    for step in steps:
        image = cv2.transpose(image) if step == "T" else cv2.flip(image, int(step == "X"))
    return image
