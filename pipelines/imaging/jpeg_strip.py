"""Decodes JPEGs and reports damage; removes everything but the image from a JPEG file.

libjpeg makes an image from the rest of a damaged file, and only warns. simplejpeg passes the
first warning on.

A grey JPEG that is small enough already (CheXpert-small) is stored unchanged: re-encoding loses
quality, and costs more than all other steps together. Everything that a decoder does not need is
removed: names, dates and thumbnails can be in application segments, in comments, and after the end
of the image.
"""

from __future__ import annotations

import re
from functools import lru_cache

import cv2
import numpy as np
import simplejpeg

_START, _END, _SCAN, _TABLES = 0xD8, 0xD9, 0xDA, 0xDB
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive, Huffman coded (T.81 table B.1)
_KEPT = (*_FRAMES, 0xC4, _SCAN, _TABLES, 0xDD)  # besides the frame: codes, scans, tables, restarts
# within a scan FF is followed by 00, a restart marker or more FF; anything else ends it
_NEXT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

# libjpeg's warning on data that are left when all blocks are decoded
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]+)")
_AFTER_SCANS = ("c4", "d9", "da")  # markers after a scan: extra bytes before them are unused data
_ODD_SCAN = "Invalid SOS parameters"  # libjpeg's warning on a scan's parameters
_STRAY = 4  # bytes that some writers leave there; lost data leave more, with rare exceptions


class DamagedError(Exception):
    """Compressed image data that are truncated or corrupt."""


def decode_grey(data: bytes, height: int = 0, width: int = 0) -> np.ndarray:
    """Return the (height, width) uint8 values of a JPEG, colour as luma, at full or a smaller size.

    The size is the smallest of full, a half, a quarter and an eighth that is at least `height` by
    `width` pixels. Raises DamagedError.
    """
    return _decode(data, "GRAY", height, width)[..., 0]


def check_codes(data: bytes, frame: int) -> None:
    """Check that a 12-bit JPEG has all its codes; its start of frame is at byte `frame`.

    The 12-bit decoder passes no warning on. The codes are laid out as in 8 bits, so the 8-bit
    decoder can read them; its image is thrown away. Raises DamagedError.
    """
    _decode(data[: frame + 4] + b"\x08" + data[frame + 5 :], "GRAY", 1, 1)


def check(data: bytes) -> None:
    """Decode a colour JPEG at a small size, to find damage. Raises DamagedError."""
    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
    except ValueError:
        raise DamagedError from None
    _decode(data, "CMYK" if colours in ("CMYK", "YCCK") else "RGB", 1, 1)


def _decode(data: bytes, colours: str, height: int, width: int) -> np.ndarray:
    try:
        return simplejpeg.decode_jpeg(
            data, colours, min_height=height, min_width=width, strict=True
        )
    except ValueError as error:
        if _ODD_SCAN in str(error) and (usual := _with_usual_scan(data)) != data:
            return _decode(usual, colours, height, width)
        stray = _EXTRANEOUS.search(str(error))
        if not stray or (stray[2] in _AFTER_SCANS and int(stray[1]) > _STRAY):
            raise DamagedError from None
    try:
        return simplejpeg.decode_jpeg(
            data, colours, min_height=height, min_width=width, strict=False
        )
    except ValueError:
        raise DamagedError from None


def _with_usual_scan(data: bytes) -> bytes:
    """Return a sequential JPEG with the only valid values of the parameters of its scan.

    Some writers leave zeros there (T.81 B.2.3); libjpeg warns only of that, and goes on.
    """
    at = data.find(bytes((0xFF, _SCAN)))
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[: end - 3] + b"\0\x3f\0" + data[end:] if at > 0 else data


def stripped(data: bytes, quality: int) -> bytes | None:
    """Return the file with nothing but its image, bit for bit; None if it must be re-encoded.

    It must be re-encoded for colour, 12 bits, arithmetic coding, a damaged structure, and if it is
    quantised more finely than at `quality`: a user who asks for less quality wants a smaller file.
    """
    try:
        kept, tables = _segments(data)
    except (IndexError, ValueError):
        return None
    if not tables or min(tables) < sum(_tables_of(quality)):
        return None
    return kept


def _segments(data: bytes) -> tuple[bytes, list[int]]:
    """Return (the segments that the image needs, the sum of each quantisation table).

    Raises ValueError or IndexError if they are not those of one grey 8-bit image.
    """
    if data[:2] != bytes((0xFF, _START)):
        raise ValueError("not a JPEG")
    kept, tables, frames, at = [data[:2]], [], 0, 2
    while (marker := _marker(data, at)) != _END:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end < at + 4 or end > len(data):
            raise ValueError("truncated")
        segment = data[at:end]
        if marker in _FRAMES:
            frames += 1
            if segment[4] != 8 or segment[9] != 1:
                raise ValueError("not grey or not 8 bits")
        elif marker == _TABLES:
            tables += _sums(segment[4:])
        elif marker == _SCAN:
            found = _NEXT.search(data, end)
            if not found:
                raise ValueError("truncated")
            end = found.start()
        elif 0xC0 <= marker <= 0xCF and marker not in _KEPT:
            raise ValueError("lossless or arithmetic coding")
        if marker in _KEPT:
            kept.append(data[at:end])
        at = end
    if frames != 1:
        raise ValueError("not one image")
    return b"".join([*kept, bytes((0xFF, _END))]), tables


def _marker(data: bytes, at: int) -> int:
    if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
        raise ValueError("no marker where one is required")
    return data[at + 1]


def _sums(tables: bytes) -> list[int]:
    """Return the sum of the 64 steps of each table in a DQT segment (T.81 B.2.4.1)."""
    sums = []
    while tables:
        size = 2 if tables[0] >> 4 else 1
        steps = np.frombuffer(tables[1 : 1 + 64 * size], ">u2" if size == 2 else np.uint8)
        if steps.size != 64:
            raise ValueError("truncated")

        sums.append(int(steps.sum()))
        tables = tables[1 + 64 * size :]
    return sums


@lru_cache
def _tables_of(quality: int) -> list[int]:
    """Return the sum of the steps that our own encoder uses at `quality`."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    encoded = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8), options)[1].tobytes()
    return _segments(encoded)[1]
