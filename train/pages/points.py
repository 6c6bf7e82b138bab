"""Computes the histogram of a label's scores, and the band around its ROC curve."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cxr_vlp.train.evaluation.measures.column import Floats, Truth

Points = tuple[tuple[float, float], ...]
GRID = 51  # false positive rates at which the band of a ROC curve is computed
BARS = 18  # of a histogram


def shares(scores: Floats, truth: Truth) -> tuple[list[float], list[float], list[float]]:
    """Return the edges of a histogram, and in each bar the shares of positives and negatives."""
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1e-3, BARS + 1)
    found = [np.histogram(scores[truth == value], edges)[0] for value in (1, 0)]
    positive, negative = ((counts / max(counts.sum(), 1)).tolist() for counts in found)
    return edges.tolist(), positive, negative


def roc_band(scores: Floats, truth: Truth, weights: Iterable[Floats]) -> tuple[Points, Points]:
    """Return the lower and upper points of a pointwise 95 % band around a ROC curve.

    weights: chunks (R, N) of bootstrap resamples: how often each image is in it. At each false
    positive rate of a grid, the band holds the middle 95 % of the resamples' true positive rates. A
    resample without a positive or a negative is left out. Without resamples there is no band.
    """
    grid = np.linspace(0, 1, GRID)
    drawn = [_rates(scores, truth, row, grid) for chunk in weights for row in chunk]
    known = [rates for rates in drawn if rates is not None]
    if not known:
        return (), ()
    low, high = np.quantile(np.stack(known), [0.025, 0.975], axis=0)
    across = grid.tolist()
    return (
        tuple(zip(across, low.tolist(), strict=True)),
        tuple(zip(across, high.tolist(), strict=True)),
    )


def _rates(scores: Floats, truth: Truth, weights: Floats, grid: Floats) -> Floats | None:
    hits, alarms = _running(scores, truth, weights)
    if not hits[-1] or not alarms[-1]:
        return None
    false, true = np.r_[0, alarms / alarms[-1]], np.r_[0, hits / hits[-1]]
    return np.interp(grid, false, true)


def _running(scores: Floats, truth: Truth, weights: Floats) -> tuple[Floats, Floats]:
    """Return true and false positives at each threshold, from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    mine, ordered, positive = weights[order], scores[order], truth[order] == 1
    ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    return np.cumsum(mine * positive)[ends], np.cumsum(mine * ~positive)[ends]
