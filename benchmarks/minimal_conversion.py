"""A minimal conversion for every kind of file: the floor that a conversion cannot go below.

Read, decode with the fastest decoder known to us, resize, encode; nothing is validated or recorded.
The window is a constant, and the header is only skipped. What a real conversion costs beyond this
is the cost of its own work.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import pydicom
from benchmark_images import HEIGHT, WIDTH
from other_tools import SIZE
from pydicom.encaps import generate_frames

Way = Callable[[Path], bytes]
LOOK_UP = np.clip(np.linspace(-2000, 65535 + 2000, 4096), 0, 65535).astype(np.uint16)
SMALL = (SIZE, round(HEIGHT * SIZE / WIDTH))


def raw(path: Path) -> bytes:
    """An uncompressed DICOM file: its pixels are the last bytes of it."""
    with path.open("rb") as stream:
        pydicom.dcmread(stream, stop_before_pixels=True)
        start = stream.tell() + 12
    return windowed(np.memmap(path, "<u2", "r", start, (HEIGHT, WIDTH)))


def windowed(values: np.ndarray) -> bytes:
    """Halve, window, shrink, encode."""
    half = cv2.resize(values, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
    return shrunk(np.take(LOOK_UP, half))


def shrunk(grey: np.ndarray) -> bytes:
    """Shrink to SMALL, encode."""
    small = cv2.resize(grey, SMALL, interpolation=cv2.INTER_AREA)
    if small.dtype == np.uint16:
        small = cv2.convertScaleAbs(small, alpha=1 / 257)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def compressed(decode: Callable[[bytes], np.ndarray], *, halved: bool = False) -> Callable:
    """Return the way for an encapsulated DICOM file."""

    def way(path: Path) -> bytes:
        frame = next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))
        values = decode(frame)
        return shrunk(np.take(LOOK_UP, values)) if halved else windowed(values)

    return way


def half_jpeg2000(frame: bytes) -> np.ndarray:
    """OpenJPEG's own half size; Pillow puts 12 bits to the top of 16."""
    image = PIL.Image.open(io.BytesIO(frame))
    image.reduce = 1
    return np.minimum(np.asarray(image) >> 4, 4095)


def half_htj2k(frame: bytes) -> np.ndarray:
    """OpenJPH's own half size."""
    return np.clip(imagecodecs.htj2k_decode(frame, skipres=1).view(np.int16), 0, 4095)


def run_lengths(frame: bytes) -> np.ndarray:
    """The two planes of bytes."""
    start = np.frombuffer(frame, "<u4", 3)
    planes = (frame[start[1] : start[2]], frame[start[2] :])
    high, low = (np.frombuffer(imagecodecs.packbits_decode(p), np.uint8) for p in planes)
    pairs = (x[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH) for x in (low, high))
    return cv2.merge(list(pairs)).view("<u2")[..., 0]


def jpeg(path: Path) -> bytes:
    """libjpeg's own half size."""
    image = PIL.Image.open(path)
    image.draft("L", (WIDTH // 2, HEIGHT // 2))
    return shrunk(np.asarray(image))


def png(path: Path) -> bytes:
    """A square image of 1,024 px."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def small_jpeg(path: Path) -> bytes:
    """Decoded, to know that it can be, and kept."""
    data = path.read_bytes()
    cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return data


WAYS: Mapping[str, Callable[[Path], bytes]] = {
    "raw DICOM": raw,
    "JPEG lossless DICOM": compressed(imagecodecs.jpeg_decode),
    "JPEG-LS DICOM": compressed(imagecodecs.jpegls_decode),
    "RLE DICOM": compressed(run_lengths),
    "JPEG 2000 DICOM": compressed(half_jpeg2000, halved=True),
    "HTJ2K DICOM": compressed(half_htj2k, halved=True),
    "JPEG": jpeg,
    "PNG 1024": png,
    "small JPEG": small_jpeg,
}
