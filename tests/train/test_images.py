"""Pictures become squares: nothing of a film is lost by padding, nothing is mirrored."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.chance import chance
from train.images import Window, cut, decode, jitter, prepare, whole
from train.recipe import Pictures


@pytest.mark.parametrize("shape", [(40, 20), (20, 40), (30, 30), (41, 20)])
def test_pad_keeps_the_whole_film_on_black(shape):
    square = prepare(np.full(shape, 200, np.uint8), Pictures(fit="pad"), max(shape), None)
    assert square.shape == (max(shape),) * 2
    assert (square == 200).sum() == shape[0] * shape[1]
    assert set(np.unique(square)) <= {0, 200}


def test_shortest_takes_the_middle():
    picture = np.zeros((40, 20), np.uint8)
    picture[10:30] = 99
    assert (prepare(picture, Pictures(fit="shortest"), 20, None) == 99).all()


def test_nothing_is_mirrored():
    picture = np.zeros((64, 64), np.uint8)
    picture[:, :32] = 255
    recipe = Pictures(crop=0.2, shift=0.1)
    for number in range(50):
        square = prepare(picture, recipe, 32, chance(0, 0, str(number), "window"))
        assert square[:, 8].mean() > 200
        assert square[:, 26].mean() < 50


@given(st.integers(0, 10_000), st.floats(0, 0.9), st.floats(0, 0.5))
def test_jitter_stays_within_its_limits(number, crop, shift):
    start = Window(50.0, 60.0, 100.0)
    window = jitter(start, chance(0, 0, str(number), "window"), crop, shift)
    assert start.side * (1 - crop) - 1e-9 <= window.side <= start.side
    assert abs(window.x - start.x) <= shift * window.side + 1e-9
    assert abs(window.y - start.y) <= shift * window.side + 1e-9


@given(
    st.floats(-50, 150), st.floats(-50, 150), st.floats(0.2, 200),
    st.integers(1, 60), st.integers(1, 60),
)  # fmt: skip
def test_any_window_gives_the_size_asked_for(x, y, side, height, width):
    square = cut(np.full((height, width), 7, np.uint8), Window(x, y, side), 16)
    assert square.shape == (16, 16)
    assert square.dtype == np.uint8


def test_shrinking_does_not_alias():
    lines = np.zeros((256, 256), np.uint8)
    lines[:, ::2] = 255
    square = cut(lines, whole(256, 256, "pad"), 32)
    assert square.std() < 2
    assert abs(square.mean() - 127.5) < 2


def test_colour_is_read_as_grey_and_rubbish_as_nothing():
    data = cv2.imencode(".png", np.full((5, 4, 3), 80, np.uint8))[1].tobytes()
    assert decode(data).tolist() == [[80] * 4] * 5
    assert decode(b"rubbish") is None
