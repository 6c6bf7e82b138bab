"""Stored images as a trainer wants them: the same bytes, shortened, or on a black square."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from cxr_vlp.pipelines.errors import DataError

_PNG = b"\x89PNG"
_JPEG_QUALITY = 95  # that of `shards.quality`


def suffix(image: bytes) -> str:
    """Return jpg or png, the kind of a stored image."""
    return "png" if image.startswith(_PNG) else "jpg"


def stored(image: bytes, side: int) -> bytes:
    """Return a stored image, its shorter side shortened to `side` pixels; 0 keeps its bytes.

    A smaller image keeps its bytes too. Raises DataError for an image that cannot be decoded.
    """
    if not side:
        return image
    grey = decoded(image)
    shorter = min(grey.shape)
    if shorter <= side:
        return image
    height, width = (max(1, round(length * side / shorter)) for length in grey.shape)
    small = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    kind = suffix(image)
    flags = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if kind == "jpg" else []
    return bytes(cv2.imencode(f".{kind}", small, flags)[1])


def square(image: bytes, side: int) -> np.ndarray:
    """Return (side, side) uint8: the longer side becomes `side`, on black, as CheXzero makes it.

    Lanczos filter, sizes cut to whole pixels, the image in the middle (its data_process.py).
    """
    grey = Image.fromarray(decoded(image))
    ratio = side / max(grey.size)
    # a strip of a few pixels would get no width at all
    width, height = (max(1, int(length * ratio)) for length in grey.size)
    canvas = Image.new("L", (side, side))
    at = ((side - width) // 2, (side - height) // 2)
    canvas.paste(grey.resize((width, height), Image.Resampling.LANCZOS), at)
    return np.asarray(canvas)


def decoded(image: bytes) -> np.ndarray:
    """Return (height, width) uint8. Raises DataError for an image that cannot be decoded."""
    grey = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise DataError("an image of the set cannot be decoded; run cxr-vlp verify on the set")
    return np.asarray(grey)
