"""Splits an evaluation into one for each collection, for tasks that read the images themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.data import views
from cxr_vlp.train.data.samples import keyed_facts
from cxr_vlp.train.data.views import Survey
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import reading
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.reading import ImageBatch
from cxr_vlp.train.evaluation.tasks.base import Evaluation
from cxr_vlp.train.evaluation.zeroshot.collect import surveyed


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
            shards={evaluation.split: tuple(s for s in shards if s.source == source)},
            protocol=evaluation.protocol.in_collection(source),
        )
        for source in sorted({shard.source for shard in shards})
    }


def narrowed(evaluation: Evaluation) -> dict[str, Evaluation]:
    """Return each collection's evaluation: its own shards of all splits, in its own protocol."""
    measured = evaluation.shards.get(evaluation.split, ())
    found = surveyed(measured, evaluation.protocol)
    return {each.name: _narrowed(evaluation, each.name, each.protocol) for each in found}


def _narrowed(evaluation: Evaluation, source: str, protocol: Protocol) -> Evaluation:
    shards = {
        split: tuple(shard for shard in found if shard.source == source)
        for split, found in evaluation.shards.items()
    }
    return replace(evaluation, shards=shards, protocol=protocol)


def survey(own: Evaluation) -> Survey:
    """Return what the samples of a collection say: images by view, labels of the wanted views."""
    return views.survey(own.shards[own.split], own.protocol.views)


def left_out(found: Survey, own: Evaluation) -> dict[str, int]:
    """Return how many images are of other views than the protocol's, by view."""
    counts = views.left_out(found.views, own.protocol.views)
    return next(iter(counts.values()), {})


def batches(
    own: Evaluation,
    model: Model,
    keys: Collection[str] | None = None,
    *,
    wanted: Callable[[Sample], object] | None = None,
) -> Iterator[ImageBatch]:
    """Yield the images of a collection as a model takes them: those of `keys`, of its views.

    Without `keys` those of the benchmark set, and without one all. wanted: as in `reading.batches`.
    """
    return reading.batches(
        own.shards.get(own.split, ()), model.image, model.size, own.protocol.views, limit=own.limit,
        workers=own.workers, wanted=wanted,
        keys=chosen(own) if keys is None else keys,
    )  # fmt: skip


def chosen(evaluation: Evaluation) -> Collection[str] | None:
    """Return the keys of the benchmark set, None without one: every image."""
    return evaluation.benchmark.keys if evaluation.benchmark else None


def only(batch: ImageBatch, keys: Collection[str]) -> ImageBatch:
    """Return the images of a batch that have one of the keys."""
    places = [i for i, image in enumerate(batch.images) if image.facts.key in keys]
    return ImageBatch(batch.source, batch.pixels[places], tuple(batch.images[i] for i in places))


def require_set(evaluation: Evaluation, found: Iterable[str]) -> None:
    """Raise ConfigError where images of the benchmark set are not among the keys."""
    if evaluation.benchmark:
        where = f"the {evaluation.split} split of these shards, in the protocol's views"
        evaluation.benchmark.require(set(found), where)


def require_shown(evaluation: Evaluation, own: Iterable[Evaluation]) -> None:
    """Raise ConfigError where images of the benchmark set are not in the collections' views.

    own: each collection's evaluation. For tasks that measure some of these images only; none is
    decoded.
    """
    if evaluation.benchmark:
        require_set(evaluation, (key for each in own for key in _shown_keys(each)))


def _shown_keys(own: Evaluation) -> Iterator[str]:
    rows = (row for shard in own.shards[own.split] for row in keyed_facts(shard))
    return (key for key, sample in rows if views.shown(sample, own.protocol.views))
