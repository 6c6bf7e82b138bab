"""Computes a training's steps from its job: their number, their size, and a digest of the job."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cxr_vlp.train.config.recipe import OptimConfig, Recipe
from cxr_vlp.train.data.mixing import batches_per_epoch
from cxr_vlp.train.data.shards import Shard, digest
from cxr_vlp.train.errors import ConfigError

# The version of the training code. Raise it when the same recipe would give other numbers: then no
# run resumes from a checkpoint of the old code.
VERSION = 4


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training: everything that decides its numbers, and where its files go."""

    recipe: Recipe
    seed: int
    train: tuple[Shard, ...]
    validate: tuple[Shard, ...]
    out: Path
    workers: int = 0
    limit: int = 0  # optimiser steps; 0: the recipe's own budget
    state: Path = Path(".cxr")  # holds the checkpoints of unfinished trainings


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A job in steps: batches per epoch, batch size, steps in all, steps between validations.

    `optim` is the recipe's section with its warm-up in steps.
    """

    batches: int
    batch_size: int
    steps: int
    validate_every: int
    optim: OptimConfig


def plan(job: TrainingJob, world: int) -> StepPlan:
    """Return the number and the size of the job's steps on `world` processes.

    Raises ConfigError where the train split has no shards.
    """
    run, optim = job.recipe.run, job.recipe.optim
    if not job.train:
        raise ConfigError("no shards in the train split of the given folders")
    batches, size = batches_per_epoch(job.train, job.recipe.data, world, run.batch_size)
    an_epoch = max(1, batches // run.accumulate)
    steps = run.steps or run.epochs * an_epoch
    steps = min(steps, job.limit) if job.limit else steps
    warmup = optim.warmup + round(optim.warmup_epochs * an_epoch)
    in_steps = replace(optim, warmup=warmup, warmup_epochs=0.0)
    return StepPlan(batches, size, steps, run.validate_every or an_epoch, in_steps)


def identity(job: TrainingJob, world: int) -> str:
    """Return the sha256 of everything that decides a training's numbers; it names its checkpoints.

    The number of workers is included, because the order of an epoch depends on it.
    """
    shards = [digest(job.train), digest(job.validate)]
    parts = [VERSION, asdict(job.recipe), job.seed, shards, world, job.workers, job.limit]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
