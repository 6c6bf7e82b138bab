"""Computes a training's steps from its job: their number, their size, and a digest of the job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cxr_vlp.train.config.recipe import OptimConfig, Recipe
from cxr_vlp.train.data.mixing import batches_per_epoch
from cxr_vlp.train.data.samples import keyed_facts
from cxr_vlp.train.data.shards import Shard, digest
from cxr_vlp.train.data.views import shown
from cxr_vlp.train.errors import ConfigError

# The version of the training code. Raise it when the same recipe would give other numbers: then no
# run resumes from a checkpoint of the old code.
VERSION = 5
SMALL = 4  # batches: in a training split of fewer, the pairs that can meet in a batch are counted


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
    largest: int = 0  # pairs that can meet in one batch (`largest_batch`); 0: as many as there are


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A job in steps: batches per epoch, steps in all, steps between validations.

    `batch_size` is this process's part of a batch. `optim` is the recipe's section with its warm-up
    in steps.
    """

    batches: int
    batch_size: int
    steps: int
    validate_every: int
    optim: OptimConfig


def plan(job: TrainingJob, world: int) -> StepPlan:
    """Return the number and the size of the job's steps on `world` processes.

    Raises ConfigError where the train split has no shards, and where the processes cannot share a
    batch equally.
    """
    run, optim = job.recipe.run, job.recipe.optim
    if not job.train:
        raise ConfigError("no shards in the train split of the given folders")
    part = share(run.batch_size, world)
    if job.largest:
        part = min(part, job.largest // world)
        if part < 2:
            raise ConfigError(
                f"only {job.largest} pairs of the train split can be in one batch of {world} "
                "processes (its studies in the views of the recipe, see data.apart and "
                "image.views): each process needs two"
            )
    batches, size = batches_per_epoch(job.train, job.recipe.data, world, part)
    an_epoch = max(1, batches // run.accumulate)
    steps = run.steps or run.epochs * an_epoch
    steps = min(steps, job.limit) if job.limit else steps
    warmup = optim.warmup + round(optim.warmup_epochs * an_epoch)
    in_steps = replace(optim, warmup=warmup, warmup_epochs=0.0)
    return StepPlan(batches, size, steps, run.validate_every or an_epoch, in_steps)


def share(batch_size: int, world: int) -> int:
    """Return the pairs of each of `world` processes in a batch of `batch_size`.

    Raises ConfigError where they do not share it equally, or have fewer than two pairs each.
    """
    part, over = divmod(batch_size, world)
    if over or part < 2:
        near = [size for size in (part * world, (part + 1) * world) if size >= 2 * world]
        sizes = " or ".join(str(size) for size in near or [2 * world])
        raise ConfigError(
            f"run.batch_size: {batch_size} pairs cannot be shared equally by {world} processes, "
            f"two or more each: set it to {sizes}, or start another number of processes"
        )
    return part


def largest_batch(shards: Sequence[Shard], recipe: Recipe) -> int:
    """Return how many pairs of a small training split can be in one batch; 0: it is not small.

    These are its studies in the recipe's views, or its images where those of a study may meet. A
    resampled epoch has no end at which it could say that no batch became full: there they are
    always counted.
    """
    used = [shard for shard in shards if recipe.data.weights.get(shard.source, 1.0)]
    enough = sum(shard.samples for shard in used) >= SMALL * recipe.run.batch_size
    if enough and not recipe.data.resampled:
        return 0
    by_study = recipe.data.apart or recipe.data.unit == "study"
    return len(
        {
            (shard.source, (by_study and sample.study) or key)
            for shard in used
            for key, sample in keyed_facts(shard)
            if shown(sample, recipe.image.views)
        }
    )


def identity(job: TrainingJob, world: int) -> str:
    """Return the sha256 of everything that decides a training's numbers; it names its checkpoints.

    The number of workers is included, because the order of an epoch depends on it.
    """
    shards = [digest(job.train), digest(job.validate)]
    parts = [VERSION, asdict(job.recipe), job.seed, shards, world, job.workers, job.limit]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
