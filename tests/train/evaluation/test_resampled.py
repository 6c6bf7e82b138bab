"""Means and medians over resampled patients, pinned by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.evaluation import resampled
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights

WEIGHTS = np.array([[1, 1, 1, 1], [2, 2, 0, 0], [0, 0, 1, 3], [0, 0, 0, 0]], float)


def test_a_mean_and_those_of_its_resamples():
    found = resampled.mean(np.array([1.0, 3, 5, 9]), [WEIGHTS])
    assert found.value == 4.5
    np.testing.assert_allclose(found.draws, [4.5, 2, 8, np.nan])


def test_the_median_of_an_even_number_is_between_the_two_in_the_middle():
    found = resampled.median(np.array([9.0, 1, 3, 5]), [WEIGHTS[:, [3, 0, 1, 2]]])
    assert found.value == 4
    np.testing.assert_allclose(found.draws, [4, 2, 9, np.nan])


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=8).filter(
        lambda rows: sum(times for _, times in rows)
    )
)
def test_a_weighted_median_is_that_of_the_repeated_values(rows):
    values, times = map(np.array, zip(*rows, strict=True))
    found = resampled.median(values.astype(float), [times[None].astype(float)])
    assert found.draws == pytest.approx(np.median(np.repeat(values, times)))


def test_a_text_weighs_the_mean_of_its_images():
    # the images of text 1 are the first and the last
    found = resampled.shared(np.array([[2.0, 0, 5, 1]]), np.array([1, 0, 2, 1]))
    np.testing.assert_allclose(found, [[0, 1.5, 5]])


def test_columns_leave_out_what_they_do_not_know():
    values = np.array([[1, np.nan], [3, 1], [5, np.nan], [9, 0]])
    first, second = resampled.means(values, [WEIGHTS])
    assert (first.value, second.value) == (4.5, 0.5)
    np.testing.assert_allclose(second.draws, [0.5, 1, 0, np.nan])


def test_the_mean_of_collections_goes_draw_by_draw():
    one = resampled.Resampled(0.2, np.array([0.1, 0.3, np.nan]))
    two = resampled.Resampled(0.6, np.array([0.5, 0.9, 0.7]))
    found = resampled.mean_of([one, two])
    assert found.value == pytest.approx(0.4)
    np.testing.assert_allclose(found.draws, [0.3, 0.6, 0.7])


def test_without_resamples_there_is_no_interval():
    none = bootstrap_weights(["a", "b"], Intervals(0))
    entry = resampled.mean(np.array([0.0, 1.0]), none).entry(0.5)
    assert entry == {"value": 0.5, "low": None, "high": None, "chance": 0.5}


def test_two_collections_draw_independently_and_a_collection_always_the_same():
    own = [resampled.of_collection(Intervals(seed=3), name).seed for name in "aba"]
    assert own[0] == own[2] != own[1]
    assert own[0] != resampled.of_collection(Intervals(seed=4), "a").seed


def test_whole_patients_are_drawn():
    values = np.array([1.0, 1, 1, 0])
    own = Intervals(200)
    found = resampled.mean(values, bootstrap_weights(["p", "p", "p", "q"], own))
    assert set(np.round(found.draws, 6)) == {0, 0.75, 1}
