"""Measures retrieval: an image finds its text, a text finds its images; and the 5x200 sets.

Of each collection: R@1, R@5 and R@10, the median and the mean rank, both ways, with the number of
images and of different texts in the gallery and with what chance would give. Ties count against the
model. Intervals are over resampled patients: the queries change, the gallery does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import resampled
from cxr_vlp.train.evaluation.benchmark_sets import BenchmarkSet
from cxr_vlp.train.evaluation.measures.resampling import bootstrap_weights
from cxr_vlp.train.evaluation.resampled import Resampled
from cxr_vlp.train.evaluation.retrieval import five_way, galleries, ranks
from cxr_vlp.train.evaluation.retrieval.galleries import Gallery, Reading
from cxr_vlp.train.evaluation.retrieval.ranks import Flags, Places
from cxr_vlp.train.evaluation.retrieval.similarities import Similarities
from cxr_vlp.train.evaluation.scores import Floats
from cxr_vlp.train.evaluation.tasks.base import Evaluation, Intervals, TaskResult

TABLE = "retrieval.csv"
COUNTS = (1, 5, 10)  # K of R@K
PRECISIONS = (1, 5, 10, 100)  # K of precision@K on a 5x200 set
FIVE_WAY, TO_TEXT, TO_IMAGE = "five_way", "image_to_text", "text_to_image"
SUMMARY = ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "accuracy")
Measures = dict[str, Resampled]  # by name
Chances = dict[str, float]
Draws = Callable[[], Iterator[Floats]]
Part = dict[str, tuple[Measures, Chances]]  # by direction, of one collection


def run(evaluation: Evaluation) -> TaskResult:
    """Measure the retrieval of every collection, and their mean.

    Raises ConfigError where no collection has a text, or lacks images of a benchmark set.
    """
    collections: dict[str, Any] = {}
    parts: dict[str, Part] = {}
    dropped: dict[str, str] = {}
    read = galleries.read(evaluation)
    views = galleries.left_out_by_view(evaluation)
    for source in sorted(views):
        mine = read.get(source, Reading([]))
        found, part = _collection(evaluation, source, mine)
        if part:
            collections[source], parts[source] = found, part
            found["left_out_by_view"] = views[source]
        if TO_TEXT not in part:
            dropped[source] = _why(evaluation, mine)
    if not parts:
        raise ConfigError(
            f"retrieval: no sample has a text of the kind `{evaluation.protocol.text}`: name "
            "another one in the protocol's `text` (report, findings, impression, longest, caption)"
        )
    return _result(evaluation, collections, parts, dropped)


def _collection(evaluation: Evaluation, source: str, mine: Reading) -> tuple[dict[str, Any], Part]:
    """Return a collection's part of metrics.json, and its measures."""
    part: Part = {}
    gallery = galleries.gallery(mine, evaluation.protocol)
    found: dict[str, Any] = _counts(gallery)
    own = resampled.of_collection(evaluation.intervals, source)
    keys = [image.key for image in gallery.images]
    between = None
    if keys:
        between = galleries.compared(evaluation, mine, source, keys, gallery.texts)
        part[TO_TEXT] = image_to_text(gallery, between, own)
        part[TO_IMAGE] = text_to_image(gallery, between, own)
    if evaluation.benchmark and mine.facts:
        part[FIVE_WAY], found["five_way_counts"] = _five_way(evaluation, source, mine, own)
        if between:
            _add_precisions(part, gallery, between, evaluation.benchmark, own)
    found |= {way: resampled.entries(*measured) for way, measured in part.items()}
    return found, part


def image_to_text(
    gallery: Gallery, between: Similarities, own: Intervals
) -> tuple[Measures, Chances]:
    """Return the measures of images that ask for their text among all different texts."""
    texts, owners = len(gallery.texts), gallery.owners

    def right(block: slice) -> Flags:
        return owners[block, None] == np.arange(texts)

    found = ranks.in_blocks(len(owners), between.rows, right)
    draws = partial(bootstrap_weights, gallery.patients, own)
    return _of_ranks(found, draws), _chances(np.ones(len(owners), np.intp), texts)


def text_to_image(
    gallery: Gallery, between: Similarities, own: Intervals
) -> tuple[Measures, Chances]:
    """Return the measures of texts that ask for one of their images among all images.

    Where patients are resampled, the weight of a text is the mean weight of its images.
    """
    owners = gallery.owners

    def right(block: slice) -> Flags:
        return np.arange(len(gallery.texts))[block, None] == owners

    found = ranks.in_blocks(len(gallery.texts), between.columns, right)
    draws = partial(_of_texts, gallery, own)
    return _of_ranks(found, draws), _chances(np.bincount(owners), len(owners))


def _of_texts(gallery: Gallery, own: Intervals) -> Iterator[Floats]:
    for part in bootstrap_weights(gallery.patients, own):
        yield resampled.shared(part, gallery.owners)


def _of_ranks(found: Places, draws: Draws) -> Measures:
    place = found.astype(np.float64)
    measures = {
        f"recall_at_{count}": resampled.mean((found <= count).astype(np.float64), draws())
        for count in COUNTS
    }
    measures["median_rank"] = resampled.median(place, draws())
    measures["mean_rank"] = resampled.mean(place, draws())
    return measures


def _chances(right: Places, gallery: int) -> Chances:
    found = {f"recall_at_{n}": ranks.chance_recall(right, gallery, n) for n in COUNTS}
    return found | {"mean_rank": ranks.chance_rank(right, gallery)}


def _counts(gallery: Gallery) -> dict[str, Any]:
    return {
        "images": len(gallery.images),
        "patients": len(set(gallery.patients)),
        "studies": len({image.study for image in gallery.images}),
        "unique_texts": len(gallery.texts),
        "images_of_a_repeated_text": int((np.bincount(gallery.owners)[gallery.owners] > 1).sum())
        if gallery.images
        else 0,
        "left_out": dict(gallery.left_out),
    }


