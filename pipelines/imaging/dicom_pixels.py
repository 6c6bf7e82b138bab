"""Read the stored pixel values of a DICOM file, as many of them as the image needs.

The values of a plain uncompressed file are a view of its bytes; JPEG 2000 stops at a half or a
quarter of the size. pydicom decodes the run lengths of colour images, and is what all of it is
tested against.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import (
    bit_depth,
    codecs,
    codestreams,
    dicom_attributes,
    dicom_header,
)
from cxr_vlp.pipelines.imaging.codestreams import Declared
from cxr_vlp.pipelines.imaging.dicom_attributes import Attributes
from cxr_vlp.pipelines.imaging.dicom_header import NOTED, Gates

# Pixel Data (7FE0,0010) by itself, and with its VR, OB or OW, and two bytes of nothing behind it
_PIXELS = b"\xe0\x7f\x10\x00"
_WITH_VR = (_PIXELS + b"OB\0\0", _PIXELS + b"OW\0\0")
MOST_CHANNELS = 4  # of a codestream; the standard lets JPEG 2000 ask for 16,384
_UNKNOWN = 0xFFFFFFFF  # a length that is not told: the value is encapsulated
_HALF_CHROMA = ("YBR_FULL_422", "YBR_PARTIAL_422")
_ALIKE_THEN = 0.25  # difference of components in the right order, by that in the other, at most
_ALIKE = 8.0  # grey levels by which the components of a grey image differ, at most


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored values of an image, (height, width) of an integer dtype."""

    values: np.ndarray
    is_luma: bool = False  # of colour: display grey as it is
    bits_wrong: bool = False  # the header is wrong of their depth, place or sign


@dataclass(frozen=True, slots=True)
class Film:
    """A DICOM file that was opened and is a radiograph by its header; not decoded yet."""

    dataset: Dataset
    header: Attributes
    notes: tuple[str, ...]  # what is odd in the header
    view: np.ndarray | None  # the stored values, where they lie plainly in the file

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.header.rows, self.header.columns

    def stored(self) -> Stored:
        """Return the stored values of the first frame; colour frames become their luma.

        Raises IngestError: dicom.truncated, dicom.damaged_frame, dicom.undecodable,
        dicom.bad_dims.
        """
        if self.view is not None:
            return Stored(*_trusted(self.view, self.header))
        return _stored(self.dataset, self.header)

    def values(self) -> np.ndarray:
        """Return what `stored` does without what is known of it."""
        return self.stored().values

    def reduced(self, halvings: int) -> np.ndarray | None:
        """Return the values at 1 / 2**halvings, sides rounded up; None where that saves nothing.

        None also for what is odd: `stored` will find out what it is.
        """
        header, syntax = self.header, dicom_header.syntax_of(self.dataset)
        odd = header.signed or header.high != header.stored - 1 or header.samples != 1
        if not halvings or odd or self.view is not None or syntax not in codecs.DECODERS:
            return None
        try:
            frame = _codestream(self.dataset, header)[0]
        except IngestError:
            return None
        values = codecs.reduced(frame, syntax, self.size, header.stored, halvings)
        if values is None or int(values.max()) >> header.stored:
            return None
        return values


def opened(data: bytes, max_pixels: int, gates: Gates = NOTED) -> Film:
    """Return a file that is worth decoding. Raises IngestError as dicoms.parse and check do."""
    plain = _plain(data, max_pixels, gates)
    if plain is not None:
        return plain
    dataset = dicom_header.parse(data)
    if not dicom_header.pixel_bytes(dataset):
        raise IngestError("dicom.no_pixels")
    header = dicom_attributes.read(dataset)
    notes = dicom_header.check_header(header, dicom_header.syntax_of(dataset), max_pixels, gates)
    return Film(dataset, header, tuple(notes), None)


def _plain(data: bytes, max_pixels: int, gates: Gates) -> Film | None:
    """Return a film whose values can be used where they lie; None for anything out of the ordinary.

    The header is read up to the pixels, which are then found behind their tag: pydicom would copy
    them twice on the way to an array.
    """
    if dicom_header.is_deflated(
        data
    ):  # nothing lies plainly there, and only `parse` minds its size
        return None
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote tag values
            dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            at = stream.tell()
    except Exception:
        return None  # dicoms.parse will find it too, and gives it its code
    syntax = dicom_header.syntax_of(dataset)
    if syntax not in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        return None
    header = dicom_attributes.read(dataset)
    view = _view(header, syntax, data, at)
    if view is None:
        return None
    notes = dicom_header.check_header(header, syntax, max_pixels, gates)
    return Film(dataset, header, tuple(notes), view)


