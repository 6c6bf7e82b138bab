"""Shards and the weights of their sources come in, the order in which an epoch opens them goes out.

Two kinds of epoch. A finite one opens each shard as often as its source's weight says, and a
sample is shown neither more nor less often than that. A resampled one draws shards with
replacement, by weight and size: some samples are not shown and some twice, but every rank and
worker has as much to read as any other, whatever the number of shards.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cxr_vlp.train.data.seeding import chance
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.config.recipe import Data
from cxr_vlp.train.data.shards import Shard


@dataclass(frozen=True, slots=True)
class Opening:
    """One reading of a shard in an epoch, its `turn`-th; a `share` of its units is shown."""

    shard: Shard
    turn: int = 0
    share: float = 1.0

    @property
    def samples(self) -> int:
        """How many samples can be counted on."""
        return math.floor(self.shard.samples * self.share)

    def shows(self, seed: int, epoch: int, key: str) -> bool:
        """Tell whether a unit is among those shown: a choice of its own key, seed and epoch."""
        return self.share == 1 or chance(seed, epoch, key, "share").random() < self.share


def openings(shards: Sequence[Shard], data: Data) -> list[Opening]:
    """Return what a finite epoch opens, not shuffled yet.

    A weight of 2.5 is two whole turns and a third of which half the units are shown. Raises
    ConfigError for a weight whose source is not there.
    """
    _check(shards, data)
    return [
        Opening(shard, turn, min(1.0, weight - turn))
        for shard in shards
        for weight in [data.weights.get(shard.source, 1.0)]
        for turn in range(math.ceil(weight))
    ]


def drawn(shards: Sequence[Shard], data: Data, rng: random.Random) -> Iterator[Opening]:
    """Yield openings without end, each shard as likely as its samples times its weight."""
    _check(shards, data)
    weights = [shard.samples * data.weights.get(shard.source, 1.0) for shard in shards]
    while True:
        yield Opening(rng.choices(shards, weights)[0])


def batches_per_epoch(
    shards: Sequence[Shard], data: Data, world: int, batch_size: int
) -> tuple[int, int]:
    """Return (batches, batch size) of an epoch, the same on every rank; by samples, not studies.

    In a finite epoch the poorest rank decides both, so that no rank waits for one that has run
    out; shards go to ranks in turn (webdataset's split_by_node). A set smaller than a batch makes
    one batch of what there is.
    """
    sizes = sorted(opening.samples for opening in openings(shards, data))
    # Shards are dealt in an order that changes with the epoch: the poorest holds the smallest.
    hand = sum(sizes[: len(sizes) // world])
    poorest = sum(sizes) // world if data.resampled else hand
    size = min(batch_size, poorest)
    if size < 2:
        raise ConfigError(
            f"{len(shards)} shards hold too few samples for {world} processes: "
            "each needs a shard of its own (unless data.resampled) and two samples"
        )
    return poorest // size, size


def _check(shards: Sequence[Shard], data: Data) -> None:
    sources = {shard.source for shard in shards}
    unknown = sorted(set(data.weights) - sources)
    if unknown:
        raise ConfigError(
            f"data.weights: no shards of {unknown[0]!r}; there are: {', '.join(sorted(sources))}"
        )
    if shards and not any(data.weights.get(source, 1.0) for source in sources):
        raise ConfigError("data.weights: every source has weight 0")
