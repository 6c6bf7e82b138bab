"""Reads the stored pixel values of a DICOM file, at full size or reduced, and finds their padding.

The values of a plain uncompressed file are a view of its bytes; JPEG 2000 can stop at a half or a
quarter of the size. pydicom decodes run lengths of colour images. The tests compare all of this
with pydicom.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
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
from cxr_vlp.pipelines.imaging import bit_depth, codecs, dicom_file, dicom_header
from cxr_vlp.pipelines.imaging.codecs import FrameHeader
from cxr_vlp.pipelines.imaging.dicom_file import NOTED, PIXELS, PIXELS_WITH_VR, Gates
from cxr_vlp.pipelines.imaging.dicom_header import ImageHeader
from cxr_vlp.pipelines.imaging.jpeg_strip import DamagedError

MOST_CHANNELS = 4  # of a codestream; the standard lets JPEG 2000 ask for 16,384
_UNKNOWN = 0xFFFFFFFF  # an undefined length: the value is encapsulated
_HALF_CHROMA = ("YBR_FULL_422", "YBR_PARTIAL_422")
# the largest difference of components in the right order, as a share of that in the other order
_ALIKE_THEN = 0.25
_ALIKE = 8.0  # grey levels; the largest difference of the components of a grey image
MOST_PADDING = 0.65  # share of the image; a value with more is not padding, despite the header
_INSIDE = 0.01  # share of pixels with the value that touch no edge; above it the value is in use


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored values of an image, (height, width) of an integer dtype."""

    values: np.ndarray
    is_luma: bool = False  # the luma of a colour image, which is display grey already
    bits_wrong: bool = False  # the header describes their depth, position or sign wrongly


@dataclass(frozen=True, slots=True)
class DicomImage:
    """An open DICOM file whose header is that of a radiograph; it is not decoded yet."""

    dataset: Dataset
    header: ImageHeader
    notes: tuple[str, ...]  # codes of what is unusual in the header
    view: np.ndarray | None  # the raw values, if they are uncompressed in the file

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.header.rows, self.header.columns

    def stored(self) -> Stored:
        """Return the stored values of the first frame, of a colour frame its luma.

        Raises IngestError: dicom.truncated, dicom.damaged_frame, dicom.undecodable,
        dicom.bad_dims.
        """
        if self.view is not None:
            return Stored(*_corrected(self.view, self.header))
        return _stored(self.dataset, self.header)

    def values(self) -> np.ndarray:
        """Return the values of `stored` alone."""
        return self.stored().values

    def reduced(self, halvings: int) -> np.ndarray | None:
        """Return the values at 1 / 2**halvings, sides rounded up; None if that saves nothing.

        None also for unusual values: then use `stored`, which reports the problem.
        """
        header, syntax = self.header, dicom_file.syntax_of(self.dataset)
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


def opened(data: bytes, max_pixels: int, gates: Gates = NOTED) -> DicomImage:
    """Open a file and check its header; nothing is decoded.

    The header is parsed once, up to the pixels. Uncompressed values are then read in place:
    pydicom would copy them twice.
    Raises IngestError as dicom_file.parse and dicom_file.check do.
    """
    parsed = dicom_file.parse_header(data)
    if parsed is None:
        return _checked(dicom_file.parse(data), max_pixels, gates)
    dataset, at = parsed
    syntax = dicom_file.syntax_of(dataset)
    if syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        header = dicom_header.image_header(dataset)
        view = _view(header, syntax, data, at)
        if view is not None:
            notes = dicom_file.check_header(header, syntax, max_pixels, gates)
            return DicomImage(dataset, header, tuple(notes), view)
    if not dicom_file.add_pixels(dataset, data, at):
        dataset = dicom_file.parse(data)
    return _checked(dataset, max_pixels, gates)


def _checked(dataset: Dataset, max_pixels: int, gates: Gates) -> DicomImage:
    """Return the image of a whole data set. Raises IngestError as dicom_file.check does."""
    if not dicom_file.pixel_bytes(dataset):
        raise IngestError("dicom.no_pixels")
    header, syntax = dicom_header.image_header(dataset), dicom_file.syntax_of(dataset)
    notes = dicom_file.check_header(header, syntax, max_pixels, gates)
    return DicomImage(dataset, header, tuple(notes), None)


