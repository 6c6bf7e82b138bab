"""Decodes a lossless JPEG frame (process 14) and checks that it is whole: no bit unused or missing.

libjpeg makes an image from the rest of a damaged frame, and its callers pass on no warning. A
truncated frame ends in constant rows; in a frame with lost bytes every later pixel is displaced. So
the frame is decoded with one row more than it has, and a few known bytes after its data. Those
bytes must come out as the first pixels of that row, followed only by the decoder's own filling.
Damage that leaves the number of pixels unchanged cannot be detected: a JPEG holds no checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from cxr_vlp.pipelines.imaging.jpeg_strip import DamagedError

_END, _SCAN, _CODES, _RESTARTS, _LOSSLESS = b"\xff\xd9", 0xDA, 0xC4, 0xDD, 0xC3
_KNOWN = bytes.fromhex("5a96c3")  # no FF, which would need a 00 after it
_FILLING = 3  # bytes of zeros that some writers leave after the last pixel
_COMPARED = 64  # pixels of the added row; the known bytes and a filling are fewer

Decode = Callable[[bytes], np.ndarray]


def decoded(frame: bytes, decode: Decode) -> np.ndarray:
    """Return the (height, width) values of a lossless frame of one component.

    A frame with restart markers, or one that the check does not support, is decoded unchecked.
    Raises DamagedError if the data do not end where the pixels do, and what `decode` raises.
    """
    layout = _Layout.of(frame)
    if layout is None:
        return decode(frame)
    if layout.end < 0:
        raise DamagedError
    rows = layout.rows + 1
    longer = b"".join([
        frame[: layout.frame + 5], rows.to_bytes(2, "big"), frame[layout.frame + 7 : layout.end],
        _KNOWN, _END,
    ])  # fmt: skip
    values = np.asarray(decode(longer))
    if values.ndim != 2 or values.shape[0] != rows or values.shape[1] < _COMPARED:
        return decode(frame)
    above, found = (values[place, :_COMPARED].tolist() for place in (-2, -1))
    most = (1 << 8 * values.dtype.itemsize) - 1
    if not any(_row(above, added, layout, most) == found for added in layout.endings()):
        raise DamagedError
    whole = values[:-1]
    if layout.precision < 16 and int(cv2.norm(whole, cv2.NORM_INF)) >> layout.precision:
        raise DamagedError  # the sum of the differences is a value that no pixel can have
    return whole


class _Layout:
    """The segments of a frame with one component, one scan and no restarts."""

    def __init__(self, frame: int, end: int, precision: int, rows: int) -> None:
        self.frame, self.end, self.precision, self.rows = frame, end, precision, rows
        self.predictor, self.point = 1, 0
        self.codes: dict[tuple[int, int], int] = {}  # (length, code) -> category of the difference

    @classmethod
    def of(cls, frame: bytes) -> _Layout | None:
        """Return the layout, None for a frame of another kind."""
        at, found, tables = 2, None, b""
        while at + 4 <= len(frame) and frame[at] == 0xFF:
            marker = frame[at + 1]
            if marker == 0xFF:  # a fill byte
                at += 1
                continue
            length = int.from_bytes(frame[at + 2 : at + 4], "big")
            body = frame[at + 4 : at + 2 + length]
            if marker == _LOSSLESS and len(body) >= 6:
                height = int.from_bytes(body[1:3], "big")
                found = cls(at, frame.rfind(_END), body[0], height) if body[5] == 1 else None
            elif marker == _CODES:
                tables += body
            elif marker == _RESTARTS and any(body):
                return None
            elif marker == _SCAN:
                usable = found is not None and len(body) >= 6 and found.rows in range(2, 65535)
                if found is None or not usable or not found.read(tables, body[2] >> 4):
                    return None
                found.predictor, found.point = body[3], body[5] & 15
                found.end = found.end if found.end > at else -1
                return found if found.predictor in range(1, 8) else None
            at += 2 + length
        return None

    def read(self, tables: bytes, wanted: int) -> bool:
        """Read the Huffman table (T.81 B.2.4.2) that the scan names; return if it was found."""
        while len(tables) >= 17:
            counts, number = tables[1:17], tables[0]
            symbols, code, place = tables[17 : 17 + sum(counts)], 0, 0
            codes = {}
            for length, count in enumerate(counts, 1):
                for symbol in symbols[place : place + count]:
                    codes[length, code] = symbol
                    code += 1
                place += count
                code <<= 1
            if number == wanted:
                self.codes = codes
            tables = tables[17 + sum(counts) :]
        return bool(self.codes)

    def endings(self) -> Iterator[list[int]]:
        """Yield the possible differences of a further row, from the bits after the last pixel.

        The last byte is filled up with ones (T.81 F.1.2.3), by some writers with zeros.
        """
        known = "".join(f"{byte:08b}" for byte in _KNOWN)
        for filling in range(_FILLING):
            for bits in range(8):
                for bit in "10"[: 2 if bits else 1]:
                    yield self._differences(bit * bits + "0" * 8 * filling + known)

    def _differences(self, bits: str) -> list[int]:
        """Decode a string of bits, with zeros after it for as long as there are pixels."""
        found, at = list[int](), 0
        bits += "0" * 40 * _COMPARED
        while len(found) < _COMPARED:
            length, code = 0, 0
            while (length, code) not in self.codes:
                if length == 16:
                    return found  # no such code
                code = code << 1 | int(bits[at + length])
                length += 1
            size = self.codes[length, code]
            at += length
            if size == 16:
                found.append(32768)
                continue
            value = int(bits[at : at + size] or "0", 2)
            at += size
            found.append(value if not size or value >> (size - 1) else value - (1 << size) + 1)
        return found


def _row(above: list[int], added: list[int], layout: _Layout, most: int) -> list[int]:
    """Return a row of pixels: each is its prediction plus its difference (T.81 H.1.2.1)."""

    above = [pixel >> layout.point for pixel in above]
    row = [(above[0] + added[0]) & 0xFFFF] if added else []
    for place, difference in enumerate(added[1:], 1):
        a, b, c = row[-1], above[place], above[place - 1]
        predicted = (
            a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1
        )[layout.predictor - 1]  # fmt: skip
        row.append((predicted + difference) & 0xFFFF)
    return [(pixel << layout.point) & most for pixel in row]
