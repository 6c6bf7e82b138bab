"""Thresholds: the best by MCC, F1 or Youden's J among all cuts; ties; labels without a class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.measures.thresholds import choose


def youden(truth, called):
    return metrics.balanced_accuracy_score(truth, called) * 2 - 1


def f1(truth, called):
    return metrics.f1_score(truth, called, zero_division=0)


QUALITY = {"mcc": metrics.matthews_corrcoef, "f1": f1, "youden": youden}


def column(values):
    return np.array(values, np.float64)[:, None]


def truths(values):
    return np.array(values, np.int8)[:, None]


def test_a_threshold_lies_between_two_scores():
    found = choose(column([0.1, 0.2, 0.6, 0.8]), truths([0, 0, 1, 1]), ["A"], "mcc")
    assert found == {"A": pytest.approx(0.4)}


def test_by_f1_all_are_called_where_mcc_calls_two():
    # from the top: 1 1 0 1 1. All called: F1 8/9, MCC and J 0; two called: F1 2/3, MCC .41, J 1/2
    scores, truth = column([0.9, 0.8, 0.7, 0.6, 0.5]), truths([1, 1, 0, 1, 1])
    assert choose(scores, truth, ["A"], "f1") == {"A": 0.5}
    for by in ("mcc", "youden"):
        assert choose(scores, truth, ["A"], by) == {"A": pytest.approx(0.75)}


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([-1, 0, 1])), min_size=2, max_size=30),
    st.sampled_from(sorted(QUALITY)),
)
def test_no_other_cut_is_better(pairs, by):
    scores = np.array([s for s, _ in pairs]) / 6
    truth = np.array([t for _, t in pairs], np.int8)
    known = truth >= 0
    assume(len(set(truth[known])) == 2)
    threshold = choose(scores[:, None], truth[:, None], ["A"], by)["A"]
    quality = {
        cut: QUALITY[by](truth[known], (scores[known] >= cut).astype(int))
        for cut in sorted(set(scores[known]))
    }
    found = QUALITY[by](truth[known], (scores[known] >= threshold).astype(int))
    assert found == pytest.approx(max(quality.values()))
    # of equals it is the highest: the lowest score above the threshold is the cut itself
    _, *above = sorted(cut for cut in quality if cut >= threshold)
    assert all(quality[cut] < found + 1e-12 for cut in above)
    assert all(quality[cut] != pytest.approx(found, abs=1e-9) for cut in above)


@pytest.mark.parametrize("low", [0.3, np.nextafter(0.3, 1)])  # one of them is rounded down
def test_neighbouring_floats_are_told_apart(low):
    high = np.nextafter(low, 1)
    found = choose(column([low, high]), truths([0, 1]), ["A"], "f1")
    assert low < found["A"] <= high


def test_a_label_without_a_class_has_no_threshold():
    scores, truth = np.full((3, 3), 0.5), np.array([[1, 0, 1], [1, 0, 0], [-1, 0, 0]], np.int8)
    assert set(choose(scores, truth, ["A", "B", "C"], "mcc")) == {"C"}
    assert choose(scores, truth, ["A", "B", "C"], "half") == {"A": 0.5, "B": 0.5, "C": 0.5}
    assert choose(scores, truth, ["A", "B", "C"], "none") == {}


def test_unknown_ways_and_nan_are_refused():
    with pytest.raises(ConfigError, match="'best': give one of mcc, f1, youden, half, none"):
        choose(column([0.1]), truths([1]), ["A"], "best")
    with pytest.raises(DataError, match="A: 1 of 2 images"):
        choose(column([0.1, np.nan]), truths([1, 0]), ["A"], "half")
