"""A DICOM file's bytes in, its stored pixel values out, as many of them as the picture needs.

The values of a plain uncompressed file are a view of its bytes; JPEG 2000 stops at a half or a
quarter of the size. pydicom decodes whatever is odd, and is what all of it is tested against.
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
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from pipelines.decoding import codecs, codestreams, dicoms
from pipelines.faults import IngestError

# Pixel Data (7FE0,0010) by itself, and with its VR, OB or OW, and two bytes of nothing behind it
_PIXELS = b"\xe0\x7f\x10\x00"
_WITH_VR = (_PIXELS + b"OB\0\0", _PIXELS + b"OW\0\0")
MOST_CHANNELS = 4  # of a codestream; the standard lets JPEG 2000 ask for 16,384
_UNKNOWN = 0xFFFFFFFF  # a length that is not told: the value is encapsulated


@dataclass(frozen=True, slots=True)
class Film:
    """A DICOM file that was opened and is a chest radiograph by its header; not decoded yet."""

    dataset: Dataset
    view: np.ndarray | None  # the stored values, where they lie plainly in the file

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.dataset.Rows, self.dataset.Columns

    def values(self) -> np.ndarray:
        """Return the stored values of the first frame, (height, width), an integer dtype.

        Colour frames become their luma. Raises IngestError: dicom.truncated, dicom.undecodable,
        dicom.bad_dims.
        """
        return stored_values(self.dataset) if self.view is None else self.view

    def reduced(self, halvings: int) -> np.ndarray | None:
        """Return the values at 1 / 2**halvings, sides rounded up; None where that saves nothing."""
        dataset, syntax = self.dataset, str(self.dataset.file_meta.TransferSyntaxUID)
        if not halvings or self.view is not None or syntax not in codecs.DECODERS:
            return None
        if dicoms.number(dataset, "PixelRepresentation") != 0:
            return None
        bits = dicoms.number(dataset, "BitsStored") or 16
        try:
            return codecs.reduced(_codestream(dataset), syntax, self.size, bits, halvings)
        except Exception:
            return None  # whatever it is, `values` will find it and say so


def opened(data: bytes, max_pixels: int) -> Film:
    """Return a file that is worth decoding. Raises IngestError as dicoms.parse and check do."""
    plain = _plain(data, max_pixels)
    if plain is not None:
        return plain
    dataset = dicoms.parse(data)
    dicoms.check(dataset, max_pixels)
    return Film(dataset, None)


def _plain(data: bytes, max_pixels: int) -> Film | None:
    """Return a film whose values can be used where they lie; None for anything out of the ordinary.

    The header is read up to the pixels, which are then found behind their tag: pydicom would copy
    them twice on the way to an array.
    """
    if dicoms.is_deflated(data):  # nothing lies plainly there, and only `parse` minds its size
        return None
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote tag values
            dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            view = _view(dataset, data, stream.tell())
    except Exception:
        return None  # dicoms.parse will find it too, and gives it its code
    if view is None:
        return None
    dicoms.check_header(dataset, max_pixels)
    return Film(dataset, view)


def _view(dataset: Dataset, data: bytes, at: int) -> np.ndarray | None:
    explicit = dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    if not explicit and dataset.file_meta.TransferSyntaxUID != ImplicitVRLittleEndian:
        return None
    if not data.startswith(_WITH_VR if explicit else _PIXELS, at):
        return None
    start = at + (12 if explicit else 8)
    length = int.from_bytes(data[start - 4 : start], "little")
    rows, columns, bits = dataset.Rows, dataset.Columns, dataset.BitsAllocated
    size = rows * columns * bits // 8
    ordinary = (
        bits in (8, 16)
        and dataset.HighBit == dataset.BitsStored - 1
        and dataset.PixelRepresentation == 0
        and dataset.get("SamplesPerPixel", 1) == 1
        and (dataset.get("NumberOfFrames") or 1) == 1
        and 0 < size <= length < _UNKNOWN
        and start + length <= len(data)
    )
    if not ordinary:
        return None
    flat = np.frombuffer(data, np.uint8 if bits == 8 else "<u2", rows * columns, start)
    values = flat.reshape(rows, columns)
    highest = int(cv2.norm(values, cv2.NORM_INF))  # in half the time of numpy's max
    return values if not highest >> dataset.BitsStored else None  # pydicom knows which bits count


def stored_values(dataset: Dataset) -> np.ndarray:
    """Return the stored values of the first frame, (height, width), an integer dtype.

    Colour frames become their luma. Raises IngestError: dicom.truncated, dicom.undecodable,
    dicom.bad_dims.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decode = _compressed if syntax in codecs.DECODERS else _uncompressed
            frame = decode(dataset, syntax)
    except IngestError:
        raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        raise IngestError("dicom.undecodable") from None
    if frame.shape != (dataset.Rows, dataset.Columns):
        raise IngestError("dicom.bad_dims")
    return frame


def _uncompressed(dataset: Dataset, syntax: str) -> np.ndarray:
    samples = int(dataset.get("SamplesPerPixel", 1))
    expected = dataset.Rows * dataset.Columns * samples * dataset.BitsAllocated // 8
    run_length = syntax == RLELossless
    if not run_length and len(dataset.PixelData) < expected:
        raise IngestError("dicom.truncated")
    if run_length and samples == 1 and dicoms.number(dataset, "PixelRepresentation") == 0:
        rows, columns, bits = dataset.Rows, dataset.Columns, dataset.BitsAllocated
        values = codecs.run_lengths(_first_frame(dataset), rows, columns, bits)
        if values is not None:
            return values
    if run_length and codecs.swells(_first_frame(dataset), dataset.Rows * dataset.Columns):
        raise IngestError("dicom.undecodable")
    plugin = "pydicom" if run_length else ""
    return _luma(pixel_array(dataset, index=0, decoding_plugin=plugin))


def _first_frame(dataset: Dataset) -> bytes:
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    return next(generate_frames(dataset.PixelData, number_of_frames=frames))


def _codestream(dataset: Dataset) -> bytes:
    """Return the first frame, if it is no larger than the header says; it was not decoded yet.

    Raises IngestError: dicom.undecodable, dicom.bad_dims.
    """
    frame = _first_frame(dataset)
    declared = codestreams.declared(frame)
    if declared is None or declared.channels > MOST_CHANNELS:
        raise IngestError("dicom.undecodable")
    if (declared.height, declared.width) != (dataset.Rows, dataset.Columns):
        raise IngestError("dicom.bad_dims")
    return frame


def _compressed(dataset: Dataset, syntax: str) -> np.ndarray:
    array = np.asarray(codecs.DECODERS[syntax](_codestream(dataset)))
    if dataset.get("PixelRepresentation", 0) == 1 and array.dtype.kind == "u":
        array = _signed(array, int(dataset.BitsStored))
    return _luma(array)


def _signed(array: np.ndarray, bits: int) -> np.ndarray:
    """Read two's complement of `bits` bits, which JPEG lossless and JPEG-LS carry as unsigned."""
    wide = array.astype(np.int32)
    return np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide)


def _luma(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        return array
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's convert("L")
    return np.rint(array[..., :3] @ weights).astype(array.dtype)
