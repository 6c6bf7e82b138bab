"""Which samples the browser shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.pages.browser.choice import Place, choose, shares

TAR = Path("a.tar")


def places(train=0, test=0, images=1):
    """Return places of `images` images for every study."""
    numbers = {"train": train, "test": test}
    return [
        Place(f"{split}-{n}-{i}", f"{split}-{n}", split, TAR)
        for split, number in numbers.items()
        for n in range(number)
        for i in range(images)
    ]


@pytest.mark.parametrize(
    ("numbers", "count", "taken"),
    [
        (
            {"train": 700, "validate": 20, "test": 90},
            200,
            {"train": 90, "validate": 20, "test": 90},
        ),
        (
            {"train": 700, "validate": 200, "test": 900},
            30,
            {"train": 10, "validate": 10, "test": 10},
        ),
        ({"train": 3, "test": 4}, 7, {"train": 3, "test": 4}),
        ({"train": 3, "test": 4}, 100, {"train": 3, "test": 4}),
        ({"train": 9, "test": 9}, 3, {"train": 1, "test": 2}),
        ({"train": 9}, 3, {"train": 3}),
        ({"train": 9, "test": 0}, 4, {"train": 4, "test": 0}),
    ],
)  # fmt: skip
def test_splits_give_equal_shares_and_a_small_one_all_it_has(numbers, count, taken):
    assert shares(numbers, count) == taken


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 50), min_size=1), st.integers(1, 120))
def test_shares_sum_to_what_is_asked_or_to_all(numbers, count):
    taken = shares(numbers, count)
    assert sum(taken.values()) == min(count, sum(numbers.values()))
    assert all(0 <= taken[split] <= numbers[split] for split in numbers)
    full = [split for split in numbers if taken[split] == numbers[split]]
    rest = [taken[split] for split in numbers if split not in full]
    assert not rest or max(rest) - min(rest) <= 1


def test_zero_means_all():
    assert choose(places(5, 3), 0) == places(5, 3)


def test_the_order_is_that_of_the_tars():
    found = places(50, 30)
    chosen = choose(found, 20)
    assert chosen == [place for place in found if place in chosen]


def test_the_choice_does_not_depend_on_the_order_in_which_samples_are_found():
    found = places(50, 30)
    assert set(choose(found[::-1], 20)) == set(choose(found, 20))


def test_images_of_a_study_stay_together():
    chosen = choose(places(train=40, images=2), 20)
    assert len(chosen) == 20
    assert len({place.study for place in chosen}) == 10


def test_more_samples_hold_the_fewer_ones():
    found = places(80, 80)
    assert set(choose(found, 20)) < set(choose(found, 40))


def test_samples_that_other_pages_link_to_are_added():
    found = places(50, 30)
    left_out = next(place for place in found if place not in choose(found, 20))
    assert set(choose(found, 20, {left_out.key, "of-another-set"})) == {
        *choose(found, 20),
        left_out,
    }
