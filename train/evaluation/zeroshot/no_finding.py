"""Scores "No Finding" in four ways; a result depends strongly on which of them is used.

    direct             the score of "There is no finding" alone
    pair               its prompt pair ("no no finding" is a poor sentence)
    one_minus_max      1 - the highest finding
    mean_of_negatives  the mean of 1 - p over the findings

Where scores are no probabilities, the last two are - the highest and - the mean. Support devices
are no finding and are left out of both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxr_vlp.nlp.labels import DEVICES, NO_FINDING
from cxr_vlp.train.evaluation.scores import Floats

FROM_FINDINGS = ("one_minus_max", "mean_of_negatives")
STRATEGIES = ("direct", "pair", *FROM_FINDINGS)


def from_findings(
    scores: Floats, names: Sequence[str], *, probabilities: bool
) -> dict[str, Floats]:
    """Return the two strategies that need the findings: scores (N, L) -> {strategy: (N,)}.

    Without a finding there is neither.
    """
    findings = [i for i, name in enumerate(names) if name not in (NO_FINDING, DEVICES)]
    if not findings:
        return {}
    one = 1.0 if probabilities else 0.0
    highest = one - scores[:, findings].max(axis=1)
    absent = (one - scores[:, findings]).mean(axis=1)
    return dict(zip(FROM_FINDINGS, (highest, np.asarray(absent)), strict=True))
