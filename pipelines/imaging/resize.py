"""A picture of any size in, the same at the wanted size out, in 8 bits.

Large pictures go down in two steps: by exact halves, then by area to the size. The means of 2 x 2
cost a fraction of one large step, and the finest grids, which a box of 3.4 pixels lets through as
stripes, are gone after the first: so there is one from a factor of 3 on. A further one leaves at
least twice the wanted size, for below that an area filter weighs neighbours unevenly and the two
steps together blur. Decoders that can stop at a half or a quarter (JPEG, JPEG 2000) do the first
step without the full size ever being there.
"""

from __future__ import annotations

import cv2
import numpy as np
import PIL.Image

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.imaging.geometry import scaled
from cxr_vlp.pipelines.records import Placement

cv2.setNumThreads(1)  # the work is parallel over parts; threads inside would fight for the cores

Size = tuple[int, int]  # (height, width) in pixels


def wanted(source: Size, shards: Shards) -> Size:
    """Return the size that a picture of `source` size gets, before any padding."""
    width, height = scaled(source[1], source[0], shards)
    return height, width


def halvings(source: Size, shards: Shards) -> int:
    """Return how often the sides are halved before the last step; 0 for the filter lanczos."""
    if shards.filter == "lanczos":
        return 0
    factor = min(full // small for full, small in zip(source, wanted(source, shards), strict=True))
    return max(int(factor >= 3), factor.bit_length() - 2)


def halved(picture: np.ndarray, times: int) -> np.ndarray:
    """Return means of 2 x 2, `times` times over; an odd last row or column is left out."""
    for _ in range(times):
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        even = picture[: 2 * height, : 2 * width]
        picture = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    return picture


def resized(picture: np.ndarray, times: int, source: Size, shards: Shards) -> np.ndarray:
    """Return the uint8 picture at its wanted size from a grey one that was halved `times` times.

    uint8 is display grey as it is, uint16 goes from 0 black to 65,535 white. A halved picture may
    end a little before the source does, or behind it; the scale is the source's all the same.
    """
    white = 255 if picture.dtype == np.uint8 else 65535
    size = wanted(source, shards)
    if shards.filter == "lanczos" and picture.shape != size:
        picture = _lanczos(picture, size, white)
    elif source != size:
        picture = _area(picture, times, source, size)
    return picture if picture.dtype == np.uint8 else cv2.convertScaleAbs(picture, alpha=255 / white)


def padded(picture: np.ndarray, size: int, at: Placement) -> np.ndarray:
    """Return the picture on a black square of `size`, where `at` puts it."""
    height, width = picture.shape
    canvas = np.zeros((size, size), np.uint8)
    canvas[at.offset_y : at.offset_y + height, at.offset_x : at.offset_x + width] = picture
    return canvas


def _area(picture: np.ndarray, times: int, source: Size, size: Size) -> np.ndarray:
    if size[0] > source[0] or size[1] > source[1]:
        return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_CUBIC)
    # given factors rather than a size, OpenCV takes them as they are, and finds the size by
    # rounding; what a halved side lacks is less than half a pixel of it
    fy, fx = (new * 2**times / old for new, old in zip(size, source, strict=True))
    return cv2.resize(picture, None, fx=fx, fy=fy, interpolation=cv2.INTER_AREA)


def _lanczos(picture: np.ndarray, size: Size, white: int) -> np.ndarray:
    # Pillow widens the kernel when it shrinks; OpenCV's INTER_LANCZOS4 does not and aliases
    image = PIL.Image.fromarray(picture.astype(np.float32))
    sharp = np.asarray(image.resize(size[::-1], PIL.Image.Resampling.LANCZOS))
    return np.rint(np.clip(sharp, 0, white)).astype(picture.dtype)
