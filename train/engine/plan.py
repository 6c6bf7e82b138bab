"""A job (recipe, shards, seed, folder) comes in, how many steps of which size it has goes out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from cxr_vlp.train.config.build import plain
from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.config.recipe_sections import Optim
from cxr_vlp.train.data.mixing import batches_per_epoch
from cxr_vlp.train.data.shards import Shard, digest
from cxr_vlp.train.errors import ConfigError

EPOCH = 4  # raised where the same recipe would train otherwise: no run goes on under other code


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
    state: Path = Path(".cxr")  # below it are the checkpoints of unfinished trainings


@dataclass(frozen=True, slots=True)
class Plan:
    """A job in steps: batches an epoch, their size, steps in all and between validations.

    `optim` is the recipe's section with its warm-up in steps.
    """

    batches: int
    batch_size: int
    steps: int
    validate_every: int
    optim: Optim


def plan(job: Job, world: int) -> Plan:
    """Return how many steps of which size the job has on `world` processes."""
    run, optim = job.recipe.run, job.recipe.optim
    if not job.train:
        raise ConfigError("no shards in the train split of the given folders")
    batches, size = batches_per_epoch(job.train, job.recipe.data, world, run.batch_size)
    an_epoch = max(1, batches // run.accumulate)
    steps = run.steps or run.epochs * an_epoch
    steps = min(steps, job.limit) if job.limit else steps
    warmup = optim.warmup + round(optim.warmup_epochs * an_epoch)
    in_steps = replace(optim, warmup=warmup, warmup_epochs=0.0)
    return Plan(batches, size, steps, run.validate_every or an_epoch, in_steps)


def identity(job: Job, world: int) -> str:
    """Return the digest of all that decides the numbers of a training: a checkpoint belongs to one.

    The number of workers is in it because the order of an epoch depends on it.
    """
    shards = [digest(job.train), digest(job.validate)]
    parts = [EPOCH, plain(job.recipe), job.seed, shards, world, job.workers, job.limit]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