def _view(header: Attributes, syntax: str, data: bytes, at: int) -> np.ndarray | None:
    explicit = syntax == ExplicitVRLittleEndian
    if not data.startswith(_WITH_VR if explicit else _PIXELS, at):
        return None
    start = at + (12 if explicit else 8)
    length = int.from_bytes(data[start - 4 : start], "little")
    rows, columns, bits = header.rows, header.columns, header.allocated
    size = rows * columns * bits // 8
    ordinary = (
        bits in (8, 16)
        and header.samples == 1
        and header.frames == 1
        and 0 < size <= length < _UNKNOWN
        and start + length <= len(data)
    )
    if not ordinary:
        return None
    flat = np.frombuffer(data, np.uint8 if bits == 8 else "<u2", rows * columns, start)
    return flat.reshape(rows, columns)


def stored_values(dataset: Dataset) -> np.ndarray:
    """Return the stored values of a data set's first frame, as Film.stored does."""
    return _stored(dataset, dicom_attributes.read(dataset)).values


def _stored(dataset: Dataset, header: Attributes) -> Stored:
    compressed = dicom_header.syntax_of(dataset) in codecs.DECODERS
    array, told = (_compressed if compressed else _uncompressed)(dataset, header)
    if array.shape[:2] != (header.rows, header.columns):
        raise IngestError("dicom.bad_dims")
    if array.ndim == 2:
        return Stored(*_trusted(array, header))
    return Stored(_luma(array, header, told), is_luma=True)


def _trusted(raw: np.ndarray, header: Attributes) -> tuple[np.ndarray, bool, bool]:
    values, wrong = bit_depth.corrected(raw, header)
    return values, False, wrong


Read = tuple[np.ndarray, Declared | None]  # as it is in the file, and what a codestream says


