"""Computes the histogram of a label's scores, and the band around its ROC curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.evaluation.scores import Floats, Truth

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
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])  # of images with equal scores
    positive = truth[order] == 1
    drawn = [
        np.interp(grid, false, true)
        for chunk in weights
        for false, true in _rates(chunk[:, order], positive, ends)
    ]
    if not drawn:
        return (), ()
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    across = grid.tolist()
    return (
        tuple(zip(across, low.tolist(), strict=True)),
        tuple(zip(across, high.tolist(), strict=True)),
    )


def _rates(
    weights: Floats, positive: npt.NDArray[np.bool_], ends: npt.NDArray[np.intp]
) -> Iterator[tuple[Floats, Floats]]:
    """Yield false and true positive rates of resamples (R, N), from the highest score down."""
    hits = np.cumsum(weights * positive, axis=1)[:, ends]
    alarms = np.cumsum(weights * ~positive, axis=1)[:, ends]
    for true, false in zip(hits, alarms, strict=True):
        if true[-1] and false[-1]:
            yield np.r_[0, false / false[-1]], np.r_[0, true / true[-1]]
