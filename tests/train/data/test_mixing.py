"""Epochs: which shards are read, how often, and the number of batches."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.train.config.recipe import DataConfig
from cxr_vlp.train.data.mixing import ShardPass, batches_per_epoch, resampled, shard_passes
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError

SHARDS = (Shard(Path("a0.tar"), 100, "a"), Shard(Path("a1.tar"), 50, "a"),
          Shard(Path("b0.tar"), 30, "b"))  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, [("a0", 0, 1), ("a1", 0, 1), ("b0", 0, 1)]),
        ({"a": 0}, [("b0", 0, 1)]),
        ({"b": 2}, [("a0", 0, 1), ("a1", 0, 1), ("b0", 0, 1), ("b0", 1, 1)]),
        ({"a": 0.25, "b": 1.5}, [("a0", 0, 0.25), ("a1", 0, 0.25), ("b0", 0, 1), ("b0", 1, 0.5)]),
    ],
)
def test_a_weight_says_how_often_a_shard_is_opened(weights, expected):
    found = shard_passes(SHARDS, DataConfig(weights=weights))
    assert [(o.shard.path.stem, o.turn, o.share) for o in found] == expected


def test_a_share_is_drawn_by_key_in_each_epoch():
    opening = ShardPass(SHARDS[0], share=0.3)
    keys = [f"k{i}" for i in range(1000)]
    shown = {epoch: [k for k in keys if opening.shows(0, epoch, k)] for epoch in (0, 1)}
    assert 250 < len(shown[0]) < 350
    assert shown[0] != shown[1]
    assert shown[0] == [key for key in keys if opening.shows(0, 0, key)]
    assert all(ShardPass(SHARDS[0]).shows(0, 0, key) for key in keys)


def test_shards_are_drawn_by_size_and_weight():
    stream = resampled(SHARDS, DataConfig(weights={"b": 5}), generator(0, 0, "", "x"))
    counts = Counter(next(stream).shard.path.stem for _ in range(6000))
    assert [round(counts[name] / 6000, 1) for name in ("a0", "a1", "b0")] == [0.3, 0.2, 0.5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"c": 1}, "no shards of 'c'; there are: a, b"), ({"a": 0, "b": 0}, "every source has")],
)
def test_impossible_weights_are_refused(weights, message):
    for drawn in (False, True):
        with pytest.raises(ConfigError, match=message):
            batches_per_epoch(SHARDS, DataConfig(weights=weights, resampled=drawn), 1, 8)


def of(samples: list[int]) -> list[Shard]:
    return [Shard(Path(f"{i}.tar"), count, "mock") for i, count in enumerate(samples)]


@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=12), st.integers(1, 4), st.integers(2, 16),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_no_rank_runs_out_before_the_others(samples, world, batch_size, rng):
    if len(samples) < world:
        with pytest.raises(ConfigError):
            batches_per_epoch(of(samples), DataConfig(), world, batch_size)
        return
    batches, size = batches_per_epoch(of(samples), DataConfig(), world, batch_size)
    dealt = rng.sample(samples, len(samples))
    assert batches >= 1
    assert all(sum(dealt[rank::world]) >= batches * size for rank in range(world))


def test_a_set_smaller_than_a_batch_makes_one_batch():
    assert batches_per_epoch(of([3, 2]), DataConfig(), 1, 64) == (1, 5)


def test_resampled_epochs_need_no_shard_a_rank():
    assert batches_per_epoch(of([90]), DataConfig(resampled=True), 3, 8) == (3, 8)
    assert batches_per_epoch(of([90]), DataConfig(resampled=True, weights={"mock": 2}), 3, 8) == (
        7,
        8,
    )
