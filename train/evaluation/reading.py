"""Reads the images of shards for an evaluation: once each, whole, not varied.

Batches come source by source. The order inside a source depends on the number of workers, so every
table is sorted by key before it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import cv2
import torch
import webdataset as wds
from torch import Tensor
from torch.utils.data import DataLoader

from cxr_vlp.pipelines.format.sample import Sample, key_hash
from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.samples import stored_samples
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import shown
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.frame import Frame
from cxr_vlp.train.evaluation.models import preprocessing

BATCH = 64


@dataclass(frozen=True, slots=True)
class ReadImage:
    """One image: `pixels` (1, S, S), the sample with its texts and boxes, and its caption.

    `frame` says where the pixels of the stored image are in `pixels`.
    """

    facts: ImageFacts
    pixels: Tensor
    sample: Sample
    caption: str
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """B images of one source; `pixels` (B, 1, S, S) as models/preprocessing makes them."""

    source: str
    pixels: Tensor
    images: tuple[ReadImage, ...]


def batches(
    shards: Sequence[Shard],
    image: ImageConfig,
    size: int,
    views: Sequence[str] = (),
    *,
    limit: int = 0,
    workers: int = 0,
    wanted: Callable[[Sample], object] | None = None,
    keys: Collection[str] | None = None,
) -> Iterator[ImageBatch]:
    """Yield the images of the views (none named: all), source by source.

    `limit`: about this many images of each source; 0: all. Only images of `keys` whose sample is
    `wanted` are decoded (None: all); a function that workers are to call must be at the top of its
    module.
    Raises DataError for a damaged shard.
    """
    for source in sorted({shard.source for shard in shards}):
        mine = [shard for shard in shards if shard.source == source]
        seen = 0
        # with a limit, which images are read must not depend on the number of workers
        used = 0 if limit else workers
        flow = partial(
            _images, source=source, recipe=image, size=size, views=tuple(views), wanted=wanted,
            keys=keys,
        )  # fmt: skip
        for batch in _of_source(source, mine, flow, min(BATCH, limit or BATCH), used):
            yield batch
            seen += len(batch.images)
            if limit and seen >= limit:
                break


def _of_source(
    source: str,
    shards: Sequence[Shard],
    flow: Callable[[Iterable[Shard]], Iterator[ReadImage]],
    batch: int,
    workers: int,
) -> Iterator[ImageBatch]:
    cv2.setNumThreads(1)  # before the workers are forked, as in data/loader
    whole = partial(_batched, source=source, flow=flow, batch=batch)
    loader: DataLoader[Any] = DataLoader(
        wds.DataPipeline(partial(iter, shards), wds.split_by_worker, whole),
        batch_size=None,
        num_workers=min(workers, len(shards)),
    )
    try:
        yield from loader
    except DataError as error:
        message = str(error).strip().splitlines()[-1]
        raise DataError(message.removeprefix("cxr_vlp.train.errors.DataError: ")) from None


def _batched(
    shards: Iterable[Shard], source: str, flow: Callable[..., Iterator[ReadImage]], batch: int
) -> Iterator[ImageBatch]:
    """Yield batches that never reach over two shards.

    So a batch is the same for any number of workers, and the model's scores are, bit for bit.
    """
    for shard in shards:
        images = flow([shard])
        while found := tuple(islice(images, batch)):
            yield _collate(source, found)


def _images(
    shards: Iterable[Shard],
    source: str,
    recipe: ImageConfig,
    size: int,
    views: tuple[str, ...],
    wanted: Callable[[Sample], object] | None,
    keys: Collection[str] | None,
) -> Iterator[ReadImage]:
    for shard in shards:
        for stored in stored_samples(shard):
            if keys is not None and stored.key not in keys:
                continue
            if not shown(stored.sample, views) or not (wanted is None or wanted(stored.sample)):
                continue
            if keys is not None and stored.key not in keys:
                continue
            pixels = preprocessing.pixels(stored.image, recipe, size)
            if pixels is None:
                where = f"{stored.shard}: the image of sample {key_hash(stored.key)}"
                raise DataError(f"{where} cannot be decoded")
            facts = ImageFacts.of(source, stored.key, stored.sample)
            frame = Frame.read(stored.image, recipe, size)
            yield ReadImage(facts, pixels, stored.sample, stored.caption, frame)


def _collate(source: str, found: Sequence[ReadImage]) -> ImageBatch:
    return ImageBatch(source, torch.stack([each.pixels for each in found]), tuple(found))
