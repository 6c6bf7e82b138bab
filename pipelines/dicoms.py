"""A DICOM file's bytes in, its header facts and its stored pixel values out.

pydicom parses, and decodes what is not compressed and RLE; imagecodecs decodes every JPEG family,
one pinned decoder per syntax, for lossy JPEG differs between decoders and so would our bytes.
Whatever is wrong with a file becomes an IngestError with a code and nothing of the file in it.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from pipelines.faults import IngestError

# What a chest film may call itself in BodyPartExamined (0018,0015); absent says nothing.
CHEST = ("CHEST", "THORAX", "LUNG", "RIB", "TORAX", "PORT")
RADIOGRAPHY = ("", "CR", "DX", "RG", "RF")  # Modality (0008,0060)

_JPEG = imagecodecs.jpeg_decode  # baseline, extended (8 and 12 bit) and lossless process 14
_DECODERS = {
    "1.2.840.10008.1.2.4.50": _JPEG,
    "1.2.840.10008.1.2.4.51": _JPEG,
    "1.2.840.10008.1.2.4.57": _JPEG,
    "1.2.840.10008.1.2.4.70": _JPEG,
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.81": imagecodecs.jpegls_decode,
    "1.2.840.10008.1.2.4.90": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.91": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.201": imagecodecs.jpeg2k_decode,  # HTJ2K
    "1.2.840.10008.1.2.4.202": imagecodecs.jpeg2k_decode,
    "1.2.840.10008.1.2.4.203": imagecodecs.jpeg2k_decode,
}
_PYDICOM = {
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
}


@dataclass(frozen=True, slots=True)
class Header:
    """What `scan` takes from a DICOM header where a collection's tables say nothing."""

    view_position: str = ""  # (0018,5101)
    view_code: str = ""  # meaning of (0054,0220)
    sex: str = ""  # (0010,0040)
    age: int | None = None  # (0010,1010), years
    when: str = ""  # (0008,0020) + (0008,0030)


def parse(data: bytes, *, pixels: bool = True) -> Dataset:
    """Return the data set of a DICOM file, also of one without preamble and file meta.

    A headless file is taken as implicit VR little endian, and only when it has Rows and pixels:
    force-reading alone accepts any junk.
    Raises IngestError: dicom.empty, dicom.not_dicom, dicom.truncated.
    """
    if not data:
        raise IngestError("dicom.empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote tag values
        try:
            return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=not pixels)
        except InvalidDicomError:
            return _headless(data, pixels)
        except EOFError:
            raise IngestError("dicom.truncated") from None
        except Exception:
            raise IngestError("dicom.not_dicom") from None


def _headless(data: bytes, pixels: bool) -> Dataset:
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        usable = "Rows" in dataset and "PixelData" in dataset
    except Exception:
        usable = False
    if not usable:
        raise IngestError("dicom.not_dicom")
    if "TransferSyntaxUID" not in getattr(dataset, "file_meta", {}):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    if not pixels:
        del dataset.PixelData
    return dataset


def header(dataset: Dataset) -> Header:
    """Return the facts of a header that `scan` can use; absent or odd values are empty."""
    codes = dataset.get("ViewCodeSequence") or []
    return Header(
        view_position=_text(dataset, "ViewPosition"),
        view_code=_text(codes[0], "CodeMeaning") if len(codes) else "",
        sex=_text(dataset, "PatientSex").upper()[:1].replace("O", ""),
        age=years(_text(dataset, "PatientAge")),
        when=_text(dataset, "StudyDate") + _text(dataset, "StudyTime"),
    )


def years(text: str) -> int | None:
    """Return the whole years of an age string (058Y, 011M, 58, 58.0); None where it is not one.

    Ages beyond 120 are None: NIH's first release holds some of 400 and more.
    """
    text = text.strip().upper()
    unit = text[-1:] if text[-1:] in ("Y", "M", "W", "D") else "Y"
    try:
        number = float(text.rstrip("YMWD"))
    except ValueError:
        return None
    age = number / {"Y": 1, "M": 12, "W": 52, "D": 365}[unit]
    return int(age) if math.isfinite(age) and 0 <= age <= 120 else None


def _text(dataset: Dataset, name: str) -> str:
    try:
        value = dataset.get(name)
    except Exception:
        return ""
    if isinstance(value, pydicom.multival.MultiValue):
        value = value[0] if value else ""
    return "" if value is None else str(value).strip()


def check(dataset: Dataset, max_pixels: int) -> None:
    """Refuse what is no chest radiograph we can read, before anything is decoded.

    Raises IngestError: dicom.no_pixels, dicom.bad_dims, image.too_large, dicom.modality,
    dicom.not_chest, dicom.colour, dicom.bits, dicom.unsupported_ts.
    """
    if "PixelData" not in dataset or not dataset.PixelData:
        raise IngestError("dicom.no_pixels")
    rows, columns = _number(dataset, "Rows"), _number(dataset, "Columns")
    if rows < 1 or columns < 1:
        raise IngestError("dicom.bad_dims")
    if rows * columns * max(1, _number(dataset, "NumberOfFrames")) > max_pixels:
        raise IngestError("image.too_large")
    if _text(dataset, "Modality").upper() not in RADIOGRAPHY:
        raise IngestError("dicom.modality")
    part = _text(dataset, "BodyPartExamined").upper()
    if part and not any(word in part for word in CHEST):
        raise IngestError("dicom.not_chest")
    if _text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        raise IngestError("dicom.colour")
    if _number(dataset, "BitsAllocated") not in (8, 16):
        raise IngestError("dicom.bits")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in _DECODERS and syntax not in _PYDICOM:
        raise IngestError("dicom.unsupported_ts")


def _number(dataset: Dataset, name: str) -> int:
    try:
        return int(dataset.get(name) or 0)
    except Exception:
        return 0


def stored_values(dataset: Dataset) -> np.ndarray:
    """Return the stored values of the first frame, (height, width), an integer dtype.

    Colour frames become their luma. Raises IngestError: dicom.truncated, dicom.undecodable.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decode = _compressed if syntax in _DECODERS else _uncompressed
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
    plugin = "pydicom" if run_length else ""
    array = pixel_array(dataset, index=0, decoding_plugin=plugin)
    return _luma(array)


def _compressed(dataset: Dataset, syntax: str) -> np.ndarray:
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=frames))
    array = np.asarray(_DECODERS[syntax](frame))
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