def _uncompressed(dataset: Dataset, header: Attributes) -> Read:
    if dicom_header.syntax_of(dataset) == RLELossless:
        return _run_lengths(dataset, header), None
    data, pixels = dicom_header.pixel_bytes(dataset), header.rows * header.columns
    samples, size = header.samples, header.allocated // 8
    if samples == 3 and header.photometric in _HALF_CHROMA and len(data) < 3 * pixels * size:
        samples = 2  # Y Y Cb Cr for two pixels
    if len(data) < pixels * samples * size:
        raise IngestError("dicom.truncated")
    big = dicom_header.syntax_of(dataset) == ExplicitVRBigEndian
    kind = "u1" if size == 1 else ">u2" if big else "<u2"
    if big and size == 1 and dataset["PixelData"].VR == "OW":  # words of two pixels, turned round
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    if len(data) < pixels * samples * size:
        raise IngestError("dicom.truncated")
    flat = np.frombuffer(data, kind, pixels * samples).astype(f"u{size}", copy=False)
    if samples == 1:
        return flat.reshape(header.rows, header.columns), None
    if samples == 2:
        luma = flat[: pixels * 2 // 4 * 4].reshape(-1, 4)[:, :2].ravel()
        if luma.size != pixels:
            raise IngestError("dicom.undecodable")
        shaped = luma.reshape(header.rows, header.columns)
        return np.stack([shaped, np.full_like(shaped, 128), np.full_like(shaped, 128)], 2), None
    by_planes = np.moveaxis(flat.reshape(samples, header.rows, header.columns), 0, 2)
    by_pixels = flat.reshape(header.rows, header.columns, samples)
    told, other = (by_planes, by_pixels) if header.planar else (by_pixels, by_planes)
    return (other if _is_likelier(other, told) else told), None


def _is_likelier(other: np.ndarray, told: np.ndarray) -> bool:
    """Tell that the order of colours is not the one that PlanarConfiguration (0028,0006) tells.

    A radiograph in colour is grey, or nearly: in the right order its components are alike, and its
    neighbours are no less so than in the other order.
    """
    if min(told.shape[:2]) < 2:
        return False
    (spread, steps), (told_spread, told_steps) = (_uneven(array) for array in (other, told))
    return spread < _ALIKE_THEN * told_spread and steps < told_steps


def _uneven(array: np.ndarray) -> tuple[float, float]:
    """Return the mean differences of (components, neighbours) in some rows of an image."""
    rows = array.shape[0] // 2 * 2
    few = np.stack([array[:rows:16], array[1:rows:16]]).astype(np.int32)
    across, down = (np.abs(np.diff(few, axis=axis)).mean() for axis in (2, 0))
    return float(np.abs(np.diff(few, axis=3)).mean()), float(across + down)


def _run_lengths(dataset: Dataset, header: Attributes) -> np.ndarray:
    frame = _first_frame(dataset, header)
    rows, columns = header.rows, header.columns
    if header.samples == 1:
        try:
            values = codecs.run_lengths(frame, rows, columns, header.allocated)
        except codecs.DamagedError:
            raise IngestError("dicom.damaged_frame") from None
        if values is not None:
            return values
    if codecs.swells(frame, rows * columns):
        raise IngestError("dicom.undecodable")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(pixel_array(dataset, index=0, raw=True, decoding_plugin="pydicom"))
    except Exception:
        raise IngestError("dicom.damaged_frame") from None


def _first_frame(dataset: Dataset, header: Attributes) -> bytes:
    """Return the first frame. Raises IngestError dicom.undecodable where no frame is told."""
    data = dicom_header.pixel_bytes(dataset)
    try:
        return next(generate_frames(data, number_of_frames=header.frames))
    except Exception:
        raise IngestError("dicom.undecodable") from None


def _codestream(dataset: Dataset, header: Attributes) -> tuple[bytes, Declared]:
    """Return the first frame, if it is no larger than the header says; it was not decoded yet.

    Raises IngestError: dicom.undecodable, dicom.bad_dims.
    """
    frame = _first_frame(dataset, header)
    declared = codestreams.declared(frame)
    if declared is None or declared.channels > MOST_CHANNELS:
        raise IngestError("dicom.undecodable")
    if (declared.height, declared.width) != (header.rows, header.columns):
        raise IngestError("dicom.bad_dims")
    return frame, declared


def _compressed(dataset: Dataset, header: Attributes) -> Read:
    """Decode the first frame. Raises IngestError as _codestream, and dicom.damaged_frame."""
    frame, declared = _codestream(dataset, header)
    decode = codecs.DECODERS[dicom_header.syntax_of(dataset)]
    try:
        return np.asarray(decode(frame)), declared
    except MemoryError:
        raise IngestError("dicom.undecodable") from None
    except Exception:  # each decoder has errors of its own, and bindings have others
        raise IngestError("dicom.damaged_frame") from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of a decoder in Rust
        raise IngestError("dicom.undecodable") from None


def _luma(array: np.ndarray, header: Attributes, told: Declared | None) -> np.ndarray:
    """Return the luma of components as they are coded, 0 to the highest value of their dtype."""
    if array.shape[2] < 3:
        return np.ascontiguousarray(array[..., 0])
    if not _is_rgb(array, header, told):
        luma = np.ascontiguousarray(array[..., 0])
        if header.photometric.startswith("YBR_PARTIAL") and luma.dtype == np.uint8:
            levels = np.rint(np.clip((np.arange(256) - 16) * 255 / 219, 0, 255))  # BT.601
            return cv2.LUT(luma, levels.astype(np.uint8))
        return luma
    array = np.ascontiguousarray(array[..., :3])
    if array.dtype.kind != "u":
        raise IngestError("dicom.undecodable")
    return cv2.cvtColor(array, cv2.COLOR_RGB2GRAY)  # ITU-R BT.601, as Pillow's convert("L")


def _is_rgb(array: np.ndarray, header: Attributes, told: Declared | None) -> bool:
    """Tell red, green and blue from luma and chroma, which headers mix up.

    A grey image shows what it is: three components alike, or two that are flat in the middle. For
    one in colour, marks in the codestream come before the header.
    """
    few = array[::4, ::4, :3].astype(np.float32)
    middle = 128.0 if array.dtype.itemsize == 1 else 32768.0
    scale = middle / 128
    alike = float(np.abs(few[..., 1:] - few[..., :1]).mean()) < _ALIKE * scale
    flat = float(np.abs(few[..., 1:] - middle).mean()) < _ALIKE * scale
    if alike != flat:
        return alike
    if told is not None and told.process:
        if told.transform >= 0:
            return told.transform == 0
        if told.subsampled:
            return False
        if told.names == b"RGB":
            return True
    if told is not None and not told.process and told.channels >= 3:
        return True  # JPEG 2000: its own transform was undone by the decoder
    return not header.photometric.startswith("YBR")
