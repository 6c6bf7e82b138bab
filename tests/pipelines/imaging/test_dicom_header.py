"""DICOM files: every codec is compared with pydicom's plugins, every fault has its code."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import cells
from cxr_vlp.pipelines.imaging import dicom_file, dicom_header, dicom_pixels
from cxr_vlp.pipelines.synthetic.writing import dicom_files

HEADER = dicom_files.Header("19999001", "59999001", "0", date="21800101", view="PA")
SYNTAXES = dicom_files.SYNTAXES


def values(bits: int = 12, height: int = 96, width: int = 80) -> np.ndarray:
    rng = np.random.default_rng(bits)
    ramp = np.linspace(0, 2**bits - 1, height * width).reshape(height, width)
    return np.clip(ramp + rng.normal(0, 20, ramp.shape), 0, 2**bits - 1).astype(np.uint16)


def file(syntax=SYNTAXES[0], bits: int = 12, **changes) -> bytes:
    data = dicom_files.file_bytes(
        values(bits), bits=bits, photometric="MONOCHROME2", syntax=syntax, header=HEADER
    )
    if not changes:
        return data
    dataset = pydicom.dcmread(io.BytesIO(data))
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def read(data: bytes, limit: int = 64_000_000) -> np.ndarray:
    dataset = dicom_file.parse(data)
    dicom_file.check(dataset, limit)
    return dicom_pixels.stored_values(dataset)


@pytest.mark.parametrize("bits", [10, 12, 14, 15, 16])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name.split(",")[0][:30])
def test_lossless_codecs_give_the_stored_values(syntax, bits):
    assert np.array_equal(read(file(syntax, bits)), values(bits))


REAL = {
    "dicom_cr/RG1_UNCR.dcm": "",
    "dicom_cr/RG1_J2KR.dcm": "gdcm",
    "dicom_cr/RG1_JLSN.dcm": "gdcm",
    "dicom_codec_nonchest/RG2_J2KR.dcm": "gdcm",
    "dicom_codec_nonchest/RG2_JLSL.dcm": "gdcm",
    "dicom_codec_nonchest/RG2_JPLL.dcm": "gdcm",
    "dicom_codec_nonchest/RG2_RLE.dcm": "pydicom",
    "dicom_codec_nonchest/RG3_J2KR.dcm": "gdcm",
    "dicom_codec_nonchest/CR-ModalitySequenceLUT.dcm": "gdcm",
}


@pytest.mark.parametrize(("name", "plugin"), REAL.items(), ids=REAL)
def test_real_files_decode_as_pydicoms_plugins_do(shared, name, plugin):
    data = (shared / "data" / name).read_bytes()
    ours = dicom_pixels.stored_values(dicom_file.parse(data))
    theirs = pydicom.pixels.pixel_array(io.BytesIO(data), decoding_plugin=plugin)
    assert np.array_equal(ours, theirs)


def test_a_12_bit_jpeg_that_the_plugins_of_pydicom_refuse(shared):
    data = (shared / "data/dicom_codec_nonchest/RG2_JPLY.dcm").read_bytes()
    twin = (shared / "data/dicom_codec_nonchest/RG2_RLE.dcm").read_bytes()
    lossy, exact = (
        dicom_pixels.stored_values(dicom_file.parse(d)).astype(int) for d in (data, twin)
    )
    assert lossy.shape == exact.shape
    assert np.abs(lossy - exact).mean() < 4  # of 1,024 grey levels


def test_a_headless_file_is_read_if_it_has_rows_and_pixels(shared):
    data = (shared / "data/dicom_cr/CR-MONO1-10-chest").read_bytes()
    assert read(data).shape == (440, 440)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", "dicom.empty", id="zero-bytes"),
        pytest.param(b"junk" * 500, "dicom.not_dicom", id="junk-is-not-forced"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "dicom.not_dicom", id="lfs"),
        pytest.param(file(PixelData=None), "dicom.no_pixels", id="no-pixel-data"),
        pytest.param(file(Rows=0), "dicom.bad_dims", id="rows-zero"),
        pytest.param(file(Rows=97), "dicom.truncated", id="fewer-pixels-than-rows-say"),
        pytest.param(file()[:-400], "dicom.truncated", id="cut-raw"),
        pytest.param(file(Rows=65535, Columns=65535), "image.too_large", id="bomb-by-header"),
        pytest.param(file(NumberOfFrames=10**6), "image.too_large", id="bomb-by-frames"),
        pytest.param(file(Modality="CT"), "dicom.modality", id="computed-tomography"),
        pytest.param(
            file(Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
            "dicom.modality",
            id="computed-tomography-by-class",
        ),
        pytest.param(file(Modality="SR"), "dicom.modality", id="structured-report"),
        pytest.param(file(PhotometricInterpretation="PALETTE COLOR"), "dicom.colour", id="palette"),
        pytest.param(file(BitsAllocated=32), "dicom.bits", id="32-bit"),
    ],
)
def test_faults_have_codes(data, code):
    with pytest.raises(IngestError) as error:
        read(data)
    assert error.value.code == code


@pytest.mark.parametrize("syntax", SYNTAXES[1:], ids=lambda uid: uid.name.split(",")[0][:30])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_truncated_compressed_file_has_a_code(syntax, kept):
    data = file(syntax)
    with pytest.raises(IngestError) as error:
        read(data[: int(len(data) * kept)])
    assert error.value.code.startswith("dicom.")


def test_a_video_syntax_is_refused_by_name():
    dataset = dicom_file.parse(file())
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"  # MPEG-4
    with pytest.raises(IngestError, match=r"dicom\.unsupported_ts"):
        dicom_file.check(dataset, 64_000_000)


def test_colour_becomes_luma_and_only_the_first_frame_counts():
    dataset = dicom_file.parse(file())
    rgb = np.zeros((2, 96, 80, 3), np.uint8)
    rgb[0, ..., 1] = 100
    dataset.PixelData = rgb.tobytes()
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.NumberOfFrames = 3, 0, 2
    dataset.PhotometricInterpretation = "RGB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    assert (dicom_pixels.stored_values(dataset) == 59).all()  # 0.587 of 100


@pytest.mark.parametrize(
    ("text", "years"),
    [("058Y", 58), ("58", 58), ("58.0", 58), ("018M", 1), ("000D", 0), ("", None), ("0", 0),
     ("412", None), ("-3", None), ("Y", None), ("nan", None)],
)  # fmt: skip
def test_years(text, years):
    assert cells.years(text) == years


def test_the_header_uses_the_first_of_several_values_and_ignores_odd_values():
    dataset = Dataset()
    dataset.ViewPosition = ["LL", "PA"]
    dataset.PatientSex = "O"
    header = dicom_header.study_header(dataset)
    assert (header.view_position, header.sex, header.age) == ("LL", "", None)


def test_the_error_contains_nothing_of_the_file():
    data = file(Rows=0, PatientName="CANARY^JANE")
    with pytest.raises(IngestError) as error:
        read(data)
    assert "CANARY" not in repr(error.value)


def test_the_teaching_files_by_their_tags(shared):
    folder = shared / "data/dicom_codec_nonchest"
    noted, refused = {}, set()
    for path in sorted(folder.glob("*.dcm")):
        dataset = dicom_file.parse(path.read_bytes())
        noted[path.stem] = dicom_file.check(dataset, 64_000_000)
        for gates in (
            dicom_file.Gates(body_part="reject"),
            dicom_file.Gates(modality="reject"),
        ):
            try:
                dicom_file.check(dataset, 64_000_000, gates)
            except IngestError as error:
                refused.add((path.stem, error.code))
    assert noted.pop("CR-ModalitySequenceLUT") == []  # teeth, and no tag that says so
    assert {note for notes in noted.values() for note in notes} == {
        "dicom.body_part",
        "dicom.modality",
    }
    assert refused == {(stem, note) for stem, notes in noted.items() for note in notes}
