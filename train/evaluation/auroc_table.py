"""The table of `cxr_vlp.auroc_table`: the AUROC of each label and the macro mean, with intervals.

A label that cannot be measured (too few positives or negatives) has the value None and stays in the
list, so that a mean over fewer labels is visible as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_vlp.nlp import uncertainty
from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.evaluation.measures import table
from cxr_vlp.train.evaluation.measures.column import Rules
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

UNCERTAIN = ("exclude", "positive", "negative")  # policies on a label of -1
UNMENTIONED = {"exclude": EXCLUDED, "negative": 0}  # and on one that is not mentioned


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


def targets(
    rows: Sequence[Mapping[str, int]],
    names: Sequence[str],
    *,
    uncertain: str = "exclude",
    unmentioned: str = "negative",
) -> Truth:
    """Return (N, L) targets: 1 and 0 as they are, -1 and missing keys as the policies say."""
    decided = uncertainty.state(uncertainty.UNCERTAIN, uncertain)
    uncertain_is = EXCLUDED if decided is None else decided
    missing_is = UNMENTIONED[unmentioned]
    value = {1: 1, 0: 0, -1: uncertain_is}
    made = [[value[row[name]] if name in row else missing_is for name in names] for row in rows]
    return np.array(made, np.int8).reshape(len(rows), len(names))


def measured(
    scores: Floats,
    truth: Truth,
    names: Sequence[str],
    groups: Sequence[str],
    intervals: Intervals,
    least: int = 1,
) -> Measured:
    """Return the AUROC of every label and the mean over the findings; arguments: table.measure.

    No Finding is measured, and is not part of the mean. Raises DataError for scores that are not
    finite.
    """
    findings = [name for name in names if name != NO_FINDING]
    found = table.measure(
        scores, truth, names, groups=groups, intervals=intervals, average=findings,
        thresholds=None, least=least, rules=Rules(probabilities=False),
    )  # fmt: skip
    rows = []
    for each in found.labels:
        value = each.values["auroc"]
        counts = each.positives, each.negatives
        rows.append(Auroc(each.label, value.value, value.low, value.high, *counts))
    macro = found.macro["auroc"]
    return Measured(
        tuple(rows), macro.value, macro.low, macro.high, found.macro_of, found.unmeasured
    )
