"""Writes DICOM files as they are in the archive of an X-ray department.

A file is made from an image (float32 0..1, bright is dense), a `Header` and a storage form (bits,
photometric interpretation, transfer syntax). Any conforming reader gets the stored values back
exactly. Nothing depends on the clock: ids and dates come from the caller, UIDs are hashes of the
ids.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

Pixels = NDArray[np.float32]
Stored = NDArray[np.uint16]

# The values of an image, from air to metal, use only this part of the detector's range.
_LOWEST, _HIGHEST = 0.04, 0.86


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a file. An empty field leaves its tag out."""

    patient: str
    study: str
    image: str  # the file's own id; the UIDs are made from these three
    date: str = ""  # YYYYMMDD
    time: str = ""  # HHMMSS.ffffff
    view: str = ""  # ViewPosition
    view_meaning: str = ""  # code meaning in ViewCodeSequence
    procedure: str = ""
    orientation: str = ""  # code meaning in PatientOrientationCodeSequence
    number: int = 1  # InstanceNumber
    modality: str = "CR"  # CR or DX
    spacing: float = 0.0  # mm
    spacing_tag: str = ""  # "PixelSpacing" or "ImagerPixelSpacing"
    windows: tuple[tuple[float, float], ...] = ()  # (centre, width) in stored values
    declared_bits: int = 0  # BitsStored if it is more than the pixels use; 0: as many as they use


def uid_of(*parts: str) -> UID:
    """Return a UID under 2.25 that depends on `parts` alone."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def stored_values(pixels: Pixels, *, bits: int, photometric: str) -> Stored:
    """Return what the detector would store: uint16 of `bits` bits, inverted under MONOCHROME1.

    Only part of the range is used, so scaling by 2**bits and scaling by the actual range differ.
    """
    top = 2**bits - 1
    values = np.rint((_LOWEST + np.clip(pixels, 0, 1) * (_HIGHEST - _LOWEST)) * top)
    if photometric == "MONOCHROME1":
        values = top - values
    return values.astype(np.uint16)


def window_of(*, bits: int, photometric: str) -> tuple[float, float]:
    """Return (centre, width) that displays the values of `stored_values` as a radiologist wants."""
    top = 2**bits - 1
    centre, width = (_LOWEST + _HIGHEST) / 2, (_HIGHEST - _LOWEST) * 0.96
    if photometric == "MONOCHROME1":
        centre = 1 - centre
    return float(round(centre * top)), float(round(width * top))


def write(
    path: Path, pixels: Pixels, *, bits: int, photometric: str, syntax: UID, header: Header
) -> bytes:
    """Write one DICOM file and return its bytes (for the checksum list).

    `syntax` is one of `SYNTAXES`; each is lossless, so the values come back as they were stored.
    """
    values = stored_values(pixels, bits=bits, photometric=photometric)
    content = file_bytes(values, bits=bits, photometric=photometric, syntax=syntax, header=header)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def file_bytes(
    values: Stored, *, bits: int, photometric: str, syntax: UID, header: Header
) -> bytes:
    """Return the whole file, preamble and meta group included, as bytes."""
    dataset = header_dataset(header)
    _describe_pixels(dataset, values, bits=header.declared_bits or bits, photometric=photometric)
    dataset.file_meta = _file_meta(dataset, syntax)
    if syntax == ExplicitVRLittleEndian:
        dataset.PixelData = values.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
    elif syntax == RLELossless:
        # pydicom's own encoder writes the segments in the order the standard asks for
        dataset.compress(
            RLELossless, values, encoding_plugin="pydicom", generate_instance_uid=False
        )
    else:
        dataset.PixelData = encapsulate([_ENCODE[syntax](values, bits)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def header_dataset(header: Header) -> Dataset:
    """Return the data set without the pixels: ids, date, view, window."""
    dataset = Dataset()
    dataset.SOPClassUID = (
        DigitalXRayImageStorageForPresentation
        if header.modality == "DX"
        else ComputedRadiographyImageStorage
    )
    dataset.SOPInstanceUID = uid_of(header.patient, header.study, header.image)
    dataset.StudyInstanceUID = uid_of(header.patient, header.study)
    dataset.SeriesInstanceUID = uid_of(header.patient, header.study, header.image, "series")
    dataset.PatientName, dataset.PatientID = "", header.patient
    dataset.PatientBirthDate, dataset.PatientSex = "", ""
    dataset.StudyID, dataset.AccessionNumber = header.study, ""
    dataset.StudyDate, dataset.StudyTime = header.date, header.time
    dataset.Modality, dataset.BodyPartExamined = header.modality, "CHEST"
    dataset.Manufacturer, dataset.ReferringPhysicianName = "", ""
    dataset.SeriesNumber, dataset.InstanceNumber = 1, header.number
    _set(dataset, "ViewPosition", header.view)
    _set(dataset, "PerformedProcedureStepDescription", header.procedure)
    _set_code(dataset, "ViewCodeSequence", header.view_meaning)
    _set_code(dataset, "PatientOrientationCodeSequence", header.orientation)
    if header.spacing_tag:
        setattr(dataset, header.spacing_tag, [f"{header.spacing:.3f}"] * 2)
    if header.windows:
        dataset.WindowCenter = _one_or_many([centre for centre, _ in header.windows])
        dataset.WindowWidth = _one_or_many([width for _, width in header.windows])
    return dataset


def _set(dataset: Dataset, tag: str, value: str) -> None:
    if value:
        setattr(dataset, tag, value)


def _set_code(dataset: Dataset, tag: str, meaning: str) -> None:
    if meaning:
        item = Dataset()
        item.CodeMeaning = meaning
        setattr(dataset, tag, [item])


def _one_or_many(values: list[float]) -> str | list[str]:
    # archives pad these decimal strings with zeros; a single value is no list
    written = [f"{value:.3f}" for value in values]
    return written[0] if len(written) == 1 else written


def _describe_pixels(dataset: Dataset, values: Stored, *, bits: int, photometric: str) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = 0
    if photometric == "MONOCHROME1":
        dataset.PresentationLUTShape = "INVERSE"


def _file_meta(dataset: Dataset, syntax: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    # the old name of these trees: a change would change the bytes of every DICOM file
    meta.ImplementationClassUID = uid_of("look-alike")
    meta.ImplementationVersionName = "LOOKALIKE"  # else pydicom puts its own version here
    return meta


def _jpeg2000(values: Stored, bits: int) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            values, level=0, codecformat="j2k", reversible=True, bitspersample=bits
        )
    )


def _jpeg_ls(values: Stored, _bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(values))


def _jpeg_lossless(values: Stored, bits: int) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(values, bitspersample=bits))


# The lossless JPEG encoder predicts with selection value 6, so its syntax is the general Process
# 14 (...4.57) and not the first-order one (...4.70).
_ENCODE: dict[UID, Callable[[Stored, int], bytes]] = {
    JPEG2000Lossless: _jpeg2000,
    JPEGLSLossless: _jpeg_ls,
    JPEGLossless: _jpeg_lossless,
}
SYNTAXES = (ExplicitVRLittleEndian, RLELossless, *_ENCODE)
