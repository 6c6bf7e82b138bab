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
from cxr_vlp.train.evaluation import by_collection, resampled
from cxr_vlp.train.evaluation.benchmark_sets import BenchmarkSet
from cxr_vlp.train.evaluation.measures.resampling import bootstrap_weights
from cxr_vlp.train.evaluation.resampled import Resampled
from cxr_vlp.train.evaluation.retrieval import five_way, galleries, ranks
from cxr_vlp.train.evaluation.retrieval.galleries import Gallery, Reading
from cxr_vlp.train.evaluation.retrieval.ranks import Flags
from cxr_vlp.train.evaluation.retrieval.similarities import Similarities
from cxr_vlp.train.evaluation.scores import Floats, Places
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

    Raises ConfigError where no collection has a text.
    """
    collections: dict[str, Any] = {}
    parts: dict[str, Part] = {}
    dropped: dict[str, str] = {}
    for source, own in by_collection.parts(evaluation, "retrieval").items():
        mine = galleries.read(own)
        found, part = _collection(own, source, mine)
        if part:
            found["left_out_by_view"] = by_collection.left_out(by_collection.survey(own), own)
            collections[source], parts[source] = found, part
        if TO_TEXT not in part:
            dropped[source] = _why(own, mine)
    if not parts:
        listed = "; ".join(f"{source}: {why}" for source, why in dropped.items())
        raise ConfigError(
            f"retrieval: there is nothing to measure ({listed}): name another `text` in the "
            "protocol (report, findings, impression, longest, caption), or other views"
        )
    return _result(evaluation, collections, parts, dropped)


def _collection(own: Evaluation, source: str, mine: Reading) -> tuple[dict[str, Any], Part]:
    """Return a collection's part of metrics.json, and its measures."""
    part: Part = {}
    gallery = galleries.gallery(mine, own.protocol)
    found: dict[str, Any] = {"text": own.protocol.text} | _counts(gallery)
    intervals = resampled.of_collection(own.intervals, source)
    keys = [image.key for image in gallery.images]
    if keys:
        between = galleries.compared(own, mine, keys, gallery.texts)
        part[TO_TEXT] = image_to_text(gallery, between, intervals)
        part[TO_IMAGE] = text_to_image(gallery, between, intervals)
        if own.benchmark:
            _add_precisions(part, gallery, between, own.benchmark, intervals)
    if own.benchmark and mine.facts:
        part[FIVE_WAY], found["five_way_counts"] = _five_way(own, mine, own.benchmark, intervals)
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
    columns = np.stack([*(found <= count for count in COUNTS), place], axis=1)
    names = [*(f"recall_at_{count}" for count in COUNTS), "mean_rank"]
    measures = dict(zip(names, resampled.means(columns, draws()), strict=True))
    measures["median_rank"] = resampled.median(place, draws())
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
    own: Evaluation, mine: Reading, benchmark: BenchmarkSet, intervals: Intervals
) -> tuple[tuple[Measures, Chances], dict[str, Any]]:
    """Return the accuracy of the classes by prompts, of all classes and of each, and counts."""
    keys, classes = sorted(mine.facts), tuple(benchmark.counts())
    texts = five_way.prompts(classes, own.protocol)
    between = galleries.compared(own, mine, keys, [text for each in texts for text in each])
    similarity = np.concatenate([between.rows(block) for block in ranks.blocks(len(keys))])
    truth = five_way.places([benchmark.classes[key] for key in keys], classes)
    sizes = [len(each) for each in texts]
    scores = five_way.class_scores(similarity, sizes, own.protocol.retrieval.classes)
    patients = [mine.facts[key].patient for key in keys]
    measures = _accuracies(five_way.correct(scores, truth), truth, classes, patients, intervals)
    counts = {
        "images": len(keys),
        "classes": list(classes),
        "prompts": dict(zip(classes, sizes, strict=True)),
        "confusion": five_way.confusion(scores, truth),
    }
    return (measures, dict.fromkeys(measures, 1 / len(classes))), counts


def _accuracies(
    correct: Floats,
    truth: Places,
    classes: tuple[str, ...],
    patients: list[str],
    intervals: Intervals,
) -> Measures:
    """Return the accuracy of all images, and of those of each class."""
    measures = {"accuracy": resampled.mean(correct, bootstrap_weights(patients, intervals))}
    for place, name in enumerate(classes):
        theirs = [each for each, at in zip(patients, truth, strict=True) if at == place]
        if theirs:
            draws = bootstrap_weights(theirs, intervals)
            measures[f"accuracy_of_{name}"] = resampled.mean(correct[truth == place], draws)
    return measures


def _add_precisions(
    part: Part, gallery: Gallery, between: Similarities, benchmark: BenchmarkSet, own: Intervals
) -> None:
    """Add precision@K to both directions; a K above the size of the gallery is not measured."""
    classes = tuple(benchmark.counts())
    truth = five_way.places([benchmark.classes[image.key] for image in gallery.images], classes)
    texts = five_way.classes_of_texts(gallery.owners, truth, len(gallery.texts), len(classes))
    chance = float(texts[:, truth].mean())  # the share of pairs of one class
    by_image = partial(bootstrap_weights, gallery.patients, own)
    by_text = partial(_of_texts, gallery, own)
    for way, measured, size, draws in (
        (TO_TEXT, five_way.of_images, len(gallery.texts), by_image),
        (TO_IMAGE, five_way.of_texts, len(truth), by_text),
    ):
        counts = [count for count in PRECISIONS if count <= size]
        columns = resampled.means(measured(between, truth, texts, counts), draws())
        found = {f"precision_at_{n}": column for n, column in zip(counts, columns, strict=True)}
        part[way][0].update(found)
        part[way][1].update(dict.fromkeys(found, chance))


def _why(own: Evaluation, mine: Reading) -> str:
    if not mine.facts:
        views = ", ".join(own.protocol.views)
        return f"it has no image of the benchmark set, or of the views {views or '(any)'}"
    return f"none of its {len(mine.facts)} images has a text of the kind {own.protocol.text}"


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
