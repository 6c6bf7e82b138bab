"""The step plan: the recipe's budget, its warm-up in epochs, and what changes a job's digest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cxr_vlp.train.config.recipe import load
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.engine.plan import TrainingJob, identity, plan
from cxr_vlp.train.errors import ConfigError


@pytest.fixture
def job(source, tmp_path) -> TrainingJob:
    """48 samples in 3 shards; batches of 8; 4 epochs."""
    changes = {"run": {"batch_size": 8, "epochs": 4, "validate_every": 0}}
    shards = list_shards([source], "train")
    return TrainingJob(load("chexzero", changes), 0, shards, (), tmp_path)


def changed(job: TrainingJob, **sections: dict[str, object]) -> TrainingJob:
    recipe = job.recipe
    for name, values in sections.items():
        recipe = replace(recipe, **{name: replace(getattr(recipe, name), **values)})
    return replace(job, recipe=recipe)


@pytest.mark.parametrize(
    ("run", "limit", "steps", "every"),
    [
        ({}, 0, 24, 6),
        ({"accumulate": 3}, 0, 8, 2),
        ({"steps": 5}, 0, 5, 6),
        ({"validate_every": 4}, 0, 24, 4),
        ({}, 7, 7, 6),
    ],
)
def test_steps_are_epochs_unless_a_number_is_set(job, run, limit, steps, every):
    found = plan(replace(changed(job, run=run), limit=limit), world=1)
    assert (found.batch_size, found.steps, found.validate_every) == (8, steps, every)


def test_a_warm_up_in_epochs_is_one_in_steps(job):
    found = plan(changed(job, optim={"warmup": 2, "warmup_epochs": 1.5}), world=1)
    assert (found.optim.warmup, found.optim.warmup_epochs) == (2 + 9, 0)


def test_without_shards_there_is_no_plan(job):
    with pytest.raises(ConfigError, match="no shards in the train split"):
        plan(replace(job, train=()), world=1)


def test_the_identity_of_a_job_changes_with_everything_that_decides_its_numbers(job):
    others = [
        changed(job, loss={"cap": 0.5}),
        changed(job, run={"chunk": 4}),
        replace(job, seed=1),
        replace(job, workers=2),
        replace(job, train=job.train[:2]),
    ]
    found = {identity(each, world=1) for each in (job, *others)} | {identity(job, world=2)}
    assert len(found) == 7
    assert identity(job, world=1) == identity(replace(job), world=1)
