"""More wrong headers and damaged files; each was once stored without a note or a code."""

from __future__ import annotations

import io

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import pydicom
import pytest
from test_dicom_faults import (
    CENTRE,
    FRAMES,
    NO_WINDOW,
    code,
    dataset,
    eight,
    framed,
    lut,
    near,
    right,
    saved,
    shown,
    window_of,
    xray,
)

from cxr_vlp.pipelines.imaging import dicom_file, dicom_pixels


def test_a_stencil_of_bytes_is_refused_and_not_read_as_signed():
    """0 and 255 came out as 0 and -1, in signed bytes, which OpenCV cannot resize."""
    stencil = np.where(np.kron(eight(), np.ones((3, 3))) > 128, 255, 0).astype(np.uint8)
    assert code(saved(dataset(stencil))) == "image.implausible"


def test_signed_bytes_are_read():
    signed = (eight().astype(np.int16) - 128).astype(np.int8)
    large = np.kron(signed, np.ones((3, 3), np.int8))
    image, _ = shown(saved(dataset(large, PixelRepresentation=1)))
    assert np.corrcoef(image.ravel(), right().ravel())[0, 1] > 0.99


@pytest.mark.parametrize("windowed", [True, False])
def test_bytes_in_the_other_order_are_swapped(windowed):
    elements = {} if windowed else NO_WINDOW
    image, facts = shown(saved(dataset(xray().byteswap(), **elements)))
    assert near(image, shown(saved(dataset(**elements)))[0])
    assert facts["notes"] == ["dicom.bits_wrong"]


def test_a_lut_with_fewer_words_than_it_says_is_not_read_by_bytes():
    """4,000 words for 4,096 entries became 4,096 entries of one byte: grey grain, stored."""
    made = dataset(VOILUTSequence=lut(0, window_of(4095), 12, "OW"))
    made.VOILUTSequence[0].LUTData = made.VOILUTSequence[0].LUTData[:8000]
    image, facts = shown(saved(made))
    assert near(image, right())
    assert (facts["window"], facts["notes"]) == ("voi", ["lut.implausible"])


@pytest.mark.parametrize("name", ["MONOCHROME 1", "MONOCHROME_1", "Monochrome1"])
def test_monochrome1_in_any_spelling_is_inverted(name):
    made = dataset(4095 - xray(), PhotometricInterpretation=name, WindowCenter=4095 - CENTRE)
    assert near(shown(saved(made))[0], right())


COLOUR = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("by_planes", [True, False])
@pytest.mark.parametrize("tint", [1.0, 0.5])
def test_a_wrong_planar_configuration_is_detected(planar, by_planes, tint):
    """Only a grey image shows the order; a tinted one is read as its header says."""
    colours = np.dstack([eight(), eight(), (eight() * tint).astype(np.uint8)])
    if tint < 1 and planar != by_planes:
        return
    made = dataset(colours, PlanarConfiguration=planar, **COLOUR)
    wanted = shown(saved(dataset(colours, PlanarConfiguration=0, **COLOUR)))[0]
    if by_planes:
        made.PixelData = np.moveaxis(colours, 2, 0).tobytes() + b"\0" * (colours.size % 2)
    assert near(shown(saved(made))[0], wanted)


def test_three_equal_components_of_monochrome1_are_inverted():
    colours = np.repeat(255 - eight()[..., None], 3, 2)
    elements = COLOUR | {"PlanarConfiguration": 0, "PhotometricInterpretation": "MONOCHROME1"}
    assert near(shown(saved(dataset(colours, **elements)))[0], right())


