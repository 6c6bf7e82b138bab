"""Parse a DICOM file, take from its header what `scan` needs, refuse what is no radiograph.

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

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import codecs, dicom_attributes
from cxr_vlp.pipelines.imaging.dicom_attributes import Attributes

# pydicom's warnings and its log quote the values of elements, wherever one is read first
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

# What a chest radiograph may call itself in BodyPartExamined (0018,0015); absent says nothing.
CHEST = ("CHEST", "THORAX", "LUNG", "RIB", "TORAX", "PORT")
RADIOGRAPHY = ("", "CR", "DX", "RG", "RF")  # Modality (0008,0060)
# Modalities (PS3.3 C.7.3.1.1.1) of what is certainly no projection radiograph. Others, such as OT,
# SC, DR, XR, MG or a word of the hospital's own, are only noted: the collection lists the image.
OTHER = {
    "AR", "ASMT", "AU", "BMD", "CT", "CTPROTOCOL", "DMS", "DOC", "ECG", "EEG", "EMG", "EOG", "EPS",
    "ES", "FID", "GM", "HC", "HD", "IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "M3D", "MR", "NM",
    "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "PA", "PLAN", "POS", "PR",
    "PT", "REG", "RESP", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD", "RTSEGANN",
    "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG", "US", "VA",
    "XAPROTOCOL", "XC",
}  # fmt: skip
_STORAGE = "1.2.840.10008.5.1.4.1.1."
# storage classes (PS3.4 B.5): CT, MR, ultrasound, nuclear medicine, waveforms, presentation states,
# visible light, raw data, structured reports, encapsulated documents, PET, radiotherapy
_OTHER_CLASSES = tuple(
    f"{_STORAGE}{number}"
    for number in ("2", "4", "3.1", "6.1", "6.2", "20", "9.", "11.", "66", "67", "68", "77.1",
                   "88.", "104.", "128", "130", "481.")
)  # fmt: skip

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


@dataclass(frozen=True, slots=True)
class Gates:
    """What becomes of an image whose header says something odd: "note" or "reject"."""

    body_part: str = "note"
    modality: str = "note"
    for_processing: str = "note"


NOTED = Gates()


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
    text = dicom_attributes.text
    return Header(
        view_position=text(dataset, "ViewPosition"),
        view_code=_view_code(dataset),
        procedures=tuple(filter(None, (text(dataset, name) for name in PROCEDURES))),
        sex=text(dataset, "PatientSex").upper()[:1].replace("O", ""),
        age=years(text(dataset, "PatientAge")),
        when=text(dataset, "StudyDate") + text(dataset, "StudyTime"),
    )


def _view_code(dataset: Dataset) -> str:
    """Return the words of a view code: what it means, and what its modifiers (oblique, ...) do."""
    items, text = dicom_attributes.items, dicom_attributes.text
    codes = items(dataset, "ViewCodeSequence")
    if not codes:
        return ""
    modifiers = items(codes[0], "ViewModifierCodeSequence")
    named = text(codes[0], "CodeMeaning") or text(codes[0], "CodeValue")
    return " ".join(filter(None, (named, *(text(m, "CodeMeaning") for m in modifiers))))


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


def check(dataset: Dataset, max_pixels: int, gates: Gates = NOTED) -> list[str]:
    """Refuse what is no radiograph we can read, before anything is decoded; return the notes.

    Raises IngestError: dicom.no_pixels, dicom.bad_dims, image.too_large, dicom.modality,
    dicom.body_part, dicom.for_processing, dicom.colour, dicom.bits, dicom.unsupported_ts.
    """
    if not pixel_bytes(dataset):
        raise IngestError("dicom.no_pixels")
    return check_header(dicom_attributes.read(dataset), syntax_of(dataset), max_pixels, gates)


def pixel_bytes(dataset: Dataset) -> bytes:
    """Return the value of PixelData, b"" where there is none."""
    value = dicom_attributes.element(dataset, "PixelData")
    return value if isinstance(value, bytes) else b""


def syntax_of(dataset: Dataset) -> str:
    """Return the transfer syntax, "" where the file names none."""
    return dicom_attributes.text(
        getattr(dataset, "file_meta", None) or Dataset(), "TransferSyntaxUID"
    )


def check_header(header: Attributes, syntax: str, max_pixels: int, gates: Gates) -> list[str]:
    """Refuse by what the header says, as `check` does; the pixels need not have been read."""
    if header.rows < 1 or header.columns < 1:
        raise IngestError("dicom.bad_dims")
    if header.rows * header.columns * header.frames > max_pixels:
        raise IngestError("image.too_large")
    if header.modality in OTHER or _is_other(header.sop_class):
        raise IngestError("dicom.modality")
    part = header.body_part
    odd = {
        "modality": header.modality not in RADIOGRAPHY,
        "body_part": bool(part) and not any(word in part for word in CHEST),
        "for_processing": header.processing,
    }
    for name, found in odd.items():
        if found and getattr(gates, name) == "reject":
            raise IngestError(f"dicom.{name}")
    if header.photometric == "PALETTE COLOR" and not header.palette:
        raise IngestError("dicom.colour")
    if header.allocated not in (8, 16):
        raise IngestError("dicom.bits")
    if syntax not in codecs.DECODERS and syntax not in _PYDICOM:
        raise IngestError("dicom.unsupported_ts")
    notes = [f"dicom.{name}" for name, found in odd.items() if found]
    notes += ["dicom.frames"] if header.frames > 1 else []
    return notes


def _is_other(sop_class: str) -> bool:
    return any(
        sop_class == prefix or sop_class.startswith(prefix if prefix[-1] == "." else f"{prefix}.")
        for prefix in _OTHER_CLASSES
    )
