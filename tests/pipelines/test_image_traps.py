"""More headers that lie and files that are broken, each named after the trap it was."""

from __future__ import annotations

import numpy as np
import pytest
from test_dicom_faults import (
    CENTRE,
    NO_WINDOW,
    code,
    dataset,
    eight,
    film,
    lut,
    near,
    right,
    saved,
    shown,
    window_of,
)


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
def test_bytes_in_the_other_order_are_turned_round(windowed):
    elements = {} if windowed else NO_WINDOW
    image, facts = shown(saved(dataset(film().byteswap(), **elements)))
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
    made = dataset(4095 - film(), PhotometricInterpretation=name, WindowCenter=4095 - CENTRE)
    assert near(shown(saved(made))[0], right())


COLOUR = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("by_planes", [True, False])
@pytest.mark.parametrize("tint", [1.0, 0.5])
def test_the_order_of_colours_is_found_where_the_header_tells_the_other(planar, by_planes, tint):
    """Only in a grey image can it be found; a tinted one is left as its header has it."""
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
    levels = np.rint(16 + eight()[:, :-1 if eight().shape[1] % 2 else None] * (219 / 255))
    pairs = np.full((levels.size // 2, 4), 128, np.uint8)
    pairs[:, :2] = levels.reshape(-1, 2)
    made = dataset(np.zeros((*levels.shape, 3), np.uint8), **COLOUR)
    made.PhotometricInterpretation, made.PixelData = "YBR_PARTIAL_422", pairs.tobytes()
    image, facts = shown(saved(made))
    assert facts["window"] == "stored"
    grey = eight()[:, : levels.shape[1]]
    assert near(image, shown(saved(dataset(grey)))[0], 1.5)


@pytest.mark.parametrize("slope", ["1e-13", "1e-320"])
def test_a_slope_however_small_takes_no_contrast(slope):
    made = dataset(RescaleSlope=slope, RescaleIntercept="0", **NO_WINDOW)
    assert near(shown(saved(made))[0], shown(saved(dataset(**NO_WINDOW)))[0])
