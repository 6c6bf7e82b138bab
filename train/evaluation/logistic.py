"""Fits logistic regressions on frozen features, one for each label, in float64.

The objective is scikit-learn's: C * sum of the log losses + |w|^2 / 2, the intercept not penalised.
It is convex, so its minimum does not depend on where the search starts, and labels do not influence
each other. Features are first standardised by the mean and the deviation of the images learnt on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

STEPS = 500  # of L-BFGS at most
ROUGH = 1e-5  # the gradient at which L-BFGS stops
NEWTON = 20  # steps of Newton's method at most, each with N * D^2 operations a label
EXACT = 1e-9  # of Newton's last step, beside the largest weight


@dataclass(frozen=True, slots=True)
class Probe:
    """L logistic regressions on features (D,): standardised, weights (D, L), intercepts (L,)."""

    mean: Floats
    deviation: Floats
    weights: Floats
    intercepts: Floats

    def scores(self, features: Floats) -> Floats:
        """Return the probabilities (N, L) of features (N, D)."""
        logits = (features - self.mean) / self.deviation @ self.weights + self.intercepts
        found: Floats = torch.sigmoid(torch.from_numpy(logits)).numpy()
        return found


def fit(features: Floats, truth: Truth, strength: float, *, exact: bool = True) -> Probe:
    """Return the regressions of features (N, D) and truth (N, L), EXCLUDED where it is not known.

    strength: C, the weight of the data against the penalty. A feature that never varies has no
    influence. exact: end with Newton's method, in the minimum to nine digits; else with L-BFGS,
    near it, which is enough to choose a strength. Raises DataError for a label without a positive
    or a negative, for features that are not finite, and where the search does not converge.
    """
    known = truth != EXCLUDED
    if not ((truth == 1).any(axis=0) & (truth == 0).any(axis=0)).all():
        raise DataError("a label of the probe has no positives, or no negatives, to learn from")
    if not np.isfinite(features).all():
        raise DataError("the image features of this model are not all finite: look at its weights")
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-12 * np.abs(mean).max(initial=1.0), deviation, 1.0)
    scaled = torch.from_numpy(np.c_[(features - mean) / deviation, np.ones(len(features))])
    target, mask = torch.from_numpy((truth == 1) * 1.0), torch.from_numpy(known * 1.0)
    weights = _near(scaled, target, mask, strength)
    if exact:
        columns = zip(weights.T, target.T, mask.T, strict=True)
        each = (_newton(scaled, *column, strength) for column in columns)
        weights = torch.stack(list(each), dim=1)
    return Probe(mean, deviation, weights[:-1].numpy(), weights[-1].numpy())


def _near(scaled: Tensor, target: Tensor, mask: Tensor, strength: float) -> Tensor:
    """Return the weights (D + 1, L), the last row the intercepts, after L-BFGS."""
    weights = torch.zeros(scaled.shape[1], target.shape[1], dtype=torch.float64, requires_grad=True)
    size = max(1.0, strength * len(scaled))

    def closure() -> Tensor:
        search.zero_grad()
        each = nnf.binary_cross_entropy_with_logits(scaled @ weights, target, mask, reduction="sum")
        loss = (strength * each + weights[:-1].square().sum() / 2) / size
        loss.backward()
        return loss

    search = torch.optim.LBFGS(
        [weights], max_iter=STEPS, tolerance_grad=ROUGH, tolerance_change=1e-12,
        history_size=20, line_search_fn="strong_wolfe",
    )  # fmt: skip
    search.step(closure)
    return weights.detach()


def _newton(scaled: Tensor, start: Tensor, target: Tensor, mask: Tensor, strength: float) -> Tensor:
    """Return the weights (D + 1,) of one label, from weights near the minimum."""
    penalty = torch.ones(len(start), dtype=torch.float64)
    penalty[-1] = 0
    weights = start
    for _ in range(NEWTON):
        chance = torch.sigmoid(scaled @ weights)
        slope = strength * scaled.T @ (mask * (chance - target)) + penalty * weights
        curve = strength * (scaled.T * (mask * chance * (1 - chance))) @ scaled
        step = torch.linalg.solve(curve + torch.diag(penalty), slope)
        weights = weights - step
        if step.abs().max() <= EXACT * max(1.0, float(weights.abs().max())):
            return weights
    raise DataError("the probe did not converge: the features differ by many orders of magnitude")
