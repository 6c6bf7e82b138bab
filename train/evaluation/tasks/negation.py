"""Measures negation: does an image prefer a finding's statement to its denial where it should?

Of each label, three shares: on images that have the finding, how often its statement outscores its
denial; on images that do not, how often the denial outscores the statement; and, where the label or
the report is uncertain, how often the statement outscores the denial (nothing is right there).
Chance is one half, and a tie counts half. The pairs are made from the prompt bank, short and long;
there the labels are the truth. They are made from the statements of a sample too; there its report
is the truth.

The share of an image is the mean over its pairs of a label, the share of a label the mean over its
images. `both` is the mean of the first two: a model that always prefers the statement has one half.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import by_collection, resampled
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.measures.resampling import bootstrap_weights
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.negation import pairs
from cxr_vlp.train.evaluation.negation.pairs import ABSENT, KINDS, PRESENT, STATEMENTS, UNCERTAIN
from cxr_vlp.train.evaluation.negation.preferences import BankPairs, of_statements
from cxr_vlp.train.evaluation.protocols.prompt_files import own_prompts
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.reading import ImageBatch
from cxr_vlp.train.evaluation.resampled import Resampled
from cxr_vlp.train.evaluation.retrieval import similarities
from cxr_vlp.train.evaluation.scores import Floats
from cxr_vlp.train.evaluation.tasks.base import Evaluation, TaskResult
from cxr_vlp.train.model.fusion import Tokens

TABLE = "negation.csv"
MACRO, BOTH, CHANCE = "macro", "both", 0.5
FIELDS = ("images", "value", "low", "high", "chance")  # of a row of the table
Column = tuple[str, str, str]  # label, kind, truth
Shares = dict[Column, Resampled]


@dataclass
class Preferences:
    """What the images of a collection prefer: of each column, key of an image -> its share."""

    facts: dict[str, ImageFacts] = field(default_factory=dict)
    found: dict[Column, dict[str, float]] = field(default_factory=dict)

    def add(self, column: Column, key: str, share: float) -> None:
        """Note the share of an image; where a finding is absent, the share of the denial."""
        share = 1 - share if column[2] == ABSENT else share
        self.found.setdefault(column, {})[key] = share


def run(evaluation: Evaluation) -> TaskResult:
    """Measure every collection, and the mean over them.

    Raises ConfigError where no image has a label or a statement to measure on.
    """
    measured: dict[str, Shares] = {}
    collections, dropped = {}, {}
    for source, own in by_collection.parts(evaluation, "negation").items():
        surveyed = by_collection.survey(own)
        names = _labels(own, surveyed.labels)
        mine = _read(own, names)
        found = _shares(mine, own, source)
        if found:
            measured[source] = _with_means(found)
            left = by_collection.left_out(surveyed, own)
            collections[source] = _counts(mine, own) | {"left_out_by_view": left}
            asked = set(own.protocol.labels) - {*names, NO_FINDING}
            collections[source]["labels_that_no_sample_names"] = sorted(asked)
            collections[source]["labels"] = nested(measured[source], _images(mine))
        else:
            dropped[source] = _why(mine, own)
    if not measured:
        listed = "; ".join(f"{source}: {why}" for source, why in dropped.items())
        raise ConfigError(
            f"negation: there is nothing to measure ({listed}): name other labels or views, or a "
            "lower min_positives, in the protocol, or give other shards"
        )
    return _result(measured, collections, dropped)


def _labels(own: Evaluation, named: Sequence[str]) -> tuple[str, ...]:
    """Return the protocol's labels that the collection's samples name, without No Finding."""
    wanted = own.protocol.labels or named
    return tuple(name for name in named if name in wanted and name != NO_FINDING)


def _images(mine: Preferences) -> dict[Column, int]:
    return {column: len(found) for column, found in mine.found.items()}


def _counts(mine: Preferences, own: Evaluation) -> dict[str, Any]:
    few = [c for c, n in _images(mine).items() if n < own.protocol.min_positives]
    return {
        "images": len(mine.facts),
        "patients": len({fact.patient for fact in mine.facts.values()}),
        "unmeasured": sorted("/".join(column) for column in few),
        "counted": {
            "uncertain": own.protocol.uncertain,
            "uncertain_of": dict(own.protocol.uncertain_of),
            "unmentioned": own.protocol.unmentioned,
        },
    }


def _why(mine: Preferences, own: Evaluation) -> str:
    if not mine.facts:
        views = ", ".join(own.protocol.views)
        return f"it has no image of the benchmark set, or of the views {views or '(any)'}"
    least = own.protocol.min_positives
    return f"no label has {least} images on which a finding is present, absent or uncertain"


def _read(own: Evaluation, names: Sequence[str]) -> Preferences:
    """Return what the images of a collection prefer, of each of the labels."""
    mine, models = Preferences(), own.models
    asked = BankPairs.of(names, own_prompts(own.protocol.prompts))
    texts = [similarities.encode_texts(model, asked.texts) for model in models]
    # every model reads the same images in the same order, each in its own size
    for several in zip(*(by_collection.batches(own, model) for model in models), strict=True):
        batch = several[0]
        mine.facts.update((image.facts.key, image.facts) for image in batch.images)
        images = [
            similarities.encode_images(model, each.pixels)
            for model, each in zip(models, several, strict=True)
        ]
        if asked.texts:
            shares = asked.shares(similarities.mean_similarity(models, images, texts))
            _note_bank(mine, batch, shares, own.protocol)
        _note_reports(mine, batch, models, images, frozenset(names))
    return mine


def _note_bank(
    mine: Preferences,
    batch: ImageBatch,
    shares: Mapping[tuple[str, str], Floats],
    protocol: Protocol,
) -> None:
    for row, image in enumerate(batch.images):
        for (label, kind), column in shares.items():
            truth = truth_of(image.facts.labels, label, protocol)
            if truth:
                mine.add((label, kind, truth), image.facts.key, float(column[row]))


def _note_reports(
    mine: Preferences,
    batch: ImageBatch,
    models: Sequence[Model],
    images: Sequence[Tokens],
    names: Collection[str],
) -> None:
    stated = [
        [pair for pair in pairs.of_sample(image.sample) if pair.label in names]
        for image in batch.images
    ]
    texts = sorted({t for each in stated for pair in each for t in (pair.stating, pair.denying)})
    if not texts:
        return
    encoded = [similarities.encode_texts(model, texts) for model in models]
    similarity = similarities.mean_similarity(models, images, encoded)
    for image, own, row in zip(batch.images, stated, similarity, strict=True):
        by_text = dict(zip(texts, row.tolist(), strict=True))
        for (label, truth), share in of_statements(own, by_text).items():
            mine.add((label, STATEMENTS, truth), image.facts.key, share)


def truth_of(labels: Mapping[str, int], name: str, protocol: Protocol) -> str:
    """Return what the labels of an image say of a finding, "" where it is not counted.

    The protocol's policies decide on uncertain and unmentioned labels; an uncertain one that they
    leave out is measured by itself.
    """
    if name not in labels:
        return ABSENT if protocol.unmentioned == "negative" else ""
    if labels[name] in (0, 1):
        return PRESENT if labels[name] else ABSENT
    policy = protocol.uncertain_of.get(name, protocol.uncertain)
    return {"positive": PRESENT, "negative": ABSENT}.get(policy, UNCERTAIN)


def _shares(mine: Preferences, own: Evaluation, source: str) -> Shares:
    """Return the mean share of every column with enough images, whole patients resampled."""
    keys, least = sorted(mine.facts), own.protocol.min_positives
    columns = [column for column, found in sorted(mine.found.items()) if len(found) >= least]
    if not columns:
        return {}
    values = np.array([[mine.found[c].get(key, np.nan) for c in columns] for key in keys])
    patients = [mine.facts[key].patient for key in keys]
    intervals = resampled.of_collection(own.intervals, source)
    found = resampled.means(values, bootstrap_weights(patients, intervals))
    return dict(zip(columns, found, strict=True))


def _with_means(shares: Shares) -> Shares:
    """Return the shares with the means over the labels, and of both truths of each label."""
    whole = dict(shares)
    for kind, truth in {(kind, truth) for _, kind, truth in shares}:
        several = [found for (_, k, t), found in shares.items() if (k, t) == (kind, truth)]
        whole[MACRO, kind, truth] = resampled.mean_of(several)
    for label, kind, _ in list(whole):
        two = [whole.get((label, kind, truth)) for truth in (PRESENT, ABSENT)]
        known = [found for found in two if found]
        if len(known) == len(two):
            whole[label, kind, BOTH] = resampled.mean_of(known)
    return dict(sorted(whole.items()))


def _result(
    measured: Mapping[str, Shares],
    collections: Mapping[str, Any],
    dropped: Mapping[str, str],
) -> TaskResult:
    kinds = [k for k in KINDS if any((MACRO, k, BOTH) in own for own in measured.values())]
    every = sorted({column for own in measured.values() for column in own if column[0] == MACRO})
    means = {
        column: resampled.mean_of([own[column] for own in measured.values() if column in own])
        for column in every
    }
    metrics = {
        "collections": dict(collections),
        "mean": nested(means)[MACRO] if means else {},
        "mean_of": {
            k: [s for s, own in measured.items() if (MACRO, k, BOTH) in own] for k in kinds
        },
        "dropped": dict(dropped),
        "ties": "one half",
    }
    summary = {f"negation_{k}": resampled.number(means[MACRO, k, BOTH].value) for k in kinds}
    rows = [row for source, own in measured.items() for row in _rows(source, own, collections)]
    rows += _rows("mean", means, {}) if len(measured) > 1 else []
    notes = [f"negation: {source} is not measured: {why}" for source, why in dropped.items()]
    return TaskResult(metrics, {TABLE: rows}, summary, notes)


def nested(shares: Shares, counts: Mapping[Column, int] | None = None) -> dict[str, Any]:
    """Return label -> kind -> truth -> the entry, with its number of images where counted."""
    found: dict[str, Any] = {}
    for column, share in shares.items():
        label, kind, truth = column
        entry: dict[str, Any] = share.entry(None if truth == UNCERTAIN else CHANCE)
        if counts and column in counts:
            entry["images"] = counts[column]
        found.setdefault(label, {}).setdefault(kind, {})[truth] = entry
    return found


def _rows(source: str, own: Shares, collections: Mapping[str, Any]) -> list[dict[str, Any]]:
    labels = collections[source]["labels"] if source in collections else nested(own)
    return [
        {"collection": source, "label": label, "kind": kind, "truth": truth}
        | {name: labels[label][kind][truth].get(name) for name in FIELDS}
        for label, kind, truth in own
    ]
