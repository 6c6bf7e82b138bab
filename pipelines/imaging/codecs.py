"""Decodes one compressed DICOM frame to its stored values, with one fixed decoder for each syntax.

imagecodecs decodes the JPEG families and run lengths; simplejpeg decodes 8-bit grey JPEGs, because
it reports damage. OpenJPEG (in Pillow) and OpenJPH (in imagecodecs) can stop at a half or a quarter
of a wavelet image's size, which takes a fraction of the time. Lossy JPEG differs between decoders,
and so would our bytes: so no decoder replaces another one.

Before decoding, `frame_header` reads the size that a frame declares. A decoder allocates what the
codestream declares and ignores the DICOM header: 1,314 bytes of JPEG 2000 can ask for gigabytes.

Damage that can be detected: a JPEG's entropy-coded data must end where its pixels do (libjpeg's
warnings; jpeg_lossless.py), likewise JPEG-LS and run lengths, and the tile-parts of a JPEG 2000
frame must be whole. Bytes that changed inside JPEG 2000 data, or in a JPEG so that the number of
codes stays the same, leave no trace except in the image: these formats hold no checksum.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import imagecodecs
import numpy as np
import PIL.Image

from cxr_vlp.pipelines.imaging import jpeg_lossless, jpeg_strip
from cxr_vlp.pipelines.imaging.jpeg_strip import DamagedError

_HTJ2K = (
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
)
_JPEG2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_CODESTREAM = b"\xff\x4f\xff\x51"  # start of codestream, then its SIZ segment (ISO 15444-1 A.5.1)
_TILE_PART, _END = b"\xff\x90", b"\xff\xd9"
_PADDING = 16  # bytes that a plane may have after its end
_PRECISION = 42  # offset in SIZ of the number of bits less one, with the sign in the highest bit
_JP2_BOX = b"jp2c"  # the codestream's box, where a whole JP2 file was put into the frame
# start of frame: height and width follow (T.81 B.2.2, T.87 C.2.2); C4, C8 and CC are other segments
_STARTS = {
    *range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7,
}  # fmt: skip
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a compressed frame declares of itself."""

    height: int
    width: int
    channels: int
    process: int = 0  # of a JPEG: the second byte of its start of frame (T.81 table B.1)
    precision: int = 0  # of a JPEG: bits of a value
    components: bytes = b""  # of a JPEG: the components' identifiers
    subsampled: bool = False  # of a JPEG: a component has fewer pixels than another
    offset: int = 0  # of a JPEG: position of its start of frame, in bytes
    transform: int = -1  # what a JPEG's application segments say: 0 none, 1 YCbCr, -1 nothing

    @property
    def is_sequential(self) -> bool:
        """Whether it is an 8-bit JPEG of the usual kind, which libjpeg decodes line by line."""
        return self.process in (0xC0, 0xC1, 0xC2) and self.precision == 8


