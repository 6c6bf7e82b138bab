"""Values that are read without pydicom are equal to pydicom's; odd files are left to pydicom."""

from __future__ import annotations

import io
from functools import lru_cache

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.imaging import codecs, dicom_file, dicom_pixels, jpeg_strip
from cxr_vlp.pipelines.synthetic.writing import dicom_files

LIMIT = 64_000_000


def values(bits: int = 12, height: int = 97, width: int = 83) -> np.ndarray:
    """An image with odd sides, and with black and white squares, where wavelets overshoot."""
    rng = np.random.default_rng(bits)
    image = np.linspace(0.1, 0.9, height * width).reshape(height, width)
    image[20:40, 10:30], image[50:70, 40:60] = 0, 1
    noise = rng.normal(0, 0.002, image.shape)
    return np.rint(np.clip(image + noise, 0, 1) * (2**bits - 1)).astype(np.uint16)


def dataset(**changes) -> Dataset:
    """A data set of the uncompressed image, with changed elements such as `PixelData`."""
    header = dicom_files.Header("19999001", "59999001", "0", view="PA")
    data = dicom_files.file_bytes(
        values(), bits=12, photometric="MONOCHROME2", syntax=dicom_files.SYNTAXES[0], header=header
    )
    made = pydicom.dcmread(io.BytesIO(data))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def saved(made: Dataset, syntax: str) -> bytes:
    fresh = Dataset()  # one that was read cannot be written in the other order of bytes
    fresh.update(made)
    fresh.file_meta = made.file_meta
    fresh.file_meta.TransferSyntaxUID = syntax
    fresh.save_as(out := io.BytesIO(), enforce_file_format=True)
    return out.getvalue()


