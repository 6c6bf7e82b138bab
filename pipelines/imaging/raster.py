"""A PNG or JPEG file's bytes in, its grey values out, at a half or a quarter where that will do.

libjpeg (by simplejpeg) stops at a smaller size and tells damage that others paint over; OpenCV
reads PNGs, the 16-bit ones unclipped, where Pillow's convert("L") turns them white. Whatever is
odd is opened by Pillow, which declares the size before anything is decoded, and read by OpenCV.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image
import simplejpeg

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import jpeg_strip

_ORIENTATION = 0x0112  # Exif
_JPEG = b"\xff\xd8\xff"
_PNG_END = b"IEND\xaeB`\x82"
_BIT_DEPTH = 24  # where a PNG tells it (IHDR)
_SMALLEST = 3  # halvings that libjpeg knows: a half, a quarter, an eighth


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG or JPEG that has been opened but not decoded."""

    data: bytes
    size: tuple[int, int]  # (height, width) as it is shown
    deep: bool  # 16 bits
    halvings: int  # how often its decoder can halve the sides by itself

    def values(self, halvings: int = 0) -> np.ndarray:
        """Return the grey values, colour as luma, at 1 / 2**halvings, sides rounded up.

        Raises IngestError image.unreadable.
        """
        if self.halvings:
            return _luma(self.data, self.size, halvings)
        way = cv2.IMREAD_UNCHANGED if self.deep else cv2.IMREAD_GRAYSCALE
        if self.data.startswith(_JPEG):  # OpenCV paints over what is lost
            _checked(self.data)
        elif not self.deep:  # hardly a viewer turns a PNG by its Exif, and `size` is as stored
            way |= cv2.IMREAD_IGNORE_ORIENTATION
        buffer = np.frombuffer(self.data, np.uint8)
        values = cv2.imdecode(buffer, way)
        if values is None:
            raise IngestError("image.unreadable")
        if values.ndim == 3:
            values = cv2.cvtColor(values[..., :3], cv2.COLOR_BGR2GRAY)
        return values


def opened(data: bytes, max_pixels: int) -> Picture:
    """Return what the file declares.

    Raises IngestError: image.unreadable, also for a file cut short; image.too_large.
    """
    jpeg = data.startswith(_JPEG)
    size, deep = _plain_jpeg(data) if jpeg else None, False
    halvings = _SMALLEST if size else 0
    if size is None:
        declared = _declared(data)
        size, deep = declared.size, declared.deep
    if size[0] * size[1] > max_pixels:
        raise IngestError("image.too_large")
    if _cut_short(data, jpeg):
        raise IngestError("image.unreadable")
    return Picture(data, size, deep, halvings)


def _plain_jpeg(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) of a JPEG whose luma libjpeg hands out by itself, upright as it is."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    if colours not in ("Gray", "YCbCr") or (b"Exif\0" in data and _declared(data).turned):
        return None
    return height, width


class _Declared(NamedTuple):
    size: tuple[int, int]  # (height, width) as it is shown
    deep: bool  # 16 bits
    turned: bool  # Exif has it mirrored or on its side, which OpenCV heeds


def _declared(data: bytes) -> _Declared:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                width, height = image.size
                turn = image.getexif().get(_ORIENTATION, 1) if image.format == "JPEG" else 1
                size = (width, height) if turn in (5, 6, 7, 8) else (height, width)
                deep = image.format == "PNG" and data[_BIT_DEPTH] == 16  # colour as well as grey
                return _Declared(size, deep, turn != 1)
    except PIL.Image.DecompressionBombError:
        raise IngestError("image.too_large") from None
    except (OSError, ValueError, SyntaxError):
        raise IngestError("image.unreadable") from None


def _luma(data: bytes, size: tuple[int, int], halvings: int) -> np.ndarray:
    height, width = (-(-side >> halvings) for side in size)
    try:
        return jpeg_strip.decode_grey(data, height, width)
    except jpeg_strip.DamagedError:
        raise IngestError("image.unreadable") from None


def _checked(data: bytes) -> None:
    try:
        jpeg_strip.check(data)
    except jpeg_strip.DamagedError:
        raise IngestError("image.unreadable") from None


def _cut_short(data: bytes, jpeg: bool) -> bool:
    """Tell a JPEG without its end marker or a PNG without its end chunk.

    libjpeg fills what a truncated file lacks with grey and only warns.
    """
    if jpeg:
        return b"\xff\xd9" not in data.rstrip(b"\0")[-1024:]
    return data.rfind(_PNG_END) < 0
