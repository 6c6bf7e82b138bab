"""A stored picture's bytes come in, a square uint8 grey tensor of the model's size goes out.

The window is chosen first, in the source's own pixels, and cut out once: padding, cropping and the
small shifts of training are one resize, so nothing is blurred twice.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
import torchvision.transforms.v2.functional as v2f
from torch import Tensor
from torchvision.transforms import v2

from train.augment import augmented
from train.chance import lent
from train.recipe import Pictures


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle in a picture's pixels: centre and sides. It may reach beyond the picture."""

    x: float
    y: float
    width: float
    height: float


def decode(data: bytes) -> Tensor | None:
    """Return the picture as (1, height, width) uint8, or None where the bytes are no picture."""
    picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if picture is None else torch.from_numpy(picture)[None]


def prepare(picture: Tensor, recipe: Pictures, size: int, rng: random.Random | None) -> Tensor:
    """Return the model's square (1, size, size) of a picture (1, height, width).

    `rng` varies it for training, None does not.
    """
    _, height, width = picture.shape
    window = whole(height, width, recipe.fit)
    if rng is None:
        return cut(picture, shrunk(window, recipe.part), size)
    if recipe.area != (1.0, 1.0):
        window = rectangle(picture, recipe.area, rng)
    window = jitter(shrunk(window, recipe.part, rng), rng, recipe.crop, recipe.shift)
    return augmented(cut(picture, window, size), recipe.augment, rng)


def whole(height: int, width: int, fit: str) -> Window:
    """Return the square that holds the picture (`pad`) or that the picture holds (`shortest`)."""
    side = float(max(height, width) if fit == "pad" else min(height, width))
    return Window(width / 2, height / 2, side, side)


def shrunk(window: Window, part: float, rng: random.Random | None = None) -> Window:
    """Return a window of `part` of the sides within another: its middle, or anywhere by `rng`."""
    if part == 1:
        return window
    inner = replace(window, width=part * window.width, height=part * window.height)
    if rng is None:
        return inner
    across = (window.width - inner.width) * (rng.random() - 0.5)
    down = (window.height - inner.height) * (rng.random() - 0.5)
    return replace(inner, x=window.x + across, y=window.y + down)


def rectangle(picture: Tensor, area: tuple[float, float], rng: random.Random) -> Window:
    """Return a rectangle of the picture, of a fraction of its area and up to 4:3 or 3:4."""
    with lent(rng):
        found = v2.RandomResizedCrop(1, scale=area).make_params([picture])
    width, height = float(found["width"]), float(found["height"])
    return Window(found["left"] + width / 2, found["top"] + height / 2, width, height)


def jitter(window: Window, rng: random.Random, crop: float, shift: float) -> Window:
    """Return the window, smaller by up to `crop` and moved by up to `shift` of its sides."""
    scale = 1 - crop * rng.random()
    width, height = scale * window.width, scale * window.height
    across, down = (shift * side * (2 * rng.random() - 1) for side in (width, height))
    return Window(window.x + across, window.y + down, width, height)


def cut(picture: Tensor, window: Window, size: int) -> Tensor:
    """Return the window as (1, size, size); what lies outside the picture is black.

    Smoothed where it shrinks, so that it does not alias. Only what lies inside is resized, to its
    share of the square.
    """
    _, height, width = picture.shape
    x0, x1, left, right = _share(window.x, window.width, width, size)
    y0, y1, top, bottom = _share(window.y, window.height, height, size)
    if min(right - left, bottom - top) < 1:
        return torch.zeros(1, size, size, dtype=torch.uint8)
    inside = _halved(picture[:, y0:y1, x0:x1], bottom - top, right - left)
    resized: Tensor = v2f.resize(inside, [bottom - top, right - left], antialias=True)
    if resized.shape == (1, size, size):
        return resized
    square = torch.zeros(1, size, size, dtype=torch.uint8)
    square[:, top:bottom, left:right] = resized
    return square


def _halved(picture: Tensor, height: int, width: int) -> Tensor:
    """Return a picture at half its size, again and again, while it stays as large as asked for.

    By exactly 1/2 each pixel is the mean of four, which takes a tenth of a resize's time and leaves
    the resize a quarter of the pixels. An odd last row or column is left out.
    """
    grey: Any = picture[0].numpy()
    while grey.shape[0] >= 2 * height and grey.shape[1] >= 2 * width:
        even = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
        grey = cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(grey)[None]


def _share(centre: float, side: float, length: int, size: int) -> tuple[int, int, int, int]:
    """Return from where to where along one axis, in the picture's pixels and in the square's."""
    start, pixels = round(centre - side / 2), max(1, round(side))
    first, last = (min(max(0, edge), length) for edge in (start, start + pixels))
    low, high = (round((edge - start) * size / pixels) for edge in (first, last))
    return first, last, low, high