def _view(header: ImageHeader, syntax: str, data: bytes, at: int) -> np.ndarray | None:
    explicit = syntax == ExplicitVRLittleEndian
    if not data.startswith(PIXELS_WITH_VR if explicit else PIXELS, at):
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
    """Return the stored values of a data set's first frame, as DicomImage.stored does."""
    return _stored(dataset, dicom_header.image_header(dataset)).values


def _stored(dataset: Dataset, header: ImageHeader) -> Stored:
    compressed = dicom_file.syntax_of(dataset) in codecs.DECODERS
    array, frame = (_compressed if compressed else _uncompressed)(dataset, header)
    if array.shape[:2] != (header.rows, header.columns):
        raise IngestError("dicom.bad_dims")
    if array.ndim == 2:
        return Stored(*_corrected(array, header))
    return Stored(_luma(array, header, frame), is_luma=True)


def _corrected(raw: np.ndarray, header: ImageHeader) -> tuple[np.ndarray, bool, bool]:
    values, wrong = bit_depth.corrected(raw, header)
    return values, False, wrong


Decoded = tuple[np.ndarray, FrameHeader | None]  # values as coded, and what a codestream declares


def _uncompressed(dataset: Dataset, header: ImageHeader) -> Decoded:
    if dicom_file.syntax_of(dataset) == RLELossless:
        return _run_lengths(dataset, header), None
    data, pixels = dicom_file.pixel_bytes(dataset), header.rows * header.columns
    samples, size = header.samples, header.allocated // 8
    if samples == 3 and header.photometric in _HALF_CHROMA and len(data) < 3 * pixels * size:
        samples = 2  # Y Y Cb Cr for two pixels
    if len(data) < pixels * samples * size:
        raise IngestError("dicom.truncated")
    big = dicom_file.syntax_of(dataset) == ExplicitVRBigEndian
    kind = "u1" if size == 1 else ">u2" if big else "<u2"
    if big and size == 1 and dataset["PixelData"].VR == "OW":  # words of two pixels, in reverse
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
    stated, other = (by_planes, by_pixels) if header.planar else (by_pixels, by_planes)
    return (other if _is_likelier(other, stated) else stated), None


def _is_likelier(other: np.ndarray, stated: np.ndarray) -> bool:
    """Return whether PlanarConfiguration (0028,0006) names the wrong order of colours.

    A radiograph in colour is grey or nearly grey: in the right order its components are alike, and
    its neighbours are at least as alike as in the other order.
    """
    if min(stated.shape[:2]) < 2:
        return False
    (spread, steps), (stated_spread, stated_steps) = map(_differences, (other, stated))
    return spread < _ALIKE_THEN * stated_spread and steps < stated_steps


def _differences(array: np.ndarray) -> tuple[float, float]:
    """Return the mean differences of (components, neighbours) in some rows of an image."""
    rows = array.shape[0] // 2 * 2
    few = np.stack([array[:rows:16], array[1:rows:16]]).astype(np.int32)
    across, down = (np.abs(np.diff(few, axis=axis)).mean() for axis in (2, 0))
    return float(np.abs(np.diff(few, axis=3)).mean()), float(across + down)


def _run_lengths(dataset: Dataset, header: ImageHeader) -> np.ndarray:
    frame = _first_frame(dataset, header)
    rows, columns = header.rows, header.columns
    if header.samples == 1:
        try:
            values = codecs.run_lengths(frame, rows, columns, header.allocated)
        except DamagedError:
            raise IngestError("dicom.damaged_frame") from None
        if values is not None:
            return values
    if codecs.exceeds_plane(frame, rows * columns):
        raise IngestError("dicom.undecodable")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(pixel_array(dataset, index=0, raw=True, decoding_plugin="pydicom"))
    except Exception:
        raise IngestError("dicom.damaged_frame") from None


def _first_frame(dataset: Dataset, header: ImageHeader) -> bytes:
    """Return the first frame. Raises IngestError dicom.undecodable if there is no frame."""
    data = dicom_file.pixel_bytes(dataset)
    try:
        return next(generate_frames(data, number_of_frames=header.frames))
    except Exception:
        raise IngestError("dicom.undecodable") from None


