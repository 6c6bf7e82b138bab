"""A stored picture's bytes come in, a square uint8 grey array of the model's size goes out.

The square is chosen first, in the source's own pixels, and cut out once: padding, cropping and
the small shifts of training are one resize, so nothing is blurred twice. There is no flip: left
and right are in the report.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from train.recipe import Pictures

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Window:
    """A square in a picture's pixels: centre and side. It may reach beyond the picture."""

    x: float
    y: float
    side: float


def decode(data: bytes) -> Grey | None:
    """Return the picture as (height, width) uint8, or None where the bytes are no picture."""
    picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return picture


def whole(height: int, width: int, fit: str) -> Window:
    """Return the square that holds the picture (`pad`) or that the picture holds (`shortest`)."""
    side = max(height, width) if fit == "pad" else min(height, width)
    return Window(width / 2, height / 2, float(side))


def jitter(window: Window, rng: random.Random, crop: float, shift: float) -> Window:
    """Return the window, smaller by up to `crop` and moved by up to `shift` of its side."""
    side = window.side * (1 - crop * rng.random())
    across, down = (shift * side * (2 * rng.random() - 1) for _ in range(2))
    return Window(window.x + across, window.y + down, side)


def cut(picture: Grey, window: Window, size: int) -> Grey:
    """Return the window as (size, size); what lies outside the picture is black.

    INTER_AREA where it shrinks (it does not alias), INTER_CUBIC where it grows.
    """
    side = max(1, round(window.side))
    left, top = round(window.x - window.side / 2), round(window.y - window.side / 2)
    height, width = picture.shape
    x0, x1 = (min(max(0, edge), width) for edge in (left, left + side))
    y0, y1 = (min(max(0, edge), height) for edge in (top, top + side))
    inside = picture[y0:y1, x0:x1]
    square = inside
    if inside.shape != (side, side):
        square = np.zeros((side, side), np.uint8)
    if inside.size and square is not inside:
        square[y0 - top : y1 - top, x0 - left : x1 - left] = inside
    how = cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC
    resized: Any = cv2.resize(square, (size, size), interpolation=how)
    return resized


def prepare(picture: Grey, recipe: Pictures, size: int, rng: random.Random | None) -> Grey:
    """Return the model's square of a picture; `rng` varies it for training, None does not."""
    height, width = picture.shape
    window = whole(height, width, recipe.fit)
    if rng is not None:
        window = jitter(window, rng, recipe.crop, recipe.shift)
    return cut(picture, window, size)
