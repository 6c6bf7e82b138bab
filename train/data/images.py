"""Decodes a stored image and makes the model's square input from it: uint8, one grey channel.

The window is chosen first, in the pixels of the stored image, and is cut out once. Padding, crop
and the small shifts of training are one resize, so no image is blurred twice.
"""

from __future__ import annotations

import random
import struct
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

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.augment import augmented
from cxr_vlp.train.data.seeding import torch_seeded

JPEG = b"\xff\xd8"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}  # coarse to fine


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle in an image, in pixels: centre and sides. It may reach beyond the image."""

    x: float
    y: float
    width: float
    height: float


def decode(data: bytes, recipe: ImageConfig, size: int) -> Tensor | None:
    """Return the image as (1, height, width) uint8, or None where the bytes are no image.

    A JPEG is decoded to 1/2, 1/4 or 1/8 of its sides where every window that the recipe may cut
    from it still has `size` pixels: the decoder does this faster than a resize.
    """
    reduced = reduction(data, recipe, size)
    grey: Any = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[reduced])
    return None if grey is None else torch.from_numpy(grey)[None]


def reduction(data: bytes, recipe: ImageConfig, size: int) -> int:
    """Return by how much the sides of an encoded image are divided when it is decoded: 1 to 8."""
    if data.startswith(JPEG):
        with suppress(ValueError):  # OpenCV tries a header that simplejpeg refuses
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            finest = smallest_side(height, width, recipe) / size
            return next(step for step in REDUCED if step <= max(1, finest))
    return 1


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) of an encoded image, None where the bytes are no image."""
    if data.startswith(JPEG):
        with suppress(ValueError):
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            return height, width
    if data.startswith(PNG):
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    grey: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if grey is None else grey.shape


def smallest_side(height: int, width: int, recipe: ImageConfig) -> float:
    """Return the smallest side, in pixels, of a window that a recipe may cut from an image."""
    window = full_square(height, width, recipe.fit)
    side = min(window.width, window.height)
    if recipe.area != (1.0, 1.0):  # the smallest area, with sides of 4:3 or 3:4
        side = min(height, width, (recipe.area[0] * height * width * 3 / 4) ** 0.5)
    return side * recipe.part * (1 - recipe.crop)


def prepare(image: Tensor, recipe: ImageConfig, size: int, rng: random.Random | None) -> Tensor:
    """Return the model's input (1, size, size) of an image (1, height, width), uint8.

    With `rng` it is varied, for training; with None it is not.
    """
    if rng is None:
        _, height, width = image.shape
        return cut(image, inner_window(full_square(height, width, recipe.fit), recipe.part), size)
    return augmented(cut(image, drawn(image, recipe, rng), size), recipe.augment, rng)


def drawn(image: Tensor, recipe: ImageConfig, rng: random.Random) -> Window:
    """Return the window of an image (1, height, width) that training uses."""
    _, height, width = image.shape
    if recipe.area == (1.0, 1.0):
        window = full_square(height, width, recipe.fit)
    else:
        window = rectangle(image, recipe.area, rng)
    return jitter(inner_window(window, recipe.part, rng), rng, recipe.crop, recipe.shift)


def full_square(height: int, width: int, fit: str) -> Window:
    """Return the square around the whole image (`pad`), or the one in its middle (`shortest`).

    `squash` takes the image itself, which the resize makes square.
    """
    if fit == "squash":
        return Window(width / 2, height / 2, float(width), float(height))
    side = float(max(height, width) if fit == "pad" else min(height, width))
    return Window(width / 2, height / 2, side, side)


def inner_window(window: Window, part: float, rng: random.Random | None = None) -> Window:
    """Return a window with `part` of another one's sides: in its middle, or at a random place."""
    if part == 1:
        return window
    smaller = replace(window, width=part * window.width, height=part * window.height)
    if rng is None:
        return smaller
    across = (window.width - smaller.width) * (rng.random() - 0.5)
    down = (window.height - smaller.height) * (rng.random() - 0.5)
    return replace(smaller, x=window.x + across, y=window.y + down)


def rectangle(image: Tensor, area: tuple[float, float], rng: random.Random) -> Window:
    """Return a random rectangle with a fraction of the image's area and sides of 3:4 to 4:3."""
    with torch_seeded(rng):
        found = v2.RandomResizedCrop(1, scale=area).make_params([image])
    width, height = float(found["width"]), float(found["height"])
    return Window(found["left"] + width / 2, found["top"] + height / 2, width, height)


def jitter(window: Window, rng: random.Random, crop: float, shift: float) -> Window:
    """Return the window, smaller by up to `crop` and moved by up to `shift` of its sides."""
    scale = 1 - crop * rng.random()
    width, height = scale * window.width, scale * window.height
    across, down = (shift * side * (2 * rng.random() - 1) for side in (width, height))
    return Window(window.x + across, window.y + down, width, height)


def cut(image: Tensor, window: Window, size: int) -> Tensor:
    """Return the window as (1, size, size) uint8; pixels outside the image are black.

    A window that shrinks is smoothed, to avoid aliasing. Only the part inside the image is resized.
    """
    _, height, width = image.shape
    x0, x1, left, right = overlap(window.x, window.width, width, size)
    y0, y1, top, bottom = overlap(window.y, window.height, height, size)
    if min(right - left, bottom - top) < 1:
        return torch.zeros(1, size, size, dtype=torch.uint8)
    inside = _halved(image[:, y0:y1, x0:x1], bottom - top, right - left)
    shape = (bottom - top, right - left)
    resized = nnf.interpolate(inside[None], shape, mode="bilinear", antialias=True)[0]
    if resized.shape == (1, size, size):
        return resized
    padded = torch.zeros(1, size, size, dtype=torch.uint8)
    padded[:, top:bottom, left:right] = resized
    return padded


def _halved(image: Tensor, height: int, width: int) -> Tensor:
    """Return an image halved as often as it stays at least `height` x `width` pixels.

    At exactly 1/2 each pixel is the mean of four, which takes a tenth of a resize's time and leaves
    the resize a quarter of the pixels. An odd last row or column is left out.
    """
    grey: Any = image[0].numpy()
    while grey.shape[0] >= 2 * height and grey.shape[1] >= 2 * width:
        even = grey[: grey.shape[0] // 2 * 2, : grey.shape[1] // 2 * 2]
        grey = cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(grey)[None]


def overlap(centre: float, side: float, length: int, size: int) -> tuple[int, int, int, int]:
    """Return a window's first and last place on one axis: in the image, and in the output.

    What is between the first two of the image is resized to what is between the last two of the
    output; the rest of the output is black.
    """
    start, pixels = round(centre - side / 2), max(1, round(side))
    first, last = (min(max(0, edge), length) for edge in (start, start + pixels))
    low, high = (round((edge - start) * size / pixels) for edge in (first, last))
    return first, last, low, high
