"""Every measure of every label, the macro means, and their 95 % intervals.

A label that cannot be measured has no values, stays in the list and says why, so that a mean over
fewer labels is visible as such. Of its resamples, those without a positive or without a negative
are left out, for all measures alike; each Estimate holds the number that was used. A macro mean
uses the resamples in which all its labels are measured. Where these are fewer than one in twenty
(many rare labels), a label that a resample lacks counts there with its value of all images.

Pooled collections: give `strata`. AUROC then compares only images of one collection, because a
score that separates collections measures no finding. The other measures know no pairs; they take
the images of all collections as one set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.measures import checks
from cxr_vlp.train.evaluation.measures.column import DEFAULT, MEASURES, Column, Rules, rules_of
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights, interval_of
from cxr_vlp.train.evaluation.scores import Floats, Places, Truth

LEAST_SHARE = 0.05  # of complete resamples, for the interval of a macro mean
NO_PAIR = "no collection has both positives and negatives"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; None: not measured. resamples: how many the interval is of."""

    value: float | None
    low: float | None
    high: float | None
    resamples: int = 0


NOTHING = Estimate(None, None, None)


@dataclass(frozen=True, slots=True)
class LabelMeasures:
    """One label's counts and its measures (all MEASURES); why: the reason for none, else ""."""

    label: str
    positives: int
    negatives: int
    threshold: float | None
    values: Mapping[str, Estimate]
    why: str


@dataclass(frozen=True, slots=True)
class Measured:
    """All labels, and the macro means over those of `macro_of`.

    macro_of: the averaged labels. averaged: measure -> the labels its mean is of; fewer than
    `macro_of` where a label has no threshold. unmeasured: labels without values. draws: measure ->
    (R,) macro means of the resamples, nan where undefined.
    """

    labels: tuple[LabelMeasures, ...]
    macro: Mapping[str, Estimate]
    macro_of: tuple[str, ...]
    unmeasured: tuple[str, ...]
    draws: Mapping[str, Floats]
    averaged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """L labels, sorted for measuring; strata: of each label the columns inside one collection."""

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    strata: tuple[tuple[Column, ...], ...]

    def values(self, weights: Floats) -> Floats:
        """Return the measures (R, L, 8) of the resamples with weights (R, N)."""
        made = np.empty((len(weights), len(self.columns), len(MEASURES)))
        for i, (column, parts) in enumerate(zip(self.columns, self.strata, strict=True)):
            made[:, i] = column.values(weights)
            if parts:
                made[:, i, MEASURES.index("auroc")] = _inside(parts, weights)
        return made

    def points(self, images: int) -> Floats:
        """Return the measures (L, 8) of all N images."""
        return self.values(np.ones((1, images)))[0]

    def draws(self, groups: Sequence[str], intervals: Intervals) -> Floats:
        """Return the measures (R, L, 8) of the bootstrap resamples of N images."""
        chunks = [self.values(weights) for weights in bootstrap_weights(groups, intervals)]
        empty = np.empty((0, len(self.columns), len(MEASURES)))
        return np.concatenate([empty, *chunks])


def measure(
    scores: Floats,
    truth: Truth,
    names: Sequence[str],
    *,
    groups: Sequence[str],
    intervals: Intervals,
    average: Sequence[str],
    thresholds: Mapping[str, float] | None,
    least: int = 1,
    strata: Sequence[str] = (),
    rules: Rules = DEFAULT,
) -> Measured:
    """Return every measure of every label and their macro means, with intervals.

    scores, truth: (N, L); truth is 1, 0 or EXCLUDED. groups: N names, resampled as wholes.
    average: the labels of the macro means. thresholds: label -> the score from which on an image is
    called positive, chosen on other patients; a label without one has no F1, MCC and accuracy.
    least: a label with fewer positives or negatives is not measured. strata: N names; AUROC
    compares images of one stratum only. rules: of all labels; its threshold is not used. Raises
    DataError for scores, truth or groups that cannot be measured.
    """
    labels = sort(scores, truth, names, rules_of(names, thresholds, rules), strata)
    checks.groups(groups, len(scores))
    points, draws = labels.points(len(scores)), labels.draws(groups, intervals)
    return assemble(labels, points, draws, average=average, least=least)


