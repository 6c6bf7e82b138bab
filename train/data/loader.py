"""Shards come in, an epoch of batches goes out.

Splitting over ranks and workers, shuffling and the pipeline are webdataset's; the shards are read
by cxr_vlp.train.data.samples. What is drawn for a sample (views, window, text) follows from (seed,
epoch, key) alone; the order within an epoch follows from (seed, epoch, number of workers, number of
ranks).
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

from cxr_vlp.train.config.recipe import Data, Recipe
from cxr_vlp.train.data.batches import Batch, collate, rebatch
from cxr_vlp.train.data.mixing import Opening, batches_per_epoch, drawn, openings
from cxr_vlp.train.data.pairs import Pairing, Tokenize
from cxr_vlp.train.data.samples import StoredSample, stored_samples, studies
from cxr_vlp.train.data.seeding import chance
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import DataError


@dataclass(frozen=True, slots=True)
class Loading:
    """What a loader needs besides shards and epoch: recipe, picture side, tokenizer, seed ..."""

    recipe: Recipe
    size: int
    tokenize: Tokenize
    seed: int = 0
    workers: int = 0


def training(
    shards: Sequence[Shard], loading: Loading, epoch: int, batch_size: int
) -> Iterator[Batch]:
    """Yield one epoch of this rank's full batches, shuffled and varied; the left-over is dropped.

    The left-over differs from epoch to epoch with the order. Raises DataError where a shard
    breaks the contract.
    """
    recipe = loading.recipe
    # One generator for the order of the shards and of what waits in the buffer, in every worker.
    rng = chance(loading.seed, epoch, "", "order")
    stages = [
        *_opened(shards, loading, epoch, rng),
        partial(_units, recipe=recipe, seed=loading.seed, epoch=epoch),
        wds.shuffle(recipe.run.shuffle, initial=recipe.run.shuffle, rng=rng),
        wds.map(_pairing(loading, epoch, varied=True)),
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
    """Yield every sample of this rank once, unvaried: one picture, one text.

    The last batch is as small as it comes out.
    """
    opened = partial(iter, [Opening(shard) for shard in shards])
    pairing = wds.map(_pairing(loading, 0, varied=False))
    stages = [opened, wds.split_by_node, wds.split_by_worker, _films, _singly, pairing]
    return rebatch(_load(stages, batch_size, loading.workers), batch_size)


def _opened(shards: Sequence[Shard], loading: Loading, epoch: int, rng: random.Random) -> list[Any]:
    """Return a pipeline's first stages: what this rank and worker opens in an epoch, in order."""
    data = loading.recipe.data
    if data.resampled:
        return [partial(_drawn, shards, data, loading.seed, epoch)]
    found = openings(shards, data)
    return [partial(iter, rng.sample(found, len(found))), wds.split_by_node, wds.split_by_worker]


def _drawn(shards: Sequence[Shard], data: Data, seed: int, epoch: int) -> Iterator[Opening]:
    rank, _, worker, _ = pytorch_worker_info()
    return drawn(shards, data, chance(seed, epoch, f"{rank}/{worker}", "resample"))


def _films(flow: Iterable[Opening]) -> Iterator[StoredSample]:
    return (film for opening in flow for film in stored_samples(opening.shard, opening.turn))


def _singly(flow: Iterable[StoredSample]) -> Iterator[tuple[StoredSample, ...]]:
    return ((film,) for film in flow)


def _units(
    flow: Iterable[Opening], recipe: Recipe, seed: int, epoch: int
) -> Iterator[tuple[StoredSample, ...]]:
    """Yield what becomes a pair, undecoded: a film, or a study's films; of the views wanted."""
    grouped = studies if recipe.data.unit == "study" else _singly
    views = recipe.image.views
    for opening in flow:
        found = stored_samples(opening.shard, opening.turn)
        wanted = (film for film in found if not views or film.sample.view in views)
        for unit in grouped(wanted):
            if opening.shows(seed, epoch, unit[0].key):
                yield unit


def _pairing(loading: Loading, epoch: int, *, varied: bool) -> Pairing:
    return Pairing(
        recipe=loading.recipe,
        size=loading.size,
        tokenize=loading.tokenize,
        seed=loading.seed,
        epoch=epoch,
        varied=varied,
    )


def _load(stages: Sequence[Any], batch_size: int, workers: int) -> Iterator[Batch]:
    # Before the workers are forked: a child of a process whose OpenCV runs threads waits for them
    # for ever. Torch keeps its workers to one thread by itself.
    cv2.setNumThreads(1)
    loader: DataLoader[Any] = DataLoader(
        wds.DataPipeline(*stages),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
    )
    try:
        yield from loader
    except DataError as error:
        # A worker's error comes with its traceback as text; its last line is the message.
        message = str(error).strip().splitlines()[-1]
        raise DataError(message.removeprefix("cxr_vlp.train.errors.DataError: ")) from None
