"""A DICOM file's bytes in, its data set and the facts of its header out; films.py has the pixels.

Whatever is wrong with a file becomes an IngestError with a code and nothing of the file in it.
"""

from __future__ import annotations

import io
import logging
import math
import warnings
import zlib
from dataclasses import dataclass

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from pipelines.decoding import codecs
from pipelines.faults import IngestError

# pydicom's warnings and its log quote the values of elements, wherever one is read first
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

# What a chest film may call itself in BodyPartExamined (0018,0015); absent says nothing.
CHEST = ("CHEST", "THORAX", "LUNG", "RIB", "TORAX", "PORT")
RADIOGRAPHY = ("", "CR", "DX", "RG", "RF")  # Modality (0008,0060)

# Where a projection may be named that ViewPosition and the view code leave out.
PROCEDURES = (
    "SeriesDescription",
    "AcquisitionDeviceProcessingDescription",
    "ProtocolName",
    "PerformedProcedureStepDescription",
    "StudyDescription",
)

INFLATED = 1 << 28  # bytes of a deflated data set; 64 Mpx of 16 bits are half of it

_PYDICOM = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
)


@dataclass(frozen=True, slots=True)
class Header:
    """What `scan` takes from a DICOM header where a collection's tables say nothing."""

    view_position: str = ""  # (0018,5101)
    view_code: str = ""  # (0054,0220): its meaning, else its value, and its modifiers' meanings
    procedures: tuple[str, ...] = ()  # what the procedure is called, the nearest to the image first
    sex: str = ""  # (0010,0040)
    age: int | None = None  # (0010,1010), years
    when: str = ""  # (0008,0020) + (0008,0030)


def parse(data: bytes, *, pixels: bool = True) -> Dataset:
    """Return the data set of a DICOM file, also of one without preamble and file meta.

    A headless file is taken as implicit VR little endian, and only when it has Rows and pixels:
    force-reading alone accepts any junk.
    Raises IngestError: dicom.empty, dicom.not_dicom, dicom.truncated, image.too_large.
    """
    if not data:
        raise IngestError("dicom.empty")
    if is_deflated(data) and _swells(data):
        raise IngestError("image.too_large")
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


def is_deflated(data: bytes) -> bool:
    """Tell a file whose data set is deflated (PS3.5 A.5), by the head of it."""
    return DeflatedExplicitVRLittleEndian.encode() in data[:2048]


def _swells(data: bytes) -> bool:
    """Tell a deflated file whose data set has more bytes than any film of ours."""
    length = int.from_bytes(data[140:144], "little")  # (0002,0000): of the rest of its group
    packed, inflating = data[144 + length :], zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    try:
        while packed and size <= INFLATED:
            size += len(inflating.decompress(packed, 1 << 20))
            packed = inflating.unconsumed_tail
    except zlib.error:
        return False  # pydicom will find it too
    return size > INFLATED


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
    return Header(
        view_position=_text(dataset, "ViewPosition"),
        view_code=_view_code(dataset),
        procedures=tuple(filter(None, (_text(dataset, name) for name in PROCEDURES))),
        sex=_text(dataset, "PatientSex").upper()[:1].replace("O", ""),
        age=years(_text(dataset, "PatientAge")),
        when=_text(dataset, "StudyDate") + _text(dataset, "StudyTime"),
    )


def _view_code(dataset: Dataset) -> str:
    """Return the words of a view code: what it means, and what its modifiers (oblique, ...) do."""
    codes = dataset.get("ViewCodeSequence") or []
    if not len(codes):
        return ""
    modifiers = codes[0].get("ViewModifierCodeSequence") or []
    named = _text(codes[0], "CodeMeaning") or _text(codes[0], "CodeValue")
    return " ".join(filter(None, (named, *(_text(m, "CodeMeaning") for m in modifiers))))


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
    check_header(dataset, max_pixels)


def check_header(dataset: Dataset, max_pixels: int) -> None:
    """Refuse by what the header says, as `check` does; the pixels need not have been read."""
    rows, columns = number(dataset, "Rows"), number(dataset, "Columns")
    if rows < 1 or columns < 1:
        raise IngestError("dicom.bad_dims")
    if rows * columns * max(1, number(dataset, "NumberOfFrames")) > max_pixels:
        raise IngestError("image.too_large")
    if _text(dataset, "Modality").upper() not in RADIOGRAPHY:
        raise IngestError("dicom.modality")
    part = _text(dataset, "BodyPartExamined").upper()
    if part and not any(word in part for word in CHEST):
        raise IngestError("dicom.not_chest")
    if _text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        raise IngestError("dicom.colour")
    if number(dataset, "BitsAllocated") not in (8, 16):
        raise IngestError("dicom.bits")
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if syntax not in codecs.DECODERS and syntax not in _PYDICOM:
        raise IngestError("dicom.unsupported_ts")


def number(dataset: Dataset, name: str) -> int:
    """Return a whole number of the header, 0 where it is absent or none."""
    try:
        return int(dataset.get(name) or 0)
    except Exception:
        return 0