EIGHT = (values() >> 4).astype(np.uint8)
AS_EIGHT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
FRAMES = {"NumberOfFrames": 2, "PixelData": values().tobytes() * 2}
PLAIN = {
    "explicit": dataset(),
    "more-bits-than-used": dataset(BitsStored=14, HighBit=13),
    "8-bits-odd-length": dataset(**AS_EIGHT, PixelData=EIGHT.tobytes() + b"\0"),
    "one-frame-stated": dataset(NumberOfFrames=1),
    "more-than-rows-say": dataset(Rows=96),
}
ODD = {
    "two-frames": dataset(**FRAMES),
    "colour": dataset(
        **AS_EIGHT, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB",
        PixelData=np.repeat(EIGHT[..., None], 3, 2).tobytes() + b"\0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("made", PLAIN.values(), ids=PLAIN)
def test_plain_values_are_a_view_of_the_file(made, syntax):
    data = saved(made, syntax)
    image = dicom_pixels.opened(data, LIMIT)
    assert image.view is not None
    assert np.shares_memory(image.values(), np.frombuffer(data, np.uint8))
    assert np.array_equal(image.values(), pydicom.dcmread(io.BytesIO(data)).pixel_array)
    assert image.size == image.values().shape


@pytest.mark.parametrize("made", ODD.values(), ids=ODD)
def test_odd_files_have_the_values_that_pydicom_reads(made):
    data = saved(made, ExplicitVRLittleEndian)
    image = dicom_pixels.opened(data, LIMIT)
    assert image.view is None
    theirs = pydicom.pixels.pixel_array(io.BytesIO(data), index=0)
    assert np.abs(image.values().astype(int) - theirs.reshape(97, 83, -1)[..., 0]).max() <= 0


@pytest.mark.parametrize(
    "syntax", dicom_files.SYNTAXES, ids=lambda uid: uid.name.split(",")[0][:30]
)
def test_the_header_is_parsed_once(monkeypatch, syntax):
    """The header of a compressed file was parsed up to the pixels, and then again with them."""
    header = dicom_files.Header("19999001", "59999001", "0", view="PA")
    data = dicom_files.file_bytes(
        values(), bits=12, photometric="MONOCHROME2", syntax=syntax, header=header
    )
    read = []
    elements = pydicom.filereader.data_element_generator

    def counted(*args, **kwargs):
        for element in elements(*args, **kwargs):
            read.append(element.tag)
            yield element

    monkeypatch.setattr(pydicom.filereader, "data_element_generator", counted)
    image = dicom_pixels.opened(data, LIMIT)
    assert read.count(0x00280010) == 1
    assert np.array_equal(image.values(), values())


@pytest.mark.parametrize("cut", [10, 200, 1000])
def test_a_truncated_compressed_file_gets_the_code_of_a_full_read(cut):
    frame = codestream(JPEG2000Lossless, 12)
    made = dataset(Rows=194, Columns=166, PixelData=encapsulate([frame]))
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    data = saved(made, JPEG2000Lossless)[:-cut]

    def code(act) -> str:
        with pytest.raises(IngestError) as error:
            act()
        return error.value.code

    whole = code(lambda: dicom_file.check(dicom_file.parse(data), LIMIT))
    assert code(lambda: dicom_pixels.opened(data, LIMIT)) == whole


SIGNED = values().astype(np.int16) - 2048
LIES = {
    "signed": (dataset(PixelRepresentation=1, PixelData=SIGNED.tobytes()), SIGNED, False),
    "signed-12-bits-alone": (
        dataset(PixelRepresentation=1, PixelData=(SIGNED & 0xFFF).tobytes()), SIGNED, False),
    "signed-in-an-unsigned-header": (
        dataset(BitsStored=16, HighBit=15, PixelData=SIGNED.tobytes()), SIGNED, True),
    "signed-16-in-an-unsigned-header-of-12": (dataset(PixelData=SIGNED.tobytes()), SIGNED, True),
    "unsigned-in-a-signed-header": (
        dataset(PixelRepresentation=1, BitsStored=16, HighBit=15,
                PixelData=(values() << 4).tobytes()), values() << 4, True),
    "unsigned-12-in-a-signed-header": (dataset(PixelRepresentation=1), values(), True),
    "fewer-bits-than-used": (dataset(BitsStored=10, HighBit=9), values(), True),
    "bits-at-the-top": (dataset(HighBit=15, PixelData=(values() << 4).tobytes()), values(), True),
    "high-bit-alone-is-wrong": (dataset(HighBit=15), values(), True),
    "at-the-top-unsaid": (dataset(PixelData=(values() << 4).tobytes()), values(), True),
    "padding-beyond-the-bits": (
        dataset(PixelPaddingValue=65535,
                PixelData=np.where(np.arange(83) < 9, 65535, values()).astype("<u2").tobytes()),
        np.where(np.arange(83) < 9, 65535, values()), False),
    "overlays-in-the-unused-bits": (
        dataset(PixelData=(values() | (np.arange(97) % 7 < 3)[:, None] * 0x1000).astype("<u2")
                .tobytes()), values(), None),
}  # fmt: skip
LIES["overlays-in-the-unused-bits"][0].add_new(0x60000100, "US", 16)
LIES["overlays-in-the-unused-bits"][0].add_new(0x60000102, "US", 12)


@pytest.mark.parametrize(("made", "expected", "wrong"), LIES.values(), ids=LIES)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_depth_and_sign_are_found_in_the_values(made, expected, wrong, syntax):
    stored = dicom_pixels.opened(saved(made, syntax), LIMIT).stored()
    assert np.array_equal(stored.values.astype(int), expected.astype(int))
    assert wrong is None or stored.bits_wrong == wrong


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_orders_of_bytes_give_the_same_values(syntax):
    made = dataset()
    if syntax == ExplicitVRBigEndian:
        made.PixelData = values().astype(">u2").tobytes()
    image = dicom_pixels.opened(saved(made, syntax), LIMIT)
    assert image.view is None
    assert np.array_equal(image.values(), values())


def test_an_element_before_the_pixels_is_not_read_as_pixels():
    made = dataset()
    made.add_new(0x7FE00001, "OV", b"\0" * 8)  # Extended Offset Table, where none belongs
    image = dicom_pixels.opened(saved(made, ExplicitVRLittleEndian), LIMIT)
    assert np.array_equal(image.values(), values())


runs = arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 150)),
                     elements=st.sampled_from([0, 1, 255, 256, 4095, 65535]))  # fmt: skip


@given(runs, st.sampled_from([8, 16]))
def test_run_lengths_are_pydicoms(image, bits):
    image = image if bits == 16 else image.astype(np.uint8)
    made = dataset(BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1)
    made.Rows, made.Columns = image.shape
    made.compress(RLELossless, image, encoding_plugin="pydicom")
    frame = next(generate_frames(made.PixelData, number_of_frames=1))
    assert np.array_equal(codecs.run_lengths(frame, *image.shape, bits), image)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda f: b"", id="empty"),
        pytest.param(lambda f: b"\3" + f[1:], id="three-segments"),
        pytest.param(lambda f: f[:4] + b"\7" + f[5:], id="segment-within-the-header"),
    ],
)
def test_odd_run_lengths_are_left_to_pydicom(spoil):
    made = dataset()
    made.compress(RLELossless, values(), encoding_plugin="pydicom")
    frame = next(generate_frames(made.PixelData, number_of_frames=1))
    assert codecs.run_lengths(spoil(frame), 97, 83, 16) is None


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda f: f[: len(f) // 2], id="cut"),
        pytest.param(lambda f: f[:8] + f[4:8] + f[12:], id="empty-segment"),
        pytest.param(lambda f: f[:6000] + bytes(400) + f[6400:], id="zeros-inside"),
        pytest.param(lambda f: f + f[-500:], id="more-than-there-are"),
    ],
)
def test_run_lengths_of_the_wrong_total_are_damaged(spoil):
    made = dataset()
    made.compress(RLELossless, values(), encoding_plugin="pydicom")
    frame = next(generate_frames(made.PixelData, number_of_frames=1))
    assert codecs.run_lengths(frame, 97, 83, 16) is not None
    with pytest.raises(jpeg_strip.DamagedError):
        codecs.run_lengths(spoil(frame), 97, 83, 16)


