"""Shards come in, an epoch of batches goes out.

Reading is webdataset's. What is drawn for a sample (text, window) follows from (seed, epoch, key)
alone; the order within an epoch follows from (seed, epoch, number of workers, number of ranks).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import torch
import webdataset as wds
from torch import Tensor
from torch.utils.data import DataLoader

from train import images, texts
from train.batches import Batch, collate, rebatch, rebatch_by_source
from train.chance import chance
from train.errors import DataError, key_hash
from train.recipe import Pictures, Recipe
from train.shards import Shard

PICTURES = ("jpg", "png")
MEMBERS = (*PICTURES, "json", "txt")
Tokenize = Callable[[str], Tensor]


@dataclass(frozen=True)
class Reader:
    """One raw sample in, one sample of a Batch out: the text chosen, the picture cut, both by key.

    `varied` draws a window for training; without it the whole picture is shown.
    """

    image: Pictures
    policies: tuple[str, ...]
    size: int
    tokenize: Tokenize
    seed: int
    epoch: int
    varied: bool

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sample's parts under the names of Batch."""
        key = sample["__key__"]
        record = json.loads(sample["json"])
        rng = chance(self.seed, self.epoch, key, "text")
        caption = sample["txt"].decode().strip()
        text = texts.choose(texts.parse(self.policies), record, rng, caption)
        if not text:
            raise DataError(
                f"{sample['__url__']}: sample {key_hash(key)} has no text and no caption"
            )
        grey = self._picture(sample, key)
        return {
            "images": torch.from_numpy(grey)[None],
            "tokens": self.tokenize(text),
            "keys": key,
            "texts": text,
            "records": record,
        }

    def _picture(self, sample: Mapping[str, Any], key: str) -> images.Grey:
        picture = images.decode(next(sample[name] for name in PICTURES if name in sample))
        if picture is None:
            raise DataError(f"{sample['__url__']}: {key_hash(key)} is no picture that can be read")
        rng = chance(self.seed, self.epoch, key, "window") if self.varied else None
        return images.prepare(picture, self.image, self.size, rng)


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
    rng = chance(loading.seed, epoch, "", "order")
    order = rng.sample(list(shards), len(shards))
    wanted = partial(_wanted, views=loading.recipe.image.views)
    dataset = (
        _raw(order)
        .select(wanted)
        .shuffle(loading.recipe.run.shuffle, initial=loading.recipe.run.shuffle, rng=rng)
    )
    chunks = _load(dataset.map(_reader(loading, epoch, varied=True)), batch_size, loading.workers)
    join = rebatch_by_source if loading.recipe.run.same_source else rebatch
    return (batch for batch in join(chunks, batch_size) if len(batch) == batch_size)


def in_order(shards: Sequence[Shard], loading: Loading, batch_size: int) -> Iterator[Batch]:
    """Yield every sample of this rank once, unvaried, the last batch as small as it comes out."""
    dataset = _raw(shards).map(_reader(loading, 0, varied=False))
    return rebatch(_load(dataset, batch_size, loading.workers), batch_size)


def _reader(loading: Loading, epoch: int, *, varied: bool) -> Reader:
    recipe = loading.recipe
    return Reader(
        image=recipe.image,
        policies=recipe.text.policies,
        size=loading.size,
        tokenize=loading.tokenize,
        seed=loading.seed,
        epoch=epoch,
        varied=varied,
    )


def _raw(shards: Sequence[Shard]) -> Any:
    """Return the webdataset of raw, complete samples; its shards are in order already."""
    counts = {str(shard.path): shard.samples for shard in shards}
    dataset = wds.WebDataset(
        list(counts),
        shardshuffle=False,
        nodesplitter=wds.split_by_node,
        empty_check=False,
        select_files=_is_member,
        seed=0,
    )
    return dataset.compose(partial(_complete, counts=counts))


def _wanted(sample: Mapping[str, Any], views: Sequence[str]) -> bool:
    """Tell whether the film was taken in one of the views; without views every film is wanted."""
    return not views or json.loads(sample["json"])["view"] in views


def _is_member(name: str) -> bool:
    return name.rpartition(".")[2] in MEMBERS


def _complete(samples: Iterable[Mapping[str, Any]], counts: Mapping[str, int]) -> Iterator[Any]:
    """Pass samples on; raise where one lacks a member or a shard ends before its count.

    A tar cut off between two members looks like a shorter tar, which only the count tells.
    """
    shard, seen = "", 0
    for sample in _named(samples):
        if sample["__url__"] != shard:
            _check_count(shard, seen, counts)
            shard, seen = sample["__url__"], 0
        has_picture = any(name in sample for name in PICTURES)
        if not (has_picture and "json" in sample and "txt" in sample):
            raise DataError(f"{shard}: sample {key_hash(sample['__key__'])} lacks a member")
        seen += 1
        yield sample
    _check_count(shard, seen, counts)


def _named(samples: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Pass samples on; say a reader's error with the shard's name and without a member's."""
    last = "the first shard"
    try:
        for sample in samples:
            last = sample["__url__"]
            yield sample
    except Exception as error:
        # webdataset lets anything from tarfile, zlib or its own grouping through; the one boundary.
        told = [arg for arg in error.args if isinstance(arg, str) and arg.endswith(".tar")]
        where = told[-1] if told else f"{last} or the one after it"
        raise DataError(f"{where}: cannot be read ({type(error).__name__})") from None


def _check_count(shard: str, seen: int, counts: Mapping[str, int]) -> None:
    if shard and seen != counts[shard]:
        raise DataError(f"{shard}: {seen} samples where sizes.json promises {counts[shard]}")


def _load(dataset: Any, batch_size: int, workers: int) -> Iterator[Batch]:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_one_thread,
    )
    try:
        yield from loader
    except DataError as error:
        # A worker's error comes with its traceback as text; its last line is the message.
        message = str(error).strip().splitlines()[-1]
        raise DataError(message.removeprefix("train.errors.DataError: ")) from None


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