def frame_header(frame: bytes) -> FrameHeader | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 frame declares, None for anything else.

    Nothing is decoded.
    """
    if frame.startswith(b"\xff\xd8"):
        return _jpeg_header(frame)
    box = frame.find(_JP2_BOX, 0, 4096) if frame[4:8] == b"jP  " else -4
    start = box + 4
    if not frame.startswith(_CODESTREAM, start):
        return None
    return _jpeg_2000_header(frame[start : start + 42])


def _jpeg_2000_header(head: bytes) -> FrameHeader | None:
    """Read SIZ (15444-1 A.5.1): the size of the grid less the offset of the image on it."""
    if len(head) < 42:
        return None
    right, bottom, left, top = (int.from_bytes(head[a : a + 4], "big") for a in (8, 12, 16, 20))
    return FrameHeader(bottom - top, right - left, int.from_bytes(head[40:42], "big"))


def _jpeg_header(frame: bytes) -> FrameHeader | None:
    at, transform = 2, -1
    while at + 9 < len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _STARTS:
            return _start_of_frame(frame, at, transform)
        else:
            length = int.from_bytes(frame[at + 2 : at + 4], "big")
            body = frame[at + 4 : at + 2 + length]
            if marker == 0xE0 and body.startswith(b"JFIF\0") and transform < 0:
                transform = 1
            elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
                transform = int(body[11] == 1)
            at += 2 + length
    return None


def _start_of_frame(frame: bytes, at: int, transform: int) -> FrameHeader:
    segment, marker = frame[at : at + 10 + 3 * frame[at + 9]], frame[at + 1]
    height, width = (int.from_bytes(segment[a : a + 2], "big") for a in (5, 7))
    channels = segment[9]
    components = segment[10 : 10 + 3 * channels]
    return FrameHeader(
        height, width, channels, marker, segment[4], components=components[::3],
        subsampled=len(set(components[1::3])) > 1, offset=at, transform=transform,
    )  # fmt: skip


def jpeg(frame: bytes) -> np.ndarray:
    """Return the values of a JPEG of any process, (height, width) or (height, width, components).

    Components are as they are coded: no colour transform. Raises DamagedError, and what the
    decoders raise for data that are not a JPEG.
    """
    header = frame_header(frame)
    if header is None or frame.rfind(b"\xff\xd9") < frame.find(b"\xff\xda"):
        raise DamagedError  # no end marker after its scan
    if header.is_sequential:
        grey = jpeg_strip.decode_grey(frame, header.height, header.width)
        return grey if header.channels == 1 else _components(frame)
    if header.process == 0xC1 and header.precision == 12:
        jpeg_strip.check_codes(frame, header.offset)
    if header.process == 0xC3 and header.channels == 1:
        return jpeg_lossless.decoded(frame, imagecodecs.jpeg_decode)
    if header.channels == 3:
        return _components(frame)
    return np.asarray(imagecodecs.jpeg_decode(frame))


def _components(frame: bytes) -> np.ndarray:
    # with RGB as input and output, libjpeg leaves the components as they are
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

_BY_PROCESS = {0xC0: "50", 0xC1: "51", 0xC3: "57", 0xF7: "80"}  # of JPEG and JPEG-LS


def syntax_of_frame(frame: bytes) -> str:
    """Return the transfer syntax that a compressed frame has; "" if no decoder here reads it."""
    header = frame_header(frame)
    if header is None:
        return ""
    number = _BY_PROCESS.get(header.process, "") if header.process else "90"
    return f"1.2.840.10008.1.2.4.{number}" if number else ""


def reduced(
    frame: bytes, syntax: str, shape: tuple[int, int], bits: int, times: int
) -> np.ndarray | None:
    """Return the values at 1 / 2**times of `shape` (height, width), sides rounded up.

    `bits` is BitsStored of the header. None if the syntax holds no smaller sizes, or if the
    frame has another size than `shape`, is signed, coloured or damaged: the full decoder then
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
    """Return whether a codestream is whole and unsigned: all tile-parts, then the end marker.

    OpenJPEG and OpenJPH make an image from the rest of a truncated codestream (ISO 15444-1 A.4).
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
        if length == 0:  # the last one, which reaches to the end
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
    with _captured_errors() as errors:
        values = np.asarray(imagecodecs.htj2k_decode(frame, skipres=times))
    if errors or values.dtype != np.uint16 or bits > 14:
        return None
    # a low-pass band overshoots at edges; OpenJPEG clips that, OpenJPH lets it wrap around
    wrapped = values.view(np.int16)
    over, black = 1 << (bits - 2), np.count_nonzero(wrapped < 0)
    if wrapped.min() < -over or wrapped.max() >= (1 << bits) + over or 64 * black > values.size:
        return None  # too much for an overshoot: there are more bits than the header says
    return wrapped.clip(0, (1 << bits) - 1).view(np.uint16)


@contextlib.contextmanager
def _captured_errors() -> Iterator[list[type]]:
    """Collect the errors that imagecodecs raises where no caller can catch them.

    It then returns uninitialised memory as if it were an image.
    """
    errors: list[type] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda what: errors.append(what.exc_type)
    try:
        yield errors
    finally:
        sys.unraisablehook = hook


def _centred(values: np.ndarray, times: int) -> np.ndarray:
    """Move a low-pass band to the position of means of 2**times pixels.

    Its samples are at the first pixel of each block, not in the middle: the image would be shifted
    up and left by (2**times - 1) / 2 pixels, as a comparison with full-size decoding shows.
    """
    part = (1 - 0.5**times) / 2
    weights = np.array([1 - part, part], np.float32)
    border = cv2.BORDER_REPLICATE
    return cv2.sepFilter2D(values, -1, weights, weights, anchor=(0, 0), borderType=border)


def run_lengths(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray | None:
    """Return the (rows, columns) values of an RLE frame (PS3.5 annex G), 8 or 16 bits.

    The frame has one sample a pixel. None if it is not divided into one segment for each byte of
    a pixel, as the standard demands: pydicom's decoder then decides. Raises DamagedError if a
    segment unpacks to fewer or more bytes than the image has pixels.
    """
    planes, size = bits // 8, rows * columns
    count, *starts = struct.unpack("<16I", frame[:64].ljust(64, b"\0"))
    ends = [*starts[1:planes], len(frame)]
    if count != planes or starts[0] < 64 or ends != sorted(ends):
        return None
    found = [_plane(frame[a:b], size) for a, b in zip(starts[:planes], ends, strict=True)]
    shaped = [plane.reshape(rows, columns) for plane in found[::-1]]  # the highest byte comes first
    return shaped[0] if planes == 1 else np.asarray(cv2.merge(shaped)).view("<u2")[..., 0]


def exceeds_plane(frame: bytes, size: int) -> bool:
    """Return whether a segment of an RLE frame unpacks to more than the `size` bytes of a plane.

    Two bytes stand for up to 128, and neither pydicom nor the standard sets a limit.
    """
    count, *starts = struct.unpack("<16I", frame[:64].ljust(64, b"\0"))
    starts = starts[: min(count, 15)]
    segments = zip(starts, [*starts[1:], None], strict=False)
    return any(_segment_exceeds(frame[a:b], size) for a, b in segments)


def _segment_exceeds(segment: bytes, size: int) -> bool:

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
