"""A job comes in, trained towers and their curves go out: steps, validations, checkpoints.

The order of the data, the rate of a step, its random draws and the checkpoints are functions of
the step, so an interrupted training goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from cxr_vlp.train.data.batches import Batch
from cxr_vlp.train.data.loader import Loading, in_order, training
from cxr_vlp.train.engine import checkpoints, optim
from cxr_vlp.train.engine.checkpoints import Progress
from cxr_vlp.train.engine.metrics_writer import Curves
from cxr_vlp.train.engine.plan import Job, identity, plan
from cxr_vlp.train.engine.steps import Steps
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.build import Towers

LOG_EVERY = 10  # steps over which a logged loss is the mean


class Training:
    """One running training on this process."""

    def __init__(self, job: Job, towers: Towers, accelerator: Accelerator) -> None:
        self.job, self.towers, self.accelerator = job, towers, accelerator
        self.plan = plan(job, accelerator.num_processes)
        self.run_id = identity(job, accelerator.num_processes)
        self.loading = Loading(job.recipe, towers.size, towers.tokenize, job.seed, job.workers)
        self.steps = Steps(job.recipe, towers, job.seed, accelerator)
        self.progress = Progress()

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        return checkpoints.folder(self.job.state, self.run_id)

    def resume(self) -> int:
        """Go back to this training's last checkpoint; return the steps behind it."""
        found = checkpoints.load(self.folder, self.run_id)
        if found is None:
            return 0
        epoch, batch = found.rest["places"][self.accelerator.process_index]
        self.progress = replace(found.progress, epoch=epoch, batch=batch)
        self.steps.restore(found.weights, found.rest)
        return self.progress.step

    def run(self, curves: Curves | None, tick: Callable[[int, float], None]) -> Progress:
        """Train to the last step; `tick(step, loss)` follows each. Curves: first rank only."""
        recent: list[float] = []
        pieces = self._pieces()
        for step in range(self.progress.step, self.plan.steps):
            value = optim.rate(step, self.plan.steps, self.plan.optim)
            batches = list(islice(pieces, self.job.recipe.run.accumulate))
            loss = self.steps.step(step, batches, value)
            recent.append(loss)
            done = step + 1
            due = done == self.plan.steps or done % self.plan.validate_every == 0
            if curves is not None and (due or done % LOG_EVERY == 0):
                curves.log(done, loss=sum(recent) / len(recent), lr=value)
                recent = []
            if due:
                self._checkpoint(done, curves)
            tick(done, loss)
        return self.progress

    def _pieces(self) -> Iterator[Batch]:
        """Yield batches without end, from where the training has come to.

        A recipe that takes some views only has shorter epochs than the shards' counts promise, so
        the place is kept rather than computed from the number of steps.
        """
        while True:
            epoch, skip = self.progress.epoch, self.progress.batch
            batches = training(self.job.train, self.loading, epoch, self.plan.batch_size)
            taken = skip
            for batch in islice(batches, skip, self.plan.batches):
                taken += 1
                self.progress = replace(self.progress, batch=taken)
                yield batch
            if not taken:
                views = ", ".join(self.job.recipe.image.views) or "any view"
                raise ConfigError(f"no full batch of {self.plan.batch_size} films in {views}")
            self.progress = replace(self.progress, epoch=epoch + 1, batch=0)

    def _validate(self) -> float:
        """Return the mean loss over the validation split, in the same batches each time."""
        total = torch.zeros(2, dtype=torch.float64)
        for batch in in_order(self.job.validate, self.loading, self.plan.batch_size):
            loss = self.steps.measure(batch).double().cpu()
            total += torch.stack([loss * len(batch), torch.tensor(float(len(batch)))])
        summed: Any = self.accelerator.reduce(total.to(self.accelerator.device), "sum")
        return float(summed[0] / summed[1]) if summed[1] else float("nan")

    def _checkpoint(self, step: int, curves: Curves | None) -> None:
        loss = self._validate() if self.job.validate else float("nan")
        self.progress = replace(self.progress, step=step)
        # Ranks may differ: where views or studies make an epoch shorter, one ends before another.
        places = gather_object([(self.progress.epoch, self.progress.batch)])
        # Without a validation split the last weights are the best there are; the first are always.
        if loss < self.progress.best or not self.job.validate or not self.progress.best_step:
            best = loss if self.job.validate else self.progress.best
            self.progress = replace(self.progress, best=best, best_step=step)
            if self.accelerator.is_main_process:
                checkpoints.save_best(self.folder, step, self.steps.kept())
        if curves is None:
            return
        if self.job.validate:
            curves.log(step, val_loss=loss)
        self.progress = replace(self.progress, rows=curves.rows)
        rest = {**self.steps.rest(), "places": places}
        checkpoints.save(self.folder, self.run_id, self.progress, self.steps.weights(), rest)
