"""One label's images, sorted by score once: a resample then costs sums along the order.

Every measure of a resample follows from two running sums, of all weights and of the positives'
weights, from the highest score down. Weights are counts, and images of equal score are one step.

AUROC         the share of pairs (positive, negative) in the right order; a tie counts 1/2
AUPRC         average precision: the sum over the steps of (recall gained) x (precision there)
F1, MCC, accuracy   of "score >= threshold"; MCC is 0 where all predictions are of one kind
sensitivity   the highest sensitivity of a threshold whose specificity is at least the given one;
              the thresholds are the scores of the measured images, and one above all of them
Brier         the mean of (probability - truth)^2
ECE           sum over bins of (share of images) x |mean probability - share of positives|, in bins
              of equal width over 0..1; a bin holds its lower edge, the last one also holds 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Places, Truth

MEASURES = ("auroc", "auprc", "f1", "mcc", "accuracy", "sensitivity", "brier", "ece")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the measures of a label depend on beside scores and truth.

    specificity: at which the sensitivity is measured. bins: of the ECE.

    threshold: None where there is none; F1, MCC and accuracy are then not measured. probabilities:
    whether scores are probabilities, without which there is no Brier score and no ECE.
    """

    threshold: float | None = None
    specificity: float = 0.9
    bins: int = 15
    probabilities: bool = True


DEFAULT = Rules()


def rules_of(
    names: Sequence[str], thresholds: Mapping[str, float] | None, rules: Rules
) -> dict[str, Rules]:
    """Return the rules of each label: those given, with its own threshold where it has one."""
    given = thresholds or {}
    return {name: replace(rules, threshold=given.get(name)) for name in names}


@dataclass(frozen=True)
class Column:
    """The n images of known truth, from the highest score down.

    positive: (p,) places of the positives in the order. begins, ends: (g,) first and last place of
    each tie group that holds a positive. last: (g,) number of its last positive among the p.
    above: how many images and how many positives reach the threshold. errors: (n,) probability
    minus truth. bins: the place at which each bin that holds an image begins.
    """

    order: Places
    positive: Places
    begins: Places
    ends: Places
    last: Places
    rules: Rules
    above: tuple[int, int]
    errors: Floats
    bins: Places

    @classmethod
    def of(cls, scores: Floats, truth: Truth, rules: Rules, part: Places | None = None) -> Column:
        """Sort the images of known truth: scores (N,), truth (N,); part: only these of the N."""
        known = np.flatnonzero(truth != EXCLUDED) if part is None else part[truth[part] != EXCLUDED]
        order = known[np.argsort(-scores[known], kind="stable")]
        ordered, is_positive = scores[order], truth[order] == 1
        begins, ends, last = _ties(ordered, is_positive)
        reached = 0 if rules.threshold is None else int((ordered >= rules.threshold).sum())
        above = reached, int(is_positive[:reached].sum())
        bins = _bins(ordered, rules.bins) if rules.probabilities else np.empty(0, np.intp)
        positive = np.flatnonzero(is_positive)
        return cls(order, positive, begins, ends, last, rules, above, ordered - is_positive, bins)

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of positives and negatives."""
        return len(self.positive), len(self.order) - len(self.positive)

    def values(self, weights: Floats) -> Floats:
        """Return (R, 8), the MEASURES of each resample; weights (R, N).

        A resample without a positive or without a negative is nan in all of them.
        """
        made = np.full((len(weights), len(MEASURES)), np.nan)
        if not all(self.counts):
            return made
        sums = Sums.of(self, weights)
        found: dict[str, Floats] = {"auroc": sums.right / sums.pairs, "auprc": sums.precision()}
        found["sensitivity"] = sums.sensitivity(self.rules.specificity)
        if self.rules.threshold is not None:
            found |= sums.decisions(*self.above)
        if self.rules.probabilities:
            found |= self._calibration(sums)
        for name, value in found.items():
            made[:, MEASURES.index(name)] = np.where(sums.pairs > 0, value, np.nan)
        return made

    def pairs(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return pairs in the right order (R,), ties as 1/2, and all pairs (R,); weights (R, N)."""
        if not all(self.counts):
            return np.zeros(len(weights)), np.zeros(len(weights))
        sums = Sums.of(self, weights)
        return sums.right, sums.all_pairs

    def _calibration(self, sums: Sums) -> dict[str, Floats]:
        gaps = np.add.reduceat(sums.weights * self.errors, self.bins, axis=1)
        return {
            "brier": sums.weights @ self.errors**2 / sums.total,
            "ece": np.abs(gaps).sum(axis=1) / sums.total,
        }


