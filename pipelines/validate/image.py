"""Checks a stored image: its header, its end, and whether it can be a radiograph."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import PIL.Image

from cxr_vlp.pipelines.format.sample import Pixels
from cxr_vlp.pipelines.imaging import plausible

FORMS = {"jpg": "JPEG", "png": "PNG"}
ENDS = {
    "jpg": b"\xff\xd9",
    "png": b"IEND\xaeB`\x82",
}  # checked because libjpeg fills a missing part with grey
# what Pillow reads of an image without metadata; EXIF, comments and text are a breach
BARE = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression"}


def breaches(image: bytes, form: str, facts: Pixels, largest: int) -> Iterator[str]:
    """Yield the codes of the breaches in an image's header and end; nothing is decoded.

    `form` is the member's ending, `facts` the sample's `pixels`, `largest` a number of pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(image), formats=(FORMS[form],)) as opened:
                size, mode, info = opened.size, opened.mode, set(opened.info)
    except PIL.Image.DecompressionBombError:
        yield "image.too_large"
        return
    except (OSError, ValueError, SyntaxError):
        yield "image.unreadable"
        return
    if mode != "L":
        yield "image.not_grey"
    if size != (facts.width, facts.height):
        yield "image.size"
    if size[0] * size[1] > largest:
        yield "image.too_large"
    if info - BARE:
        yield "image.metadata"
    if not image.endswith(ENDS[form]):
        yield "image.cut"


def decode(image: bytes, facts: Pixels) -> tuple[str, bytes]:
    """Return (code of a breach or "", 16-byte digest of shape and grey values) of an image."""
    values = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        return "image.unreadable", b""
    digest = hashlib.blake2b(repr((values.shape, values.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).data)
    if values.min() == values.max():
        return "image.constant", digest.digest()
    is_grey = values.ndim == 2 and values.dtype == np.uint8  # `breaches` reports the others
    odd = is_grey and plausible.fault(values, facts.recipe, is_stored=True)
    return "image.implausible" if odd else "", digest.digest()
