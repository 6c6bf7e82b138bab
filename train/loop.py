"""A job (recipe, shards, seed, folder) comes in, trained towers and their curves go out.

Devices, precision and processes are Accelerate's; the order of the data, the rate of a step and
the checkpoints are functions of the step, so an interrupted training goes on as if it had not
been.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from train import checkpoints, losses, optim
from train.batches import Batch, to_input
from train.checkpoints import Progress
from train.curves import Curves
from train.data import Loading, in_order, training
from train.errors import ConfigError, DataError, key_hash
from train.models import Towers, trim
from train.ranks import gather
from train.recipe import Recipe
from train.sections import plain
from train.shards import Shard, batches_per_epoch, digest

LOG_EVERY = 10  # steps over which a logged loss is the mean
LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"clip": losses.clip}


@dataclass(frozen=True, slots=True)
class Job:
    """What one training is: everything that decides its numbers, and where they go."""

    recipe: Recipe
    seed: int
    train: tuple[Shard, ...]
    validate: tuple[Shard, ...]
    out: Path
    workers: int = 0
    limit: int = 0  # optimiser steps; 0: the recipe's own budget


@dataclass(frozen=True, slots=True)
class Plan:
    """A job in steps: batches an epoch, their size, steps in all and between validations."""

    batches: int
    batch_size: int
    steps: int
    validate_every: int


def plan(job: Job, world: int) -> Plan:
    """Return how many steps of which size the job has on `world` processes."""
    run = job.recipe.run
    if not job.train:
        raise ConfigError("no shards in the train split of the given folders")
    batches, size = batches_per_epoch(job.train, world, run.batch_size)
    an_epoch = max(1, batches // run.accumulate)
    steps = run.steps or run.epochs * an_epoch
    steps = min(steps, job.limit) if job.limit else steps
    return Plan(batches, size, steps, run.validate_every or an_epoch)


def identity(job: Job, world: int) -> str:
    """Return the digest of all that decides the numbers of a training: a checkpoint belongs to one.

    The number of workers is in it because the order of an epoch depends on it.
    """
    shards = [digest(job.train), digest(job.validate)]
    parts = [plain(job.recipe), job.seed, shards, world, job.workers, job.limit]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Training:
    """One running training on this process."""

    def __init__(self, job: Job, towers: Towers, accelerator: Accelerator) -> None:
        if job.recipe.loss not in LOSSES:
            known = ", ".join(sorted(LOSSES))
            raise ConfigError(f"loss: {job.recipe.loss!r} is not one of {known}")
        self.job, self.towers, self.accelerator = job, towers, accelerator
        self.plan = plan(job, accelerator.num_processes)
        self.run_id = identity(job, accelerator.num_processes)
        self.loading = Loading(job.recipe, towers.size, towers.tokenize, job.seed, job.workers)
        optimizer = optim.make(towers.model, job.recipe.optim)
        self.model: Any
        self.optimizer: Optimizer
        self.model, self.optimizer = accelerator.prepare(towers.model, optimizer)
        self.progress = Progress()

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        return self.job.out / "checkpoints"

    def resume(self) -> int:
        """Go back to this training's last checkpoint; return the steps behind it."""
        found = checkpoints.load(self.folder, self.run_id)
        if found is None:
            return 0
        self.progress, weights, rest = found
        self.accelerator.unwrap_model(self.model).load_state_dict(weights)
        self.optimizer.load_state_dict(rest["optimizer"])
        torch.set_rng_state(rest["random"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(rest["scaler"])
        return self.progress.step

    def run(self, curves: Curves | None, tick: Callable[[int, float], None]) -> Progress:
        """Train to the last step; `tick(step, loss)` follows each. Curves: first rank only."""
        recent: list[float] = []
        pieces = self._pieces()
        for step in range(self.progress.step, self.plan.steps):
            value = optim.rate(step, self.plan.steps, self.job.recipe.optim)
            loss = self._step(list(islice(pieces, self.job.recipe.run.accumulate)), value)
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

    def _step(self, batches: Sequence[Batch], value: float) -> float:
        optim.set_rate(self.optimizer, value)
        self.model.train()
        losses_seen = [self._backward(batch) for batch in batches]
        return sum(losses_seen) / len(losses_seen)

    def _backward(self, batch: Batch) -> float:
        limit = self.job.recipe.optim.clip_norm
        with self.accelerator.accumulate(self.model):
            loss = self._loss(batch, joined=True)
            if not torch.isfinite(loss):
                hashes = " ".join(key_hash(key) for key in batch.keys)
                raise DataError(f"the loss is {loss.item()}; the batch's key hashes: {hashes}")
            self.accelerator.backward(loss)
            if limit and self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return loss.item()

    def _loss(self, batch: Batch, *, joined: bool) -> Tensor:
        device = self.accelerator.device
        pictures = to_input(batch.images.to(device), self.job.recipe.image)
        tokens = trim(batch.tokens, self.towers).to(device)
        # Accelerate casts what comes out to float32: the similarities are never in half precision.
        image, text, scale = self.model(pictures, tokens)
        if joined:
            image, text = gather(image), gather(text)
        return LOSSES[self.job.recipe.loss](image, text, scale)

    @torch.no_grad()
    def _validate(self) -> float:
        """Return the mean loss over the validation split, in the same batches each time."""
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64)
        for batch in in_order(self.job.validate, self.loading, self.plan.batch_size):
            loss = self._loss(batch, joined=False).double().cpu()
            total += torch.stack([loss * len(batch), torch.tensor(float(len(batch)))])
        summed: Any = self.accelerator.reduce(total.to(self.accelerator.device), "sum")
        return float(summed[0] / summed[1]) if summed[1] else float("nan")

    def _checkpoint(self, step: int, curves: Curves | None) -> None:
        loss = self._validate() if self.job.validate else float("nan")
        self.progress = replace(self.progress, step=step)
        weights = self.accelerator.unwrap_model(self.model).state_dict()
        # Without a validation split the last weights are the best there are; the first are always.
        if loss < self.progress.best or not self.job.validate or not self.progress.best_step:
            best = loss if self.job.validate else self.progress.best
            self.progress = replace(self.progress, best=best, best_step=step)
            if self.accelerator.is_main_process:
                checkpoints.save_weights(weights, self.folder / checkpoints.BEST)
        if curves is None:
            return
        if self.job.validate:
            curves.log(step, val_loss=loss)
        self.progress = replace(self.progress, rows=curves.rows)
        checkpoints.save(self.folder, self.run_id, self.progress, weights, self._rest())

    def _rest(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "scaler": {} if scaler is None else scaler.state_dict(),
        }
