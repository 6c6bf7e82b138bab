"""The probe's regressions agree with scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.logistic import fit


def data(seed: int = 0, rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(3, 2, (rows, 8)) * np.logspace(-2, 2, 8)
    logits = features @ (rng.normal(size=(8, 2)) / np.logspace(-2, 2, 8)[:, None])
    truth = (logits - np.median(logits, axis=0) + rng.normal(size=logits.shape) > 0).astype(np.int8)
    truth[rng.random(truth.shape) < 0.2] = -1
    return features, truth


@pytest.mark.parametrize("strength", [1e-3, 1e-1, 1.0, 100.0])
def test_weights_and_probabilities_are_those_of_scikit_learn(strength):
    features, truth = data()
    found = fit(features, truth, strength)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    for label in range(2):
        known = truth[:, label] >= 0
        expected = LogisticRegression(C=strength, tol=1e-12, max_iter=10_000)
        expected.fit(scaled[known], truth[known, label])
        assert np.abs(found.weights[:, label] - expected.coef_[0]).max() < 1e-6
        assert abs(found.intercepts[label] - expected.intercept_[0]) < 1e-6
        probability = expected.predict_proba(scaled)[:, 1]
        assert np.abs(found.scores(features)[:, label] - probability).max() < 1e-6


def test_the_quick_search_is_near_the_exact_one():
    features, truth = data(1)
    quick, exact = (fit(features, truth, 0.1, exact=each) for each in (False, True))
    assert np.abs(quick.scores(features) - exact.scores(features)).max() < 1e-2
    assert np.abs(quick.weights - exact.weights).max() > 0


def test_separable_labels_and_features_that_never_vary_have_a_finite_answer():
    features = np.c_[np.arange(10.0), np.full(10, 5.0)]
    truth = (features[:, :1] > 4).astype(np.int8)
    found = fit(features, truth, 1.0)
    assert found.weights[1, 0] == 0
    assert (np.diff(found.scores(features)[:, 0]) > 0).all()


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_of_one_kind_and_features_that_are_not_finite_are_refused(value):
    features, truth = data()
    with pytest.raises(DataError, match="no positives, or no negatives"):
        fit(features, np.full_like(truth, value), 1.0)
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="not all finite"):
        fit(features, truth, 1.0)
