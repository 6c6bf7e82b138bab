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

STEPS = 2000  # of L-BFGS at most
EXACT = 1e-9  # the largest gradient at which the search stops
NEAR = 1e-6  # the largest one that counts as a minimum: the loss in float64 shows no smaller steps


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


def fit(features: Floats, truth: Truth, strength: float) -> Probe:
    """Return the regressions of features (N, D) and truth (N, L), EXCLUDED where it is not known.

    strength: C, the weight of the data against the penalty. A feature that never varies has no
    influence. Raises DataError for a label without a positive or a negative, and where the search
    does not end in a minimum.
    """
    known = truth != EXCLUDED
    if not ((truth == 1).any(axis=0) & (truth == 0).any(axis=0)).all():
        raise DataError("a label of the probe has no positives, or no negatives, to learn from")
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-12 * np.abs(mean).max(initial=1.0), deviation, 1.0)
    scaled = torch.from_numpy((features - mean) / deviation)
    weights, intercepts = _minimum(
        scaled, torch.from_numpy((truth == 1).astype(np.float64)), torch.from_numpy(known), strength
    )
    return Probe(mean, deviation, weights.numpy(), intercepts.numpy())


def _minimum(scaled: Tensor, truth: Tensor, known: Tensor, strength: float) -> tuple[Tensor, ...]:
    weights = torch.zeros(scaled.shape[1], truth.shape[1], dtype=torch.float64, requires_grad=True)
    intercepts = torch.zeros(truth.shape[1], dtype=torch.float64, requires_grad=True)
    mask, size = known.double(), max(1.0, strength * len(scaled))

    def objective() -> Tensor:
        logits = scaled @ weights + intercepts
        each = nnf.binary_cross_entropy_with_logits(logits, truth, mask, reduction="sum")
        return (strength * each + weights.square().sum() / 2) / size

    def closure() -> Tensor:
        search.zero_grad()
        loss = objective()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search = torch.optim.LBFGS(
        [weights, intercepts], max_iter=STEPS, max_eval=2 * STEPS, tolerance_grad=EXACT,
        tolerance_change=0, history_size=20, line_search_fn="strong_wolfe",
    )  # fmt: skip
    search.step(closure)
    closure()
    steepest = max(float(each.grad.abs().max()) for each in (weights, intercepts))  # type: ignore[union-attr]
    if not steepest <= NEAR:
        raise DataError(
            f"the probe did not converge (gradient {steepest:.1e}): the image features of this "
            "model are not finite, or differ by many orders of magnitude"
        )
    return weights.detach(), intercepts.detach()
