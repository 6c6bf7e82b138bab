"""The step plan: the recipe's budget, its warm-up in epochs, and what changes a job's digest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cxr_vlp.train.config.recipe import load
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.engine.plan import TrainingJob, identity, largest_batch, plan
from cxr_vlp.train.errors import ConfigError
from tests.train.conftest import sample, write_shard


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


@pytest.mark.parametrize(("world", "part", "batches"), [(1, 8, 6), (2, 4, 3), (3, 2, 6)])
def test_processes_share_a_batch(job, world, part, batches):
    chosen = changed(job, run={"batch_size": part * world})
    found = plan(chosen, world)
    assert (found.batch_size, found.batches) == (part, batches)


@pytest.mark.parametrize(
    ("batch", "world", "message"),
    [(8, 3, "set it to 6 or 9,"), (10, 4, "set it to 8 or 12,"), (8, 8, "set it to 16,"),
     (3, 4, "set it to 8,")],
)  # fmt: skip
def test_a_batch_that_cannot_be_shared_is_refused_with_the_nearest_sizes(
    job, batch, world, message
):
    with pytest.raises(ConfigError, match=f"{batch} pairs cannot be shared equally.*{message}"):
        plan(changed(job, run={"batch_size": batch}), world)


def test_a_small_set_makes_batches_of_its_studies(tmp_path):
    records = {f"mock-s{i:04d}": sample("mock", i // 2, image=str(i)) for i in range(12)}
    folder = tmp_path / "mock/train"
    write_shard(folder / "mock-train-00000.tar", records)
    (folder / "sizes.json").write_text('{"mock-train-00000.tar": 12}')
    shards = list_shards([tmp_path / "mock"], "train")
    recipe = load("chexzero", {"run": {"batch_size": 8}})
    largest = largest_batch(shards, recipe)
    assert largest == 6
    found = plan(TrainingJob(recipe, 0, shards, (), tmp_path, largest=largest), world=1)
    assert (found.batches, found.batch_size) == (2, 6)
    together = load("chexzero", {"run": {"batch_size": 8}, "data": {"apart": False}})
    assert largest_batch(shards, together) == 12
    frontal = load("chexzero", {"run": {"batch_size": 8}, "image": {"views": ["lateral"]}})
    assert largest_batch(shards, frontal) == 1  # study 3
    large = load("chexzero", {"run": {"batch_size": 3}})
    assert largest_batch(shards, large) == 0
    # its epoch would look for a third study without end
    endless = load("chexzero", {"run": {"batch_size": 3}, "data": {"resampled": True}})
    assert largest_batch(shards, endless) == 6
