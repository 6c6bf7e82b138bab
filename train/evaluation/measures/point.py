"""Measures of one label, for tasks that need a single number. Definitions: column.py.

scores, truth: (N,); truth is 1, 0 or EXCLUDED. weights: (N,) counts, all 1 by default. The result
is None where a class is missing.
"""

from __future__ import annotations

import numpy as np

from cxr_vlp.train.evaluation.measures import checks
from cxr_vlp.train.evaluation.measures.column import MEASURES, Column, Rules
from cxr_vlp.train.evaluation.scores import Floats, Truth


def auroc(scores: Floats, truth: Truth, weights: Floats | None = None) -> float | None:
    """Return the area under the ROC curve, ties as 1/2."""
    return _one("auroc", scores, truth, weights, Rules(probabilities=False))


def average_precision(scores: Floats, truth: Truth, weights: Floats | None = None) -> float | None:
    """Return the average precision: the area under the steps of the precision-recall curve."""
    return _one("auprc", scores, truth, weights, Rules(probabilities=False))


def sensitivity(
    scores: Floats, truth: Truth, specificity: float = 0.9, weights: Floats | None = None
) -> float | None:
    """Return the highest sensitivity of a threshold whose specificity is at least the given one."""
    rules = Rules(specificity=specificity, probabilities=False)
    return _one("sensitivity", scores, truth, weights, rules)


def f1(
    scores: Floats, truth: Truth, threshold: float, weights: Floats | None = None
) -> float | None:
    """Return the F1 of `score >= threshold`."""
    return _one("f1", scores, truth, weights, Rules(threshold, probabilities=False))


def mcc(
    scores: Floats, truth: Truth, threshold: float, weights: Floats | None = None
) -> float | None:
    """Return Matthews' correlation of `score >= threshold`; 0 where all calls are of one kind."""
    return _one("mcc", scores, truth, weights, Rules(threshold, probabilities=False))


def accuracy(
    scores: Floats, truth: Truth, threshold: float, weights: Floats | None = None
) -> float | None:
    """Return the share of images for which `score >= threshold` is right."""
    return _one("accuracy", scores, truth, weights, Rules(threshold, probabilities=False))


def brier(scores: Floats, truth: Truth, weights: Floats | None = None) -> float | None:
    """Return the mean squared difference of probability and truth."""
    return _one("brier", scores, truth, weights, Rules())


def ece(
    scores: Floats, truth: Truth, bins: int = 15, weights: Floats | None = None
) -> float | None:
    """Return the expected calibration error over bins of equal width."""
    return _one("ece", scores, truth, weights, Rules(bins=bins))


def _one(
    name: str, scores: Floats, truth: Truth, weights: Floats | None, rules: Rules
) -> float | None:
    checks.table(scores[:, None], truth[:, None], ["score"])
    if rules.probabilities:
        checks.probabilities(scores[:, None], ["score"])
    counts = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    value = Column.of(scores, truth, rules).values(counts[None])[0, MEASURES.index(name)]
    return None if np.isnan(value) else float(value)
