"""Runs a training from its first or last checkpoint: steps, validations, checkpoints.

The order of the data, the learning rate and the random draws are functions of the step. So a
resumed training gives the same numbers as one that was not interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from cxr_vlp.train.data.batches import Batch
from cxr_vlp.train.data.loader import Loading, training
from cxr_vlp.train.engine import checkpoints, optim
from cxr_vlp.train.engine.checkpoints import Progress
from cxr_vlp.train.engine.metrics_writer import MetricsWriter
from cxr_vlp.train.engine.plan import TrainingJob, identity, plan
from cxr_vlp.train.engine.steps import Steps
from cxr_vlp.train.engine.validator import Validator
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.build import DualEncoder

LOG_EVERY = 10  # a logged loss is the mean over this many steps


class Training:
    """One running training on this process."""

    def __init__(self, job: TrainingJob, encoder: DualEncoder, accelerator: Accelerator) -> None:
        self.job, self.encoder, self.accelerator = job, encoder, accelerator
        self.plan = plan(job, accelerator.num_processes)
        self.run_id = identity(job, accelerator.num_processes)
        self.loading = Loading(job.recipe, encoder.size, encoder.tokenize, job.seed, job.workers)
        self.steps = Steps(job.recipe, encoder, job.seed, accelerator)
        self.progress = Progress()
        self.validator: Validator | None = None
        if job.validate:
            self.validator = Validator(job, self.loading, self.plan, accelerator)

    @property
    def selected_by(self) -> str:
        """The name of the metric by which the kept weights are chosen."""
        return f"val_{self.job.recipe.run.select}"

    @property
    def folder(self) -> Path:
        """The folder of the checkpoints."""
        return checkpoints.folder(self.job.state, self.run_id)

    def resume(self) -> int:
        """Load this training's last checkpoint; return its number of steps, 0 without one."""
        found = checkpoints.load(self.folder, self.run_id)
        if found is None:
            return 0
        epoch, batch = found.rest["places"][self.accelerator.process_index]
        self.progress = replace(found.progress, epoch=epoch, batch=batch)
        self.steps.restore(found.weights, found.rest)
        return self.progress.step

    def run(self, metrics: MetricsWriter | None, on_step: Callable[[int, float], None]) -> Progress:
        """Train to the last step. `on_step(step, loss)` is called after each step.

        `metrics` is given on the first rank only.
        """
        recent: list[float] = []
        upcoming = self._batches()
        for step in range(self.progress.step, self.plan.steps):
            value = optim.rate(step, self.plan.steps, self.plan.optim)
            batches = list(islice(upcoming, self.job.recipe.run.accumulate))
            loss = self.steps.step(step, batches, value)
            recent.append(loss)
            done = step + 1
            due = done == self.plan.steps or done % self.plan.validate_every == 0
            if metrics is not None and (due or done % LOG_EVERY == 0):
                metrics.log(done, loss=sum(recent) / len(recent), lr=value)
                recent = []
            if due:
                self._checkpoint(done, metrics)
            on_step(done, loss)
        return self.progress

    def _batches(self) -> Iterator[Batch]:
        """Yield batches without end, from the training's position in the data.

        A recipe that uses some views only has shorter epochs than the shards' counts say. So the
        position is saved, and not computed from the number of steps.
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
                raise ConfigError(
                    f"no full batch of {self.plan.batch_size} images in {views}, one of a study: "
                    "lower run.batch_size, or add data"
                )
            self.progress = replace(self.progress, epoch=epoch + 1, batch=0)

    def _checkpoint(self, step: int, metrics: MetricsWriter | None) -> None:
        checks = self.validator.measure(self.steps) if self.validator else {}
        self.progress = replace(self.progress, step=step)
        # Ranks may differ: where views or studies shorten an epoch, one rank ends before another.
        places = gather_object([(self.progress.epoch, self.progress.batch)])
        if self._is_best(checks):
            best = checks.get(self.selected_by, self.progress.best)
            self.progress = replace(self.progress, best=best, best_step=step)
            if self.accelerator.is_main_process:
                checkpoints.save_best(self.folder, step, self.steps.evaluation_weights())
        if metrics is None:
            return
        if checks:
            metrics.log(step, **checks)
        self.progress = replace(self.progress, rows=metrics.rows)
        rest = {**self.steps.rest(), "places": places}
        checkpoints.save(self.folder, self.run_id, self.progress, self.steps.weights(), rest)

    def _is_best(self, checks: Mapping[str, float]) -> bool:
        """Return whether the weights are the best so far; of equal ones the earliest are.

        Without a validation split the last weights count as the best; the first ones always do.
        """
        if not checks or not self.progress.best_step:
            return True
        value, best = checks[self.selected_by], self.progress.best
        return value > best if self.job.recipe.run.select == "auroc" else value < best