@dataclass(frozen=True)
class Sums:
    """Running sums of R resamples along a column.

    weights: (R, n) in the order. running, found: sums of all and of the positives' weights from the
    top, (R, n) and (R, p). At the g steps that hold a positive: gained, hits, alarms (R, g) are the
    positives of the step, and the positives and negatives down to its end; tied are the negatives
    of the step. pairs is never 0, all_pairs may be.
    """

    weights: Floats
    running: Floats
    found: Floats
    gained: Floats
    hits: Floats
    alarms: Floats
    tied: Floats

    @classmethod
    def of(cls, column: Column, weights: Floats) -> Sums:
        """Return the sums of a column that has positives and negatives; weights (R, N)."""
        mine = np.take(weights, column.order, axis=1)
        running = np.cumsum(mine, axis=1)
        found = np.cumsum(np.take(mine, column.positive, axis=1), axis=1)
        hits = np.take(found, column.last, axis=1)
        gained = np.diff(hits, axis=1, prepend=0.0)
        down = np.take(running, column.ends, axis=1)
        before = np.take(running, column.begins, axis=1) - np.take(mine, column.begins, axis=1)
        return cls(mine, running, found, gained, hits, down - hits, down - before - gained)

    @property
    def positives(self) -> Floats:
        """(R,): the weight of all positives."""
        return self.found[:, -1]

    @property
    def negatives(self) -> Floats:
        """(R,): the weight of all negatives."""
        return self.running[:, -1] - self.found[:, -1]

    @property
    def total(self) -> Floats:
        """(R,): the weight of all images, 1 where it is 0."""
        return _never_zero(self.running[:, -1])

    @property
    def all_pairs(self) -> Floats:
        """(R,): pairs of a positive and a negative."""
        return self.positives * self.negatives

    @property
    def pairs(self) -> Floats:
        """(R,): pairs of a positive and a negative, nan where there is none."""
        return np.where(self.all_pairs > 0, self.all_pairs, np.nan)

    @property
    def right(self) -> Floats:
        """(R,): pairs in the right order, a tie as 1/2."""
        below = self.negatives[:, None] - self.alarms + self.tied / 2
        return (self.gained * below).sum(axis=1)

    def precision(self) -> Floats:
        """Return the average precision (R,)."""
        precision = self.hits / _never_zero(self.hits + self.alarms)
        return (self.gained * precision).sum(axis=1) / _never_zero(self.positives)

    def sensitivity(self, specificity: float) -> Floats:
        """Return the highest sensitivity (R,) of a threshold with at least this specificity."""
        negatives = self.negatives[:, None]
        # the division and not a product: 9 of 10 must be 0.9, exactly as it is written
        allowed = (negatives - self.alarms) / _never_zero(negatives) >= specificity
        return (self.gained * allowed).sum(axis=1) / _never_zero(self.positives)

    def decisions(self, images: int, positives: int) -> dict[str, Floats]:
        """Return F1, MCC and accuracy (R,) where the first `images` are called positive."""
        hits = self.found[:, positives - 1] if positives else np.zeros(len(self.found))
        called = self.running[:, images - 1] if images else np.zeros(len(self.found))
        alarms, missed = called - hits, self.positives - hits
        return decided(hits, alarms, missed, self.negatives - alarms)


def decided(hits: Floats, alarms: Floats, missed: Floats, passed: Floats) -> dict[str, Floats]:
    """Return F1, MCC and accuracy of true and false positives, false and true negatives.

    F1 and MCC are 0 where they are 0/0: no positive and none called, or all calls of one kind.
    """
    f1 = 2 * hits / _never_zero(2 * hits + alarms + missed)
    spread = (hits + alarms) * (hits + missed) * (passed + alarms) * (passed + missed)
    mcc = np.where(spread > 0, hits * passed - alarms * missed, 0.0) / np.sqrt(_never_zero(spread))
    total = _never_zero(hits + alarms + missed + passed)
    return {"f1": f1, "mcc": mcc, "accuracy": (hits + passed) / total}


def bin_of(probabilities: Floats, bins: int) -> Places:
    """Return the number of each probability's bin, of `bins` of equal width over 0..1."""
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, probabilities, side="right")


def _ties(ordered: Floats, positive: npt.NDArray[np.bool_]) -> tuple[Places, Places, Places]:
    """Return begin, end and the number of the last positive of the groups that hold a positive."""
    if not positive.any():
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0, np.intp)
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[begins[1:], len(ordered)] - 1
    found = np.cumsum(positive)[ends]
    holds = np.diff(found, prepend=0) > 0
    return begins[holds], ends[holds], found[holds] - 1


def _bins(ordered: Floats, bins: int) -> Places:
    """Return where each bin that holds an image begins, from the highest down."""
    numbers = bin_of(ordered, bins)
    return np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]][: len(numbers)])


def _never_zero(values: Floats) -> Floats:
    """Return the values with 1 for 0: a divisor where 0/0 is meant to be 0."""
    return np.where(values == 0, 1.0, values)
