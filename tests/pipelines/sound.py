"""Valid images, to be damaged by tests: grey values, and DICOM files in every syntax we write."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import UID

from cxr_vlp.pipelines.synthetic.writing import dicom_files

HEADER = dicom_files.Header("19999001", "59999001", "0", date="21800101", view="PA")


def xray(height: int = 160, width: int = 130) -> np.ndarray:
    """Return 12-bit values of a smooth pattern, (height, width) uint16."""
    y, x = np.mgrid[0:height, 0:width]
    soft = 0.5 + 0.3 * np.sin(x / 17) * np.cos(y / 23) + 0.1 * np.sin(x * y / 900)
    return np.rint(np.clip(soft, 0, 1) * 0.8 * 4095).astype(np.uint16)


def dicom(
    syntax: UID = dicom_files.SYNTAXES[0], *, values: np.ndarray | None = None, **changes: Any
) -> bytes:
    """Return a DICOM file of an image, with some elements changed."""
    data = dicom_files.file_bytes(
        xray() if values is None else values,
        bits=12,
        photometric="MONOCHROME2",
        syntax=syntax,
        header=HEADER,
    )
    if not changes:
        return data
    dataset = pydicom.dcmread(io.BytesIO(data))
    for name, value in changes.items():
        setattr(dataset, name, value)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()
