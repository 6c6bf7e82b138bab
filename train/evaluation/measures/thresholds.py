"""Chooses the threshold of each label: the score from which on an image is called positive.

Thresholds belong to the validation split. One that is chosen on the images it is measured on makes
F1, MCC and accuracy too good; the caller has to give scores of other patients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.measures import checks
from cxr_vlp.train.evaluation.measures.column import decided
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

HALF = 0.5
Quality = Callable[[Floats, Floats, Floats, Floats], Floats]


def choose(scores: Floats, truth: Truth, names: Sequence[str], by: str) -> dict[str, float]:
    """Return the threshold of each label by scores (N, L) and truth (N, L) of the validation split.

    by: `mcc`, `f1` or `youden` (sensitivity + specificity - 1) is made as large as it can be;
    `half` is 0.5 for every label; `none` gives no thresholds. A threshold lies in the middle
    between the lowest score that is called positive and the next one below; of several that are
    equally good it is the highest. A label without a positive or without a negative has no
    threshold and is not in the result. Raises ConfigError for an unknown `by`, DataError for scores
    that are not finite.
    """
    if by not in (*QUALITIES, "half", "none"):
        raise ConfigError(f"thresholds by {by!r}: give one of {', '.join(QUALITIES)}, half, none")
    checks.table(scores, truth, names)
    if by == "half":
        return dict.fromkeys(names, HALF)
    if by == "none":
        return {}
    found = {name: best(scores[:, i], truth[:, i], QUALITIES[by]) for i, name in enumerate(names)}
    return {name: value for name, value in found.items() if value is not None}


def best(scores: Floats, truth: Truth, quality: Quality) -> float | None:
    """Return one label's best threshold, None where a class is missing; scores and truth (N,)."""
    known = truth != EXCLUDED
    order = np.argsort(-scores[known], kind="stable")
    ordered, positive = scores[known][order], truth[known][order] == 1
    if positive.all() or not positive.any():
        return None
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    hits = np.cumsum(positive)[last].astype(np.float64)
    alarms = last + 1 - hits
    found = quality(hits, alarms, positive.sum() - hits, (~positive).sum() - alarms)
    return _between(ordered, int(last[int(np.argmax(found))]))


def _between(ordered: Floats, place: int) -> float:
    """Return the middle between the score at `place` and the next one; the last score itself."""
    score = float(ordered[place])
    if place + 1 == len(ordered):
        return score
    below = float(ordered[place + 1])
    middle = below + (score - below) / 2
    return middle if middle > below else score  # two neighbouring floats have no middle


def _mcc(hits: Floats, alarms: Floats, missed: Floats, passed: Floats) -> Floats:
    return decided(hits, alarms, missed, passed)["mcc"]


def _f1(hits: Floats, alarms: Floats, missed: Floats, passed: Floats) -> Floats:
    return decided(hits, alarms, missed, passed)["f1"]


def _youden(hits: Floats, alarms: Floats, missed: Floats, passed: Floats) -> Floats:
    """Return sensitivity + specificity - 1, as one fraction so that equal ones are equal."""
    return (hits * passed - alarms * missed) / ((hits + missed) * (alarms + passed))


QUALITIES: Mapping[str, Quality] = {"mcc": _mcc, "f1": _f1, "youden": _youden}
