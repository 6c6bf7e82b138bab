"""Pointing game, IoU, Dice and CNR by hand, on maps of 3 x 3."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_vlp.pipelines.format.sample import Box
from cxr_vlp.train.evaluation.frame import mask_of
from cxr_vlp.train.evaluation.grounding.localization import localize

HEAT = np.array([[0.0, 0.15, 0.0], [0.25, 0.6, 0.0], [0.0, 0.0, 0.45]])


def inside(*boxes: tuple[float, ...]) -> np.ndarray:
    return mask_of(tuple(Box("", *box) for box in boxes), 3, 3)


def test_all_measures_of_a_map_by_hand():
    found = localize(HEAT, inside((0, 1, 2, 1)))  # the pixels of .25 and .6
    assert found.pointing == 1
    assert found.chance == pytest.approx(2 / 9)
    # above .1: 4 pixels, .2: 3, .3: 2, .4: 2, .5: 1, of the box's two: 2, 2, 1, 1, 1
    assert found.iou == pytest.approx((2 / 4 + 2 / 3 + 1 / 3 + 1 / 3 + 1 / 2) / 5)
    # scaled by .6: .25, .4167, 1, .75: above .1: 4, .2: 4, .3: 3, .4: 3, .5: 2
    assert found.iou_scaled == pytest.approx((2 / 4 + 2 / 4 + 2 / 3 + 2 / 3 + 1 / 3) / 5)
    assert found.dice_scaled == pytest.approx((4 / 6 + 4 / 6 + 4 / 5 + 4 / 5 + 2 / 4) / 5)
    outside = np.array([0, 0.15, 0, 0, 0, 0, 0.45])
    difference = 0.425 - outside.mean()
    assert found.cnr == pytest.approx(difference / np.sqrt(0.175**2 + outside.var()))
    assert found.cnr_signed == found.cnr


def test_a_map_that_is_low_in_the_box_has_a_cnr_but_a_negative_signed_one():
    found = localize(-HEAT, inside((0, 1, 2, 1)))
    assert found.pointing == 0
    assert found.cnr_signed == -found.cnr < 0


def test_any_of_several_boxes_is_a_hit_and_their_union_counts():
    one, two = inside((2, 2, 1, 1)), inside((2, 2, 1, 1), (1, 1, 1, 1))
    assert localize(HEAT, one).pointing == 0
    assert localize(HEAT, two).pointing == 1
    assert localize(HEAT, two).chance == pytest.approx(2 / 9)


def test_a_map_that_is_the_same_everywhere_points_by_area_and_has_no_contrast():
    found = localize(np.full((3, 3), 0.3), inside((0, 0, 2, 1)))
    assert found.pointing == found.chance == pytest.approx(2 / 9)
    assert found.cnr == found.cnr_signed == 0
    assert found.iou == pytest.approx(2 * (2 / 9) / 5)  # all of it above .1 and .2
    assert found.iou_scaled == 0


def test_two_places_that_are_equally_high_count_half_if_one_is_inside():
    heat = np.zeros((3, 3))
    heat[0, 0] = heat[2, 2] = 0.7
    assert localize(heat, inside((0, 0, 1, 1))).pointing == 0.5


def test_what_the_model_does_not_see_is_neither_right_nor_wrong():
    heat = HEAT.copy()
    heat[:, 0] = np.nan  # the .25 in the box is not seen
    found = localize(heat, inside((0, 1, 2, 1)))
    assert found.pointing == 1
    assert found.chance == pytest.approx(1 / 6)
    assert found.iou == pytest.approx((1 / 3 + 1 / 2 + 1 / 2 + 1 / 2 + 1) / 5)


def test_a_box_outside_the_window_is_a_miss_without_a_contrast():
    heat = HEAT.copy()
    heat[:, 0] = np.nan
    found = localize(heat, inside((0, 0, 1, 3)))
    assert (found.pointing, found.chance, found.iou, found.cnr) == (0, 0, 0, None)


def test_a_box_around_everything_has_no_outside():
    found = localize(HEAT, inside((0, 0, 3, 3)))
    assert (found.pointing, found.chance) == (1, 1)
    assert found.cnr is None


def test_attention_has_no_iou_of_its_values():
    found = localize(HEAT / 100, inside((0, 1, 2, 1)), cosines=False)
    assert found.iou is None
    assert found.iou_scaled == pytest.approx(localize(HEAT, inside((0, 1, 2, 1))).iou_scaled)
