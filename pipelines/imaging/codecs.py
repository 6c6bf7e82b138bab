"""Decode one compressed DICOM frame to its stored values; one pinned decoder for each syntax.

imagecodecs decodes the JPEG families and the run lengths, simplejpeg the 8-bit grey JPEGs, for it
tells damage. OpenJPEG (in Pillow) and OpenJPH (in imagecodecs) stop at half or a quarter of a
wavelet image's size, which costs a fraction. Lossy JPEG differs between decoders and so would our
bytes: no decoder stands in for another here.

What damage can be known: a JPEG's entropy-coded data must end where its pixels do (libjpeg's
warnings; lossless.py), JPEG-LS and run lengths likewise, a JPEG 2000 frame must have its tile-parts
whole. Bytes changed inside JPEG 2000 data, or in a JPEG so that the number of codes stays the same,
leave no trace but in the image: these formats hold no checksum.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from collections.abc import Callable, Iterator, Mapping

import cv2
import imagecodecs
import numpy as np
import PIL.Image

from cxr_vlp.pipelines.imaging import codestreams, jpeg_lossless, jpeg_strip

_HTJ2K = (
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
)
_JPEG2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_CODESTREAM = b"\xff\x4f\xff\x51"  # start of codestream, then its SIZ segment (ISO 15444-1 A.5.1)
_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"
_PADDING = 16  # bytes that a plane may have behind its end
_PRECISION = 42  # where SIZ tells bits less one, and the sign in the highest bit


class DamagedError(Exception):
    """A frame that is cut, or whose data are rotten."""


def jpeg(frame: bytes) -> np.ndarray:
    """Return the values of a JPEG of any process, (height, width) or (height, width, components).

    Components are as they are coded: no colour transform. Raises DamagedError, and what the
    decoders raise for what is no JPEG.
    """
    told = codestreams.declared(frame)
    if told is None or frame.rfind(b"\xff\xd9") < frame.find(b"\xff\xda"):
        raise DamagedError  # without an end mark behind its scan
    try:
        if told.is_sequential:
            grey = jpeg_strip.decode_grey(frame, told.height, told.width)
            return grey if told.channels == 1 else _components(frame)
        if told.process == 0xC1 and told.precision == 12:
            jpeg_strip.check_codes(frame, told.frame)
        if told.process == 0xC3 and told.channels == 1:
            return jpeg_lossless.decoded(frame, imagecodecs.jpeg_decode)
    except (jpeg_strip.DamagedError, jpeg_lossless.DamagedError):
        raise DamagedError from None
    return _components(frame) if told.channels == 3 else np.asarray(imagecodecs.jpeg_decode(frame))


def _components(frame: bytes) -> np.ndarray:
    # told that it is RGB already, libjpeg leaves the components as they are
    return np.asarray(imagecodecs.jpeg8_decode(frame, colorspace="RGB", outcolorspace="RGB"))


DECODERS: Mapping[str, Callable[[bytes], np.ndarray]] = {
    "1.2.840.10008.1.2.4.50": jpeg,
    "1.2.840.10008.1.2.4.51": jpeg,
    "1.2.840.10008.1.2.4.57": jpeg,
    "1.2.840.10008.1.2.4.70": jpeg,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.81": imagecodecs.jpegls_decode,
    **dict.fromkeys(_JPEG2000, imagecodecs.jpeg2k_decode),
    **dict.fromkeys(_HTJ2K, imagecodecs.jpeg2k_decode),
}


def reduced(
    frame: bytes, syntax: str, shape: tuple[int, int], bits: int, times: int
) -> np.ndarray | None:
    """Return the values at 1 / 2**times of `shape` (height, width), sides rounded up.

    `bits` are those that the header calls stored. None where the syntax has no smaller sizes in it,
    or the frame is not what `shape` says, or is signed, coloured or damaged: the full decoder then
    decides what it is.
    """
    try:
        if syntax in _JPEG2000 and _is_plain(frame):
            values = _open_jpeg(frame, shape, times)
        elif syntax in _HTJ2K and _is_plain(frame):
            values = _open_jph(frame, bits, times)
        else:
            return None
    except Exception:
        return None
    wanted = tuple(-(-side >> times) for side in shape)
    if values is None or values.shape != wanted or values.dtype.kind != "u":
        return None
    return _centred(values, times)


def _is_plain(frame: bytes) -> bool:
    """Tell a whole codestream of unsigned values, by its tile-parts from the first to the end mark.

    OpenJPEG and OpenJPH make a picture of what there is of a cut one (ISO 15444-1 A.4).
    """
    at = 2
    if not frame.startswith(_CODESTREAM) or frame[_PRECISION] >= 0x80:
        return False
    while frame[at : at + 2] != _TILE_PART:
        if frame[at : at + 1] != b"\xff":
            return False
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    while frame[at : at + 2] == _TILE_PART:
        length = int.from_bytes(frame[at + 6 : at + 10], "big")
        if length == 0:  # the last one, up to the end
            return frame[-3:].rstrip(b"\0").endswith(_END)
        at += max(length, 12)
    return frame[at : at + 2] == _END


def _open_jpeg(frame: bytes, shape: tuple[int, int], times: int) -> np.ndarray | None:
    with PIL.Image.open(io.BytesIO(frame), formats=("JPEG2000",)) as image:
        if image.size != shape[::-1] or image.mode not in ("L", "I;16"):
            return None
        image.reduce = times  # type: ignore[assignment,method-assign]
        values = np.asarray(image)
    bits = 8 if values.dtype == np.uint8 else 16
    return values >> (bits - 1 - frame[_PRECISION])  # Pillow moves them to the top of 8 or 16 bits


def _open_jph(frame: bytes, bits: int, times: int) -> np.ndarray | None:
    with _heard() as errors:
        values = np.asarray(imagecodecs.htj2k_decode(frame, skipres=times))
    if errors or values.dtype != np.uint16 or bits > 14:
        return None
    # a low-pass band overshoots at edges; OpenJPEG clips that, here it comes out wrapped round
    wrapped = values.view(np.int16)
    over, black = 1 << (bits - 2), np.count_nonzero(wrapped < 0)
    if wrapped.min() < -over or wrapped.max() >= (1 << bits) + over or 64 * black > values.size:
        return None  # more than that is no overshoot: there are more bits than the header says
    return wrapped.clip(0, (1 << bits) - 1).view(np.uint16)


@contextlib.contextmanager
def _heard() -> Iterator[list[type]]:
    """Collect what imagecodecs raises where nobody can catch it, and returns memory as it was."""
    errors: list[type] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda what: errors.append(what.exc_type)
    try:
        yield errors
    finally:
        sys.unraisablehook = hook


def _centred(values: np.ndarray, times: int) -> np.ndarray:
    """Move a low-pass band to where means of 2**times pixels would lie.

    Its samples sit on the first pixel of each block, not in the middle: the picture would be up and
    left by (2**times - 1) / 2 pixels, which a comparison with the full-size way shows.
    """
    part = (1 - 0.5**times) / 2
    weights = np.array([1 - part, part], np.float32)
    border = cv2.BORDER_REPLICATE
    return cv2.sepFilter2D(values, -1, weights, weights, anchor=(0, 0), borderType=border)


def run_lengths(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray | None:
    """Return the values of an RLE frame of one sample a pixel (PS3.5 annex G), 8 or 16 bits.

    None where it is not cut into one segment a byte as the standard asks: pydicom's decoder then
    decides. Raises DamagedError where a segment unpacks to fewer or more bytes than there are.
    """
    planes, size = bits // 8, rows * columns
    count, *starts = struct.unpack("<16I", frame[:64].ljust(64, b"\0"))
    ends = [*starts[1:planes], len(frame)]
    if count != planes or starts[0] < 64 or ends != sorted(ends):
        return None
    found = [_plane(frame[a:b], size) for a, b in zip(starts[:planes], ends, strict=True)]
    shaped = [plane.reshape(rows, columns) for plane in found[::-1]]  # the highest byte came first
    return shaped[0] if planes == 1 else np.asarray(cv2.merge(shaped)).view("<u2")[..., 0]


def swells(frame: bytes, size: int) -> bool:
    """Tell an RLE frame of which a segment unpacks to more than the `size` bytes of a plane.

    Two bytes stand for up to 128, and neither pydicom nor the standard sets them an end.
    """
    count, *starts = struct.unpack("<16I", frame[:64].ljust(64, b"\0"))
    starts = starts[: min(count, 15)]
    return any(_swells(frame[a:b], size) for a, b in zip(starts, [*starts[1:], None], strict=False))


def _swells(segment: bytes, size: int) -> bool:
    try:
        imagecodecs.packbits_decode(segment, out=size + _PADDING)
    except imagecodecs.PackbitsError as error:
        return "TOO_SMALL" in str(error)
    return False


def _plane(segment: bytes, size: int) -> np.ndarray:
    try:
        unpacked = imagecodecs.packbits_decode(segment, out=size + _PADDING)
    except imagecodecs.PackbitsError:
        raise DamagedError from None
    if len(unpacked) < size:
        raise DamagedError
    return np.frombuffer(unpacked, np.uint8)[:size]
