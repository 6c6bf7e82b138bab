"""Images become squares: padding loses nothing, and nothing is mirrored by default."""

from __future__ import annotations

import random
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.images import (
    Window,
    cut,
    decode,
    drawn,
    full_square,
    inner_window,
    jitter,
    prepare,
    rectangle,
    smallest_side,
)
from cxr_vlp.train.data.seeding import generator


def flat(height: int, width: int, level: int) -> torch.Tensor:
    return torch.full((1, height, width), level, dtype=torch.uint8)


@pytest.mark.parametrize("shape", [(40, 20), (20, 40), (30, 30), (41, 20)])
def test_pad_keeps_the_whole_image_on_black(shape):
    square = prepare(flat(*shape, 200), ImageConfig(fit="pad"), max(shape), None)
    assert square.shape == (1, max(shape), max(shape))
    assert (square == 200).sum() == shape[0] * shape[1]
    assert set(square.unique().tolist()) <= {0, 200}


def test_shortest_takes_the_middle():
    image = flat(40, 20, 0)
    image[:, 10:30] = 99
    assert (prepare(image, ImageConfig(fit="shortest"), 20, None) == 99).all()


def test_a_part_is_the_middle_in_evaluation_and_anywhere_in_training():
    image = flat(64, 64, 0)
    image[:, 8:56, 8:56] = 99
    recipe = ImageConfig(part=0.75)
    assert (prepare(image, recipe, 48, None) == 99).all()
    rngs = [generator(0, 0, str(number), "window") for number in range(20)]
    squares = [prepare(image, recipe, 48, rng) for rng in rngs]
    assert len({tuple((square == 99).float().mean((0, 1)).tolist()) for square in squares}) > 10


@given(st.floats(0.1, 1), st.integers(0, 10_000))
def test_a_part_stays_within_its_square(part, number):
    outer = full_square(60, 100, "pad")
    inner = inner_window(outer, part, random.Random(number))
    assert inner.width == pytest.approx(part * outer.width)
    assert abs(inner.x - outer.x) <= (outer.width - inner.width) / 2 + 1e-9
    assert abs(inner.y - outer.y) <= (outer.height - inner.height) / 2 + 1e-9


@given(st.integers(20, 90), st.integers(20, 90), st.integers(0, 10_000))
def test_a_rectangle_lies_in_the_image_and_has_about_the_area_asked_for(height, width, number):
    window = rectangle(flat(height, width, 0), (0.5, 0.9), random.Random(number))
    assert 0 <= window.x - window.width / 2 <= window.x + window.width / 2 <= width
    assert 0 <= window.y - window.height / 2 <= window.y + window.height / 2 <= height
    # rounding to pixels, and torchvision's own way out where the shape does not fit, take some
    assert window.width * window.height >= 0.2 * height * width
    assert 0.7 <= window.width / window.height <= 1.5


