"""A picture file's bytes in, an encoded 8-bit grey picture and the facts of its making out.

decode, at half the size where that will do -> grey table (grey.py) -> resize (resizing.py) -> jpg
or png. Shards' JSON records every choice in `pixels`, so nobody has to guess later how a picture
came to look as it does.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from pydicom.dataset import Dataset

from pipelines.decoding import films, grey, jpegs, pictures, resizing
from pipelines.faults import IngestError
from pipelines.params import Shards
from pipelines.placing import Placement, placement

SMALLEST_SIDE = 64  # pixels; below it no chest film is recognisable


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded picture and how it was made; `facts` is the sample's `pixels` field."""

    data: bytes
    facts: dict[str, int | str]
    placement: Placement


@dataclass(frozen=True, slots=True)
class Shown:
    """Display grey of a source picture, (height, width) uint8 or uint16, halved some times."""

    grey: np.ndarray
    halvings: int
    size: resizing.Size  # of the source
    bits: int
    window: str
    photometric: str = ""
    stored: bytes | None = None  # the file itself, where it can be kept as it is


def encode(data: bytes, suffix: str, shards: Shards) -> Encoded:
    """Return the stored form of one picture file; `suffix` is its file name's, ".dcm", ".png".

    Raises IngestError with a code: dicom.*, image.unreadable, image.too_large, image.degenerate.
    """
    max_pixels = shards.max_megapixels * 1_000_000
    suffix = suffix.lower()
    if suffix.endswith(".gz"):
        data, suffix = _gunzip(data, max_pixels), suffix[: -len(".gz")]
    shown = _shown(data, suffix, shards, max_pixels)
    height, width = shown.size
    at = placement(width, height, shards)
    picture = resizing.resized(shown.grey, shown.halvings, shown.size, shards)
    if shards.resize == "pad":
        picture = resizing.padded(picture, shards.side, at)
    facts: dict[str, int | str] = {
        "height": picture.shape[0],
        "width": picture.shape[1],
        "source_height": height,
        "source_width": width,
        "photometric": shown.photometric,
        "bits": shown.bits,
        "window": shown.window,
        "recipe": shards.recipe,
    }
    return Encoded(shown.stored or _compress(picture, shards), facts, at)


def _shown(data: bytes, suffix: str, shards: Shards, max_pixels: int) -> Shown:
    film = suffix in (".dcm", ".dicom", "")
    try:
        return (_film if film else _picture)(data, shards, max_pixels)
    except IngestError:
        raise
    except Exception:  # pydicom reads an element when it is asked for: any step may meet a bad one
        raise IngestError("dicom.undecodable" if film else "image.unreadable") from None


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


def _film(data: bytes, shards: Shards, max_pixels: int) -> Shown:
    """Return a DICOM file's display grey.

    A window is laid on means of 2 x 2 stored values; what needs every pixel (percentiles,
    equalisation, the file's own LUTs) gets every pixel.
    """
    film = films.opened(data, max_pixels)
    times = resizing.halvings(film.size, shards)
    made = _windowed(film, times) if shards.recipe == "voi" else None
    if made is None:
        made = _tabled(film.values(), film.size, times, shards.recipe, film.dataset)
    photometric = str(film.dataset.get("PhotometricInterpretation", ""))
    bits = int(film.dataset.get("BitsStored", 0) or 0)
    return Shown(made[0], times, film.size, bits, made[1], photometric)


def _windowed(film: films.Film, times: int) -> tuple[np.ndarray, str] | None:
    """Return (grey, what set the contrast) under the film's own window, None where it has none."""
    values = film.reduced(times)
    if values is None:
        values = resizing.halved(film.values(), times)
    low, high = _refuse_degenerate(film.size, values, film.values)
    table = grey.windowed(low, high, values.dtype, film.dataset)
    return None if table is None else (table.apply(values), table.window)


def _tabled(
    values: np.ndarray, size: resizing.Size, times: int, recipe: str, dataset: Dataset | None = None
) -> tuple[np.ndarray, str]:
    """Return (grey, what set the contrast) under a table that all the pixels decide."""
    _refuse_degenerate(size, values, lambda: values)
    table = grey.table(values, recipe, dataset)
    if table.bends:
        return resizing.halved(table.apply(values), times), table.window
    return table.apply(resizing.halved(values, times)), table.window


def _picture(data: bytes, shards: Shards, max_pixels: int) -> Shown:
    """Return a PNG's or JPEG's display grey; 8 bits are display grey already for recipe voi."""
    picture = pictures.opened(data, max_pixels)
    times = resizing.halvings(picture.size, shards)
    stored = _as_it_is(picture, shards)
    if stored is not None:  # decoded below as it will be stored, so what is stored can be decoded
        picture = dataclasses.replace(picture, data=stored)
    if shards.recipe == "voi" and not picture.deep:
        done = min(times, picture.halvings)
        values = resizing.halved(picture.values(done), times - done)
        _refuse_degenerate(picture.size, values, picture.values)
        return Shown(values, times, picture.size, 8, "stored", stored=stored)
    values = picture.values()
    made, window = _tabled(values, picture.size, times, shards.recipe)
    return Shown(made, times, picture.size, 8 * values.dtype.itemsize, window)


def _as_it_is(picture: pictures.Picture, shards: Shards) -> bytes | None:
    """Return the JPEG to be stored unchanged, None where pixels or form have to change."""
    keeps = shards.recipe == "voi" and shards.format == "jpg" and picture.halvings > 0
    same = resizing.wanted(picture.size, shards) == picture.size
    square = shards.resize != "pad" or picture.size == (shards.side, shards.side)
    return jpegs.bare(picture.data, shards.quality) if keeps and same and square else None


def _refuse_degenerate(
    size: resizing.Size, values: np.ndarray, whole: Callable[[], np.ndarray]
) -> tuple[int, int]:
    """Return (lowest, highest) of the values; refuse a picture that is all one value, or tiny.

    A fine grid has one mean everywhere, so the whole picture has the last word.
    """
    if min(size) < SMALLEST_SIDE:
        raise IngestError("image.degenerate")
    low, high = int(values.min()), int(values.max())
    if low == high and np.ptp(whole()) == 0:
        raise IngestError("image.degenerate")
    return low, high


def _compress(picture: np.ndarray, shards: Shards) -> bytes:
    if shards.format == "png":
        options = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    else:
        options = [cv2.IMWRITE_JPEG_QUALITY, shards.quality]
    done, buffer = cv2.imencode("." + shards.format, picture, options)
    if not done:
        raise IngestError("image.unencodable")
    return buffer.tobytes()
