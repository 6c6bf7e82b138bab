"""Splits an evaluation into one for each collection, for tasks that read the images themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from cxr_vlp.train.data import views
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
        source: _part(evaluation, source, tuple(s for s in shards if s.source == source))
        for source in sorted({shard.source for shard in shards})
    }


def _part(evaluation: Evaluation, source: str, shards: tuple[Shard, ...]) -> Evaluation:
    own = evaluation.protocol.in_collection(*known_as.names(source, shards))
    return replace(evaluation, shards={evaluation.split: shards}, protocol=own)


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
    for batch in reading.batches(
        own.shards[own.split], model.image, model.size, own.protocol.views, limit=own.limit,
        workers=own.workers,
    ):  # fmt: skip
        kept = batch if keys is None else only(batch, keys)
        if kept.images:
            yield kept


def only(batch: ImageBatch, keys: Collection[str]) -> ImageBatch:
    """Return the images of a batch that have one of the keys."""
    places = [i for i, image in enumerate(batch.images) if image.facts.key in keys]
    return ImageBatch(batch.source, batch.pixels[places], tuple(batch.images[i] for i in places))


def require_set(evaluation: Evaluation, found: Iterable[str]) -> None:
    """Raise ConfigError where images of the benchmark set are not among the keys."""
    if evaluation.benchmark:
        where = f"the {evaluation.split} split of these shards, in the protocol's views"
        evaluation.benchmark.require(set(found), where)
