"""Decides which shards an epoch reads, and how often, from the weights of their sources.

There are two kinds of epoch. A finite epoch reads each shard as often as its source's weight says,
and shows each sample exactly so often. A resampled epoch draws shards with replacement, by weight
and size: some samples are not shown and some twice, but every rank and worker has as much to read
as any other, for any number of shards.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cxr_vlp.train.config.recipe import DataConfig
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ShardPass:
    """One pass over a shard in an epoch, its `turn`-th; a `share` of its units is shown."""

    shard: Shard
    turn: int = 0
    share: float = 1.0

    @property
    def samples(self) -> int:
        """The number of samples to expect."""
        return math.floor(self.shard.samples * self.share)

    def shows(self, seed: int, epoch: int, key: str) -> bool:
        """Return whether a unit is among those shown; its key, seed and epoch decide."""
        return self.share == 1 or generator(seed, epoch, key, "share").random() < self.share


def shard_passes(shards: Sequence[Shard], data: DataConfig) -> list[ShardPass]:
    """Return the passes of a finite epoch, not shuffled yet.

    A weight of 2.5 is two whole passes and a third one in which half of the units are shown. Raises
    ConfigError for a weight of a source that has no shards.
    """
    _check(shards, data)
    return [
        ShardPass(shard, turn, min(1.0, weight - turn))
        for shard in shards
        for weight in [data.weights.get(shard.source, 1.0)]
        for turn in range(math.ceil(weight))
    ]


def resampled(shards: Sequence[Shard], data: DataConfig, rng: random.Random) -> Iterator[ShardPass]:
    """Yield passes without end; a shard's probability is its samples times its weight."""
    _check(shards, data)
    weights = [shard.samples * data.weights.get(shard.source, 1.0) for shard in shards]
    while True:
        yield ShardPass(rng.choices(shards, weights)[0])


def batches_per_epoch(
    shards: Sequence[Shard], data: DataConfig, world: int, batch_size: int
) -> tuple[int, int]:
    """Return (batches, batch size) of an epoch, the same on every rank; samples are counted.

    In a finite epoch the rank with the fewest samples decides both, so that no rank waits for one
    that has run out; shards go to the ranks in turn (webdataset's split_by_node). A set smaller
    than a batch makes one batch of all its samples. Raises ConfigError where a rank has fewer than
    two samples.
    """
    sizes = sorted(each.samples for each in shard_passes(shards, data))
    # The order of the shards changes with the epoch: at worst a rank gets the smallest ones.
    smallest = sum(sizes[: len(sizes) // world])
    samples = sum(sizes) // world if data.resampled else smallest
    size = min(batch_size, samples)
    if size < 2:
        raise ConfigError(
            f"{len(shards)} shards hold too few samples for {world} processes: "
            "each needs a shard of its own (unless data.resampled) and two samples"
        )
    return samples // size, size


def _check(shards: Sequence[Shard], data: DataConfig) -> None:
    sources = {shard.source for shard in shards}
    unknown = sorted(set(data.weights) - sources)
    if unknown:
        raise ConfigError(
            f"data.weights: no shards of {unknown[0]!r}; there are: {', '.join(sorted(sources))}"
        )
    if shards and not any(data.weights.get(source, 1.0) for source in sources):
        raise ConfigError("data.weights: every source has weight 0")