def _codestream(dataset: Dataset, header: ImageHeader) -> tuple[bytes, FrameHeader]:
    """Return the first frame, not decoded, if it has the size that the header says.

    Raises IngestError: dicom.undecodable, dicom.bad_dims.
    """
    frame = _first_frame(dataset, header)
    declared = codecs.frame_header(frame)
    if declared is None or declared.channels > MOST_CHANNELS:
        raise IngestError("dicom.undecodable")
    if (declared.height, declared.width) != (header.rows, header.columns):
        raise IngestError("dicom.bad_dims")
    return frame, declared


def _compressed(dataset: Dataset, header: ImageHeader) -> Decoded:
    """Decode the first frame. Raises IngestError as _codestream, and dicom.damaged_frame."""
    frame, declared = _codestream(dataset, header)
    decode = codecs.DECODERS[dicom_file.syntax_of(dataset)]
    try:
        return np.asarray(decode(frame)), declared
    except MemoryError:
        raise IngestError("dicom.undecodable") from None
    except Exception:  # each decoder has its own errors, and its bindings have others
        raise IngestError("dicom.damaged_frame") from None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of a decoder in Rust
        raise IngestError("dicom.undecodable") from None


def _luma(array: np.ndarray, header: ImageHeader, frame: FrameHeader | None) -> np.ndarray:
    """Return the luma of components as they are coded, 0 to the highest value of their dtype."""
    if array.shape[2] < 3:
        return np.ascontiguousarray(array[..., 0])
    if not _is_rgb(array, header, frame):
        luma = np.ascontiguousarray(array[..., 0])
        if header.photometric.startswith("YBR_PARTIAL") and luma.dtype == np.uint8:
            levels = np.rint(np.clip((np.arange(256) - 16) * 255 / 219, 0, 255))  # BT.601
            return cv2.LUT(luma, levels.astype(np.uint8))
        return luma
    array = np.ascontiguousarray(array[..., :3])
    if array.dtype.kind != "u":
        raise IngestError("dicom.undecodable")
    return cv2.cvtColor(array, cv2.COLOR_RGB2GRAY)  # ITU-R BT.601, as Pillow's convert("L")


def _is_rgb(array: np.ndarray, header: ImageHeader, frame: FrameHeader | None) -> bool:
    """Return whether the components are red, green and blue, not luma and chroma.

    Headers are often wrong. The components of a grey image show it: three are alike, or two are
    flat at the middle value. For a colour image, the codestream is more reliable than the header.
    """
    few = array[::4, ::4, :3].astype(np.float32)
    middle = 128.0 if array.dtype.itemsize == 1 else 32768.0
    scale = middle / 128
    alike = float(np.abs(few[..., 1:] - few[..., :1]).mean()) < _ALIKE * scale
    flat = float(np.abs(few[..., 1:] - middle).mean()) < _ALIKE * scale
    if alike != flat:
        return alike
    if frame is not None and frame.process:
        if frame.transform >= 0:
            return frame.transform == 0
        if frame.subsampled:
            return False
        if frame.components == b"RGB":
            return True
    if frame is not None and not frame.process and frame.channels >= 3:
        return True  # JPEG 2000: the decoder has undone its transform

    return not header.photometric.startswith("YBR")


def padding_mask(values: np.ndarray, low: int, high: int) -> tuple[np.ndarray | None, bool]:
    """Return (the mask of the padding, None if there is none; whether it is doubtful).

    Padding is not part of the image: it is left out of the histogram and shown black.
    PixelPaddingValue (0028,0120) names one value, with PixelPaddingRangeLimit (0028,0121) a range,
    here `low` to `high`. Pixels of the anatomy may have such a value as well, in some files half of
    them: only regions that touch an edge of the image are padding.
    """
    named = (values >= low) & (values <= high)
    if not named.any():
        return None, False
    _, labels = cv2.connectedComponents(named.astype(np.uint8), connectivity=4)
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    outside = np.zeros(int(labels.max()) + 1, bool)
    outside[edges] = True
    outside[0] = False  # pixels with other values
    mask = outside[labels]
    share = float(mask.mean())
    if share > MOST_PADDING or share == 0:
        return None, True
    return mask, float(named.mean()) - share > _INSIDE
