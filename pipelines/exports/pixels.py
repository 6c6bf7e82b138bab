"""Stored images as an export wants them: the same bytes, shortened, or on a black square.

The imaging packages are imported where an image is decoded: most exports decode none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxr_vlp.pipelines.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_PNG = b"\x89PNG"
_JPEG_QUALITY = 95  # that of `shards.quality`
Size = tuple[int, int]  # (height, width) in pixels


def suffix(image: bytes) -> str:
    """Return jpg or png, the kind of a stored image."""
    return "png" if image.startswith(_PNG) else "jpg"


def shortened(image: bytes, side: int) -> tuple[bytes, Size]:
    """Return an image whose shorter side is `side` pixels, in the same format, and its size.

    `side` must be less than the shorter side of the image. Raises DataError for an image that
    cannot be decoded.
    """
    import cv2

    from cxr_vlp.pipelines import config
    from cxr_vlp.pipelines.imaging import resize

    grey = decoded(image)
    size = (grey.shape[0], grey.shape[1])
    parameters = config.Shards(side=side, resize="shortest")
    times = resize.halvings(size, parameters)
    small = resize.resized(resize.halved(grey, times), times, size, parameters)
    kind = suffix(image)
    flags = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if kind == "jpg" else []
    return bytes(cv2.imencode(f".{kind}", small, flags)[1]), (small.shape[0], small.shape[1])


def square(image: bytes, side: int) -> np.ndarray[Any, Any]:
    """Return (side, side) uint8: the longer side becomes `side`, on black, as CheXzero makes it.

    Lanczos filter, sizes cut to whole pixels, the image in the middle (its data_process.py).
    Raises DataError for an image that cannot be decoded.
    """
    import numpy as np
    from PIL import Image

    grey = Image.fromarray(decoded(image))
    ratio = side / max(grey.size)
    # a strip of a few pixels would get no width at all
    width, height = (max(1, int(length * ratio)) for length in grey.size)
    canvas = Image.new("L", (side, side))
    at = ((side - width) // 2, (side - height) // 2)
    canvas.paste(grey.resize((width, height), Image.Resampling.LANCZOS), at)
    return np.asarray(canvas)


def decoded(image: bytes) -> np.ndarray[Any, Any]:
    """Return (height, width) uint8. Raises DataError for an image that cannot be decoded."""
    import cv2
    import numpy as np

    grey = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise DataError("an image of the set cannot be decoded; run cxr-vlp verify on the set")
    return np.asarray(grey)