def test_chroma_of_two_pixels_by_its_older_name():
    levels = np.rint(16 + eight()[:, : -1 if eight().shape[1] % 2 else None] * (219 / 255))
    pairs = np.full((levels.size // 2, 4), 128, np.uint8)
    pairs[:, :2] = levels.reshape(-1, 2)
    made = dataset(np.zeros((*levels.shape, 3), np.uint8), **COLOUR)
    made.PhotometricInterpretation, made.PixelData = "YBR_PARTIAL_422", pairs.tobytes()
    image, facts = shown(saved(made))
    assert facts["window"] == "stored"
    grey = eight()[:, : levels.shape[1]]
    assert near(image, shown(saved(dataset(grey)))[0], 1.5)


@pytest.mark.parametrize("slope", ["1e-13", "1e-320"])
def test_a_tiny_rescale_slope_does_not_change_the_contrast(slope):
    made = dataset(RescaleSlope=slope, RescaleIntercept="0", **NO_WINDOW)
    assert near(shown(saved(made))[0], shown(saved(dataset(**NO_WINDOW)))[0])


def test_exchanged_rows_and_columns_are_refused():
    """Every row is then smooth, but in the wrong place."""
    wide = np.ascontiguousarray(xray()[:, : xray().shape[1] * 6 // 8])
    height, width = wide.shape
    exchanged = saved(dataset(wide, Rows=width, Columns=height))
    assert code(exchanged, side=4000) == "image.implausible"
    shown(saved(dataset(wide)))


def png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def with_alpha(grey: np.ndarray) -> bytes:
    return bytes(imagecodecs.png_encode(np.dstack([grey, np.full_like(grey, 65535)])))


@pytest.mark.parametrize("form", ["colour", "alpha"])
def test_twelve_bits_in_a_png_of_16_are_no_darker_in_colour_or_with_alpha(form):
    wanted, _ = shown(png(xray()), ".png")
    colour = np.repeat(xray()[..., None], 3, 2)
    image, facts = shown(png(colour) if form == "colour" else with_alpha(xray()), ".png")
    assert near(image, wanted)
    assert facts["bits"] == 16


@pytest.mark.parametrize("resize", ["shortest", "pad"])
def test_a_png_is_not_turned_by_its_exif(resize):
    """OpenCV turned it, while size, boxes and padding were those of the image as stored."""
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    PIL.Image.fromarray(eight()).save(out := io.BytesIO(), "PNG", exif=tags.tobytes())
    wanted, _ = shown(png(eight()), ".png", resize=resize)
    assert np.array_equal(shown(out.getvalue(), ".png", resize=resize)[0], wanted)


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_bytes_after_the_end_of_a_file_are_ignored(form):
    data = cv2.imencode(f".{form}", eight())[1].tobytes()
    behind = bytes(4096) + (b"notes" * 300 if form == "png" else b"")
    assert np.array_equal(shown(data + behind, f".{form}")[0], shown(data, f".{form}")[0])
    assert code(data[: len(data) // 2] + behind, f".{form}") == "image.unreadable"


def test_signed_values_keep_their_reading_where_the_image_has_hard_edges(shared):
    """A test pattern of 12 signed bits was read as 16: nothing jumps by half of 65,536."""
    data = (shared / "data/dicom_codec_nonchest/mlut_18.dcm").read_bytes()
    values = dicom_pixels.stored_values(dicom_file.parse(data))
    assert np.array_equal(values, pydicom.dcmread(io.BytesIO(data)).pixel_array)
    shown(data)


@pytest.mark.parametrize("at", [0.3, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("damage", ["lost", "zeros", "cut"])
def test_damage_in_a_jpeg_of_12_bits_is_detected(at, damage):
    """Its decoder reports nothing: the pixels after the gap were displaced, and stored."""
    syntax, frame, elements = FRAMES["extended"]
    whole = frame()
    start = int(len(whole) * at)
    rest = {"lost": whole[start + 300 :], "zeros": bytes(300) + whole[start + 300 :],
            "cut": b"\xff\xd9"}[damage]  # fmt: skip
    assert code(framed(whole[:start] + rest, syntax, **elements)) == "dicom.damaged_frame"
    assert near(shown(framed(whole, syntax, **elements))[0], right(), 1.5)


def test_zeros_for_the_parameters_of_a_scan_are_no_damage():
    syntax, frame, elements = FRAMES["baseline"]
    whole = frame()
    odd = whole.replace(b"\0\x3f\0", bytes(3), 1)
    assert odd != whole
    assert near(shown(framed(odd, syntax, **elements))[0], right(), 1.5)
    cut = odd[: len(odd) // 2] + odd[len(odd) // 2 + 300 :]
    assert code(framed(cut, syntax, **elements)) == "dicom.damaged_frame"


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_a_weak_image_is_stretched_in_every_format(form):
    """The PNG of 8 bits was once refused, and the DICOM file with the same values was kept."""
    weak = (100 + (eight() >> 4)).astype(np.uint8)
    data = cv2.imencode(f".{form}", weak, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    image, facts = shown(data, f".{form}")
    twin, twin_facts = shown(saved(dataset(weak)))
    assert np.abs(image.astype(int) - twin).mean() < 6
    assert facts["notes"] == twin_facts["notes"] == ["grey.stretched"]


def test_a_collimated_image_is_kept_in_every_format():
    values = np.zeros((xray().shape[0] * 4, xray().shape[1] * 4), np.uint16)
    values[400 : 400 + xray().shape[0], 300 : 300 + xray().shape[1]] = xray()
    _, facts = shown(saved(dataset(values)), side=4000)
    assert (facts["window"], facts["notes"]) == ("voi", [])
    levels = (values >> 4).astype(np.uint8)
    stored, _ = shown(png(levels), ".png", side=4000)
    assert np.array_equal(stored, levels)
    assert np.array_equal(shown(saved(dataset(levels)), side=4000)[0], levels)


@pytest.mark.parametrize("threshold", [None, 128])
@pytest.mark.parametrize("factor", [1, 4])
def test_a_png_of_one_bit_is_no_image_at_any_size(threshold, factor):
    """When resized, its edges or dots had all the greys of an image."""
    large = PIL.Image.fromarray(np.kron(eight(), np.ones((factor, factor), np.uint8)))
    levels = large if threshold is None else large.point(lambda x: 255 * (x > threshold))
    levels.convert("1").save(out := io.BytesIO(), "PNG")
    assert code(out.getvalue(), ".png") == "image.implausible"


@pytest.mark.parametrize("axis", [0, 1])
def test_marks_in_a_bit_above_the_values_are_removed(axis):
    """Marks in whole rows differ only from the row above and below."""
    marked = np.where(np.indices(xray().shape)[axis] % 97 < 2, xray() | 0x8000, xray())
    image, facts = shown(saved(dataset(marked.astype(np.uint16))))
    assert near(image, right())
    assert facts["notes"] == ["dicom.bits_wrong"]
