"""The pair of a study: which images, which texts, and which random draws."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import cv2
import pytest
import torch

from cxr_vlp.train.config.recipe import Recipe, load
from cxr_vlp.train.data.pairs import PairBuilder, views
from cxr_vlp.train.data.samples import StoredSample
from cxr_vlp.train.errors import DataError
from tests.train.conftest import draw, read, sample


def tokenize(text: str) -> torch.Tensor:
    return torch.tensor([len(text), 1])


def stored(number: int, projection: str = "AP", turn: int = 0, **changes: Any) -> StoredSample:
    image = cv2.imencode(".png", draw((), number))[1].tobytes()
    record = sample("mock", 1, projection=projection, **changes)
    return StoredSample(
        f"mock-s1-{number}", image, read(record), record["caption"], "mock.tar", turn
    )


def recipe(images: int = 1, texts: int = 1, policy: str = "sentences(2)") -> Recipe:
    return load(
        "base",
        {
            "image": {"count": images, "crop": 0.3, "shift": 0.2},
            "text": {"count": texts, "policies": [policy]},
        },
    )


def pairing(chosen: Recipe, epoch: int = 0, *, varied: bool = True) -> PairBuilder:
    return PairBuilder(chosen, 24, tokenize, seed=0, epoch=epoch, varied=varied)


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("texts", [1, 2])
def test_a_recipe_decides_how_many_images_and_texts_a_pair_has(images, texts):
    pair = pairing(recipe(images, texts))([stored(0), stored(1)])
    assert pair.images.shape == (images, 1, 24, 24)
    assert pair.tokens.tolist() == [[len(text), 1] for text in pair.texts]
    assert len(pair.texts) == texts
    assert pair.key == "mock-s1-0"


def test_evaluation_shows_the_first_image_whole_with_one_text():
    [one, two] = (
        pairing(recipe(count, count), varied=False)([stored(0), stored(1)]) for count in (1, 2)
    )
    assert one.images.shape == (1, 1, 24, 24)
    assert torch.equal(one.images, two.images)
    assert one.texts == two.texts


def test_one_image_gives_two_windows_of_its_own():
    pair = pairing(recipe(images=2))([stored(0)])
    assert not torch.equal(pair.images[0], pair.images[1])
    alone = pairing(recipe(images=1))([stored(0)])
    assert torch.equal(alone.images[0], pair.images[0])  # the second draw is the second's own


@pytest.mark.parametrize(
    ("projections", "pairs"),
    [
        (["AP"], {("AP", "AP")}),
        (["AP", "AP"], {("AP", "AP")}),
        (["AP", "LL"], {("AP", "LL"), ("LL", "AP")}),
        (["AP", "AP", "LL"], {("AP", "LL"), ("LL", "AP")}),
        (["AP", "PA", "LL"], {(a, b) for a in ("AP", "PA", "LL") for b in ("AP", "PA", "LL")}
         - {("AP", "AP"), ("PA", "PA"), ("LL", "LL")}),
    ],
)  # fmt: skip
def test_two_images_are_of_two_views_where_there_are_two(projections, pairs):
    samples = [stored(i, projection) for i, projection in enumerate(projections)]
    found = [views(samples, 2, random.Random(number)) for number in range(60)]
    assert {tuple(each.sample.projection for each in pair) for pair in found} == pairs
    if len(samples) > 1:
        assert all(first is not second for first, second in found)


def test_every_image_of_a_study_gets_its_turn():
    samples = [stored(i) for i in range(3)]
    counts = Counter(views(samples, 1, random.Random(number))[0].key for number in range(300))
    assert all(70 < counts[each.key] < 130 for each in samples)


def test_a_second_turn_and_another_epoch_draw_differently():
    made = [pairing(recipe(), epoch)([stored(0, turn=turn)]) for epoch, turn in
            ((0, 0), (0, 1), (1, 0), (0, 0))]  # fmt: skip
    drawn = [pair.images.numpy().tobytes() for pair in made]
    assert len(set(drawn)) == 3
    assert drawn[0] == drawn[3]


def test_a_sample_without_image_or_text_is_refused_and_named_by_its_hash():
    broken = StoredSample("mock-s1-0", b"none", stored(0).sample, "x", "mock.tar")
    silent = StoredSample("mock-s1-0", stored(0).image, read({}), "", "mock.tar")
    for each, message in ((broken, "cannot be decoded"), (silent, "no text")):
        with pytest.raises(DataError, match=message) as caught:
            pairing(recipe())([each])
        assert "s1-0" not in str(caught.value)
