"""Points of the ROC, precision-recall and calibration curves, for plots.

Both ends of a curve are exact. Of a curve with more points than asked for, points are kept that lie
evenly along it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.measures import checks
from cxr_vlp.train.evaluation.measures.column import bin_of
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

MOST = 200  # points of a curve


@dataclass(frozen=True, slots=True)
class Curve:
    """K points (x, y) in order, and the threshold of each: `score >= threshold` is positive.

    The first threshold is infinite: nothing is called positive.
    """

    x: Floats
    y: Floats
    thresholds: Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """One bin of probabilities: its edges, mean probability, share of positives, and images.

    The means are None in a bin without images.
    """

    low: float
    high: float
    probability: float | None
    positives: float | None
    images: int


def roc(scores: Floats, truth: Truth, most: int = MOST) -> Curve:
    """Return the false positive rate (x) and sensitivity (y), from (0, 0) to (1, 1).

    scores, truth: (N,). Raises DataError where a class is missing or a score is not finite.
    """
    levels, hits, alarms = _counts(scores, truth)
    # a step in the same direction as the one before needs no point of its own
    turns = np.flatnonzero(np.diff(hits[1:]) * np.diff(alarms[:-1])
                           != np.diff(alarms[1:]) * np.diff(hits[:-1])) + 1  # fmt: skip
    corners = np.r_[0, turns, len(hits) - 1]
    x, y = alarms[corners] / alarms[-1], hits[corners] / hits[-1]
    return _thinned(x, y, levels[corners], most)


def precision_recall(scores: Floats, truth: Truth, most: int = MOST) -> Curve:
    """Return the recall (x) and precision (y), from recall 0 to recall 1.

    The first point has recall 0 and, as scikit-learn has it, precision 1; the last one is the
    highest threshold that finds every positive. scores, truth: (N,). Raises DataError where a class
    is missing or a score is not finite.
    """
    levels, hits, alarms = _counts(scores, truth)
    stop = int(np.argmax(hits == hits[-1])) + 1
    y = np.r_[1.0, hits[1:stop] / (hits[1:stop] + alarms[1:stop])]
    return _thinned(hits[:stop] / hits[-1], y, levels[:stop], most)


def calibration(scores: Floats, truth: Truth, bins: int = 15) -> tuple[Calibration, ...]:
    """Return the bins of the expected calibration error: scores (N,) in 0..1, truth (N,)."""
    checks.table(scores[:, None], truth[:, None], ["score"])
    checks.probabilities(scores[:, None], ["score"])
    known = truth != EXCLUDED
    numbers = bin_of(scores[known], bins)
    images = np.bincount(numbers, minlength=bins)
    sums = [np.bincount(numbers, v, minlength=bins) for v in (scores[known], truth[known] == 1)]
    made = []
    for place, count in enumerate(images.tolist()):
        means = [float(total[place] / count) if count else None for total in sums]
        made.append(Calibration(place / bins, (place + 1) / bins, means[0], means[1], count))
    return tuple(made)


def _counts(scores: Floats, truth: Truth) -> tuple[Floats, Floats, Floats]:
    """Return thresholds, and the positives and negatives that reach them, from none to all."""
    checks.table(scores[:, None], truth[:, None], ["score"])
    checks.both_classes(truth)
    known = truth != EXCLUDED
    order = np.argsort(-scores[known], kind="stable")
    ordered, positive = scores[known][order], truth[known][order] == 1
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    hits = np.cumsum(positive)[last]
    return (
        np.r_[np.inf, ordered[last]],
        np.r_[0.0, hits],
        np.r_[0.0, last + 1 - hits],
    )


def _thinned(x: Floats, y: Floats, thresholds: Floats, most: int) -> Curve:
    """Return at most `most` points, evenly spaced along the curve, both ends among them."""
    if most < 2:
        raise ConfigError(f"{most} points of a curve: give 2 or more, for its two ends")
    if len(x) > most:
        way = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
        wanted = np.linspace(0, way[-1], most)
        kept: npt.NDArray[np.intp] = np.unique(np.searchsorted(way, wanted[:-1], side="left"))
        kept = np.unique(np.r_[kept[kept < len(x) - 1], len(x) - 1])
        x, y, thresholds = x[kept], y[kept], thresholds[kept]
    return Curve(x, y, thresholds)
