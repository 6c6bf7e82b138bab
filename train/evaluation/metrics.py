"""Computes the AUROC of each label and the macro mean, with bootstrap intervals.

A label that cannot be measured (too few positives or negatives) has the value None and stays in the
list, so that a mean over fewer labels is visible as such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_vlp.nlp import uncertainty

Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]  # (N, L): 1 positive, 0 negative, EXCLUDED
EXCLUDED = -1
UNCERTAIN = ("exclude", "positive", "negative")  # policies on a label of -1
UNMENTIONED = {"exclude": EXCLUDED, "negative": 0}  # and on one that is not mentioned
LEVEL = 0.95  # of the intervals
CHUNK = 50  # resamples in memory at a time: with 65,000 patients tens of megabytes


@dataclass(frozen=True, slots=True)
class Auroc:
    """One label's area under the ROC curve (None: not measurable) and its numbers of images."""

    label: str
    auroc: float | None
    low: float | None
    high: float | None
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True)
class Measured:
    """All labels, and the mean over those of `macro_of` that could be measured."""

    labels: tuple[Auroc, ...]
    macro: float | None
    low: float | None
    high: float | None
    macro_of: tuple[str, ...]
    unmeasured: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are computed: the number of resamples of patients or images, and a seed."""

    resamples: int
    seed: int


def targets(
    rows: Sequence[Mapping[str, int]],
    names: Sequence[str],
    *,
    uncertain: str = "exclude",
    unmentioned: str = "negative",
) -> Targets:
    """Return (N, L) targets: 1 and 0 as they are, -1 and missing keys as the policies say."""
    decided = uncertainty.state(uncertainty.UNCERTAIN, uncertain)
    uncertain_is = EXCLUDED if decided is None else decided
    missing_is = UNMENTIONED[unmentioned]
    value = {1: 1, 0: 0, -1: uncertain_is}
    made = [[value[row[name]] if name in row else missing_is for name in names] for row in rows]
    return np.array(made, np.int8).reshape(len(rows), len(names))


def measure(
    scores: Floats,
    truth: Targets,
    names: Sequence[str],
    groups: Sequence[str],
    bootstrap: Bootstrap,
    macro_of: Sequence[str],
    least: int = 1,
    strata: Sequence[str] = (),
) -> Measured:
    """Return every label's AUROC and the macro mean, with intervals over resampled groups.

    scores, truth: (N, L). groups: N names; a group is resampled as a whole, because images of one
    patient are not independent. One resample is used for all labels, so the macro mean has an
    interval of its own. A resample without a positive or without a negative of a label is left out
    of that label's interval. A label with fewer than `least` positives or negatives is not
    measured. strata: N names; only images of the same stratum are compared. Images of two
    collections differ in more than their findings, and a score that separates the collections
    measures no finding.
    """
    inside = strata or [""] * len(scores)
    columns = [_Label.of(scores[:, i], truth[:, i], inside) for i in range(len(names))]
    points = np.array([column.auroc(np.ones((1, len(scores))))[0] for column in columns])
    draws = _resample(columns, groups, bootstrap)
    few = np.array([min(column.counts) < least for column in columns], bool)
    points[few], draws[:, few] = np.nan, np.nan
    rows = tuple(
        Auroc(name, _number(points[i]), *_interval(draws[:, i]), *columns[i].counts)
        for i, name in enumerate(names)
    )
    chosen = [i for i, name in enumerate(names) if name in macro_of and not np.isnan(points[i])]
    macro = _number(points[chosen].mean()) if chosen else None
    low, high = _interval(_row_means(draws[:, chosen])) if chosen else (None, None)
    unmeasured = tuple(row.label for row in rows if row.auroc is None)
    return Measured(rows, macro, low, high, tuple(names[i] for i in chosen), unmeasured)


@dataclass(frozen=True)
class _Label:
    """One label's images, one column per stratum; strata without a pair to compare are left out."""

    columns: tuple[_Column, ...]
    counts: tuple[int, int]  # positives and negatives over all strata

    @classmethod
    def of(cls, scores: Floats, truth: Targets, strata: Sequence[str]) -> _Label:
        place = np.asarray(strata, dtype=str)
        parts = [np.flatnonzero(place == name) for name in sorted(set(strata))]
        columns = [_Column.of(scores, truth, part) for part in parts]
        counts = int((truth == 1).sum()), int((truth == 0).sum())
        return cls(tuple(c for c in columns if all(c.counts)), counts)

    def auroc(self, weights: Floats) -> Floats:
        """Return AUROCs (R,) for the weights (R, N) of the images; nan where there is no pair."""
        won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for column in self.columns:
            more = column.compared(weights)
            won, pairs = won + more[0], pairs + more[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return won / pairs


@dataclass(frozen=True)
class _Column:
    """Images of one stratum, sorted by score once: a resample then costs two sums over ties."""

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    positive: Floats
    counts: tuple[int, int]

    @classmethod
    def of(cls, scores: Floats, truth: Targets, part: npt.NDArray[np.intp]) -> _Column:
        known = part[truth[part] != EXCLUDED]
        order = known[np.argsort(scores[known], kind="stable")]
        ordered = scores[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(order) else order
        positive = (truth[order] == 1).astype(np.float64)
        positives = int(positive.sum())
        return cls(order, starts, positive, (positives, len(order) - positives))

    def compared(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return pairs in the right order (R,), ties as 1/2, and all pairs (R,); weights (R, N)."""
        mine = weights[:, self.order]
        positive = np.add.reduceat(mine * self.positive, self.starts, axis=1)
        negative = np.add.reduceat(mine * (1 - self.positive), self.starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        return (positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1)


def _resample(columns: Sequence[_Label], groups: Sequence[str], bootstrap: Bootstrap) -> Floats:
    """Return the AUROCs (R, L) of the resamples."""
    if not columns:  # a collection without labels
        return np.empty((0, 0))
    chunks = [
        np.stack([column.auroc(weights) for column in columns], axis=1)
        for weights in _weights(groups, bootstrap)
    ]
    return np.concatenate(chunks) if chunks else np.empty((0, len(columns)))


def _weights(groups: Sequence[str], bootstrap: Bootstrap) -> Iterator[Floats]:
    """Yield chunks (R, N): how often each image is in a resample of the groups."""
    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    rng = np.random.default_rng(bootstrap.seed)
    for start in range(0, bootstrap.resamples, CHUNK):
        count = min(CHUNK, bootstrap.resamples - start)
        drawn = rng.integers(0, len(names), (count, len(names)))
        times = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
        yield times[:, place].astype(np.float64)


def _interval(values: Floats) -> tuple[float | None, float | None]:
    known = values[~np.isnan(values)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _row_means(draws: Floats) -> Floats:
    """Return the mean of each row without its nans; a row of nans is left out."""
    known = ~np.isnan(draws)
    some = known.any(axis=1)
    return np.where(known, draws, 0.0)[some].sum(axis=1) / known[some].sum(axis=1)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
