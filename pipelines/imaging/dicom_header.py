"""Reads a DICOM header into plain values: how its pixels are shown, and what `scan` records.

`image_header` returns the elements that decide how pixels are read and shown, `study_header` those
that replace missing tables of a collection. pydicom converts an element when it is accessed, and
may raise any error. So every element is accessed here, one at a time. Code that uses the result
needs no error handling, and an error in our own code is not mistaken for a bad file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.records import StudyHeader

# Elements that may name a projection where ViewPosition and the view code do not.
PROCEDURES = (
    "SeriesDescription",
    "AcquisitionDeviceProcessingDescription",
    "ProtocolName",
    "PerformedProcedureStepDescription",
    "StudyDescription",
)

Window = tuple[float, float]  # centre, width; NaN where one is missing or not a number

_MANY = (
    list,
    tuple,
    MultiValue,
    DicomSequence,
)  # types of several values in pydicom
ASPECTS = (0.2, 5.0)  # height by width of a pixel; outside this range the header is wrong


@dataclass(frozen=True, slots=True)
class Lut:
    """A look-up table of the file (PS3.3 C.11): `first` is the input value of entries[0]."""

    first: int
    entries: np.ndarray  # (n,) float64
    bits: int  # of an entry, as the descriptor says; it may be wrong


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The elements of a header that decide how its pixels are read and shown."""

    rows: int = 0
    columns: int = 0
    frames: int = 1
    samples: int = 1
    planar: bool = False  # colour by planes
    photometric: str = "MONOCHROME2"  # upper case
    allocated: int = 16
    stored: int = 16
    high: int = 15
    signed: bool = False
    overlaid: bool = False  # overlays in the unused bits of the pixels (group 60xx)
    sop_class: str = ""
    modality: str = ""
    body_part: str = ""
    processing: bool = False  # FOR PROCESSING: not made for display
    linear: bool = False  # values are proportional to the exposure
    # PixelIntensityRelationshipSign: 1 higher values mean more exposure, -1 less, 0 not stated
    brightest: int = 0
    slope: float | None = None
    intercept: float | None = None
    modality_lut: Lut | None = None
    voi_luts: tuple[Lut, ...] = ()
    windows: tuple[Window, ...] = ()
    function: str = "LINEAR"
    palette: tuple[Lut, ...] = ()  # red, green, blue
    padding: tuple[int, int] | None = None  # its lowest and its highest stored value
    aspect: float = 1.0  # height of a pixel by its width
    orientation: tuple[str, ...] = ()  # where a row leads, where a column leads: ("L", "F")
    broken: tuple[str, ...] = ()  # notes on elements that are present and cannot be used

    @property
    def inverted(self) -> bool:
        """Whether the lowest value is meant to be white."""
        return self.photometric.replace(" ", "").replace("_", "") == "MONOCHROME1"

    @property
    def has_lut(self) -> bool:
        """Whether a look-up table of the file sets the contrast; it may be non-linear."""
        return bool(self.modality_lut or self.voi_luts or self.palette)


def image_header(dataset: Dataset) -> ImageHeader:
    """Return the image header of a data set; absent, odd or unreadable elements get defaults."""
    allocated, signed = number(dataset, "BitsAllocated"), number(dataset, "PixelRepresentation")
    stored = number(dataset, "BitsStored")
    stored = stored if 0 < stored <= allocated else allocated
    modality, modality_broken = _luts(dataset, "ModalityLUTSequence")
    voi, voi_broken = _luts(dataset, "VOILUTSequence")
    rescale = [numbers(element(dataset, f"Rescale{name}"))[:1] for name in ("Slope", "Intercept")]
    slope, intercept = map(_first, rescale)
    rescale_broken = modality_broken or any(not math.isfinite(one) for of in rescale for one in of)
    aspect, aspect_broken = _aspect(dataset)
    broken = [("rescale", rescale_broken), ("lut", voi_broken), ("aspect", aspect_broken)]
    names = {"rescale": "dicom.rescale_ignored", "lut": "lut.implausible",
             "aspect": "dicom.aspect_ignored"}  # fmt: skip
    photometric = text(dataset, "PhotometricInterpretation").upper()
    return ImageHeader(
        rows=number(dataset, "Rows"),
        columns=number(dataset, "Columns"),
        frames=max(1, number(dataset, "NumberOfFrames")),
        samples=max(1, number(dataset, "SamplesPerPixel")),
        planar=number(dataset, "PlanarConfiguration") == 1,
        photometric=photometric,
        allocated=allocated,
        stored=stored,
        high=number(dataset, "HighBit") if _tag("HighBit") in dataset else stored - 1,
        signed=signed == 1,
        overlaid=_overlaid(dataset),
        sop_class=text(dataset, "SOPClassUID"),
        modality=text(dataset, "Modality").upper(),
        body_part=text(dataset, "BodyPartExamined").upper(),
        processing=_for_processing(dataset),
        linear=text(dataset, "PixelIntensityRelationship").upper() == "LIN",
        brightest=number(dataset, "PixelIntensityRelationshipSign"),
        slope=slope,
        intercept=intercept,
        modality_lut=modality[0] if modality else None,
        voi_luts=voi,
        windows=_windows(dataset),
        function=text(dataset, "VOILUTFunction").upper() or "LINEAR",
        palette=_palette(dataset) if photometric == "PALETTE COLOR" else (),
        padding=_padding(dataset, allocated, signed == 1),
        aspect=aspect,
        orientation=_orientation(dataset),
        broken=tuple(names[name] for name, is_broken in broken if is_broken),
    )


