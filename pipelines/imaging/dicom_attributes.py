"""Read a DICOM header once into plain values: everything that decides how its image is shown.

pydicom converts an element when it is asked for, and raises whatever its converters meet. So every
element is asked for here, one at a time; what works with the result needs no guard, and an error
in our own code is not taken for a bad file.
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
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag, Tag

Window = tuple[float, float]  # centre, width; NaN where one is missing or none

_MANY = (list, tuple, MultiValue, Items)  # what pydicom hands out several values in
ASPECTS = (0.2, 5.0)  # height by width of a pixel; beyond them the header is wrong


@dataclass(frozen=True, slots=True)
class Lut:
    """A look-up table of the file (PS3.3 C.11): `first` is the input that entries[0] stands for."""

    first: int
    entries: np.ndarray  # (n,) float64
    bits: int  # of an entry, as the descriptor says; it may be wrong


@dataclass(frozen=True, slots=True)
class Attributes:
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
    brightest: int = 0  # PixelIntensityRelationshipSign: 1 more is more exposure, -1 less, 0 unsaid
    slope: float | None = None
    intercept: float | None = None
    modality_lut: Lut | None = None
    voi_luts: tuple[Lut, ...] = ()
    windows: tuple[Window, ...] = ()
    function: str = "LINEAR"
    palette: tuple[Lut, ...] = ()  # red, green, blue
    padding: tuple[int, int] | None = None  # the lowest and the highest stored value of it
    aspect: float = 1.0  # height of a pixel by its width
    orientation: tuple[str, ...] = ()  # where a row leads, where a column does: ("L", "F")
    broken: tuple[str, ...] = ()  # notes on what is there and cannot be used

    @property
    def inverted(self) -> bool:
        """Whether the lowest value is meant to be white."""
        return self.photometric.replace(" ", "").replace("_", "") == "MONOCHROME1"

    @property
    def has_lut(self) -> bool:
        """Whether a table of the file decides the greys, which may bend."""
        return bool(self.modality_lut or self.voi_luts or self.palette)


def read(dataset: Dataset) -> Attributes:
    """Return the attributes of a data set; absent, odd or unreadable elements have defaults."""
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
    return Attributes(
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


def element(dataset: Dataset, keyword: str) -> Any:
    """Return an element's value; where pydicom cannot convert it, its text as it is in the file."""
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
    """Return an element as text, the first of several values; "" where there is none."""
    value = element(dataset, keyword)
    if isinstance(value, _MANY):
        value = value[0] if len(value) else ""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "" if value is None else str(value).strip("\0 \t\r\n")


def number(dataset: Dataset, keyword: str) -> int:
    """Return a whole number of the header, 0 where it is absent or none."""
    found = _first(numbers(element(dataset, keyword)))
    return int(found) if found is not None and abs(found) < 1 << 53 else 0


def numbers(value: Any) -> list[float]:
    """Return the numbers of an element's value, NaN for each that is none."""
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
    """Tell an image for processing, by its intent or by its SOP class (DX, MG, IO)."""
    intent = text(dataset, "PresentationIntentType").upper().replace("_", " ")
    classes = tuple(f"1.2.840.10008.5.1.4.1.1.1.{kind}.1" for kind in (1, 2, 3))
    return intent == "FOR PROCESSING" or (
        intent != "FOR PRESENTATION" and text(dataset, "SOPClassUID") in classes
    )


def _padding(dataset: Dataset, allocated: int, signed: bool) -> tuple[int, int] | None:
    """Return the range of PixelPaddingValue (0028,0120) and its range limit (0028,0121).

    A negative one may be written as unsigned, and the other way round.
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
    """Tell overlays that lie in the pixels' unused bits (retired; PS3.3 2004 C.9.2)."""
    try:
        planes = [tag for tag in dataset.keys() if tag.group & 0xFF00 == 0x6000]  # noqa: SIM118
    except Exception:
        return False
    elements = {tag.element for tag in planes}
    return 0x0102 in elements and 0x3000 not in elements


def _aspect(dataset: Dataset) -> tuple[float, bool]:
    """Return (height of a pixel by its width, whether what the header says cannot be).

    A spacing says it in millimetres; PixelAspectRatio is there where no spacing is.
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
    """Return (the look-up tables of a sequence, whether one is there that cannot be used)."""
    found = [_lut(item, "LUTDescriptor", "LUTData") for item in items(dataset, keyword)]
    usable = tuple(lut for lut in found if lut is not None)
    return usable, len(usable) < len(found)


def _palette(dataset: Dataset) -> tuple[Lut, ...]:
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    found = [_lut(dataset, f"{name}Descriptor", f"{name}Data") for name in names]
    usable = tuple(lut for lut in found if lut is not None)
    return usable if len(usable) == 3 else ()


def _lut(item: Dataset, descriptor: str, data: str) -> Lut | None:
    """Return a look-up table, None where its entries are not what its descriptor says."""
    told = numbers(element(item, descriptor))
    if len(told) != 3 or not all(math.isfinite(one) for one in told):
        return None
    count, first, bits = (int(one) for one in told)
    count = count % 65536 or 65536  # 0 stands for 65,536, and US may have been read as SS
    entries = _entries(item, data, count)
    return None if entries is None else Lut(first, entries, bits)


def _entries(item: Dataset, keyword: str, count: int) -> np.ndarray | None:
    """Return the entries: two bytes each, or one where there are just that many; else None.

    Those of 8 bits lie two in a word (OW), the first in the low byte, as in a file in this order.
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
    if len(value) in (count, count + 1):  # more would be words, fewer than the descriptor says
        return np.frombuffer(value, np.uint8, count).astype(np.float64)
    return None


def _little(item: Dataset, keyword: str) -> bool:
    try:
        return bool(getattr(item.get_item(_tag(keyword)), "is_little_endian", True))
    except Exception:
        return True
