"""The heat map over an image: strength, what is not seen, and the bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cxr_vlp.train.evaluation.overlays import overlay

GREY = np.full((4, 5), 100, np.uint8)


def pixels(heat: np.ndarray) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(overlay(GREY, heat), np.uint8), cv2.IMREAD_COLOR)


def test_the_lowest_and_the_unseen_places_stay_grey_and_the_highest_is_coloured():
    heat = np.zeros((4, 5))
    heat[0, 0], heat[3, 4] = 2.0, np.nan
    drawn = pixels(heat)
    assert (drawn[1:, :4] == 100).all()
    assert (drawn[3, 4] == 100).all()
    blue, green, red = drawn[0, 0].astype(int)
    assert red > blue
    assert green > 150


@pytest.mark.parametrize("heat", [np.full((4, 5), 0.3), np.full((4, 5), np.nan)])
def test_a_flat_or_unseen_map_leaves_the_image(heat):
    assert (pixels(heat) == 100).all()


def test_the_same_map_gives_the_same_bytes_and_another_size_is_refused():
    heat = np.arange(20.0).reshape(4, 5)
    assert overlay(GREY, heat) == overlay(GREY, heat.copy())
    with pytest.raises(ValueError, match="over an image"):
        overlay(GREY, heat.T)