def study_header(dataset: Dataset) -> StudyHeader:
    """Return what `scan` can use of a header; absent or odd values are empty."""
    return StudyHeader(
        view_position=text(dataset, "ViewPosition"),
        view_code=_view_code(dataset),
        procedures=tuple(filter(None, (text(dataset, name) for name in PROCEDURES))),
        sex=text(dataset, "PatientSex").upper()[:1].replace("O", ""),
        age=cells.years(text(dataset, "PatientAge")),
        when=text(dataset, "StudyDate") + text(dataset, "StudyTime"),
    )


def _view_code(dataset: Dataset) -> str:
    """Return the meaning of a view code and of its modifiers (oblique, ...), in one string."""
    codes = items(dataset, "ViewCodeSequence")
    if not codes:
        return ""
    modifiers = items(codes[0], "ViewModifierCodeSequence")
    named = text(codes[0], "CodeMeaning") or text(codes[0], "CodeValue")
    return " ".join(filter(None, (named, *(text(m, "CodeMeaning") for m in modifiers))))


def element(dataset: Dataset, keyword: str) -> Any:
    """Return an element's value; where pydicom cannot convert it, its raw text."""
    tag = _tag(keyword)
    if tag not in dataset:
        return None
    try:
        return dataset[tag].value
    except Exception:
        pass
    return _raw_text(dataset, keyword)


@cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def _raw_text(dataset: Dataset, keyword: str) -> list[str] | None:
    value = _raw(dataset, keyword)
    if not isinstance(value, bytes):
        return None
    return value.decode("latin-1").strip("\0 ").split("\\")


def _raw(dataset: Dataset, keyword: str) -> Any:
    """Return an element's value before any conversion: bytes where it came from a file."""
    try:
        return dataset.get_item(_tag(keyword)).value
    except Exception:
        return None


def text(dataset: Dataset, keyword: str) -> str:
    """Return an element as text, the first of several values; "" if there is none."""
    value = element(dataset, keyword)
    if isinstance(value, _MANY):
        value = value[0] if len(value) else ""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "" if value is None else str(value).strip("\0 \t\r\n")


def number(dataset: Dataset, keyword: str) -> int:
    """Return a whole number of the header, 0 where it is absent or not a number."""
    found = _first(numbers(element(dataset, keyword)))
    return int(found) if found is not None and abs(found) < 1 << 53 else 0


def numbers(value: Any) -> list[float]:
    """Return the numbers of an element's value, NaN for each that is not a number."""
    if value is None:
        return []
    return [_number(one) for one in value] if isinstance(value, _MANY) else [_number(value)]


def _number(value: Any) -> float:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.strip("\0 ").replace(",", ".")  # some devices write a decimal comma
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _first(found: Sequence[float]) -> float | None:
    return found[0] if found and math.isfinite(found[0]) else None


def _windows(dataset: Dataset) -> tuple[Window, ...]:
    """Return the windows; some files repeat one (['5292','5292','5292'])."""
    centres, widths = (numbers(element(dataset, f"Window{name}")) for name in ("Center", "Width"))
    if not centres and not widths:
        return ()
    pairs = [
        (centres[i] if i < len(centres) else math.nan, widths[i] if i < len(widths) else math.nan)
        for i in range(max(len(centres), len(widths)))
    ]
    return tuple(dict.fromkeys(pairs))


def _for_processing(dataset: Dataset) -> bool:
    """Return whether an image is for processing, by its intent or its SOP class (DX, MG, IO)."""
    intent = text(dataset, "PresentationIntentType").upper().replace("_", " ")
    classes = tuple(f"1.2.840.10008.5.1.4.1.1.1.{kind}.1" for kind in (1, 2, 3))
    return intent == "FOR PROCESSING" or (
        intent != "FOR PRESENTATION" and text(dataset, "SOPClassUID") in classes
    )


