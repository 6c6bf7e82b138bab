"""The validation: which images it takes, in which batches, and that workers and ranks change none.

Contents: `sets` (two sources: one whose studies have two images, one of single images), `planned`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from cxr_vlp.train.config.recipe import Recipe, load
from cxr_vlp.train.config.sections import merge
from cxr_vlp.train.data.loader import Loading
from cxr_vlp.train.data.shards import Shard, list_shards
from cxr_vlp.train.engine import validation
from cxr_vlp.train.engine.validation import ValidationPlan
from cxr_vlp.train.errors import DataError
from tests.train.conftest import sample, write_shard

BATCH = 8
SMALL: Mapping[str, Any] = {"run": {"batch_size": BATCH, "same_source": False}}


def write(root: Path, source: str, shards: list[int], images: int) -> None:
    """Write shards of so many studies; each study has a frontal image, and laterals after it."""
    folder, number, sizes = root / source / "validate", 0, {}
    for place, studies in enumerate(shards):
        records = {}
        for _ in range(studies):
            for image in range(images):
                view = "lateral" if image else "frontal"
                key = f"{source}-s{number:03d}{image}"
                records[key] = sample(source, number, view=view, image=str(image))
            number += 1
        name = f"{source}-validate-{place:05d}.tar"
        write_shard(folder / name, records)
        sizes[name] = len(records)
    (folder / "sizes.json").write_text(json.dumps(sizes))


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> tuple[Shard, ...]:
    """`two`: 7 + 6 studies of a frontal and a lateral image; `one`: 9 studies of one image."""
    root = tmp_path_factory.mktemp("sets")
    write(root, "two", [7, 6], images=2)
    write(root, "one", [9], images=1)
    return list_shards([root / "one", root / "two"], "validate")


def recipe(**changes: Mapping[str, Any]) -> Recipe:
    return load("chexzero_tiny", merge(SMALL, changes))


def planned(sets: tuple[Shard, ...], seed: int = 0, **changes: Any) -> ValidationPlan:
    return validation.plan(sets, recipe(**changes), seed, BATCH, siblings=False)


def keys(plan: ValidationPlan) -> list[list[str]]:
    return [[image.place[1] for image in batch] for batch in plan.batches]


def read(plan: ValidationPlan, workers: int = 0) -> dict[int, tuple[tuple[str, ...], bytes]]:
    loading = Loading(recipe(), 32, lambda text: torch.tensor([len(text)]), 0, workers)
    found = validation.batches(plan, loading)
    return {number: (b.keys, b.images.numpy().tobytes()) for number, b in found}


def test_one_image_of_each_study_is_used_and_the_others_are_counted(sets):
    plan = planned(sets)
    flat = list(chain(*keys(plan)))
    assert len(flat) == 22
    assert len({key[:-1] for key in flat}) == 22
    assert {key[-1] for key in flat} == {"0", "1"}, "drawn among the images, not always the first"
    assert plan.counts.studies == {"one": 9, "two": 13}
    assert plan.counts.siblings == {"two": 13}


def test_the_recipes_views_hold_for_the_validation(sets):
    plan = planned(sets, image={"views": ["lateral"]})
    assert {key[-1] for batch in keys(plan) for key in batch} == {"1"}
    assert plan.counts.views == {"one": {"frontal": 9}, "two": {"frontal": 13}}
    assert plan.counts.siblings == {}


def test_batches_are_shuffled_by_the_seed_and_the_same_each_time(sets):
    one, again, other = (keys(planned(sets, seed)) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert any(batch != sorted(batch) for batch in one)
    assert all(len({key[:3] for key in batch}) == 2 for batch in one), "both sources in each"


def test_no_batch_is_short_enough_to_be_easy(sets):
    assert [len(batch) for batch in keys(planned(sets))] == [7, 7, 8]


def test_a_batch_has_one_source_where_the_training_has(sets):
    plan = planned(sets, run={"same_source": True})
    assert [Counter(key[:3] for key in batch) for batch in keys(plan)] == [
        {"one": 4}, {"one": 5}, {"two": 6}, {"two": 7},
    ]  # fmt: skip


def test_an_image_alone_in_its_source_has_no_negative_and_is_counted(tmp_path):
    write(tmp_path, "two", [4], images=1)
    write(tmp_path, "lonely", [1], images=1)
    shards = list_shards([tmp_path], "validate")
    plan = planned(shards, run={"same_source": True})
    assert plan.counts.alone == {"lonely": 1}
    assert [len(batch) for batch in plan.batches] == [4]
    assert planned(shards).counts.alone == {}, "with the others it has negatives"


def test_a_source_of_weight_0_is_not_validated_on(sets):
    plan = planned(sets, data={"weights": {"two": 0}})
    assert plan.counts.studies == {"one": 9}
    assert plan.counts.unused == {"two": 26}


def test_siblings_follow_for_their_scores_without_a_loss(sets):
    plan = validation.plan(sets, recipe(), 0, BATCH, siblings=True)
    assert plan.paired == 3
    assert sum(map(len, plan.batches[3:])) == 13
    flat = list(chain(*keys(plan)))
    assert len(flat) == len(set(flat)) == 22 + 13
    assert keys(plan)[:3] == keys(planned(sets))


def test_a_study_without_a_name_is_the_image_itself(tmp_path):
    records = {f"anon-s{i:04d}": sample("anon", i, study="") for i in range(5)}
    folder = tmp_path / "anon" / "validate"
    write_shard(folder / "anon-validate-00000.tar", records)
    (folder / "sizes.json").write_text('{"anon-validate-00000.tar": 5}')
    assert planned(list_shards([tmp_path / "anon"], "validate")).counts.studies == {"anon": 5}


def test_workers_and_ranks_read_the_same_batches(sets, monkeypatch):
    plan = planned(sets)
    alone = read(plan)
    assert sorted(alone) == [0, 1, 2]
    assert [list(found[0]) for _, found in sorted(alone.items())] == keys(plan)
    assert read(plan, workers=2) == alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    parts = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(read(plan))
    assert sorted(map(sorted, parts)) == [[0, 2], [1]]
    assert parts[0] | parts[1] == alone


def test_a_shard_that_changed_since_the_plan_is_refused(tmp_path):
    write(tmp_path, "two", [4], images=1)
    shards = list_shards([tmp_path / "two"], "validate")
    plan = planned(shards)
    write_shard(shards[0].path, {f"two-s9{i:02d}0": sample("two", i) for i in range(4)})
    with pytest.raises(DataError, match=r"two-validate-00000\.tar: a key is in it twice"):
        read(plan)
