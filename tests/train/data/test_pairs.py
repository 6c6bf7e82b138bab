"""A study's films become a pair: which films, which texts, and whose draws they are."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import cv2
import pytest
import torch

from cxr_vlp.train.config.recipe import Recipe, load
from cxr_vlp.train.data.pairs import Pairing, views
from cxr_vlp.train.data.samples import StoredSample
from cxr_vlp.train.errors import DataError
from tests.train.conftest import draw, read, sample


def tokenize(text: str) -> torch.Tensor:
    return torch.tensor([len(text), 1])


def film(number: int, projection: str = "AP", turn: int = 0, **changes: Any) -> StoredSample:
    picture = cv2.imencode(".png", draw((), number))[1].tobytes()
    record = sample("mock", 1, projection=projection, **changes)
    return StoredSample(
        f"mock-s1-{number}", picture, read(record), record["caption"], "mock.tar", turn
    )


def recipe(pictures: int = 1, texts: int = 1, policy: str = "sentences(2)") -> Recipe:
    return load(
        "base",
        {
            "image": {"pictures": pictures, "crop": 0.3, "shift": 0.2},
            "text": {"texts": texts, "policies": [policy]},
        },
    )


def pairing(chosen: Recipe, epoch: int = 0, *, varied: bool = True) -> Pairing:
    return Pairing(chosen, 24, tokenize, seed=0, epoch=epoch, varied=varied)


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("texts", [1, 2])
def test_a_recipe_decides_how_many_pictures_and_texts_a_pair_has(pictures, texts):
    pair = pairing(recipe(pictures, texts))([film(0), film(1)])
    assert pair.images.shape == (pictures, 1, 24, 24)
    assert pair.tokens.tolist() == [[len(text), 1] for text in pair.texts]
    assert len(pair.texts) == texts
    assert pair.key == "mock-s1-0"


def test_evaluation_shows_the_first_film_whole_with_one_text():
    [one, two] = (
        pairing(recipe(count, count), varied=False)([film(0), film(1)]) for count in (1, 2)
    )
    assert one.images.shape == (1, 1, 24, 24)
    assert torch.equal(one.images, two.images)
    assert one.texts == two.texts


def test_one_film_gives_two_windows_of_its_own():
    pair = pairing(recipe(pictures=2))([film(0)])
    assert not torch.equal(pair.images[0], pair.images[1])
    alone = pairing(recipe(pictures=1))([film(0)])
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
def test_two_films_are_of_two_views_where_there_are_two(projections, pairs):
    films = [film(i, projection) for i, projection in enumerate(projections)]
    found = [views(films, 2, random.Random(number)) for number in range(60)]
    assert {tuple(each.sample.projection for each in pair) for pair in found} == pairs
    if len(films) > 1:
        assert all(first is not second for first, second in found)


def test_every_film_of_a_study_gets_its_turn():
    films = [film(i) for i in range(3)]
    counts = Counter(views(films, 1, random.Random(number))[0].key for number in range(300))
    assert all(70 < counts[each.key] < 130 for each in films)


def test_a_second_turn_in_an_epoch_and_another_epoch_draw_anew():
    made = [pairing(recipe(), epoch)([film(0, turn=turn)]) for epoch, turn in
            ((0, 0), (0, 1), (1, 0), (0, 0))]  # fmt: skip
    pictures = [pair.images.numpy().tobytes() for pair in made]
    assert len(set(pictures)) == 3
    assert pictures[0] == pictures[3]


def test_rubbish_and_silence_are_refused_under_a_hash():
    broken = StoredSample("mock-s1-0", b"none", film(0).sample, "x", "mock.tar")
    silent = StoredSample("mock-s1-0", film(0).image, read({}), "", "mock.tar")
    for each, message in ((broken, "no picture that can be read"), (silent, "no text")):
        with pytest.raises(DataError, match=message) as told:
            pairing(recipe())([each])
        assert "s1-0" not in str(told.value)
