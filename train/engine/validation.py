"""Plans the batches of the validation, and reads them: the same ones at each validation.

The loss is measured on one image of each study, of the recipe's views, drawn by the seed. So no two
pairs of one study are in a batch, where each would be a false negative of the other. The order is
drawn by the seed too. Where a training batch comes from one source, so does a validation batch.

A group of N pairs is cut into as few batches of at most `size` pairs as possible, whose lengths
differ by one at most: there is no short last batch, whose loss would be smaller because it has
fewer negatives. A group of one pair has no negatives, and a loss of 0 whatever the model: it is
left out and counted.

The plan is made from the samples' JSON alone, before the training. It depends on the shards, the
recipe and the seed, and not on the number of workers or processes: they share its batches.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from typing import Any

from webdataset.utils import pytorch_worker_info

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.data.batches import Batch, Pair, collate
from cxr_vlp.train.data.loader import Loading, pair_builder, read
from cxr_vlp.train.data.samples import keyed_facts, stored_samples
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import shown, view
from cxr_vlp.train.errors import DataError

BLOCK = 4096  # images that are shuffled together, and at most kept until their batches are full
Place = tuple[int, str]  # the number of a shard in the plan, and a sample's key


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image of the plan: where it is, and what its sample says."""

    place: Place
    source: str
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images the validation uses and leaves out, by source.

    studies: images with a loss, one of each study; siblings: other images of these studies; alone:
    images without another one in their group; views: source -> view -> images of other views;
    unused: images of sources of weight 0.
    """

    studies: Mapping[str, int]
    siblings: Mapping[str, int]
    alone: Mapping[str, int]
    views: Mapping[str, Mapping[str, int]]
    unused: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return the counts for recipe.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ValidationPlan:
    """The batches of a validation: the first `paired` give the loss, all of them give scores."""

    shards: tuple[Shard, ...]
    batches: tuple[tuple[PlannedImage, ...], ...]
    paired: int
    counts: Counts


def plan(
    shards: Sequence[Shard], recipe: Recipe, seed: int, size: int, *, siblings: bool
) -> ValidationPlan:
    """Return the plan of a validation in batches of at most `size` pairs.

    `siblings`: the other images of the studies follow, for their scores. Raises DataError for a
    damaged shard.
    """
    weights = recipe.data.weights
    unused = [shard for shard in shards if not weights.get(shard.source, 1.0)]
    order = _shuffled([s for s in shards if s not in unused], recipe, seed)
    seen: dict[str, Counter[str]] = {}
    chosen: list[PlannedImage] = []
    others: list[PlannedImage] = []
    for number, shard in enumerate(order):
        mine, rest = _of_shard(
            number, shard, recipe, seed, seen.setdefault(shard.source, Counter())
        )
        chosen += mine
        others += rest
    paired, alone = _batches(chosen, recipe, seed, size)
    scored = list(_cut(others, size)) if siblings else []
    counts = Counts(
        studies=_by_source(image for batch in paired for image in batch),
        siblings=_by_source(others),
        alone=_by_source(alone),
        views={source: dict(sorted(left.items())) for source, left in sorted(seen.items()) if left},
        unused=_samples(unused),
    )
    return ValidationPlan(order, (*paired, *scored), len(paired), counts)


def batches(found: ValidationPlan, loading: Loading) -> Iterator[tuple[int, Batch]]:
    """Yield (number in the plan, batch) of this process's batches, not varied: whole images.

    Their order depends on the number of workers, their content does not. Raises DataError for a
    damaged shard.
    """
    flow = partial(_flow, found=found, loading=loading)
    return read([flow], loading.workers, batch_size=None)


def _shuffled(shards: Sequence[Shard], recipe: Recipe, seed: int) -> tuple[Shard, ...]:
    """Return the shards in the order in which they are read."""
    order = generator(seed, 0, "", "validation order").sample(list(shards), len(shards))
    return tuple(sorted(order, key=_source) if recipe.run.same_source else order)


def _of_shard(
    number: int, shard: Shard, recipe: Recipe, seed: int, left: Counter[str]
) -> tuple[list[PlannedImage], list[PlannedImage]]:
    """Return a shard's images with a loss, and the others; images of other views go to `left`."""
    rows = list(keyed_facts(shard))
    left.update(view(sample) for _, sample in rows if not shown(sample, recipe.image.views))
    wanted = [row for row in rows if shown(row[1], recipe.image.views)]
    chosen: list[PlannedImage] = []
    others: list[PlannedImage] = []
    for _, group in groupby(wanted, key=_study):
        images = [
            PlannedImage((number, key), shard.source, dict(sample.all_labels))
            for key, sample in group
        ]
        first = images[0].place[1]
        taken = generator(seed, 0, first, "validation").choice(images)
        chosen.append(taken)
        others += [image for image in images if image is not taken]
    return chosen, others