@lru_cache
def codestream(syntax: str, bits: int) -> bytes:
    image = values(bits, 194, 166)
    if syntax == HTJ2KLossless:
        return bytes(imagecodecs.htj2k_encode(image))
    options = {"codecformat": "j2k", "reversible": True, "bitspersample": bits}
    return bytes(imagecodecs.jpeg2k_encode(image, **options))


def wavelet(syntax: str, frame: bytes | None = None, **changes) -> dicom_pixels.DicomImage:
    frame = codestream(syntax, 12) if frame is None else frame
    made = dataset(Rows=194, Columns=166, PixelData=encapsulate([frame]), **changes)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return dicom_pixels.opened(saved(made, syntax), LIMIT)


@pytest.mark.parametrize("bits", [10, 12, 15, 16])
@pytest.mark.parametrize("times", [1, 2])
def test_a_halved_wavelet_image_is_near_the_means(times, bits):
    frame, image = codestream(JPEG2000Lossless, bits), values(bits, 194, 166)
    small = codecs.reduced(frame, JPEG2000Lossless, image.shape, bits, times)
    means = cv2.resize(image, small.shape[::-1], interpolation=cv2.INTER_AREA)
    assert small.shape == (-(-194 >> times), -(-166 >> times))
    assert small.max() < 2**bits
    # beside the letters' edges, where any two low-pass filters differ
    assert np.percentile(np.abs(small.astype(int) - means), 75) < 0.02 * 2**bits


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("times", [1, 2])
def test_both_wavelet_decoders_agree_where_the_band_overshoots(times, bits):
    found = [
        codecs.reduced(codestream(syntax, bits), syntax, (194, 166), bits, times)
        for syntax in (JPEG2000Lossless, HTJ2KLossless)
    ]
    assert np.array_equal(*found)
    raw = imagecodecs.htj2k_decode(codestream(HTJ2KLossless, bits), skipres=times)
    assert raw.max() > 60_000  # less than none, wrapped round


def test_more_bits_than_the_header_says_are_left_to_the_full_decoder():
    frame = codestream(HTJ2KLossless, 16)
    for bits in (10, 12, 14, 15, 16):
        assert codecs.reduced(frame, HTJ2KLossless, (194, 166), bits, 1) is None


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda f: f[: len(f) // 2], id="cut"),
        pytest.param(lambda f: f[: len(f) // 2] + b"\xff\xd9", id="cut-and-ended"),
        pytest.param(lambda f: f[:-2], id="no-end"),
        pytest.param(lambda f: f[:42] + b"\x8b" + f[43:], id="signed"),
        pytest.param(lambda f: b"\0\0\0\x0cjP  " + f, id="boxed"),
        pytest.param(lambda f: f[:4], id="start-alone"),
        pytest.param(lambda f: b"", id="empty"),
    ],
)
def test_a_damaged_codestream_is_left_to_the_full_decoder(syntax, spoil):
    frame = spoil(codestream(syntax, 12))
    assert codecs.reduced(frame, syntax, (194, 166), 12, 1) is None


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless])
def test_a_codestream_of_another_size_is_left_to_the_full_decoder(syntax):
    assert wavelet(syntax).reduced(1) is not None
    image = wavelet(syntax, frame=codecs_frame_of_another_size(syntax))
    assert image.reduced(1) is None
    with pytest.raises(IngestError, match=r"dicom\.bad_dims"):
        image.values()


def codecs_frame_of_another_size(syntax: str) -> bytes:
    small = values(12, 97, 83)
    if syntax == HTJ2KLossless:
        return bytes(imagecodecs.htj2k_encode(small))
    return bytes(imagecodecs.jpeg2k_encode(small, codecformat="j2k", reversible=True))


def test_images_without_smaller_sizes_return_none():
    assert wavelet(JPEG2000Lossless).reduced(0) is None
    assert wavelet(JPEG2000Lossless, PixelRepresentation=1).reduced(1) is None
    assert dicom_pixels.opened(saved(dataset(), ExplicitVRLittleEndian), LIMIT).reduced(1) is None
    made = dataset(PixelData=encapsulate([bytes(imagecodecs.jpegls_encode(values()))]))
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    assert dicom_pixels.opened(saved(made, JPEGLSLossless), LIMIT).reduced(1) is None
