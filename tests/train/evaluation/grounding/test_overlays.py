"""The heat map that is laid over an image: strength, what is not seen, and the bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cxr_vlp.train.evaluation.grounding.overlays import SIDE, STRONGEST, overlay, scaled


def pixels(heat: np.ndarray) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(overlay(heat), np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_lower_half_and_the_unseen_places_are_clear_and_the_highest_is_coloured():
    heat = np.arange(20.0).reshape(4, 5)
    heat[0, 0] = np.nan
    drawn = pixels(heat)
    assert drawn.shape == (4, 5, 4)
    assert (drawn[:2, :, 3] == 0).all()
    blue, green, red, alpha = drawn[3, 4].astype(int)
    assert alpha == round(255 * STRONGEST)
    assert red > blue
    assert green > 150
    assert (np.diff(drawn[2:, :, 3].ravel().astype(int)) > 0).all()


def test_a_map_is_scaled_between_its_median_and_its_highest_value():
    heat = np.array([[-4.0, 1.0, 2.0], [1.0, 3.0, np.nan]])
    # the median of -4, 1, 1, 2, 3 is 1
    assert scaled(heat).tolist() == [[0, 0, 0.5], [0, 1, 0]]


@pytest.mark.parametrize("heat", [np.full((4, 5), 0.3), np.full((4, 5), np.nan)])
def test_a_flat_or_unseen_map_is_clear(heat):
    assert (pixels(heat)[..., 3] == 0).all()


def test_a_large_map_is_small_and_has_the_sides_of_its_image():
    heat = np.zeros((600, 300))
    heat[:300, 150:] = 1.0  # above on the right
    drawn = pixels(heat)
    assert drawn.shape == (SIDE, SIDE // 2, 4)
    assert drawn[10, 24, 3] > 0
    assert drawn[50, 24, 3] == drawn[10, 8, 3] == 0


def test_the_same_map_gives_the_same_bytes():
    heat = np.arange(20.0).reshape(4, 5)
    assert overlay(heat) == overlay(heat.copy())