def _five_way(
    evaluation: Evaluation, source: str, mine: Reading, own: Intervals
) -> tuple[tuple[Measures, Chances], dict[str, Any]]:
    """Return the accuracy of the classes by prompts, of all classes and of each, and counts."""
    benchmark, protocol = evaluation.benchmark, evaluation.protocol
    assert benchmark is not None
    keys, classes = sorted(mine.facts), tuple(benchmark.counts())
    texts = five_way.prompts(classes, protocol)
    flat = [text for each in texts for text in each]
    between = galleries.compared(evaluation, mine, source, keys, flat)
    similarity = np.concatenate([between.rows(block) for block in ranks.blocks(len(keys))])
    truth = five_way.places([benchmark.classes[key] for key in keys], classes)
    how = protocol.retrieval.classes
    scores = five_way.class_scores(similarity, [len(each) for each in texts], how)
    found = five_way.correct(scores, truth)
    patients = [mine.facts[key].patient for key in keys]
    measures = {"accuracy": resampled.mean(found, bootstrap_weights(patients, own))}
    for place, name in enumerate(classes):
        own_of = [each for each, at in zip(patients, truth, strict=True) if at == place]
        if own_of:
            draws = bootstrap_weights(own_of, own)
            measures[f"accuracy_of_{name}"] = resampled.mean(found[truth == place], draws)
    counts = {
        "images": len(keys),
        "classes": list(classes),
        "prompts": {name: len(each) for name, each in zip(classes, texts, strict=True)},
        "confusion": five_way.confusion(scores, truth),
    }
    return (measures, dict.fromkeys(measures, 1 / len(classes))), counts


def _add_precisions(
    part: Part, gallery: Gallery, between: Similarities, benchmark: BenchmarkSet, own: Intervals
) -> None:
    """Add precision@K to both directions; a K above the size of the gallery is not measured."""
    classes = tuple(benchmark.counts())
    truth = five_way.places([benchmark.classes[image.key] for image in gallery.images], classes)
    texts = five_way.classes_of_texts(gallery.owners, truth, len(gallery.texts), len(classes))
    share = (texts[:, truth]).mean()  # of right pairs: what chance gives
    for way, measured, size, draws in (
        (
            TO_TEXT,
            five_way.of_images,
            len(gallery.texts),
            partial(bootstrap_weights, gallery.patients, own),
        ),
        (TO_IMAGE, five_way.of_texts, len(truth), partial(_of_texts, gallery, own)),
    ):
        counts = [count for count in PRECISIONS if count <= size]
        values = measured(between, truth, texts, counts)
        measures, chances = part[way]
        for column, count in zip(values.T, counts, strict=True):
            measures[f"precision_at_{count}"] = resampled.mean(column, draws())
            chances[f"precision_at_{count}"] = float(share)


def _why(evaluation: Evaluation, mine: Reading) -> str:
    if not mine.facts:
        views = ", ".join(evaluation.protocol.views)
        return f"it has no image of the benchmark set, or of the views {views or '(any)'}"
    return f"none of its {len(mine.facts)} images has a text of the kind {evaluation.protocol.text}"


def _result(
    evaluation: Evaluation,
    collections: Mapping[str, Any],
    parts: Mapping[str, Part],
    dropped: Mapping[str, str],
) -> TaskResult:
    means = _means(parts)
    protocol, benchmark = evaluation.protocol, evaluation.benchmark
    metrics = {
        "text": protocol.text,
        "unit": protocol.unit,
        "views": list(protocol.views),
        "collections": dict(collections),
        "mean": {way: resampled.entries(found, chance) for way, (found, chance) in means.items()},
        "mean_of": {way: [s for s, part in parts.items() if way in part] for way in means},
        "dropped": dict(dropped),
        "ties": "against the model",
        "benchmark": benchmark.facts() if benchmark else None,
    }
    summary = {
        f"{way}_{name}": resampled.number(found[name].value)
        for way, (found, _) in means.items()
        for name in SUMMARY
        if name in found
    }
    rows = [row for source, part in parts.items() for row in _rows(source, part)]
    rows += _rows("mean", means) if len(parts) > 1 else []
    return TaskResult(metrics, {TABLE: rows}, summary, list(_notes(collections, dropped)))


def _means(parts: Mapping[str, Part]) -> Part:
    """Return the mean over the collections of every measure that all of them have."""
    ways = [way for way in (TO_TEXT, TO_IMAGE, FIVE_WAY) if any(way in p for p in parts.values())]
    means: Part = {}
    for way in ways:
        several = [part[way] for part in parts.values() if way in part]
        names = [name for name in several[0][0] if all(name in found for found, _ in several)]
        measures = {n: resampled.mean_of([found[n] for found, _ in several]) for n in names}
        chances = {
            n: float(np.mean([chance[n] for _, chance in several]))
            for n in names
            if all(n in chance for _, chance in several)
        }
        means[way] = measures, chances
    return means


def _rows(source: str, part: Part) -> list[dict[str, Any]]:
    return [
        {"collection": source, "direction": way, "measure": name}
        | found.entry()
        | {"chance": chances.get(name)}
        for way, (measures, chances) in part.items()
        for name, found in measures.items()
    ]


def _notes(collections: Mapping[str, Any], dropped: Mapping[str, str]) -> Iterator[str]:
    for source, found in collections.items():
        left = ", ".join(f"{why} {count}" for why, count in found["left_out"].items())
        if found["images"] and left:
            yield f"retrieval: {source}: images left out: {left}"
    for source, why in dropped.items():
        yield f"retrieval: {source} is not measured: {why}"
