"""Points of curves: exact ends, no more than asked for, the areas of the measures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.measures import point
from cxr_vlp.train.evaluation.measures.curves import calibration, precision_recall, roc

SCORES = np.array([0.9, 0.6, 0.6, 0.4, 0.3, 0.1])
TRUTH = np.array([1, 0, 1, 0, -1, 0], np.int8)


def many(images=3000, levels=10**6):
    rng = np.random.default_rng(0)
    truth = (rng.random(images) < 0.2).astype(np.int8)
    scores = 1 / (1 + np.exp(-(truth + rng.normal(size=images))))
    return np.round(scores * levels) / levels, truth


def test_the_roc_curve_by_hand():
    curve = roc(SCORES, TRUTH)
    assert curve.x.tolist() == [0, 0, 1 / 3, 1]
    assert curve.y.tolist() == [0, 0.5, 1, 1]
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.6, 0.1]


def test_the_precision_recall_curve_by_hand():
    curve = precision_recall(SCORES, TRUTH)
    assert curve.x.tolist() == [0, 0.5, 1]
    assert curve.y.tolist() == [1, 1, 2 / 3]
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.6]


@pytest.mark.parametrize("levels", [5, 40, 10**6])
def test_a_whole_roc_curve_has_the_area_of_the_auroc(levels):
    scores, truth = many(levels=levels)
    curve = roc(scores, truth, most=10**6)
    assert metrics.auc(curve.x, curve.y) == pytest.approx(point.auroc(scores, truth), abs=1e-12)
    alarms, hits, cuts = metrics.roc_curve(truth, scores, drop_intermediate=False)
    places = [int(np.flatnonzero(cuts == cut)[0]) for cut in curve.thresholds]
    assert curve.x == pytest.approx(alarms[places])
    assert curve.y == pytest.approx(hits[places])


@pytest.mark.parametrize("most", [2, 3, 50, 200])
def test_a_thinned_curve_keeps_its_ends_and_its_order(most):
    for curve, end in ((roc(*many(), most), 1.0), (precision_recall(*many(), most), None)):
        assert 2 <= len(curve.x) <= most
        assert (curve.x[0], curve.x[-1]) == (0.0, 1.0)
        assert (np.diff(curve.x) >= 0).all()
        assert end in (None, curve.y[-1])
    full = roc(*many(), 10**6)
    thin = roc(*many(), 200)
    assert metrics.auc(thin.x, thin.y) == pytest.approx(metrics.auc(full.x, full.y), abs=0.002)


def test_bins_of_probabilities_by_hand():
    low, high = calibration(SCORES, TRUTH, 2)
    assert (low.probability, low.positives, low.images) == (pytest.approx(0.25), 0.0, 2)
    assert (high.probability, high.positives, high.images) == (pytest.approx(0.7), 2 / 3, 3)
    empty = calibration(SCORES, TRUTH, 20)[0]
    assert (empty.low, empty.high, empty.probability, empty.images) == (0, 0.05, None, 0)
    bins = calibration(*many())
    gaps = [b.images * abs(b.probability - b.positives) for b in bins if b.images]
    assert sum(gaps) / 3000 == pytest.approx(point.ece(*many()), abs=1e-12)


def test_a_curve_without_a_class_is_refused():
    for curve in (roc, precision_recall):
        with pytest.raises(DataError, match="2 positives and 0 negatives"):
            curve(SCORES[:3], np.array([1, 1, -1], np.int8))
    with pytest.raises(ConfigError, match="give 2 or more"):
        roc(*many(), 1)
