"""How often a model calls a finding where there is none, and none where there is one.

Underdiagnosis (Seyyed-Kalantari et al., Nature Medicine 27:2176, 2021): the share of images with a
finding for which the model calls none, at its thresholds. Overdiagnosis: the share of images
without any finding for which it calls one. An image without a positive that has an excluded label
is in neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Places, Truth

RATES = ("underdiagnosis", "overdiagnosis")


def state(
    scores: Floats,
    truth: Truth,
    names: Sequence[str],
    average: Sequence[str],
    thresholds: Mapping[str, float],
) -> Truth:
    """Return (N, 2): has a finding (1, 0, EXCLUDED where undecided), and is called to have one."""
    used = [i for i, name in enumerate(names) if name in average and name in thresholds]
    if not used:
        return np.full((len(scores), 2), EXCLUDED, np.int8)
    answers = truth[:, used]
    healthy = np.where((answers == 0).all(axis=1), 0, EXCLUDED)
    sick = np.where((answers == 1).any(axis=1), 1, healthy)
    cuts = np.array([thresholds[names[i]] for i in used])
    return np.stack([sick, (scores[:, used] >= cuts).any(axis=1)], axis=1).astype(np.int8)


def cells(found: Truth, rows: Places) -> Floats:
    """Return (N, 4) of a group: sick, sick and not called, healthy, healthy and called."""
    inside = np.zeros(len(found), bool)
    inside[rows] = True
    sick, healthy = (found[:, 0] == 1) & inside, (found[:, 0] == 0) & inside
    called = found[:, 1] == 1
    return np.stack([sick, sick & ~called, healthy, healthy & called], axis=1).astype(np.float64)


def rates(weights: Floats, counted: Floats) -> Floats:
    """Return RATES (R, 2), nan where there is no sick, or no healthy, image; weights (R, N)."""
    sums = weights @ counted
    whole, part = sums[:, [0, 2]], sums[:, [1, 3]]
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
