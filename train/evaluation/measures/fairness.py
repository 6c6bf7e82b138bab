"""Measures by groups of patients or images (sex, age band, view), and the gaps between groups.

A gap is the highest minus the lowest value of the measured groups. Its interval is of the
difference between these two groups, on the same resamples of patients; so it can hold 0, which a
maximum minus a minimum cannot. With many groups some gap is expected by chance: read the interval.

A group is measured where at least half of the labels are that all images together measure; the
others are listed with their reason, and never enter a gap. Means over labels, and their gaps, are
over the labels that every measured group of the attribute has.

Under- and overdiagnosis are defined in diagnosis.py. Images that count for neither are counted as
undecided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_vlp.train.evaluation.measures import checks, diagnosis
from cxr_vlp.train.evaluation.measures.column import DEFAULT, MEASURES, Column, Rules, rules_of
from cxr_vlp.train.evaluation.measures.diagnosis import RATES
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights
from cxr_vlp.train.evaluation.measures.table import (
    NOTHING,
    Estimate,
    Labels,
    Measured,
    assemble,
    estimate,
    macro_draws,
    sort,
)
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Places, Truth

MEAN = "mean"  # the row of the mean over labels
LEAST_SHARE = 0.5  # of the labels, for a group that is measured
BANDS = ((0, 17), (18, 39), (40, 59), (60, 79))
OLDEST = 80  # the band from here on
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Group:
    """One group of an attribute: its counts and measures; why: why it is not measured, "" else.

    rates: RATES -> Estimate. sick, healthy, undecided: images with a finding, without any, neither.
    """

    attribute: str
    group: str
    images: int
    patients: int
    sick: int
    healthy: int
    undecided: int
    measured: Measured
    rates: Mapping[str, Estimate]
    why: str


@dataclass(frozen=True, slots=True)
class Gap:
    """The gap of a measure (or rate) of a label (or MEAN) between two groups of an attribute."""

    attribute: str
    label: str
    measure: str
    lowest: str
    highest: str
    gap: Estimate


@dataclass(frozen=True, slots=True)
class Fairness:
    """All groups, and the gaps of the attributes that have two measured groups or more."""

    groups: tuple[Group, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, eq=False)
class _Sample:
    """A group before it is assembled: points (L, 8), draws (R, L, 8), rates (2,) and (R, 2)."""

    name: str
    rows: Places
    labels: Labels
    points: Floats
    draws: Floats
    rates: Floats
    rate_draws: Floats


def age_band(age: int | None) -> str:
    """Return the band of an age in years, UNKNOWN where there is none."""
    if age is None:
        return UNKNOWN
    if age >= OLDEST:
        return f"{OLDEST}+"
    return next((f"{low}-{high}" for low, high in BANDS if low <= age <= high), UNKNOWN)


def by_group(
    attributes: Mapping[str, Sequence[str]],
    scores: Floats,
    truth: Truth,
    names: Sequence[str],
    *,
    groups: Sequence[str],
    intervals: Intervals,
    average: Sequence[str],
    thresholds: Mapping[str, float] | None,
    least: int = 1,
    rules: Rules = DEFAULT,
) -> Fairness:
    """Return the measures of each group of each attribute, and the gaps.

    attributes: name (sex, age, view) -> N group names; an empty name is UNKNOWN. The group UNKNOWN
    is measured, but enters no gap and does not decide which labels the means are over. The other
    arguments are those of table.measure; under- and overdiagnosis are over the labels of `average`
    that have a threshold. Raises DataError for attributes, scores, truth or groups that cannot be
    measured.
    """
    given = dict(thresholds or {})
    whole = sort(scores, truth, names, rules_of(names, given, rules))
    checks.groups(groups, len(scores))
    measurable = sum(min(column.counts) >= max(least, 1) for column in whole.columns)
    state = diagnosis.state(scores, truth, names, average, given)
    found: list[Group] = []
    gaps: list[Gap] = []
    for attribute, members in attributes.items():
        checks.groups(members, len(scores), f"values of {attribute}")
        parts = _parts(members)
        samples = [
            _sample(name, rows, whole, scores, truth, state, groups, intervals)
            for name, rows in parts.items()
        ]
        listed, compared = _assembled(attribute, samples, groups, state, average, least, measurable)
        found += listed
        gaps += _gaps(attribute, compared, least, average)
    return Fairness(tuple(found), tuple(gaps))


def _parts(members: Sequence[str]) -> dict[str, Places]:
    """Return group -> its images, sorted by name."""
    named = np.array([member or UNKNOWN for member in members], dtype=str)
    return {name: np.flatnonzero(named == name) for name in sorted(set(named.tolist()))}


def _sample(
    name: str,
    rows: Places,
    whole: Labels,
    scores: Floats,
    truth: Truth,
    state: Truth,
    groups: Sequence[str],
    intervals: Intervals,
) -> _Sample:
    """Measure one group in the resamples of all images."""
    columns = tuple(
        Column.of(scores[:, i], truth[:, i], column.rules, rows)
        for i, column in enumerate(whole.columns)
    )
    labels = Labels(whole.names, columns, ((),) * len(columns))
    cells = diagnosis.cells(state, rows)
    chunks, rates = [np.empty((0, len(columns), len(MEASURES)))], [np.empty((0, 2))]
    for weights in bootstrap_weights(groups, intervals):
        chunks.append(labels.values(weights))
        rates.append(diagnosis.rates(weights, cells))
    points = labels.points(len(scores))
    rate = diagnosis.rates(np.ones((1, len(scores))), cells)[0]
    draws = np.concatenate(chunks), np.concatenate(rates)
    return _Sample(name, rows, labels, points, draws[0], rate, draws[1])


def _assembled(
    attribute: str,
    samples: Sequence[_Sample],
    patients: Sequence[str],
    state: Truth,
    average: Sequence[str],
    least: int,
    measurable: int,
) -> tuple[list[Group], list[_Sample]]:
    """Return all groups, and the samples of those that are compared with each other."""
    first = [assemble(s.labels, s.points, s.draws, average=average, least=least) for s in samples]
    reasons = [_reason(measured, measurable) for measured in first]
    # where every image is of the group UNKNOWN, it is the only one
    ranked = [each for each in samples if each.name != UNKNOWN] or list(samples)
    shared = set(average).intersection(
        *(
            each.macro_of
            for each, sample, why in zip(first, samples, reasons, strict=True)
            if not why and sample in ranked
        )
    )
    made = []
    for sample, why in zip(samples, reasons, strict=True):
        used = [name for name in average if name in shared]
        found = assemble(sample.labels, sample.points, sample.draws, average=used, least=least)
        made.append(_group(attribute, sample, found, patients, state, why))
    compared = [
        sample
        for sample, why in zip(samples, reasons, strict=True)
        if not why and sample.name != UNKNOWN
    ]
    return made, compared


def _group(
    attribute: str,
    sample: _Sample,
    measured: Measured,
    patients: Sequence[str],
    state: Truth,
    why: str,
) -> Group:
    """Return a group; one that is too small keeps its counts and has no values."""
    if why:
        empty = np.full_like(sample.points, np.nan), np.full_like(sample.draws, np.nan)
        measured = assemble(sample.labels, *empty, average=(), least=1)
    owners = {patients[row] for row in sample.rows.tolist()}
    sick = state[sample.rows, 0]
    counts = [int((sick == value).sum()) for value in (1, 0, EXCLUDED)]
    rates = {
        name: NOTHING if why else estimate(sample.rates[k], sample.rate_draws[:, k])
        for k, name in enumerate(RATES)
    }
    return Group(
        attribute, sample.name, len(sample.rows), len(owners), counts[0], counts[1], counts[2],
        measured, rates, why,
    )  # fmt: skip


def _reason(measured: Measured, measurable: int) -> str:
    """Return why a group is not measured, "" where it is."""
    known = sum(not row.why for row in measured.labels)
    if known and known >= LEAST_SHARE * measurable:
        return ""
    return f"too few positives or negatives: {known} of {measurable} labels can be measured"


def _gaps(
    attribute: str, samples: Sequence[_Sample], least: int, average: Sequence[str]
) -> list[Gap]:
    """Return the gaps of every label, of the means and of the rates between measured groups."""
    if len(samples) < 2:
        return []
    made: list[Gap | None] = []
    enough = [[min(c.counts) >= max(least, 1) for c in s.labels.columns] for s in samples]
    for i, label in enumerate(samples[0].labels.names):
        held = [k for k, known in enumerate(enough) if known[i]]
        for m, measure in enumerate(MEASURES):
            values = {samples[k].name: (samples[k].points[i, m], samples[k].draws[:, i, m])
                      for k in held}  # fmt: skip
            made.append(_gap(attribute, label, measure, values))
    shared = [
        i
        for i, label in enumerate(samples[0].labels.names)
        if label in average and all(known[i] for known in enough)
    ]
    for m, measure in enumerate(MEASURES):
        made.append(_gap(attribute, MEAN, measure, _means(samples, shared, m)))
    for k, rate in enumerate(RATES):
        rates = {s.name: (s.rates[k], s.rate_draws[:, k]) for s in samples}
        made.append(_gap(attribute, "", rate, rates))
    return [gap for gap in made if gap]


def _means(
    samples: Sequence[_Sample], shared: Sequence[int], measure: int
) -> dict[str, tuple[float, Floats]]:
    """Return group -> mean over the shared labels that have the measure, and its draws (R,)."""
    used = [i for i in shared if not np.isnan(samples[0].points[i, measure])]
    if not used:
        return {}
    return {
        each.name: (
            float(each.points[used, measure].mean()),
            macro_draws(each.points[used, measure], each.draws[:, used, measure]),
        )
        for each in samples
    }


def _gap(
    attribute: str, label: str, measure: str, values: Mapping[str, tuple[float, Floats]]
) -> Gap | None:
    """Return the gap of the groups that have a value, None where fewer than two have one."""
    known = {name: each for name, each in values.items() if not np.isnan(each[0])}
    if len(known) < 2:
        return None
    highest = max(known, key=lambda name: known[name][0])
    lowest = min(known, key=lambda name: known[name][0])
    point = known[highest][0] - known[lowest][0]
    draws = known[highest][1] - known[lowest][1]
    return Gap(attribute, label, measure, lowest, highest, estimate(point, draws))
