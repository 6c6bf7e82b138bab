"""Resizes an image of any size to the wanted size, in 8 bits.

A large image is reduced in two steps: halved exactly some times, then resized by area. Means of
2 x 2 pixels cost a fraction of one large step. They also remove the finest grids, which an area
filter of 3.4 pixels passes as stripes: so there is one halving from a factor of 3 on. Further
halvings stop at twice the wanted size: below that an area filter weighs neighbours unevenly, and
the two steps together blur. Decoders that can stop at a half or a quarter of the
size (JPEG, JPEG 2000) do the first step themselves and never produce the full size.
"""

from __future__ import annotations

import cv2
import numpy as np
import PIL.Image

from cxr_vlp.pipelines.imaging.geometry import scaled
from cxr_vlp.pipelines.imaging.parameters import ImageParameters
from cxr_vlp.pipelines.records import Placement

cv2.setNumThreads(1)  # parts are processed in parallel; OpenCV's threads would compete for cores

Size = tuple[int, int]  # (height, width) in pixels


def wanted(source: Size, parameters: ImageParameters) -> Size:
    """Return the size that an image of `source` size gets, before any padding."""
    width, height = scaled(source[1], source[0], parameters)
    return height, width


def halvings(source: Size, parameters: ImageParameters) -> int:
    """Return how often the sides are halved before the last step; 0 for the filter lanczos."""
    if parameters.filter == "lanczos":
        return 0
    target = wanted(source, parameters)
    factor = min(full // small for full, small in zip(source, target, strict=True))
    return max(int(factor >= 3), factor.bit_length() - 2)


def halved(image: np.ndarray, times: int) -> np.ndarray:
    """Return means of 2 x 2 pixels, repeated `times` times; an odd last row or column is dropped.

    `image` is (height, width) uint8, uint16 or int16.
    """
    for _ in range(times):
        height, width = image.shape[0] // 2, image.shape[1] // 2
        even = image[: 2 * height, : 2 * width]
        image = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    return image


def resized(image: np.ndarray, times: int, source: Size, parameters: ImageParameters) -> np.ndarray:
    """Return the (height, width) uint8 image at its wanted size.

    `image` is display grey that was halved `times` times: uint8, or uint16 from 0 black to 65,535
    white. A halved image may end a little before or behind the source; it is still scaled by
    the size of the source.
    """
    white = 255 if image.dtype == np.uint8 else 65535
    size = wanted(source, parameters)
    if parameters.filter == "lanczos" and image.shape != size:
        image = _lanczos(image, size, white)
    elif source != size:
        image = _area(image, times, source, size)
    return image if image.dtype == np.uint8 else cv2.convertScaleAbs(image, alpha=255 / white)


def padded(image: np.ndarray, size: int, at: Placement) -> np.ndarray:
    """Return the uint8 image on a black square of `size` pixels a side, at its placement."""
    height, width = image.shape
    canvas = np.zeros((size, size), np.uint8)
    canvas[at.offset_y : at.offset_y + height, at.offset_x : at.offset_x + width] = image
    return canvas


def _area(image: np.ndarray, times: int, source: Size, size: Size) -> np.ndarray:
    if size[0] > source[0] or size[1] > source[1]:
        return cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    # with factors instead of a size, OpenCV uses them as they are and rounds to find the size;
    # what a halved side lacks is less than half a pixel of that size
    fy, fx = (new * 2**times / old for new, old in zip(size, source, strict=True))
    return cv2.resize(image, None, fx=fx, fy=fy, interpolation=cv2.INTER_AREA)


def _lanczos(image: np.ndarray, size: Size, white: int) -> np.ndarray:
    # Pillow widens the kernel when it reduces; OpenCV's INTER_LANCZOS4 does not, and aliases
    exact = PIL.Image.fromarray(image.astype(np.float32))
    sharp = np.asarray(exact.resize(size[::-1], PIL.Image.Resampling.LANCZOS))
    return np.rint(np.clip(sharp, 0, white)).astype(image.dtype)
