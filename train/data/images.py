"""A stored picture's bytes come in, a square uint8 grey tensor of the model's size goes out.

The window is chosen first, in the source's own pixels, and cut out once: padding, cropping and the
small shifts of training are one resize, so nothing is blurred twice.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
import torch.nn.functional as nnf
from torch import Tensor
from torchvision.transforms import v2

from cxr_vlp.train.data.augment import augmented
from cxr_vlp.train.data.seeding import lent
from cxr_vlp.train.config.recipe import Pictures

JPEG = b"\xff\xd8"
REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}  # coarse to fine


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle in a picture's pixels: centre and sides. It may reach beyond the picture."""

    x: float
    y: float
    width: float
    height: float


def decode(data: bytes, recipe: Pictures, size: int) -> Tensor | None:
    """Return the picture as (1, height, width) uint8, or None where the bytes are no picture.

    A JPEG comes with 1/2, 1/4 or 1/8 of its sides, by its decoder, where every window that the
    recipe may cut from it is still of `size` pixels: the resize that follows has less to do.
    """
    reduced = 1
    if data.startswith(JPEG):
        with suppress(ValueError):  # a header that it refuses is left to OpenCV
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            finest = smallest(height, width, recipe) / size
            reduced = next(step for step in REDUCED if step <= max(1, finest))
    picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[reduced])
    return None if picture is None else torch.from_numpy(picture)[None]


def smallest(height: int, width: int, recipe: Pictures) -> float:
    """Return the smallest side of a window that a recipe may cut from a picture, in its pixels."""
    side = whole(height, width, recipe.fit).width
    if recipe.area != (1.0, 1.0):  # of the least area and 4:3 or 3:4
        side = min(height, width, (recipe.area[0] * height * width * 3 / 4) ** 0.5)
    return side * recipe.part * (1 - recipe.crop)


def prepare(picture: Tensor, recipe: Pictures, size: int, rng: random.Random | None) -> Tensor:
    """Return the model's square (1, size, size) of a picture (1, height, width).

    `rng` varies it for training, None does not.
    """
    if rng is None:
        _, height, width = picture.shape
        return cut(picture, shrunk(whole(height, width, recipe.fit), recipe.part), size)
    return augmented(cut(picture, drawn(picture, recipe, rng), size), recipe.augment, rng)


def drawn(picture: Tensor, recipe: Pictures, rng: random.Random) -> Window:
    """Return the window that is shown of a picture (1, height, width) in training."""
    _, height, width = picture.shape
    if recipe.area == (1.0, 1.0):
        window = whole(height, width, recipe.fit)
    else:
        window = rectangle(picture, recipe.area, rng)
    return jitter(shrunk(window, recipe.part, rng), rng, recipe.crop, recipe.shift)


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
    shape = (bottom - top, right - left)
    resized = nnf.interpolate(inside[None], shape, mode="bilinear", antialias=True)[0]
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