def _study(row: tuple[str, Sample]) -> str:
    key, sample = row
    return sample.study or key


def _source(shard: Shard) -> str:
    return shard.source


def _batches(
    images: Sequence[PlannedImage], recipe: Recipe, seed: int, size: int
) -> tuple[list[tuple[PlannedImage, ...]], list[PlannedImage]]:
    """Return the batches with a loss, and the images that are alone in their group."""
    made: list[tuple[PlannedImage, ...]] = []
    alone: list[PlannedImage] = []
    groups = groupby(images, key=lambda image: image.source if recipe.run.same_source else "")
    for name, group in groups:
        mine = _in_blocks(list(group), generator(seed, 0, name, "validation shuffle"))
        if len(mine) < 2:
            alone += mine
        else:
            made += _cut(mine, size)
    return made, alone


def _in_blocks(images: Sequence[PlannedImage], rng: random.Random) -> list[PlannedImage]:
    starts = range(0, len(images), BLOCK)
    blocks = [list(images[start : start + BLOCK]) for start in starts]
    return [image for block in blocks for image in rng.sample(block, len(block))]


def _cut(images: Sequence[PlannedImage], size: int) -> Iterator[tuple[PlannedImage, ...]]:
    """Yield as few parts of at most `size` as possible; their lengths differ by one at most."""
    count = -(-len(images) // size)
    for part in range(count):
        yield tuple(images[len(images) * part // count : len(images) * (part + 1) // count])


def _by_source(images: Iterable[PlannedImage]) -> dict[str, int]:
    return dict(sorted(Counter(image.source for image in images).items()))


def _samples(shards: Iterable[Shard]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for shard in shards:
        found[shard.source] += shard.samples
    return dict(sorted(found.items()))


def _flow(found: ValidationPlan, loading: Loading) -> Iterator[tuple[int, Batch]]:
    """Yield this worker's batches as they become full; only their images are decoded."""
    rank, world, worker, workers = pytorch_worker_info()
    mine = range(rank + world * worker, len(found.batches), world * workers)
    where = {image.place: number for number in mine for image in found.batches[number]}
    build = pair_builder(loading, 0, varied=False)
    waiting: dict[int, dict[Place, Pair]] = {number: {} for number in mine}
    used = {number for number, _ in where}
    for place, shard in enumerate(found.shards):
        for stored in stored_samples(shard) if place in used else ():
            number = where.get((place, stored.key), -1)
            if number < 0:
                continue
            pairs = waiting[number]
            pairs[place, stored.key] = build((stored,))
            if len(pairs) == len(found.batches[number]):
                del waiting[number]
                yield number, collate([pairs[image.place] for image in found.batches[number]])
    if waiting:
        places = sorted({image.place[0] for number in waiting for image in found.batches[number]})
        raise DataError(
            f"{found.shards[places[0]].path}: a key is in it twice, or the shard has changed since "
            "the training began: run cxr-vlp verify on the set"
        )
