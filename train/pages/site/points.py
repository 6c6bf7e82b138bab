"""Computes the points of the curves of one label that are in no table of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Points = tuple[tuple[float, float], ...]
MOST = 200  # points of a curve
GRID = 51  # false positive rates at which the band of a ROC curve is computed
BARS = 24  # of a histogram


def precision_recall(scores: Floats, truth: Floats) -> Points:
    """Return (recall, precision) at each threshold; equal scores are one threshold.

    scores, truth: (N,), truth 1 or 0 with at least one 1. The first point repeats the precision of
    the highest threshold at recall 0, so that nothing is drawn that no threshold reaches.
    """
    hits, alarms = _running(scores, truth)
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    points = [(0.0, float(precision[0])), *zip(recall.tolist(), precision.tolist(), strict=True)]
    return thinned(points)


def reliability(scores: Floats, truth: Floats, bins: int = 10) -> Points:
    """Return (mean score, share of positives) of bins of equal width that hold an image."""
    place = np.minimum((scores * bins).astype(int), bins - 1)
    return tuple(
        (float(scores[place == each].mean()), float(truth[place == each].mean()))
        for each in range(bins)
        if (place == each).any()
    )


def shares(scores: Floats, truth: Floats) -> tuple[list[float], list[float], list[float]]:
    """Return the edges of a histogram, and in each bar the shares of positives and negatives."""
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1e-3, BARS + 1)
    found = [np.histogram(scores[truth == value], edges)[0] for value in (1, 0)]
    positive, negative = ((counts / max(counts.sum(), 1)).tolist() for counts in found)
    return edges.tolist(), positive, negative


def roc_band(scores: Floats, truth: Floats, weights: Iterable[Floats]) -> tuple[Points, Points]:
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


def thinned(points: Sequence[tuple[float, float]]) -> Points:
    """Return at most MOST of the points, the first and the last among them."""
    if len(points) <= MOST:
        return tuple(points)
    return tuple(points[round(i * (len(points) - 1) / (MOST - 1))] for i in range(MOST))


def _rates(scores: Floats, truth: Floats, weights: Floats, grid: Floats) -> Floats | None:
    hits, alarms = _running(scores, truth, weights)
    if not hits[-1] or not alarms[-1]:
        return None
    false, true = np.r_[0, alarms / alarms[-1]], np.r_[0, hits / hits[-1]]
    return np.interp(grid, false, true)


def _running(
    scores: Floats, truth: Floats, weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return true and false positives at each threshold, from the highest score down."""
    order = np.argsort(-scores, kind="stable")
    mine = np.ones(len(scores)) if weights is None else weights[order]
    ordered, positive = scores[order], truth[order] == 1
    ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    return np.cumsum(mine * positive)[ends], np.cumsum(mine * ~positive)[ends]
