"""Encodes an image file as an 8-bit grey image: reads, decodes, windows, resizes, compresses.

    read      recognise the format, and unpack a .gz
    render    decode and choose the look-up table: grey with 8 or 16 bits (render.py)
    geometry  square pixels, standard orientation (geometry.py)
    resize    to the wanted size, in 8 bits (resize.py)
    compress  to JPEG or PNG

Every choice is recorded in the field `pixels` of a sample, so that the making of an image can be
traced.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import geometry, plausible, render, resize
from cxr_vlp.pipelines.imaging.parameters import ImageParameters
from cxr_vlp.pipelines.imaging.render import Rendered
from cxr_vlp.pipelines.records import Encoded

_SUFFIXES = {"dicom": (".dcm", ".dicom", ".dic", ""), "image": (".png", ".jpg", ".jpeg")}


def encode(data: bytes, suffix: str, parameters: ImageParameters, polarity: str = "") -> Encoded:
    """Return the stored form of one image file; `suffix` is its file name's, ".dcm", ".png".

    The content decides the format; the suffix decides if the content is not known. `polarity` is
    "inverted" for a PNG or JPEG whose low values are white; a DICOM file's own header counts.
    Raises IngestError with a code: dicom.*, image.unreadable, image.too_large, image.degenerate,
    image.implausible.
    """
    max_pixels = parameters.max_megapixels * 1_000_000
    data, suffix = _read(data, suffix.lower(), max_pixels)
    kind = _kind(data, suffix)
    if kind == "dicom":
        rendered = render.dicom(data, parameters, max_pixels)
    else:
        rendered = render.png_or_jpeg(data, parameters, max_pixels, inverted=bool(polarity))
    steps = geometry.turn_steps(rendered.directions)
    notes = {*rendered.notes, geometry.orientation_note(steps)} - {""}
    if suffix not in _SUFFIXES[kind]:
        notes.add("file.suffix")
    steps = steps if parameters.orient == "turn" else ""
    height, width = rendered.size
    at = geometry.placement(width, height, parameters, rendered.aspect, steps)
    upright, size = _oriented(rendered, steps)
    image = resize.resized(upright, rendered.halvings, size, parameters)
    if plausible.fault(image, parameters.recipe):
        raise IngestError("image.implausible")
    if parameters.resize == "pad":
        image = resize.padded(image, parameters.side, at)
    facts: dict[str, Any] = {
        "height": image.shape[0],
        "width": image.shape[1],
        "source_height": height,
        "source_width": width,
        "photometric": rendered.photometric,
        "bits": rendered.bits,
        "window": rendered.window,
        "recipe": parameters.recipe,
        "aspect": rendered.aspect,
        "turned": steps,
        "notes": sorted(notes),
    }
    return Encoded(rendered.stored or _compress(image, parameters), facts, at)


def refuse(facts: Mapping[str, Any], parameters: ImageParameters) -> None:
    """Refuse, by its facts, an image encoded earlier that `encode` would refuse now.

    Raises IngestError: image.too_large, dicom.body_part, dicom.modality, dicom.for_processing.
    """
    if facts["source_height"] * facts["source_width"] > parameters.max_megapixels * 1_000_000:
        raise IngestError("image.too_large")
    for name in ("modality", "body_part", "for_processing"):
        if getattr(parameters, name) == "reject" and f"dicom.{name}" in facts["notes"]:
            raise IngestError(f"dicom.{name}")


def _read(data: bytes, suffix: str, max_pixels: int) -> tuple[bytes, str]:
    """Return (the file's content, its suffix), both without gzip."""
    if data.startswith(b"\x1f\x8b"):
        data = _gunzip(data, max_pixels)
    return data, suffix.removesuffix(".gz")


def _gunzip(data: bytes, max_pixels: int) -> bytes:
    limit = 2 * max_pixels + (1 << 20)  # 16 bits a pixel and a header
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            raw = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error):
        raise IngestError("image.unreadable") from None
    if len(raw) > limit:
        raise IngestError("image.too_large")
    return raw


def _kind(data: bytes, suffix: str) -> str:
    """Return "dicom" or "image": by the first bytes if they are known, else by the suffix."""
    if data[128:132] == b"DICM":
        return "dicom"
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return "image"
    return "dicom" if suffix in _SUFFIXES["dicom"] else "image"


def _oriented(rendered: Rendered, steps: str) -> tuple[np.ndarray, resize.Size]:
    """Return (the image with square pixels and turned by `steps`, the size of such a source)."""
    image, size = rendered.grey, rendered.size
    if rendered.aspect != 1:
        width, height = geometry.squared(size[1], size[0], rendered.aspect)
        size = (height, width)
        halved = tuple(max(1, round(side / 2**rendered.halvings)) for side in (width, height))
        image = cv2.resize(image, halved, interpolation=cv2.INTER_CUBIC)
    if steps:
        image = geometry.turned(image, steps)
        size = size[::-1] if "T" in steps else size
    return image, size


def _compress(image: np.ndarray, parameters: ImageParameters) -> bytes:
    if parameters.format == "png":
        options = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, parameters.quality]
    done, buffer = cv2.imencode("." + parameters.format, image, options)
    if not done:
        raise IngestError("image.unencodable")
    return buffer.tobytes()
