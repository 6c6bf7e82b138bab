"""Training images are varied as the recipe says, each from its own generator."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as v2f
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.config.recipe import AugmentConfig, ImageConfig
from cxr_vlp.train.data.augment import Affine, Equalize, augmented
from cxr_vlp.train.data.images import prepare

ALL = AugmentConfig(
    flip=0.5, turn=20, move=0.1, zoom=(0.9, 1.1), clahe=0.5, brightness=0.2, contrast=0.2
)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    noise = np.random.default_rng(0).integers(0, 255, (12, 12), dtype=np.uint8)
    return torch.from_numpy(cv2.resize(noise, (65, 65), interpolation=cv2.INTER_CUBIC))[None]


def many(image: torch.Tensor, recipe: AugmentConfig, count: int = 40) -> list[torch.Tensor]:
    return [augmented(image, recipe, random.Random(number)) for number in range(count)]


def test_by_default_an_image_stays_as_it_is(image):
    assert augmented(image, AugmentConfig(), random.Random(0)) is image


@given(st.integers(0, 1000))
def test_an_image_follows_from_its_generator_and_torchs_own_stays_as_it_was(number):
    image = torch.arange(64 * 64).reshape(1, 64, 64).to(torch.uint8)
    before = torch.get_rng_state()
    first = augmented(image, ALL, random.Random(number))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(number % 7)
    assert torch.equal(augmented(image, ALL, random.Random(number)), first)
    assert (first.shape, first.dtype) == (image.shape, image.dtype)


def test_images_are_varied_each_its_own_way(image):
    assert len({image.numpy().tobytes() for image in many(image, ALL)}) == 40


def test_a_mirror_image_comes_as_often_as_asked(image):
    mirrored = v2f.horizontal_flip(image)
    found = many(image, AugmentConfig(flip=0.3), 400)
    assert all(torch.equal(each, image) or torch.equal(each, mirrored) for each in found)
    assert 90 < sum(torch.equal(each, mirrored) for each in found) < 150


@pytest.mark.parametrize(
    ("angle", "translate", "scale"),
    [(20.0, (3, -5), 1.1), (-70.0, (0, 0), 0.9), (0.0, (4, 1), 1.0)],
)
def test_the_warp_is_torchvisions(image, angle, translate, scale):
    params = {"angle": angle, "translate": translate, "scale": scale, "shear": (0.0, 0.0)}
    ours = Affine(10).transform(image, params).int()
    theirs = v2f.affine(
        image, angle, list(translate), scale, [0.0, 0.0],
        interpolation=v2f.InterpolationMode.BILINEAR,
    ).int()  # fmt: skip
    inside = (slice(None), slice(4, -4), slice(4, -4))  # edges: one mixes in the black, one not
    assert (ours - theirs)[inside].abs().float().mean() < 0.5
    assert (ours - theirs)[inside].abs().max() <= 12  # a 32nd of a pixel between far levels


def test_brightness_and_contrast_stay_within_their_factors(image):
    means = [float(each.float().mean()) for each in many(image // 2, AugmentConfig(brightness=0.2))]
    start = float((image // 2).float().mean())
    assert 0.79 * start < min(means) < 0.9 * start
    assert 1.1 * start < max(means) < 1.21 * start


def test_equalisation_raises_local_contrast_within_its_limit(image):
    dull = 100 + image // 16
    spread = [float(each.float().std()) for each in many(dull, AugmentConfig(clahe=1))]
    assert min(spread) > float(dull.float().std())
    strongest = Equalize().transform(dull, {"limit": 4.0}).float().std()
    assert max(spread) <= strongest


def test_evaluation_is_never_augmented(image):
    plain = prepare(image, ImageConfig(), 32, None)
    assert torch.equal(prepare(image, ImageConfig(augment=ALL, area=(0.5, 0.9)), 32, None), plain)
    assert not torch.equal(prepare(image, ImageConfig(augment=ALL), 32, random.Random(0)), plain)