def _padding(dataset: Dataset, allocated: int, signed: bool) -> tuple[int, int] | None:
    """Return the range of PixelPaddingValue (0028,0120) and its range limit (0028,0121).

    A negative value may be written as unsigned, and the reverse.
    """
    found = [_whole(dataset, f"PixelPadding{name}") for name in ("Value", "RangeLimit")]
    if found[0] is None:
        return None
    size = 1 << allocated
    values = [value % size for value in found if value is not None]
    values = [value - size if signed and 2 * value >= size else value for value in values]
    return min(values), max(values)


def _whole(dataset: Dataset, keyword: str) -> int | None:
    value = element(dataset, keyword)
    if isinstance(value, bytes) and len(value) == 2:  # VR UN
        return int.from_bytes(value, "little")
    found = _first(numbers(value))
    return None if found is None else int(found)


def _overlaid(dataset: Dataset) -> bool:
    """Return whether overlays are in the unused bits of the pixels (retired; PS3.3 2004 C.9.2)."""
    try:
        planes = [tag for tag in dataset.keys() if tag.group & 0xFF00 == 0x6000]  # noqa: SIM118
    except Exception:
        return False
    elements = {tag.element for tag in planes}
    return 0x0102 in elements and 0x3000 not in elements


def _aspect(dataset: Dataset) -> tuple[float, bool]:
    """Return (height of a pixel by its width, whether the header's value is impossible).

    A spacing gives both in millimetres; PixelAspectRatio is used if there is no spacing.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
                    "PixelAspectRatio"):  # fmt: skip
        found = numbers(element(dataset, keyword))
        if len(found) == 2 and all(math.isfinite(one) and one > 0 for one in found):
            ratio = found[0] / found[1]
            likely = ASPECTS[0] <= ratio <= ASPECTS[1]
            return (ratio, False) if likely else (1.0, True)
    return 1.0, False


def _orientation(dataset: Dataset) -> tuple[str, ...]:
    value = element(dataset, "PatientOrientation")
    if isinstance(value, str):
        value = value.split("\\")
    if not isinstance(value, _MANY) or len(value) != 2:
        return ()
    letters = tuple(str(one).strip("\0 ").upper()[:1] for one in value)
    return letters if all(letters) else ()


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence."""
    value = element(dataset, keyword)
    many = value if isinstance(value, _MANY) else ()
    return [item for item in many if isinstance(item, Dataset)]


def _luts(dataset: Dataset, keyword: str) -> tuple[tuple[Lut, ...], bool]:
    """Return (the look-up tables of a sequence, whether it holds one that cannot be used)."""
    found = [_lut(item, "LUTDescriptor", "LUTData") for item in items(dataset, keyword)]
    usable = tuple(lut for lut in found if lut is not None)
    return usable, len(usable) < len(found)


def _palette(dataset: Dataset) -> tuple[Lut, ...]:
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    found = [_lut(dataset, f"{name}Descriptor", f"{name}Data") for name in names]
    usable = tuple(lut for lut in found if lut is not None)
    return usable if len(usable) == 3 else ()


def _lut(item: Dataset, descriptor: str, data: str) -> Lut | None:
    """Return a look-up table, None if its entries do not match its descriptor."""
    stated = numbers(element(item, descriptor))
    if len(stated) != 3 or not all(math.isfinite(one) for one in stated):
        return None
    count, first, bits = (int(one) for one in stated)
    count = count % 65536 or 65536  # 0 stands for 65,536, and US may have been read as SS
    entries = _entries(item, data, count)
    return None if entries is None else Lut(first, entries, bits)


def _entries(item: Dataset, keyword: str, count: int) -> np.ndarray | None:
    """Return the entries: of two bytes each, or of one if there are just that many; else None.

    Two entries of 8 bits are in a word (OW), the first in the low byte: in little endian the bytes
    are in order.
    """
    value = _raw(item, keyword)
    if not isinstance(value, bytes):
        value = element(item, keyword)
    if not isinstance(value, bytes):
        words = numbers(value)
        if not all(-32768 <= one < 65536 for one in words):
            return None
        value = (np.array(words, np.int64) & 0xFFFF).astype("<u2").tobytes()
    elif not _little(item, keyword):
        value = np.frombuffer(value[: len(value) // 2 * 2], ">u2").astype("<u2").tobytes()
    if len(value) >= 2 * count:
        return np.frombuffer(value, "<u2", count).astype(np.float64)
    if len(value) in (count, count + 1):  # more bytes are words, too few for the descriptor
        return np.frombuffer(value, np.uint8, count).astype(np.float64)
    return None


def _little(item: Dataset, keyword: str) -> bool:
    try:
        return bool(getattr(item.get_item(_tag(keyword)), "is_little_endian", True))
    except Exception:
        return True
