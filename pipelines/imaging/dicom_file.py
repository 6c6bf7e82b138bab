"""Opens a DICOM file: parses its bytes, and refuses a file that is not a radiograph.

A bad file raises an IngestError with a code; the error contains nothing of the file.
"""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from dataclasses import dataclass

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import codecs, dicom_header
from cxr_vlp.pipelines.imaging.dicom_header import ImageHeader

# pydicom's warnings and its log quote values of elements
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

# Words for a chest radiograph in BodyPartExamined (0018,0015); an absent element says nothing.
CHEST = ("CHEST", "THORAX", "LUNG", "RIB", "TORAX", "PORT")
RADIOGRAPHY = ("", "CR", "DX", "RG", "RF")  # Modality (0008,0060)
# Modalities (PS3.3 C.7.3.1.1.1) that are certainly not projection radiography. Others, such as OT,
# SC, DR, XR, MG or a hospital's own word, are only noted: the collection lists the image.
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

INFLATED = 1 << 28  # bytes of a deflated data set; 64 megapixels of 16 bits are half of it
# the tag of Pixel Data (7FE0,0010), and the tag with its VR, OB or OW, and two reserved bytes
PIXELS = b"\xe0\x7f\x10\x00"
PIXELS_WITH_VR = (PIXELS + b"OB\0\0", PIXELS + b"OW\0\0")
_ITEM = b"\xfe\xff\x00\xe0"  # the tag (FFFE,E000) before each fragment of compressed pixels


# transfer syntaxes that pydicom reads, besides those of codecs.DECODERS
_PYDICOM = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
)


@dataclass(frozen=True, slots=True)
class Gates:
    """What happens to an image with an unusual header: "note" or "reject"."""

    body_part: str = "note"
    modality: str = "note"
    for_processing: str = "note"


NOTED = Gates()  # everything unusual is noted, nothing is rejected


def parse(data: bytes, *, pixels: bool = True) -> Dataset:
    """Return the data set of a DICOM file, also of one without preamble and file meta.

    Such a headless file is read as implicit VR little endian, and only accepted with Rows and
    pixels: pydicom's `force` accepts any junk. A file whose meta group names no transfer syntax
    gets the one that its pixels have.
    Raises IngestError: dicom.empty, dicom.not_dicom, dicom.truncated, image.too_large.
    """
    if not data:
        raise IngestError("dicom.empty")
    if is_deflated(data) and _inflates_too_far(data):
        raise IngestError("image.too_large")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote tag values
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=not pixels)
            return dataset if syntax_of(dataset) else _with_syntax(dataset)
        except InvalidDicomError:
            return _headless(data, pixels)
        except EOFError:
            raise IngestError("dicom.truncated") from None
        except Exception:
            raise IngestError("dicom.not_dicom") from None


def parse_header(data: bytes) -> tuple[Dataset, int] | None:
    """Return (the data set up to its pixels, the position of PixelData in the file).

    None for a deflated file, whose size only `parse` limits, for a file that names no transfer
    syntax, and for one that cannot be read: `parse` raises its code.
    """
    if is_deflated(data):
        return None
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings quote tag values
            dataset = pydicom.dcmread(stream, stop_before_pixels=True)
            return (dataset, stream.tell()) if syntax_of(dataset) else None
    except Exception:
        return None


def add_pixels(dataset: Dataset, data: bytes, at: int) -> bool:
    """Read PixelData at byte `at` of a compressed file into the data set of its header.

    The header is not parsed again. False if the pixels cannot be read in this way, or if the file
    has another syntax: then use `parse`, which reads the whole file.
    """
    compressed = (*codecs.DECODERS, RLELossless)  # all of them explicit VR little endian
    if syntax_of(dataset) not in compressed or not data.startswith(PIXELS_WITH_VR, at):
        return False
    stream = io.BytesIO(data)
    stream.seek(at)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rest = read_dataset(stream, is_implicit_VR=False, is_little_endian=True)
    except Exception:
        return False
    dataset.update(rest)
    return "PixelData" in rest


def is_deflated(data: bytes) -> bool:
    """Return whether a file's data set is deflated (PS3.5 A.5), by the first bytes of the file."""
    return DeflatedExplicitVRLittleEndian.encode() in data[:2048]


def _inflates_too_far(data: bytes) -> bool:
    """Return whether a deflated data set has more bytes than any radiograph."""
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


def _with_syntax(dataset: Dataset) -> Dataset:
    """Name the transfer syntax of a data set that pydicom read without one.

    pydicom finds out by itself whether its elements have a VR.
    """
    data = pixel_bytes(dataset)
    plain = ImplicitVRLittleEndian if dataset.original_encoding[0] else ExplicitVRLittleEndian
    found = codecs.syntax_of_frame(_first_fragment(data)) if data.startswith(_ITEM) else plain
    if found:
        dataset.file_meta.TransferSyntaxUID = UID(found)
    return dataset


def _first_fragment(data: bytes) -> bytes:
    """Return the first fragment of encapsulated pixels, after the table of offsets (PS3.5 A.4)."""
    at = 8 + int.from_bytes(data[4:8], "little")
    return data[at + 8 :] if data.startswith(_ITEM, at) else b""


def check(dataset: Dataset, max_pixels: int, gates: Gates = NOTED) -> list[str]:
    """Refuse, before decoding, a file that is not a readable radiograph; return the notes.

    Raises IngestError: dicom.no_pixels, dicom.bad_dims, image.too_large, dicom.modality,
    dicom.body_part, dicom.for_processing, dicom.colour, dicom.bits, dicom.unsupported_ts.
    """
    if not pixel_bytes(dataset):
        raise IngestError("dicom.no_pixels")
    return check_header(dicom_header.image_header(dataset), syntax_of(dataset), max_pixels, gates)


def pixel_bytes(dataset: Dataset) -> bytes:
    """Return the value of PixelData, b"" if there is none."""
    value = dicom_header.element(dataset, "PixelData")
    return value if isinstance(value, bytes) else b""


def syntax_of(dataset: Dataset) -> str:
    """Return the transfer syntax, "" if the file names none."""
    return dicom_header.text(getattr(dataset, "file_meta", None) or Dataset(), "TransferSyntaxUID")


def check_header(header: ImageHeader, syntax: str, max_pixels: int, gates: Gates) -> list[str]:
    """Refuse a file by its header as `check` does, with or without its pixels; return the notes."""
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
