"""Splits an evaluation into one for each collection, for tasks that read the images themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from cxr_vlp.train.data import samples, views
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import Survey
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import reading
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.protocols import known_as
from cxr_vlp.train.evaluation.reading import ImageBatch
from cxr_vlp.train.evaluation.tasks.base import Evaluation


def parts(evaluation: Evaluation, task: str) -> dict[str, Evaluation]:
    """Return name of a collection -> its evaluation: its shards alone, in its own protocol.

    Raises ConfigError where there is no model to compare texts with, and for models whose
    similarities cannot be averaged: cosines and logits.
    """
    if not evaluation.models:
        raise ConfigError(f"{task} compares images with texts: give a model, scores do not do")
    if len({model.fused for model in evaluation.models}) > 1:
        raise ConfigError(
            f"{task}: an ensemble of a model with a fusion and one without has no common "
            "similarity: measure each of them alone"
        )
    shards = evaluation.shards.get(evaluation.split, ())
    if not shards:
        raise ConfigError(f"{task}: no shards in the {evaluation.split} split")
    return {
        source: replace(
            evaluation,
            shards={evaluation.split: mine},
            protocol=evaluation.protocol.in_collection(*known_as.names(mine)),
        )
        for source, mine in by_source(shards).items()
    }


def by_source(shards: Sequence[Shard]) -> Mapping[str, tuple[Shard, ...]]:
    """Return the shards of each collection, sorted by its name."""
    names = sorted({shard.source for shard in shards})
    return {name: tuple(shard for shard in shards if shard.source == name) for name in names}


def survey(own: Evaluation) -> Survey:
    """Return what the samples of a collection say: images by view, labels of the wanted views."""
    return views.survey(own.shards[own.split], own.protocol.views)


def left_out(found: Survey, own: Evaluation) -> dict[str, int]:
    """Return how many images are of other views than the protocol's, by view."""
    counts = views.left_out(found.views, own.protocol.views)
    return next(iter(counts.values()), {})


def batches(
    own: Evaluation, model: Model, keys: Collection[str] | None = None
) -> Iterator[ImageBatch]:
    """Yield the images of a collection as a model takes them: those of `keys`, of its views.

    Without `keys` those of the benchmark set, and without one all.
    """
    if keys is None and own.benchmark:
        keys = own.benchmark.keys
    yield from reading.batches(
        own.shards[own.split], model.image, model.size, own.protocol.views, limit=own.limit,
        workers=own.workers, keys=keys,
    )  # fmt: skip


def only(batch: ImageBatch, keys: Collection[str]) -> ImageBatch:
    """Return the images of a batch that have one of the keys."""
    places = [i for i, image in enumerate(batch.images) if image.facts.key in keys]
    return ImageBatch(batch.source, batch.pixels[places], tuple(batch.images[i] for i in places))


def require_set(evaluation: Evaluation) -> None:
    """Raise ConfigError where images of the benchmark set are not among those that are measured.

    What is measured are the images of the split, in the views of each collection's protocol.
    """
    if not (evaluation.benchmark and evaluation.shards[evaluation.split]):
        return  # a score file without shards has its own images
    found: set[str] = set()
    for mine in by_source(evaluation.shards[evaluation.split]).values():
        own = evaluation.protocol.in_collection(*known_as.names(mine))
        found.update(
            key
            for shard in mine
            for key, sample in samples.keyed_facts(shard)
            if views.shown(sample, own.views)
        )
    where = f"the {evaluation.split} split of these shards, in the protocol's views"
    evaluation.benchmark.require(found, where)
