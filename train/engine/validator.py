"""Measures a model in training on the validation split: its loss and, if selected by it, its AUROC.

Every image is encoded once for both. The processes share the batches, and all get the same numbers.
A batch is that of all processes together, and is measured by one of them: the loss has as many
negatives on any number of processes, and the numbers are those of one process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from cxr_vlp.train.data.loader import Loading
from cxr_vlp.train.engine import selection, validation
from cxr_vlp.train.engine.plan import StepPlan, TrainingJob
from cxr_vlp.train.engine.selection import Selection
from cxr_vlp.train.engine.steps import Steps
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.model.fusion import Tokens


class Validator:
    """The validation of one training: its plan and, with `run.select: auroc`, its selection."""

    def __init__(
        self, job: TrainingJob, loading: Loading, steps: StepPlan, accelerator: Accelerator
    ) -> None:
        """Plan the validation. Raises ConfigError where nothing can be measured."""
        self.job, self.loading, self.accelerator = job, loading, accelerator
        by_auroc = job.recipe.run.select == "auroc"
        pairs = steps.batch_size * accelerator.num_processes
        self.pairs = job.recipe.run.chunk or steps.batch_size  # encoded at a time
        self.plan = validation.plan(job.validate, job.recipe, job.seed, pairs, siblings=by_auroc)
        if not self.plan.paired:
            raise ConfigError(
                "the split validate has no two studies "
                f"in the views {', '.join(job.recipe.image.views) or '(any)'} (image.views of the "
                "recipe) to compare: add some, change the views, or train on a set without this "
                "split, which keeps the last weights"
            )
        self.selection = Selection.of(self.plan) if by_auroc else None

    def measure(self, steps: Steps) -> dict[str, float]:
        """Return val_loss and, if the recipe selects by it, val_auroc; on all processes alike."""
        scorer = self._scorer(steps)
        losses: list[tuple[int, tuple[float, int]]] = []
        scores: list[tuple[int, Any]] = []
        for number, batch in validation.batches(self.plan, self.loading):
            loss, images = steps.measure(batch, self.pairs)
            if number < self.plan.paired:
                losses.append((number, (loss, len(batch))))
            if scorer is not None:
                scores.append((number, scorer(images).numpy()))
        found = {"val_loss": _mean([row for _, row in sorted(gather_object(losses))])}
        if self.selection is not None:
            rows = sorted(gather_object(scores), key=lambda row: row[0])
            found["val_auroc"] = self.selection.auroc(np.concatenate([row for _, row in rows]))
        return found

    def _scorer(self, steps: Steps) -> Callable[[Tokens], Tensor] | None:
        if self.selection is None:
            return None
        encoder = replace(steps.encoder, model=steps.evaluated_model())
        recipe = self.job.recipe
        model = EncoderModel(encoder, recipe.image, recipe.name, "", {})
        return selection.scorer(model, self.selection.labels)


def _mean(rows: list[tuple[float, int]]) -> float:
    """Return the mean over pairs of (mean of a batch, its pairs)."""
    return math.fsum(loss * pairs for loss, pairs in rows) / sum(pairs for _, pairs in rows)