def assemble(
    labels: Labels, points: Floats, draws: Floats, *, average: Sequence[str], least: int
) -> Measured:
    """Return labels and macro means of points (L, 8) and draws (R, L, 8).

    A label with fewer than `least` positives or negatives is not measured.
    """
    reasons = [_reason(column.counts, least, points[i]) for i, column in enumerate(labels.columns)]
    bad = np.array([bool(why) for why in reasons], bool)
    points = np.where(bad[:, None], np.nan, points)
    draws = np.where(bad[None, :, None], np.nan, draws)
    rows = tuple(
        LabelMeasures(
            name, *column.counts, column.rules.threshold, estimates(points[i], draws[:, i]), why
        )
        for i, (name, column, why) in enumerate(
            zip(labels.names, labels.columns, reasons, strict=True)
        )
    )
    return _averaged(rows, points, draws, set(average))


def sort(
    scores: Floats,
    truth: Truth,
    names: Sequence[str],
    rules: Mapping[str, Rules],
    strata: Sequence[str] = (),
) -> Labels:
    """Return the labels, checked and sorted for measuring: scores and truth (N, L), N strata."""
    checks.table(scores, truth, names)
    checks.thresholds({n: r.threshold for n, r in rules.items() if r.threshold is not None})
    for rule in {(r.specificity, r.bins) for r in rules.values()}:
        _check_rules(*rule)
    if any(rule.probabilities for rule in rules.values()):
        checks.probabilities(scores, names)
    if strata:
        checks.groups(strata, len(scores), "strata")
    columns, inside = [], []
    for i, name in enumerate(names):
        columns.append(Column.of(scores[:, i], truth[:, i], rules[name]))
        inside.append(_strata(scores[:, i], truth[:, i], strata))
    return Labels(tuple(names), tuple(columns), tuple(inside))


def estimates(points: Floats, draws: Floats) -> dict[str, Estimate]:
    """Return measure -> Estimate of points (8,) and draws (R, 8)."""
    return {name: estimate(points[m], draws[:, m]) for m, name in enumerate(MEASURES)}


def estimate(point: float, draws: Floats) -> Estimate:
    """Return a value with the interval of its (R,) draws; nan: not measured."""
    if np.isnan(point):
        return NOTHING
    return Estimate(float(point), *interval_of(draws), int((~np.isnan(draws)).sum()))


def macro_draws(points: Floats, draws: Floats) -> Floats:
    """Return the macro means (R,) of the resamples of A labels: points (A,), draws (R, A).

    nan where a label is undefined; where fewer than LEAST_SHARE of the resamples have all labels, a
    label that is undefined in one counts with its point there.
    """
    complete = ~np.isnan(draws).any(axis=1)
    if complete.sum() >= LEAST_SHARE * len(draws):
        return np.where(complete, draws.sum(axis=1) / draws.shape[1], np.nan)
    filled = np.where(np.isnan(draws), points, draws).mean(axis=1)
    return np.where(np.isnan(draws).all(axis=1), np.nan, filled)


