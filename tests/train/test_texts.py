"""Text policies: what a picture is paired with, and what happens where the text is missing."""

from __future__ import annotations

import pytest

from tests.train.conftest import sample
from train import texts
from train.chance import chance
from train.errors import ConfigError


def chosen(policies, record, key="k", epoch=0):
    rng = chance(0, epoch, key, "text")
    return texts.choose(texts.parse(tuple(policies)), record, rng, "the caption.")


RECORD = sample("mock", 1)


@pytest.mark.parametrize(
    ("policies", "changes", "expected"),
    [
        (["impression"], {}, "cardiomegaly."),
        (["findings"], {}, "the film shows cardiomegaly."),
        (["caption"], {}, "cardiomegaly."),
        (["abnormal"], {}, "cardiomegaly."),
        (["longest"], {}, "the film shows cardiomegaly."),
        (["longest"], {"findings": ""}, "cardiomegaly."),
        (["impression", "findings"], {"impression": ""}, "the film shows cardiomegaly."),
        (["impression", "findings"], {"impression": " ", "findings": ""}, "the caption."),
        (["impression"], {"impression": None}, "the caption."),
        (["prompt"], {"prompts": []}, "one prompt."),
        (["statement"], {"statements": ["There is edema."]}, "There is edema."),
        (["statement"], {"statements": []}, "the caption."),
        (["prompt_sentences(1)"], {"prompts": ["Edema."]}, "Edema."),
        (["prompt_sentences(2)"], {"prompts": ["A. B."]}, "A. B."),
        (["prompt"], {"prompts": ["", "only."]}, "only."),
        (["prompt"], {"prompts": [], "prompt": ""}, "the caption."),
        (["sentences(9)"], {}, "sentence 0. sentence 1. sentence 3. sentence 4."),
        (["sentences(2)"], {"sentences": []}, "the caption."),
    ],
)
def test_policy(policies, changes, expected):
    assert chosen(policies, RECORD | changes) == expected


def test_sentences_are_few_in_order_and_about_the_picture():
    drawn = {chosen(["sentences(2)"], RECORD, f"k{i}") for i in range(60)}
    assert len(drawn) == 6  # two of the four that speak of the picture
    for text in drawn:
        numbers = [int(part) for part in text.replace("sentence", "").replace(".", "").split()]
        assert numbers == sorted(numbers)
        assert 2 not in numbers


def test_prompts_differ_by_key_and_by_epoch_and_repeat():
    by_key = [chosen(["prompt"], RECORD, f"k{i}") for i in range(30)]
    assert set(by_key) == set(RECORD["prompts"])
    assert len({chosen(["prompt"], RECORD, epoch=epoch) for epoch in range(30)}) == 3
    assert by_key == [chosen(["prompt"], RECORD, f"k{i}") for i in range(30)]


def test_either_draws_among_its_policies_and_falls_through_where_one_is_empty():
    drawn = {chosen(["impression | findings"], RECORD, f"k{i}") for i in range(30)}
    assert drawn == {RECORD["impression"], RECORD["findings"]}
    bare = RECORD | {"findings": ""}
    assert {chosen(["impression|findings"], bare, f"k{i}") for i in range(30)} == {
        RECORD["impression"],
        "the caption.",
    }


@pytest.mark.parametrize(
    "name", ["impresion", "impression|", "sentences", "sentences(0)", "longest(2)"]
)
def test_an_unknown_policy_fails_with_the_known_ones(name):
    with pytest.raises(ConfigError, match=r"unknown .*impression.*sentences\(k\)"):
        texts.parse((name,))
