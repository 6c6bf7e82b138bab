"""Files whose meta group names no transfer syntax, as some of VinDr-CXR: the pixels tell it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLSLossless,
)

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import dicom_file
from cxr_vlp.pipelines.imaging.dicom_pixels import opened
from cxr_vlp.pipelines.synthetic.writing import dicom_files
from cxr_vlp.pipelines.synthetic.writing.dicom_faults import forget_syntax

GREYS = np.add.outer(np.arange(96), np.arange(80)).astype(np.float32) / 180
SYNTAXES = (ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, JPEGLossless)


def written(path: Path, syntax) -> bytes:
    header = dicom_files.Header("p", "s", "i", windows=((2048.0, 4095.0),))
    return dicom_files.write(
        path, GREYS, bits=12, photometric="MONOCHROME2", syntax=syntax, header=header
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_values_are_those_of_the_named_syntax(tmp_path, syntax):
    path = tmp_path / "a.dicom"
    named = opened(written(path, syntax), 1 << 24, dicom_file.NOTED).stored().values
    forget_syntax(path)
    data = path.read_bytes()
    assert not dicom_file.syntax_of(pydicom.dcmread(path))
    assert dicom_file.syntax_of(dicom_file.parse(data)) == syntax
    assert (opened(data, 1 << 24, dicom_file.NOTED).stored().values == named).all()


def test_a_jpeg_of_8_bits_inside(tmp_path):
    path = tmp_path / "a.dicom"
    dataset = pydicom.dcmread(path) if written(path, ExplicitVRLittleEndian) else None
    coded = cv2.imencode(".jpg", (GREYS * 255).astype(np.uint8))[1].tobytes()
    dataset.PixelData = encapsulate([coded])
    dataset["PixelData"].is_undefined_length = True
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.save_as(path)
    forget_syntax(path)
    assert dicom_file.syntax_of(dicom_file.parse(path.read_bytes())) == JPEGBaseline8Bit


def test_pixels_that_no_decoder_reads_are_refused(tmp_path):
    path = tmp_path / "a.dicom"
    written(path, JPEG2000Lossless)
    forget_syntax(path)
    data = path.read_bytes().replace(b"\xff\x4f\xff\x51", b"\xff\x4e\xff\x51")
    with pytest.raises(IngestError, match=r"dicom\.unsupported_ts"):
        opened(data, 1 << 24, dicom_file.NOTED)
