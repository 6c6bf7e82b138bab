"""Yields the batches of an epoch from shards.

webdataset splits the shards over ranks and workers, shuffles, and runs the pipeline. What is drawn
for a sample (views, window, text) depends on (seed, epoch, key) alone; the order within an epoch
depends on (seed, epoch, number of workers, number of ranks).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import cv2
import webdataset as wds
from torch.utils.data import DataLoader
from webdataset.utils import pytorch_worker_info

from cxr_vlp.pipelines.format.errors import StoreError
from cxr_vlp.train.config.recipe import DataConfig, Recipe
from cxr_vlp.train.data import ahead
from cxr_vlp.train.data.batches import Batch, collate, rebatch
from cxr_vlp.train.data.mixing import ShardPass, batches_per_epoch, resampled, shard_passes
from cxr_vlp.train.data.pairs import PairBuilder, Tokenize
from cxr_vlp.train.data.samples import StoredSample, stored_samples, studies
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import DataError


@dataclass(frozen=True, slots=True)
class Loading:
    """What a loader needs besides shards and epoch: recipe, image side in pixels, tokenizer ..."""

    recipe: Recipe
    size: int
    tokenize: Tokenize
    seed: int = 0
    workers: int = 0


def training(
    shards: Sequence[Shard], loading: Loading, epoch: int, batch_size: int
) -> Iterator[Batch]:
    """Yield one epoch of this rank's full batches, shuffled and varied; the rest is dropped.

    The rest differs from epoch to epoch with the order. Raises DataError where a shard breaks the
    format.
    """
    recipe = loading.recipe
    # One generator for the order of the shards and for the shuffle buffer, in every worker.
    rng = generator(loading.seed, epoch, "", "order")
    stages = [
        *_passes(shards, loading, epoch, rng),
        partial(_units, recipe=recipe, seed=loading.seed, epoch=epoch),
        wds.shuffle(recipe.run.shuffle, initial=recipe.run.shuffle, rng=rng),
        wds.map(pair_builder(loading, epoch, varied=True)),
    ]
    chunks = _load(stages, batch_size, loading.workers)
    batches = rebatch(
        chunks, batch_size, same_source=recipe.run.same_source, apart=recipe.data.apart
    )
    full = (batch for batch in batches if len(batch) == batch_size)
    if not recipe.data.resampled:
        return full
    world = pytorch_worker_info()[1]
    return islice(full, batches_per_epoch(shards, recipe.data, world, batch_size)[0])


def in_order(shards: Sequence[Shard], loading: Loading, batch_size: int) -> Iterator[Batch]:
    """Yield every sample of this rank once, not varied: one image, one text.

    For a loop of the user's own (cxr_vlp.loader); a training validates by engine/validation.

    The last batch may be smaller.
    """
    passes = partial(iter, [ShardPass(shard) for shard in shards])
    builder = wds.map(pair_builder(loading, 0, varied=False))
    stages = [passes, wds.split_by_node, wds.split_by_worker, _samples, _singly, builder]
    return rebatch(_load(stages, batch_size, loading.workers), batch_size)


def _passes(shards: Sequence[Shard], loading: Loading, epoch: int, rng: random.Random) -> list[Any]:
    """Return a pipeline's first stages: the shards of this rank and worker in an epoch."""
    data = loading.recipe.data
    if data.resampled:
        return [partial(_resampled, shards, data, loading.seed, epoch)]
    found = shard_passes(shards, data)
    return [partial(iter, rng.sample(found, len(found))), wds.split_by_node, wds.split_by_worker]


def _resampled(
    shards: Sequence[Shard], data: DataConfig, seed: int, epoch: int
) -> Iterator[ShardPass]:
    rank, _, worker, _ = pytorch_worker_info()
    return resampled(shards, data, generator(seed, epoch, f"{rank}/{worker}", "resample"))


def _samples(passes: Iterable[ShardPass]) -> Iterator[StoredSample]:
    found = ahead.passes(passes)
    return (stored for each in found for stored in stored_samples(each.shard, each.turn))


def _singly(flow: Iterable[StoredSample]) -> Iterator[tuple[StoredSample, ...]]:
    return ((stored,) for stored in flow)


def _units(
    passes: Iterable[ShardPass], recipe: Recipe, seed: int, epoch: int
) -> Iterator[tuple[StoredSample, ...]]:
    """Yield what becomes a pair, still encoded: a sample, or a study's samples, of the views."""
    grouped = studies if recipe.data.unit == "study" else _singly
    views = recipe.image.views
    for each in ahead.passes(passes):
        found = stored_samples(each.shard, each.turn)
        wanted = (stored for stored in found if not views or stored.sample.view in views)
        for unit in grouped(wanted):
            if each.shows(seed, epoch, unit[0].key):
                yield unit


def pair_builder(loading: Loading, epoch: int, *, varied: bool) -> PairBuilder:
    """Return what makes pairs in an epoch: drawn for training, else whole and not varied."""
    return PairBuilder(
        recipe=loading.recipe,
        size=loading.size,
        tokenize=loading.tokenize,
        seed=loading.seed,
        epoch=epoch,
        varied=varied,
    )


def _load(stages: Sequence[Any], batch_size: int, workers: int) -> Iterator[Batch]:
    return read(stages, workers, batch_size=batch_size, collate_fn=collate)


def read(stages: Sequence[Any], workers: int, **more: Any) -> Iterator[Any]:
    """Yield what a pipeline of stages yields, run by worker processes or, with 0, here.

    `more` goes to torch's DataLoader. Raises DataError and StoreError also where a worker raised
    them.
    """
    # Before the workers are forked: a child of a process whose OpenCV runs threads waits for them
    # without end. Torch itself keeps its workers to one thread.
    cv2.setNumThreads(1)
    loader: DataLoader[Any] = DataLoader(wds.DataPipeline(*stages), num_workers=workers, **more)
    try:
        yield from loader
    except (DataError, StoreError) as error:
        # A worker's error carries its traceback as text; the last line is the message.
        message = str(error).strip().splitlines()[-1]
        kind = type(error)
        raise kind(message.removeprefix(f"{kind.__module__}.{kind.__name__}: ")) from None
