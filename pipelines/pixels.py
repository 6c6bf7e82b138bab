"""A picture file's bytes in, an encoded 8-bit grey picture and the facts of its making out.

decode -> grey table (grey.py) -> resize on 16 bits -> 8 bits -> jpg or png. Shards' JSON records
every choice in `pixels`, so nobody has to guess later how a picture came to look as it does.
"""

from __future__ import annotations

import gzip
import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import PIL.Image
from pydicom.dataset import Dataset

from pipelines import dicoms, grey
from pipelines.faults import IngestError
from pipelines.params import Shards

SMALLEST_SIDE = 64  # pixels; below it no chest film is recognisable

cv2.setNumThreads(1)  # the work is parallel over parts; threads inside would fight for the cores


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the source picture lies in the stored one: stored = scale * source + offset."""

    scale_x: float
    scale_y: float
    offset_x: int = 0
    offset_y: int = 0


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded picture and how it was made; `facts` is the sample's `pixels` field."""

    data: bytes
    facts: dict[str, int | str]
    placement: Placement


def encode(data: bytes, suffix: str, shards: Shards) -> Encoded:
    """Return the stored form of one picture file; `suffix` is its file name's, ".dcm", ".png".

    Raises IngestError with a code: dicom.*, image.unreadable, image.too_large, image.degenerate.
    """
    values, dataset, bits = _decode(data, suffix, shards.max_megapixels * 1_000_000)
    height, width = values.shape
    if min(height, width) < SMALLEST_SIDE or values.min() == values.max():
        raise IngestError("image.degenerate")
    picture, window = _display(values, dataset, bits, shards.recipe)
    picture, placement = _resize(picture, shards)
    facts: dict[str, int | str] = {
        "height": picture.shape[0],
        "width": picture.shape[1],
        "source_height": height,
        "source_width": width,
        "photometric": "" if dataset is None else str(dataset.get("PhotometricInterpretation", "")),
        "bits": bits,
        "window": window,
        "recipe": shards.recipe,
    }
    return Encoded(_compress(picture, shards), facts, placement)


def _decode(data: bytes, suffix: str, max_pixels: int) -> tuple[np.ndarray, Dataset | None, int]:
    suffix = suffix.lower()
    if suffix.endswith(".gz"):
        data, suffix = _gunzip(data, max_pixels), suffix[: -len(".gz")]
    if suffix not in (".dcm", ".dicom", ""):
        values, bits = _picture(data, max_pixels)
        return values, None, bits
    dataset = dicoms.parse(data)
    dicoms.check(dataset, max_pixels)
    return dicoms.stored_values(dataset), dataset, int(dataset.get("BitsStored", 0) or 0)


def _gunzip(data: bytes, max_pixels: int) -> bytes:
    limit = 2 * max_pixels + (1 << 20)  # 16 bits a pixel and a header
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            raw = stream.read(limit + 1)
    except (OSError, EOFError):
        raise IngestError("image.unreadable") from None
    if len(raw) > limit:
        raise IngestError("image.too_large")
    return raw


def _picture(data: bytes, max_pixels: int) -> tuple[np.ndarray, int]:
    """Return (values (height, width), bits) of a PNG or JPEG; colour becomes luma.

    Pillow declares the size before it decodes; OpenCV then reads 16-bit PNGs unclipped, where
    Pillow's convert("L") turns them white.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
                width, height = opened.size
                mode = opened.mode
    except PIL.Image.DecompressionBombError:
        raise IngestError("image.too_large") from None
    except (OSError, ValueError, SyntaxError):
        raise IngestError("image.unreadable") from None
    if width * height > max_pixels:
        raise IngestError("image.too_large")
    buffer = np.frombuffer(data, np.uint8)
    wide = mode.startswith("I")
    values = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED if wide else cv2.IMREAD_GRAYSCALE)
    # libjpeg fills what a truncated file lacks with grey and only warns; PNG returns None
    if values is None or _cut_short(data):
        raise IngestError("image.unreadable")
    if values.ndim == 3:
        values = cv2.cvtColor(values[..., :3], cv2.COLOR_BGR2GRAY)
    return values, 8 * values.dtype.itemsize


def _cut_short(data: bytes) -> bool:
    """Tell a JPEG without its end marker or a PNG without its end chunk."""
    if data[:2] == b"\xff\xd8":
        return b"\xff\xd9" not in data[-1024:]
    return b"IEND" not in data[-64:]


def _display(
    values: np.ndarray, dataset: Dataset | None, bits: int, recipe: str
) -> tuple[np.ndarray, str]:
    """Return (uint16 display grey, what set the contrast).

    An 8-bit PNG or JPEG is display grey already: recipe voi takes it as it is.
    """
    if dataset is None and bits == 8 and recipe == "voi":
        return values.astype(np.uint16) * 257, "stored"
    table = grey.table(values, recipe, dataset)
    return table.apply(values), table.window


def _resize(picture: np.ndarray, shards: Shards) -> tuple[np.ndarray, Placement]:
    height, width = picture.shape
    side = min(height, width) if shards.resize == "shortest" else max(height, width)
    ratio = shards.size / side
    if ratio > 1 and not shards.enlarge:
        ratio = 1.0
    new_w, new_h = max(1, round(width * ratio)), max(1, round(height * ratio))
    scaled = _scale(picture, new_w, new_h, shards.filter)
    placement = Placement(new_w / width, new_h / height)
    if shards.resize == "pad":
        return _pad(scaled, shards.size, placement)
    return scaled, placement


def _scale(picture: np.ndarray, width: int, height: int, name: str) -> np.ndarray:
    """Return the picture as 8 bits at the new size; 16 bits until after the resampling."""
    if picture.shape != (height, width):
        if name == "lanczos":
            # Pillow widens the kernel when it shrinks; OpenCV's INTER_LANCZOS4 does not and aliases
            image = PIL.Image.fromarray(picture.astype(np.float32))
            scaled = np.asarray(image.resize((width, height), PIL.Image.Resampling.LANCZOS))
            picture = np.clip(scaled, 0, grey.WHITE)
        else:
            shrinks = height <= picture.shape[0]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            picture = cv2.resize(_halved(picture, height), (width, height), interpolation=method)
    return ((picture.astype(np.float32) + 128) / 257).astype(np.uint8)


def _halved(picture: np.ndarray, height: int) -> np.ndarray:
    """Halve by exact means of 2 x 2 while the result is well above the wanted height.

    Quicker than one large step, and the finest grids, which a box of 3.4 pixels lets through as
    stripes, are gone after the first. The last step stays a factor of 1.5 to 3: below that an area
    filter weighs neighbours unevenly.
    """
    while picture.shape[0] >= 3 * height and picture.shape[0] % 2 == picture.shape[1] % 2 == 0:
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
    return picture


def _pad(picture: np.ndarray, size: int, at: Placement) -> tuple[np.ndarray, Placement]:
    height, width = picture.shape
    canvas = np.zeros((size, size), np.uint8)
    x, y = (size - width) // 2, (size - height) // 2
    canvas[y : y + height, x : x + width] = picture
    return canvas, Placement(at.scale_x, at.scale_y, x, y)


def _compress(picture: np.ndarray, shards: Shards) -> bytes:
    if shards.format == "png":
        options = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, shards.quality]
    done, buffer = cv2.imencode("." + shards.format, picture, options)
    if not done:
        raise IngestError("image.unencodable")
    return buffer.tobytes()