def test_drawing_a_rectangle_leaves_torchs_own_generator_as_it_was():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = rectangle(flat(50, 40, 0), (0.5, 0.9), random.Random(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert rectangle(flat(50, 40, 0), (0.5, 0.9), random.Random(1)) == first


def test_nothing_is_mirrored_by_default():
    image = flat(64, 64, 0)
    image[:, :, :32] = 255
    recipe = ImageConfig(crop=0.2, shift=0.1)
    for number in range(50):
        square = prepare(image, recipe, 32, generator(0, 0, str(number), "window")).float()
        assert square[0, :, 8].mean() > 200
        assert square[0, :, 26].mean() < 50


@given(st.integers(0, 10_000), st.floats(0, 0.9), st.floats(0, 0.5))
def test_jitter_stays_within_its_limits(number, crop, shift):
    start = Window(50.0, 60.0, 100.0, 80.0)
    window = jitter(start, generator(0, 0, str(number), "window"), crop, shift)
    assert start.width * (1 - crop) - 1e-9 <= window.width <= start.width
    assert window.width / window.height == pytest.approx(start.width / start.height)
    assert abs(window.x - start.x) <= shift * window.width + 1e-9
    assert abs(window.y - start.y) <= shift * window.height + 1e-9


@given(
    st.floats(-50, 150), st.floats(-50, 150), st.floats(0.2, 200), st.floats(0.2, 200),
    st.integers(1, 60), st.integers(1, 60),
)  # fmt: skip
def test_any_window_gives_the_size_asked_for(x, y, across, down, height, width):
    square = cut(flat(height, width, 7), Window(x, y, across, down), 16)
    assert square.shape == (1, 16, 16)
    assert square.dtype == torch.uint8
    assert set(square.unique().tolist()) <= {0, 7}


def test_shrinking_does_not_alias():
    lines = flat(256, 256, 0)
    lines[:, :, ::2] = 255
    square = cut(lines, full_square(256, 256, "pad"), 32).float()
    assert square.std() < 2
    assert abs(square.mean() - 127.5) < 2


def test_a_cut_shows_the_same_as_opencvs_area_resize():
    noise = np.random.default_rng(0).integers(0, 255, (40, 30), dtype=np.uint8)
    image = cv2.resize(noise, (300, 400), interpolation=cv2.INTER_CUBIC)
    padded = np.zeros((400, 400), np.uint8)
    padded[:, 50:350] = image
    expected = cv2.resize(padded, (128, 128), interpolation=cv2.INTER_AREA)
    square = cut(torch.from_numpy(image)[None], full_square(400, 300, "pad"), 128)[0].numpy()
    inside = slice(18, 110)
    difference = np.abs(square[:, inside].astype(int) - expected[:, inside])
    assert difference.mean() < 3
    assert (square[:, :15] == 0).all()
    assert (square[:, -15:] == 0).all()


def test_colour_is_read_as_grey_and_invalid_data_as_none():
    data = cv2.imencode(".png", np.full((5, 4, 3), 80, np.uint8))[1].tobytes()
    image = decode(data, ImageConfig(), 2)
    assert image is not None
    assert image.tolist() == [[[80] * 4] * 5]
    assert decode(b"rubbish", ImageConfig(), 2) is None
    assert decode(b"\xff\xd8rubbish", ImageConfig(), 2) is None


@given(
    st.integers(40, 200), st.integers(40, 200), st.integers(0, 9_999), st.floats(0.3, 1),
    st.floats(0, 0.5), st.floats(0.5, 1), st.sampled_from(["pad", "shortest"]),
)  # fmt: skip
def test_no_window_is_smaller_than_smallest_side(height, width, number, area, crop, part, fit):
    recipe = ImageConfig(fit=fit, area=(area, 1.0), crop=crop, part=part)
    for each in (recipe, replace(recipe, area=(1.0, 1.0))):
        window = drawn(flat(height, width, 0), each, random.Random(number))
        # a rectangle's sides are whole pixels
        assert min(window.width, window.height) >= smallest_side(height, width, each) - 1


def coarse_image(side: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 255, (side // 8, side // 8), dtype=np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("size", "recipe", "side"),
    [
        (224, ImageConfig(), 256),
        (224, ImageConfig(crop=0.1), 256),
        (224, ImageConfig(crop=0.2), 512),  # a window of 0.8 x 256 would have to be enlarged
        (224, ImageConfig(area=(0.8, 1.0)), 512),
        (100, ImageConfig(part=0.875), 128),
        (30, ImageConfig(), 64),
        (600, ImageConfig(), 512),
    ],
)
def test_a_jpeg_is_decoded_no_finer_than_its_windows_need(size, recipe, side):
    data = cv2.imencode(".jpg", coarse_image(512))[1].tobytes()
    image = decode(data, recipe, size)
    assert image is not None
    assert image.shape == (1, side, side)


def test_what_is_decoded_coarser_shows_the_same():
    data = cv2.imencode(".jpg", coarse_image(512), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    coarse = decode(data, ImageConfig(), 224)
    fine = torch.from_numpy(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))[None]
    assert coarse is not None
    assert coarse.shape != fine.shape
    one, other = (prepare(each, ImageConfig(), 224, None).int() for each in (coarse, fine))
    difference = (one - other).abs().float()
    assert difference.mean() < 1
    assert difference.quantile(0.99) <= 3
