"""DICOM writing: stored values come back exactly, and headers hold what they should."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, JPEGLossless, JPEGLosslessSV1

from cxr_vlp.pipelines.synthetic.writing import acquisitions, dicom_files

HEADER = dicom_files.Header(patient="19999001", study="50000001", image="a-b", date="21500101")
FORMS = [(10, "MONOCHROME2"), (12, "MONOCHROME2"), (14, "MONOCHROME1"), (15, "MONOCHROME1")]


def written(values: np.ndarray, bits: int, photometric: str, syntax: str, header=HEADER) -> bytes:
    return dicom_files.file_bytes(
        values, bits=bits, photometric=photometric, syntax=syntax, header=header
    )


def read(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def noise(bits: int, shape: tuple[int, int] = (37, 53), seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint16)
    values[0, :2] = 0, 2**bits - 1
    return values


@pytest.mark.parametrize("syntax", dicom_files.SYNTAXES, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(("bits", "photometric"), FORMS)
def test_stored_values_come_back(syntax, bits, photometric):
    values = noise(bits)
    dataset = read(written(values, bits, photometric, syntax))
    assert np.array_equal(dataset.pixel_array, values)
    assert (dataset.BitsStored, dataset.HighBit, dataset.BitsAllocated) == (bits, bits - 1, 16)
    assert dataset.PhotometricInterpretation == photometric
    assert dataset.file_meta.TransferSyntaxUID == syntax


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(2, 40),
    columns=st.integers(2, 40),
    syntax=st.sampled_from(dicom_files.SYNTAXES),
    bits=st.sampled_from((10, 12, 15)),
    seed=st.integers(0, 99),
)
def test_any_shape_comes_back(rows, columns, syntax, bits, seed):
    values = noise(bits, (rows, columns), seed)
    assert np.array_equal(read(written(values, bits, "MONOCHROME2", syntax)).pixel_array, values)


def test_lossless_jpeg_says_which_predictor_it_used():
    dataset = read(written(noise(12), 12, "MONOCHROME2", JPEGLossless))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    scan = frame.index(b"\xff\xda")
    selection = frame[scan + 7]  # Ss of the scan header: two of length, one count, two component
    assert (selection == 1) == (dataset.file_meta.TransferSyntaxUID == JPEGLosslessSV1)


def test_same_bytes_on_every_run():
    values = noise(12)
    for syntax in dicom_files.SYNTAXES:
        first, second = (written(values, 12, "MONOCHROME2", syntax) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("bits", [10, 12, 15])
def test_monochrome1_is_the_complement(bits):
    pixels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    bright = dicom_files.stored_values(pixels, bits=bits, photometric="MONOCHROME2")
    dark = dicom_files.stored_values(pixels, bits=bits, photometric="MONOCHROME1")
    assert np.array_equal(bright.astype(int) + dark, np.full((8, 8), 2**bits - 1))
    assert bright.min() > 0  # the range is never used to its ends
    assert bright.max() < 2**bits - 1


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_window_shows_nearly_all_stored_values(photometric):
    pixels = np.linspace(0, 1, 1000, dtype=np.float32).reshape(20, 50)
    values = dicom_files.stored_values(pixels, bits=12, photometric=photometric)
    centre, width = dicom_files.window_of(bits=12, photometric=photometric)
    inside = (values >= centre - width / 2) & (values <= centre + width / 2)
    assert inside.mean() > 0.95


def test_declared_bits_may_exceed_the_pixels():
    header = dicom_files.Header("p", "s", "i", declared_bits=16)
    values = noise(12)
    dataset = read(written(values, 12, "MONOCHROME2", ExplicitVRLittleEndian, header))
    assert dataset.BitsStored == 16
    assert np.array_equal(dataset.pixel_array, values)


@pytest.mark.parametrize(
    ("header", "tag", "said"),
    [
        pytest.param({}, "ViewPosition", None, id="no-view"),
        pytest.param({"view": "LL"}, "ViewPosition", "LL", id="view"),
        pytest.param({}, "WindowCenter", None, id="no-window"),
        pytest.param({"windows": ((5.0, 9.0),)}, "WindowCenter", 5.0, id="one-window"),
        pytest.param({"windows": ((5.0, 9.0),) * 2}, "WindowWidth", [9.0, 9.0], id="two-windows"),
        pytest.param({}, "ImagerPixelSpacing", None, id="no-spacing"),
        pytest.param(
            {"spacing": 0.143, "spacing_tag": "ImagerPixelSpacing"},
            "ImagerPixelSpacing",
            [0.143, 0.143],
            id="imager-spacing-only",
        ),
        pytest.param({}, "PatientName", "", id="nobody"),
        pytest.param({"modality": "DX"}, "Modality", "DX", id="dx"),
    ],
)
def test_header(header, tag, said):
    dataset = dicom_files.header_dataset(dicom_files.Header("19999001", "50000001", "a", **header))
    value = dataset.get(tag)
    assert (list(value) if isinstance(said, list) else value) == said


def test_view_by_code_sequence_alone():
    header = dicom_files.Header("p", "s", "i", view_meaning="postero-anterior")
    dataset = dicom_files.header_dataset(header)
    assert "ViewPosition" not in dataset
    assert dataset.ViewCodeSequence[0].CodeMeaning == "postero-anterior"


def test_uids_belong_to_the_ids():
    one, other = dicom_files.uid_of("a", "b"), dicom_files.uid_of("a", "c")
    assert one == dicom_files.uid_of("a", "b") != other
    assert one.startswith("2.25.")
    assert one.is_valid


def test_write_returns_what_is_on_disk(tmp_path: Path):
    path = tmp_path / "deep" / "a.dcm"
    pixels = np.zeros((4, 4), np.float32)
    form = {"bits": 12, "photometric": "MONOCHROME2", "syntax": ExplicitVRLittleEndian}
    content = dicom_files.write(path, pixels, header=HEADER, **form)
    assert path.read_bytes() == content


def test_twenty_images_have_every_kind_of_storage():
    acquired = [acquisitions.acquire("PA", ("PA",), place=i, rng=Random(i)) for i in range(20)]
    storages = [one.storage for one in acquired]
    assert {s.syntax for s in storages} == set(dicom_files.SYNTAXES)
    assert {s.bits for s in storages} == {10, 12, 14, 15}
    assert Counter(s.photometric for s in storages)["MONOCHROME1"] in range(7, 13)
    assert sum(s.declared > s.bits for s in storages) == 2


def test_headers_vary_at_natural_rates():
    rng = Random(0)
    acquired = [
        acquisitions.acquire("LATERAL", ("PA", "LATERAL"), place=0, rng=rng) for _ in range(500)
    ]
    windows = Counter(one.windows for one in acquired)
    assert 0.35 < windows[0] / 500 < 0.55
    assert 0 < windows[2] + windows[3] < 100
    assert {one.view for one in acquired} == {"", "LATERAL", "LL"}
    assert any(not one.view and one.view_meaning for one in acquired)
    assert {one.spacing_tag for one in acquired} == {"", "PixelSpacing", "ImagerPixelSpacing"}
