"""Finds the true depth and sign of stored values where BitsStored, HighBit or the sign is wrong.

Read under a wrong header, values wrap around: neighbours then differ by more than half of the
range, all over the image. The reading with the fewest such jumps is the right one. The header's
own reading is replaced only where another one has far fewer jumps.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from cxr_vlp.pipelines.imaging.dicom_header import ImageHeader

_MANY = 0.001  # share of neighbours that jump; in a right reading only burnt-in letters do
_FEWER = 0.25  # of another reading's jumps; noise jumps under any reading
_STEP = 4  # every fourth row is examined

Reading = Callable[[np.ndarray], np.ndarray]


def corrected(raw: np.ndarray, header: ImageHeader) -> tuple[np.ndarray, bool]:
    """Return (the stored values, whether the header describes them wrongly).

    `raw` is (height, width), unsigned as in the file, or signed where a codestream says so itself.
    """
    if raw.dtype.kind == "i":
        positive = int(raw.min()) >= 0
        unsigned = np.uint8 if raw.dtype.itemsize == 1 else np.uint16
        values = raw.astype(unsigned if positive else np.int16)
        return values, not (header.signed or positive)
    top = _highest(raw, header)
    half = 1 << (8 * raw.dtype.itemsize - 1)
    plain = header.high == header.stored - 1 and not top >> header.stored
    if plain and not header.signed and top < half:
        return raw, False
    shift, top, wrong = _shift(raw, top, header)
    values = raw >> shift if shift else raw
    readings = _readings(values, top, header)
    chosen = _best(values, readings)
    # in the bits above a signed value its sign is repeated
    beyond = bool(top >> header.stored) and not (header.signed or header.overlaid)
    wrong = wrong or chosen > 0 or beyond
    found = readings[chosen](values)
    # the later steps do not work with signed bytes, OpenCV's resizing least of all
    return (found.astype(np.int16) if found.dtype == np.int8 else found), wrong


def _highest(raw: np.ndarray, header: ImageHeader) -> int:
    """Return the highest value apart from the padding, which may use bits that no pixel uses."""
    top = int(cv2.norm(raw, cv2.NORM_INF))  # in half the time of numpy's max
    if header.padding and top >> header.stored:
        size = 1 << (8 * raw.dtype.itemsize)
        low, high = (value % size for value in header.padding)
        rest = raw[(raw < low) | (raw > high)]
        top = int(rest.max()) if rest.size else top
    return top


def _shift(raw: np.ndarray, top: int, header: ImageHeader) -> tuple[int, int, bool]:
    """Return (by how many bits the values are shifted up, the top then, if the header is wrong).

    HighBit (0028,0102) may say so, rightly or wrongly; in some files nothing says so.
    """
    size = 8 * raw.dtype.itemsize
    stated = header.high + 1 - header.stored if header.stored <= header.high < size else 0
    spare = stated or size - header.stored
    if not top >> header.stored or not spare:
        return 0, top, stated > 0  # the upper bits are empty: the values cannot be shifted
    below = int(np.bitwise_or.reduce(raw, axis=None)) & ((1 << spare) - 1)
    if stated or not below:
        return spare, top >> spare, True
    return 0, top, False


def _readings(values: np.ndarray, top: int, header: ImageHeader) -> list[Reading]:
    """Return the possible readings of the values, the likeliest by the header first."""
    size, stored = 8 * values.dtype.itemsize, header.stored
    plain: Reading = lambda v: v  # noqa: E731
    masked: Reading = lambda v: v & v.dtype.type((1 << stored) - 1)  # noqa: E731
    whole: Reading = lambda v: v.view(f"i{v.dtype.itemsize}")  # noqa: E731
    short: Reading = lambda v: _signed(v, stored)  # noqa: E731
    if header.signed:
        return [short, whole, plain] if stored < size else [whole, plain]
    found = [masked] if header.overlaid and top >> stored else [plain]
    if top >> stored and stored >= 8 and not header.overlaid:
        found.append(masked)
    if top < 1 << (size - 1) or size == 8:  # nobody writes signed bytes under an unsigned header
        return found
    # bytes in the other order: the low byte, which is noise, is read as the high one
    return [*found, whole, np.ndarray.byteswap]


def _signed(values: np.ndarray, bits: int) -> np.ndarray:
    """Read two's complement of `bits` bits, whether or not the upper bits repeat the sign."""
    spare = 8 * values.dtype.itemsize - bits
    signed = (values << spare).view(f"i{values.dtype.itemsize}")
    return signed >> spare


def _best(values: np.ndarray, readings: list[Reading]) -> int:
    if len(readings) == 1:
        return 0
    rows = np.ascontiguousarray(values[::_STEP])
    jumps = [_jumps(read(rows)) for read in readings]
    best = 0
    for place in range(1, len(readings)):
        if jumps[best] > _MANY and jumps[place] < _FEWER * jumps[best]:
            best = place
    return best


def _jumps(values: np.ndarray) -> float:
    """Return the share of neighbours, in a row or column, that differ by more than half the range.

    The range is that of the values. In the range of all the bits, values that use few of them
    would never jump.
    """
    half = (int(values.max()) - int(values.min())) // 2
    steps = [np.abs(np.diff(values.astype(np.int32), axis=axis)) for axis in (0, 1)]
    return sum(float(np.count_nonzero(s > half)) / max(1, s.size) for s in steps)
