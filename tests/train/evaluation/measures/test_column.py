"""Each measure of one label: worked by hand, and equal to scikit-learn's, weights included."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.measures import point
from cxr_vlp.train.evaluation.measures.column import MEASURES, Column, Rules, decided

# from the highest score down: positive, negative and positive tied, negative, excluded, negative
SCORES = np.array([0.9, 0.6, 0.6, 0.4, 0.3, 0.1])
TRUTH = np.array([1, 0, 1, 0, -1, 0], np.int8)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        # 6 pairs: the first positive wins 3, the second wins 2 and ties 1
        (point.auroc, 5.5 / 6),
        # recall 1/2 at precision 1/1, then 1/2 more at precision 2/3: the tie is one step
        (point.average_precision, 1 / 2 + 1 / 2 * 2 / 3),
        # 3 images reach 0.5: 2 hits, 1 false alarm, none missed
        (lambda s, t: point.f1(s, t, 0.5), 4 / 5),
        (lambda s, t: point.mcc(s, t, 0.5), (2 * 2 - 0) / np.sqrt(3 * 2 * 3 * 2)),
        (lambda s, t: point.accuracy(s, t, 0.5), 4 / 5),
        # the tie has specificity 2/3, so at 0.9 only the first positive is found
        (point.sensitivity, 1 / 2),
        (lambda s, t: point.sensitivity(s, t, 2 / 3), 1.0),
        (lambda s, t: point.sensitivity(s, t, 0.67), 1 / 2),
        (point.brier, (0.1**2 + 0.6**2 + 0.4**2 + 0.4**2 + 0.1**2) / 5),
        # two bins: below 0.5 mean .25 and no positive of 2, above mean .7 and 2 of 3
        (lambda s, t: point.ece(s, t, 2), 2 / 5 * 0.25 + 3 / 5 * abs(0.7 - 2 / 3)),
    ],
)
def test_a_measure_worked_by_hand(measure, expected):
    assert measure(SCORES, TRUTH) == pytest.approx(expected, abs=1e-15)


def test_a_score_that_equals_the_threshold_is_positive():
    assert point.accuracy(SCORES, TRUTH, 0.6) == 4 / 5
    assert point.accuracy(SCORES, TRUTH, np.nextafter(0.6, 1)) == 4 / 5
    assert point.f1(SCORES, TRUTH, 0.6) == 4 / 5
    assert point.f1(SCORES, TRUTH, np.nextafter(0.6, 1)) == 2 / 3


def test_a_bin_holds_its_lower_edge_and_the_last_one_holds_1():
    truth = np.array([1, 0], np.int8)
    # 0.5 lies in the upper of two bins, beside 1.0: their mean .75 against one half
    assert point.ece(np.array([0.5, 1.0]), truth, 2) == 0.25
    # just below it lies in the lower bin: .5 against 1, and 1 against 0
    assert point.ece(np.array([np.nextafter(0.5, 0), 1.0]), truth, 2) == pytest.approx(0.75)


def test_mcc_and_f1_are_0_where_all_calls_are_of_one_kind():
    for threshold, f1 in ((0.0, 4 / 7), (2.0, 0.0)):
        assert point.mcc(SCORES, TRUTH, threshold) == 0.0
        assert point.f1(SCORES, TRUTH, threshold) == pytest.approx(f1)
    zero = np.zeros(1)
    assert decided(zero, zero, zero, zero + 4)["f1"] == 0.0


@pytest.mark.parametrize("truth", [[1, 1], [0, 0], [-1, 1], [-1, -1]])
def test_a_label_without_both_classes_has_no_value(truth):
    given = np.array([0.2, 0.4]), np.array(truth, np.int8)
    assert point.auroc(*given) is None
    assert point.brier(*given) is None
    assert point.f1(*given, 0.3) is None
    assert point.auroc(np.empty(0), np.empty(0, np.int8)) is None


def test_specificities_that_are_reached_exactly_count():
    for negatives in range(1, 40):
        for alarms in range(negatives):
            # one positive below `alarms` negatives
            scores = np.r_[np.arange(negatives, 0, -1.0), negatives - alarms + 0.5]
            truth = np.r_[np.zeros(negatives, np.int8), np.int8(1)]
            share = Fraction(negatives - alarms, negatives)
            wanted = float(share)
            if 0 < wanted < 1:
                assert point.sensitivity(scores, truth, wanted) == 1.0
                assert point.sensitivity(scores, truth, wanted + 1e-9) == 0.0


weighted = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from([-1, 0, 1]), st.integers(0, 3)),
    min_size=2, max_size=40,
)  # fmt: skip


@settings(max_examples=50)
@given(weighted, st.integers(0, 9))
def test_every_measure_is_that_of_scikit_learn(rows, cut):
    scores = np.array([s for s, _, _ in rows]) / 8
    truth = np.array([t for _, t, _ in rows], np.int8)
    weights = np.array([w for _, _, w in rows], np.float64)
    known = (truth >= 0) & (weights > 0)
    assume(len(set(truth[known])) == 2)
    y, p, w = truth[known], scores[known], weights[known]
    threshold = cut / 8
    called = (p >= threshold).astype(int)
    expected = {
        "auroc": metrics.roc_auc_score(y, p, sample_weight=w),
        "auprc": metrics.average_precision_score(y, p, sample_weight=w),
        "f1": metrics.f1_score(y, called, sample_weight=w, zero_division=0),
        "mcc": metrics.matthews_corrcoef(y, called, sample_weight=w),
        "accuracy": metrics.accuracy_score(y, called, sample_weight=w),
        "brier": metrics.brier_score_loss(y, p, sample_weight=w),
    }
    alarms, hits, _ = metrics.roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    expected["sensitivity"] = hits[1 - alarms >= 0.7341].max()
    column = Column.of(scores, truth, Rules(threshold, specificity=0.7341))
    found = dict(zip(MEASURES, column.values(weights[None])[0], strict=True))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@given(weighted)
def test_weights_are_counts(rows):
    scores = np.array([s for s, _, _ in rows]) / 8
    truth = np.array([t for _, t, _ in rows], np.int8)
    times = np.array([w for _, _, w in rows])
    rules = Rules(0.5)
    one = Column.of(scores, truth, rules).values(times[None].astype(float))
    again = Column.of(scores.repeat(times), truth.repeat(times), rules)
    other = again.values(np.ones((1, times.sum())))
    np.testing.assert_allclose(one, other, atol=1e-12)


@given(weighted, st.permutations(range(40)))
def test_the_order_of_the_images_does_not_matter(rows, order):
    place = [i for i in order if i < len(rows)]
    scores = np.array([s for s, _, _ in rows]) / 8
    truth = np.array([t for _, t, _ in rows], np.int8)
    ones = np.ones((1, len(rows)))
    one = Column.of(scores, truth, Rules(0.5)).values(ones)
    other = Column.of(scores[place], truth[place], Rules(0.5)).values(ones)
    np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    ("scores", "truth", "said"),
    [
        ([0.1, np.nan], [0, 1], "not finite numbers: score: 1 of 2 images"),
        ([np.inf, -np.inf], [0, 1], "not finite numbers: score: 2 of 2 images"),
        ([0.1, 0.2], [0, 2], "truth must be 1, 0 or -1"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, truth, said):
    with pytest.raises(DataError, match=said):
        point.auroc(np.array(scores), np.array(truth, np.int8))


def test_scores_that_are_no_probabilities_have_no_brier_score():
    logits = np.array([-1.0, 3.0]), np.array([0, 1], np.int8)
    assert point.auroc(*logits) == 1.0
    with pytest.raises(DataError, match=r"outside 0\.\.1 .*score: 2 of 2 images"):
        point.brier(*logits)
    assert point.brier(np.array([0.0, 1.0]), logits[1]) == 0.0
