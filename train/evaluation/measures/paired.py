"""Differences between two models on the same images: paired bootstrap, DeLong's test.

Every difference is second - first. The bootstrap measures both models on the same resamples of
patients, for any measure and for macro means. DeLong's test needs no resamples and is for AUROC. It
takes images as independent; where a patient has several, the variance is Obuchowski's for clustered
data, which sums each patient's share first. `Delong.method` says which one was used.

DeLong et al., Biometrics 44:837 (1988); Sun and Xu, IEEE Signal Processing Letters 21:1389 (2014);
Obuchowski, Biometrics 53:567 (1997).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.evaluation.measures import checks
from cxr_vlp.train.evaluation.measures.column import DEFAULT, Rules, rules_of
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import Measured, assemble, sort
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

NORMAL_95 = 1.959963984540054  # the 97.5th percentile of the normal distribution
INDEPENDENT, CLUSTERED = "DeLong 1988", "Obuchowski 1997"


@dataclass(frozen=True, slots=True)
class Delong:
    """Two AUROCs of the same images; difference: second - first, with its error and 95 % interval.

    error, low, high and p (two-sided) are None where a class has fewer than two images (patients).
    p is None too where both models put all images in the same order of classes: nothing varies.
    """

    first: float
    second: float
    difference: float
    error: float | None
    low: float | None
    high: float | None
    p: float | None
    method: str


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models: its scores (N, L), thresholds, and whether they are probabilities."""

    scores: Floats
    thresholds: Mapping[str, float] | None = None
    probabilities: bool = True


@dataclass(frozen=True, slots=True)
class Paired:
    """Both models on the same labels, their differences, and label -> DeLong's test.

    In `difference`, values and macro means are second - first, with the intervals of the paired
    bootstrap. A label or measure that one model lacks is measured for neither.
    """

    first: Measured
    second: Measured
    difference: Measured
    delong: Mapping[str, Delong]


def paired(
    first: Side,
    second: Side,
    truth: Truth,
    names: Sequence[str],
    *,
    groups: Sequence[str],
    intervals: Intervals,
    average: Sequence[str],
    least: int = 1,
    rules: Rules = DEFAULT,
) -> Paired:
    """Return how two models differ on the same N images, for every label and measure.

    truth: (N, L). groups: N patients. The other arguments are those of table.measure. Raises
    DataError for scores, truth or groups that cannot be measured.
    """
    used = replace(rules, probabilities=first.probabilities and second.probabilities)
    one, other = dict(first.thresholds or {}), dict(second.thresholds or {})
    both = one.keys() & other.keys()
    sides = []
    for side, given in ((first, one), (second, other)):
        common = {name: given[name] for name in both}
        sides.append(sort(side.scores, truth, names, rules_of(names, common, used)))
    checks.groups(groups, len(truth))
    points = [side.points(len(truth)) for side in sides]
    draws = [side.draws(groups, intervals) for side in sides]
    made = [
        assemble(sides[at], points[at], draws[at], average=average, least=least) for at in (0, 1)
    ]
    change = assemble(
        sides[1], points[1] - points[0], draws[1] - draws[0], average=average, least=least
    )
    tests = {
        row.label: delong(first.scores[:, i], second.scores[:, i], truth[:, i], groups)
        for i, row in enumerate(change.labels)
        if not row.why
    }
    return Paired(made[0], made[1], _without_thresholds(change), tests)


def delong(a: Floats, b: Floats, truth: Truth, groups: Sequence[str] = ()) -> Delong:
    """Return the AUROCs of scores a and b (N,) on the same images, and the test of b - a.

    truth: (N,), 1, 0 or EXCLUDED. groups: N patients; empty: every image is independent. Raises
    DataError for scores that are not finite, and where a class is missing.
    """
    names = ("first", "second")
    checks.table(np.stack([a, b], axis=1), np.stack([truth, truth], axis=1), names)
    checks.both_classes(truth)
    if len(groups):
        checks.groups(groups, len(truth))
    known = np.flatnonzero(truth != EXCLUDED)
    positive = truth[known] == 1
    shares = [_placements(scores[known], positive) for scores in (a, b)]
    areas = [float(share[positive].mean()) for share in shares]
    owners = np.asarray(groups, dtype=str)[known] if len(groups) else np.arange(len(known))
    _, cluster = np.unique(owners, return_inverse=True)
    method = CLUSTERED if len(set(cluster.tolist())) < len(known) else INDEPENDENT
    variance = _variance(shares[1] - shares[0], positive, cluster)
    return _tested(areas[0], areas[1], variance, method)


def _placements(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """Return of each image the share of the other class that it is rightly ordered to, ties 1/2."""
    made = np.empty(len(scores))
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])
    made[positive] = _below(low, scores[positive]) / len(low)
    made[~positive] = 1 - _below(high, scores[~positive]) / len(high)
    return made


def _below(ordered: Floats, values: Floats) -> Floats:
    """Return how many of the ordered numbers are below each value, equal ones as 1/2."""
    left = np.searchsorted(ordered, values, side="left")
    return (left + np.searchsorted(ordered, values, side="right")) / 2


def _variance(
    shares: Floats, positive: npt.NDArray[np.bool_], cluster: npt.NDArray[np.intp]
) -> float | None:
    """Return the variance of a difference of AUROCs from the differences of the placements (n,).

    With one image a cluster this is DeLong's; the products of both classes are then all 0.
    """
    count = int(cluster.max()) + 1
    sums, sizes, holders = [], [], []
    for chosen in (positive, ~positive):
        centred = shares[chosen] - shares[chosen].mean()
        sums.append(np.bincount(cluster[chosen], centred, minlength=count))
        sizes.append(int(chosen.sum()))
        holders.append(len(np.unique(cluster[chosen])))
    if min(holders) < 2:
        return None
    spread = [
        holders[k] / (holders[k] - 1) * float((sums[k] ** 2).sum()) / sizes[k] ** 2 for k in (0, 1)
    ]
    crossed = 2 * count / (count - 1) * float((sums[0] * sums[1]).sum()) / (sizes[0] * sizes[1])
    return max(spread[0] + spread[1] + crossed, 0.0)


def _tested(first: float, second: float, variance: float | None, method: str) -> Delong:
    change = second - first
    if variance is None:
        return Delong(first, second, change, None, None, None, None, method)
    error = math.sqrt(variance)
    low, high = change - NORMAL_95 * error, change + NORMAL_95 * error
    p = math.erfc(abs(change) / error / math.sqrt(2)) if error > 0 else None
    return Delong(first, second, change, error, low, high, p, method)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted for their number by Holm's method (1979); None stays None.

    The k-th smallest of m is multiplied by m - k + 1, is at least as large as the one before it,
    and at most 1.
    """
    known = sorted((p, place) for place, p in enumerate(values) if p is not None)
    made: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        made[place] = largest
    return made


def _without_thresholds(measured: Measured) -> Measured:
    """Return differences without the second model's thresholds, which are not differences."""
    rows = tuple(replace(row, threshold=None) for row in measured.labels)
    return replace(measured, labels=rows)