def mean_of(measured: Mapping[str, Measured]) -> Measured:
    """Return the headline: the mean over collections of their macro means, with intervals.

    Each collection counts the same, whatever its size. Collections share no patients: resample by
    resample their draws are averaged, each collection's in an order of its own, so that equal seeds
    do not tie them together. Only resamples in which every collection has its mean are used.
    `macro_of` are the collections, `unmeasured` those without any macro mean, `averaged` the
    collections of each measure; there are no labels. Raises ConfigError for collections with
    different numbers of resamples.
    """
    names = sorted(measured)
    sizes = {len(draws) for each in measured.values() for draws in each.draws.values()}
    if len(sizes) > 1:
        raise ConfigError(f"collections with different numbers of resamples: {sorted(sizes)}")
    have = {
        measure: tuple(n for n in names if _value(measured[n], measure) is not None)
        for measure in MEASURES
    }
    some = tuple(name for name in names if any(name in of for of in have.values()))
    shuffled = {name: _shuffled(measured[name].draws, name) for name in some}
    macro, draws = {}, {}
    for measure, of in have.items():
        points = np.array([_value(measured[name], measure) for name in of], np.float64)
        each = [shuffled[name][measure] for name in of]
        draws[measure] = np.mean(each, axis=0) if each else np.full(max(sizes, default=0), np.nan)
        macro[measure] = estimate(points.mean(), draws[measure]) if each else NOTHING
    without = tuple(name for name in names if name not in some)
    return Measured((), macro, some, without, draws, have)


def _averaged(
    rows: tuple[LabelMeasures, ...], points: Floats, draws: Floats, average: set[str]
) -> Measured:
    """Return the rows with their macro means: points (L, 8), draws (R, L, 8)."""
    chosen = [i for i, row in enumerate(rows) if row.label in average and not row.why]
    macro, macros, averaged = {}, {}, {}
    for m, name in enumerate(MEASURES):
        known = [i for i in chosen if not np.isnan(points[i, m])]
        averaged[name] = tuple(rows[i].label for i in known)
        if known:
            macros[name] = macro_draws(points[known, m], draws[:, known, m])
            macro[name] = estimate(points[known, m].mean(), macros[name])
        else:
            macros[name], macro[name] = np.full(len(draws), np.nan), NOTHING
    unmeasured = tuple(row.label for row in rows if row.why)
    of = tuple(rows[i].label for i in chosen)
    return Measured(rows, macro, of, unmeasured, macros, averaged)


def _reason(counts: tuple[int, int], least: int, points: Floats) -> str:
    """Return why a label is not measured, "" where it is."""
    needed = max(least, 1)
    for count, what in zip(counts, ("positives", "negatives"), strict=True):
        if count < needed:
            return f"{count} {what}, fewer than {needed}"
    return NO_PAIR if np.isnan(points[MEASURES.index("auroc")]) else ""


def _strata(scores: Floats, truth: Truth, strata: Sequence[str]) -> tuple[Column, ...]:
    """Return a column for each stratum of a label; () where there are no strata."""
    place = np.asarray(strata, dtype=str)
    parts: list[Places] = [np.flatnonzero(place == name) for name in sorted(set(strata))]
    rules = Rules(probabilities=False)
    return tuple(Column.of(scores, truth, rules, part) for part in parts)


def _inside(columns: Sequence[Column], weights: Floats) -> Floats:
    """Return the AUROCs (R,) over pairs inside the strata, nan where there is no pair."""
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for column in columns:
        more = column.pairs(weights)
        won, pairs = won + more[0], pairs + more[1]
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1.0), np.nan)


def _check_rules(specificity: float, bins: int) -> None:
    if not 0 < specificity < 1:
        raise ConfigError(f"specificity {specificity}: give a number above 0 and below 1")
    if bins < 1:
        raise ConfigError(f"{bins} bins of the calibration error: give 1 or more")


def _value(measured: Measured, measure: str) -> float | None:
    return measured.macro[measure].value


def _shuffled(draws: Mapping[str, Floats], name: str) -> dict[str, Floats]:
    """Return a collection's draws in an order that depends on its name alone, the undefined last.

    The undefined ones of several collections then meet each other, and cost the fewest resamples.
    """
    rng = np.random.default_rng([ord(letter) for letter in name])
    place = rng.permutation(max((len(values) for values in draws.values()), default=0))
    made = {}
    for measure, values in draws.items():
        mixed = values[place]
        made[measure] = mixed[np.argsort(np.isnan(mixed), kind="stable")]
    return made
