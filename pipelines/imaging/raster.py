"""Decodes a PNG or JPEG file to grey values, at a half, a quarter or an eighth if that is enough.

libjpeg (by simplejpeg) stops at a smaller size and reports damage that other decoders hide.
OpenCV reads PNGs, also those of 16 bits, which Pillow's convert("L") clips to white. Every other
file is opened by Pillow, which reads the declared size before anything is decoded, and decoded by
OpenCV.
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
_BIT_DEPTH = 24  # offset in a PNG of its bit depth (IHDR)
_SMALLEST = 3  # halvings that libjpeg supports: a half, a quarter, an eighth


@dataclass(frozen=True, slots=True)
class RasterImage:
    """A PNG or JPEG that has been opened but not decoded."""

    data: bytes
    size: tuple[int, int]  # (height, width) as displayed
    deep: bool  # 16 bits
    halvings: int  # how often its decoder can halve the sides by itself

    def values(self, halvings: int = 0) -> np.ndarray:
        """Return the grey values, colour as luma, at 1 / 2**halvings, sides rounded up.

        (height, width) uint8 or uint16; at full size if the decoder cannot halve.
        Raises IngestError image.unreadable.
        """
        if self.halvings:
            return _luma(self.data, self.size, halvings)
        flags = cv2.IMREAD_UNCHANGED if self.deep else cv2.IMREAD_GRAYSCALE
        if self.data.startswith(_JPEG):  # OpenCV hides damage
            _check_jpeg(self.data)
        elif not self.deep:  # hardly any viewer applies a PNG's Exif, and `size` is as stored
            flags |= cv2.IMREAD_IGNORE_ORIENTATION
        buffer = np.frombuffer(self.data, np.uint8)
        values = cv2.imdecode(buffer, flags)
        if values is None:
            raise IngestError("image.unreadable")
        if values.ndim == 3:
            values = cv2.cvtColor(values[..., :3], cv2.COLOR_BGR2GRAY)
        return values


def opened(data: bytes, max_pixels: int) -> RasterImage:
    """Return the image that a file declares.

    Raises IngestError: image.unreadable, also for a truncated file; image.too_large.
    """
    jpeg = data.startswith(_JPEG)
    size, deep = _plain_jpeg(data) if jpeg else None, False
    halvings = _SMALLEST if size else 0
    if size is None:
        info = _info(data)
        size, deep = info.size, info.deep
    if size[0] * size[1] > max_pixels:
        raise IngestError("image.too_large")
    if _is_truncated(data, jpeg):
        raise IngestError("image.unreadable")
    return RasterImage(data, size, deep, halvings)


def _plain_jpeg(data: bytes) -> tuple[int, int] | None:
    """Return (height, width) of an upright JPEG whose luma libjpeg returns directly, else None."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    if colours not in ("Gray", "YCbCr") or (b"Exif\0" in data and _info(data).turned):
        return None
    return height, width


class _Info(NamedTuple):
    size: tuple[int, int]  # (height, width) as displayed
    deep: bool  # 16 bits
    turned: bool  # its Exif says mirrored or rotated, which OpenCV applies


def _info(data: bytes) -> _Info:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                width, height = image.size
                turn = image.getexif().get(_ORIENTATION, 1) if image.format == "JPEG" else 1
                size = (width, height) if turn in (5, 6, 7, 8) else (height, width)
                deep = image.format == "PNG" and data[_BIT_DEPTH] == 16  # colour as well as grey
                return _Info(size, deep, turn != 1)
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


def _check_jpeg(data: bytes) -> None:
    try:
        jpeg_strip.check(data)
    except jpeg_strip.DamagedError:
        raise IngestError("image.unreadable") from None


def _is_truncated(data: bytes, jpeg: bool) -> bool:
    """Return whether a JPEG lacks its end marker or a PNG its end chunk.

    libjpeg fills the missing part of a truncated file with grey and only warns.
    """
    if jpeg:
        return b"\xff\xd9" not in data.rstrip(b"\0")[-1024:]
    return data.rfind(_PNG_END) < 0
