"""Ranks, precision and chance, pinned by hand, against brute force, and at the ties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.evaluation.retrieval import ranks
from cxr_vlp.train.evaluation.retrieval.ranks import BLOCK

# four images and three texts: images 0 and 1 have the same text
MATRIX = np.array([[0.9, 0.6, 0.2], [0.3, 0.5, 0.4], [0.2, 0.6, 0.6], [0.1, 0.2, 0.8]])
OWNERS = np.array([0, 0, 1, 2])
RIGHT = OWNERS[:, None] == np.arange(3)


def test_images_ask_for_their_text():
    # the second image finds two texts before its own; the third one's own text has an equal
    assert ranks.ranks(MATRIX, RIGHT).tolist() == [1, 3, 2, 1]


def test_a_text_of_two_images_needs_one_of_them():
    # the middle text likes the first image as much as its own one
    assert ranks.ranks(MATRIX.T, RIGHT.T).tolist() == [1, 2, 1]


def test_a_constant_similarity_finds_nothing_first():
    assert ranks.ranks(np.zeros((4, 3)), RIGHT).tolist() == [3, 3, 3, 3]
    assert ranks.ranks(np.zeros((3, 4)), RIGHT.T).tolist() == [3, 4, 4]  # 2, 3 and 3 wrong ones


def test_precision_counts_wrong_ones_first_where_they_are_equal():
    similarity = np.array([[0.5, 0.5, 0.4, 0.1], [0.9, 0.1, 0.2, 0.3]])
    right = np.array([[True, False, True, False], [True, True, False, False]])
    found = ranks.precisions(similarity, right, (1, 2, 3, 4))
    np.testing.assert_allclose(found, [[0, 1 / 2, 2 / 3, 2 / 4], [1, 1 / 2, 1 / 3, 2 / 4]])


def test_chance_by_hand():
    # texts with 2, 1 and 1 right images among 4
    right = np.array([2, 1, 1])
    assert ranks.chance_recall(right, 4, 1) == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3)
    assert ranks.chance_recall(right, 4, 2) == pytest.approx((5 / 6 + 1 / 2 + 1 / 2) / 3)
    assert ranks.chance_recall(right, 4, 10) == 1
    assert ranks.chance_rank(right, 4) == pytest.approx((5 / 3 + 5 / 2 + 5 / 2) / 3)


@pytest.mark.parametrize(("right", "gallery"), [(1, 4), (2, 4), (3, 5), (5, 5)])
def test_chance_is_the_mean_over_all_orders(right, gallery):
    best = [
        min(order.index(i) for i in range(right)) + 1
        for order in itertools.permutations(range(gallery))
    ]
    assert ranks.chance_rank(np.array([right]), gallery) == pytest.approx(np.mean(best))
    for count in (1, 2, 3):
        share = np.mean([place <= count for place in best])
        assert ranks.chance_recall(np.array([right]), gallery, count) == pytest.approx(share)


def slow_rank(similarity, right):
    """Sort the gallery, wrong ones before right ones that are equal."""
    order = sorted(range(len(right)), key=lambda i: (-similarity[i], right[i]))
    return next(place for place, i in enumerate(order, 1) if right[i])


@given(st.data())
def test_ranks_and_precisions_are_those_of_a_sorted_list(data):
    size = data.draw(st.integers(1, 6))
    values = st.lists(st.integers(0, 3), min_size=size, max_size=size)
    flags = st.lists(st.booleans(), min_size=size, max_size=size).filter(any)
    similarity, right = np.array(data.draw(values), float), np.array(data.draw(flags))
    assert ranks.ranks(similarity[None], right[None]) == [slow_rank(similarity, right)]
    order = sorted(range(size), key=lambda i: (-similarity[i], right[i]))
    for count in range(1, size + 1):
        share = sum(right[i] for i in order[:count]) / count
        assert ranks.precisions(similarity[None], right[None], (count,)) == pytest.approx(share)


@given(st.permutations(range(4)))
def test_the_order_of_the_gallery_does_not_matter(order):
    assert ranks.ranks(MATRIX.T[:, order], RIGHT.T[:, order]).tolist() == [1, 2, 1]


@pytest.mark.parametrize("queries", [0, 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_blocks_change_nothing(queries):
    rng = np.random.default_rng(0)
    similarity = rng.integers(0, 50, (queries, 40)).astype(float)
    right = np.arange(40) == rng.integers(0, 40, (queries, 1))
    found = ranks.in_blocks(queries, lambda block: similarity[block], lambda block: right[block])
    whole = ranks.ranks(similarity, right) if queries else []
    assert found.tolist() == list(whole)


def test_no_block_is_larger_than_its_limit():
    assert [b.stop - b.start for b in ranks.blocks(BLOCK + 1)] == [BLOCK, 1]
