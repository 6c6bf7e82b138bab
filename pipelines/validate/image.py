"""Check a stored image: its header, and whether it is an image at all; and take its digest."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import PIL.Image

from cxr_vlp.pipelines.imaging import plausible

FORMS = {"jpg": "JPEG", "png": "PNG"}
ENDS = {"jpg": b"\xff\xd9", "png": b"IEND\xaeB`\x82"}  # libjpeg fills what is missing with grey
# what a picture without any story of its origin still tells; EXIF, comments and text are a breach
BARE = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "progressive", "progression"}


def breaches(picture: bytes, form: str, facts: Mapping[str, Any], largest: int) -> Iterator[str]:
    """Yield the codes of what a picture's own header and end get wrong; nothing is decoded.

    `form` is the member's ending, `facts` the sample's `pixels`, `largest` a number of pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(picture), formats=(FORMS[form],)) as opened:
                size, mode, told = opened.size, opened.mode, set(opened.info)
    except PIL.Image.DecompressionBombError:
        yield "picture.too_large"
        return
    except (OSError, ValueError, SyntaxError):
        yield "picture.unreadable"
        return
    if mode != "L":
        yield "picture.not_grey"
    if size != (facts.get("width"), facts.get("height")):
        yield "picture.size"
    if size[0] * size[1] > largest:
        yield "picture.too_large"
    if told - BARE:
        yield "picture.metadata"
    if not picture.endswith(ENDS[form]):
        yield "picture.cut"


def decode(picture: bytes, facts: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return (code of a breach or "", 16-byte digest of shape and grey values) of an image."""
    values = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        return "picture.unreadable", b""
    digest = hashlib.blake2b(repr((values.shape, values.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).data)
    if values.min() == values.max():
        return "picture.constant", digest.digest()
    recipe = str(facts.get("recipe"))
    is_grey = values.ndim == 2 and values.dtype == np.uint8  # else `breaches` tells
    odd = is_grey and plausible.fault(values, recipe, is_stored=True)
    return "picture.implausible" if odd else "", digest.digest()
