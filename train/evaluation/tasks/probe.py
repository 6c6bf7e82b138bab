"""Measures what a linear probe reads from a model's frozen image features.

For each collection by itself: logistic regressions on the features of its train split, one for each
label (evaluation/logistic.py), with 1, 10 and 100 % of the **patients** of that split, drawn by a
hash of seed and patient, so that each share is part of the next. The strength of the penalty is the
one of GRID with the highest macro AUROC on the collection's validation split; the measured split
plays no part in it. Reported are the mean over the seeds and their spread; of all patients there is
one draw, and no spread. The interval of a mean is by patient of the measured split, over all seeds
together.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.logistic import Probe, fit
from cxr_vlp.train.evaluation.measures.point import auroc
from cxr_vlp.train.evaluation.measures.resampling import Intervals, interval_of
from cxr_vlp.train.evaluation.measures.table import Measured, measure
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.reading import batches
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth
from cxr_vlp.train.evaluation.tasks.base import Evaluation, TaskResult
from cxr_vlp.train.evaluation.zeroshot import truth as truths
from cxr_vlp.train.evaluation.zeroshot.collect import surveyed

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of logistic.fit; the smallest of equally good ones
REPORTED = ("auroc", "auprc")


@dataclass(frozen=True, slots=True)
class Split:
    """N images of one split of one collection, sorted by key: facts, features (N, D), truth."""

    facts: tuple[ImageFacts, ...]
    features: Floats
    truth: Truth  # (N, L)

    def of(self, patients: set[str]) -> Split:
        """Return the labelled images of some patients."""
        rows = [i for i, e in enumerate(self.facts) if e.patient in patients and e.labels]
        return Split(tuple(self.facts[i] for i in rows), self.features[rows], self.truth[rows])


@dataclass(frozen=True, slots=True)
class Share:
    """The result of one share of the train patients of one collection.

    patients and images are those of seed 0. values: measure -> its mean over the seeds and the
    interval. runs: macro AUROC of each seed; spread: their standard deviation, None for one run.
    labels: label -> mean AUROC. unlearnt: label -> the seeds that could not learn it. strengths: C
    of each seed. draws: the mean macro AUROC of each resample.
    """

    share: float
    patients: int
    images: int
    values: Mapping[str, tuple[float, float | None, float | None]]
    spread: float | None
    runs: tuple[float, ...]
    labels: Mapping[str, float]
    unlearnt: Mapping[str, int]
    strengths: tuple[float, ...]
    draws: Floats


def run(evaluation: Evaluation) -> TaskResult:
    """Return the probe's results on the evaluation's split.

    Raises ConfigError for an ensemble or a model without features, DataError where no collection
    can be measured.
    """
    model = _model(evaluation.models)
    if evaluation.split in ("train", "validate"):
        raise ConfigError(
            "probe: it learns on the train split and chooses its strength on the validate split, "
            f"so on {evaluation.split} its numbers would be too good: measure --split test"
        )
    found: dict[str, tuple[Share, ...]] = {}
    dropped: dict[str, str] = {}
    for each in surveyed(evaluation.shards.get(evaluation.split, ()), evaluation.protocol):
        own = replace(evaluation, protocol=each.protocol)
        splits, names, why = _splits(own, model, each.name)
        if not why:
            found[each.name], why = _collection(splits, names, own)
        if why:
            dropped[each.name] = why
    if not any(found.values()):
        reasons = "; ".join(f"{name}: {why}" for name, why in dropped.items()) or "no shards"
        raise DataError(f"probe: no collection can be measured ({reasons})")
    return _result(evaluation, {k: v for k, v in found.items() if v}, dropped)


def _model(models: Sequence[Model]) -> Model:
    if len(models) != 1 or not hasattr(models[0], "encode_images"):
        names = ", ".join(each.name for each in models)
        raise ConfigError(
            f"probe: it learns on the image features of one model, not on {names}: evaluate the "
            "models one by one, or leave out the task probe"
        )
    return models[0]


def _splits(
    evaluation: Evaluation, model: Model, source: str
) -> tuple[dict[str, Split], tuple[str, ...], str]:
    """Return the splits of a collection, the labels that its samples name, and why it has none."""
    read = {}
    for split in ("train", "validate", evaluation.split):
        shards = [s for s in evaluation.shards.get(split, ()) if s.source == source]
        # a benchmark set is of the measured split
        own = evaluation if split == evaluation.split else replace(evaluation, benchmark=None)
        read[split] = features(model, shards, own)
        if not read[split][0]:
            whose = "of the protocol's views"
            whose += ", of the benchmark set" if own.benchmark else ""
            return {}, (), f"no image of its split {split} ({whose})"
    labels = {name for facts, _ in read.values() for each in facts for name in each.labels}
    wanted = evaluation.protocol.labels or sorted(labels)
    names = tuple(name for name in wanted if name in labels and _probed(name, evaluation.protocol))
    splits = {
        split: Split(facts, rows, truth(facts, names, evaluation.protocol))
        for split, (facts, rows) in read.items()
    }
    return splits, names, "" if names else "its samples name no label of the protocol"


def _probed(name: str, protocol: Protocol) -> bool:
    return name != NO_FINDING or protocol.no_finding == "averaged"


def features(
    model: Model, shards: Sequence[Shard], evaluation: Evaluation
) -> tuple[tuple[ImageFacts, ...], Floats]:
    """Return the facts of all images and their features (N, D), sorted by key."""
    facts: list[ImageFacts] = []
    rows: list[Floats] = []
    for batch in batches(
        shards, model.image, model.size, evaluation.protocol.views,
        limit=evaluation.limit, workers=evaluation.workers,
        keys=evaluation.benchmark.keys if evaluation.benchmark else None,
    ):  # fmt: skip
        facts += [each.facts for each in batch.images]
        rows.append(model.encode_images(batch.pixels).whole.double().cpu().numpy())
    if not facts:
        return (), np.empty((0, 0))
    order = sorted(range(len(facts)), key=lambda i: facts[i].key)
    return tuple(facts[i] for i in order), np.concatenate(rows)[order]


def truth(facts: Sequence[ImageFacts], names: Sequence[str], protocol: Protocol) -> Truth:
    """Return (N, L): 1, 0 or EXCLUDED, by the protocol's policies, as for the zero-shot scores."""
    return truths.of(facts, names, protocol, names)


def drawn(patients: Iterable[str], share: float, seed: int) -> set[str]:
    """Return a share of the patients, at least one: the first ones by a hash of seed and patient.

    The same seed's smaller share is a part of its larger one.
    """
    order = sorted(
        set(patients), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
    )
    return set(order[: max(1, math.ceil(share * len(order) - 1e-9))])


def _collection(
    splits: Mapping[str, Split], names: tuple[str, ...], evaluation: Evaluation
) -> tuple[tuple[Share, ...], str]:
    """Return the results of a collection's shares, and why there are none."""
    train, test = splits["train"], splits[evaluation.split]
    labelled = {
        each.patient
        for each, row in zip(train.facts, train.truth, strict=True)
        if each.labels and (row != EXCLUDED).any()
    }
    if not labelled:
        return (), "its train split has no labelled patient"
    shares = []
    for share in sorted(evaluation.protocol.probe_shares):
        seeds = range(1 if share == 1 else evaluation.protocol.probe_seeds)
        parts = [train.of(drawn(labelled, share, seed)) for seed in seeds]
        runs = [_learnt(part, splits["validate"]) for part in parts]
        shares.append(_share(share, parts, runs, test, names, evaluation))
    some = any(each.runs for each in shares)
    return tuple(shares), "" if some else "no label has enough positives and negatives"


@dataclass(frozen=True, slots=True)
class Run:
    """One fitted probe, the columns of the labels it learnt, and its C."""

    probe: Probe | None
    columns: tuple[int, ...]
    strength: float


def _learnt(part: Split, validate: Split) -> Run:
    """Return the probe of the strength that is best on the validation split."""
    enough = (part.truth == 1).any(axis=0) & (part.truth == 0).any(axis=0)
    columns = tuple(int(i) for i in np.flatnonzero(enough))
    if not columns:
        return Run(None, (), GRID[0])
    best, chosen = -1.0, GRID[0]
    for strength in GRID:
        probe = fit(part.features, part.truth[:, columns], strength, exact=False)
        value = _macro(probe.scores(validate.features), validate.truth[:, columns])
        if value > best:
            best, chosen = value, strength
    return Run(fit(part.features, part.truth[:, columns], chosen), columns, chosen)


def _macro(scores: Floats, known: Truth) -> float:
    """Return the mean AUROC over the labels that have one; 0 where none has."""
    each = [auroc(scores[:, i], known[:, i]) for i in range(known.shape[1])]
    have = [value for value in each if value is not None]
    return float(np.mean(have)) if have else 0.0


def _share(
    share: float,
    parts: Sequence[Split],
    runs: Sequence[Run],
    test: Split,
    names: tuple[str, ...],
    evaluation: Evaluation,
) -> Share:
    """Return the result of one share, over the labels that every seed learnt.

    A mean over fewer labels in some seed would compare other labels. Without such a label there are
    no runs.
    """
    common = sorted(set.intersection(*(set(run.columns) for run in runs)))
    missing = {name: sum(i not in run.columns for run in runs) for i, name in enumerate(names)}
    chosen = [name for i, name in enumerate(names) if i in common]
    measured = [_measured(run, common, chosen, test, evaluation) for run in runs if common]
    if measured and measured[0].macro["auroc"].value is None:
        measured = []
    macros = tuple(float(each.macro["auroc"].value or 0.0) for each in measured)
    labels = {
        row.label: float(
            np.mean([each.labels[i].values["auroc"].value or 0.0 for each in measured])
        )
        for i, row in enumerate(measured[0].labels if measured else ())
        if not row.why
    }
    return Share(
        share=float(share),
        patients=len({each.patient for each in parts[0].facts}),
        images=len(parts[0].facts),
        values={name: _mean(measured, name) for name in REPORTED if measured},
        spread=float(np.std(macros, ddof=1)) if len(macros) > 1 else None,
        runs=macros,
        labels=labels,
        unlearnt={name: count for name, count in missing.items() if count},
        strengths=tuple(run.strength for run in runs),
        draws=_mean_draws(measured, "auroc"),
    )


def _measured(
    run: Run, common: Sequence[int], names: Sequence[str], test: Split, evaluation: Evaluation
) -> Measured:
    places = [run.columns.index(i) for i in common]
    scores = run.probe.scores(test.features)[:, places] if run.probe else np.empty((0, 0))
    protocol = evaluation.protocol
    return measure(
        scores, test.truth[:, common], names,
        groups=[each.patient for each in test.facts], intervals=evaluation.intervals,
        average=protocol.average or names, thresholds=None, least=protocol.min_positives,
    )  # fmt: skip


def _mean(measured: Sequence[Measured], name: str) -> tuple[float, float | None, float | None]:
    """Return the mean over seeds of a macro measure, with the interval of this mean."""
    values = [each.macro[name].value or 0.0 for each in measured]
    return float(np.mean(values)), *interval_of(_mean_draws(measured, name))


def _mean_draws(measured: Sequence[Measured], name: str) -> Floats:
    """Return the mean over seeds of a macro measure in each resample; the resamples are equal."""
    return np.mean([each.draws[name] for each in measured], axis=0) if measured else np.empty(0)


def _result(
    evaluation: Evaluation, found: Mapping[str, tuple[Share, ...]], dropped: Mapping[str, str]
) -> TaskResult:
    headline = _headline(found, evaluation.intervals)
    rows = [_row(source, e) for source, shares in sorted(found.items()) for e in shares]
    return TaskResult(
        metrics={
            "headline": {_percent(share): each for share, each in headline.items()},
            "grid": list(GRID),
            "seeds": evaluation.protocol.probe_seeds,
            "collections": {
                source: {_percent(each.share): _facts(each) for each in shares}
                for source, shares in sorted(found.items())
            },
            "dropped": dict(dropped),
        },
        tables={"probe.csv": rows},
        summary={f"probe_{_percent(s)}": each["auroc"] for s, each in headline.items()},
        notes=[*_notes(found), *(f"probe: {n} is not measured: {w}" for n, w in dropped.items())],
    )


def _headline(
    found: Mapping[str, tuple[Share, ...]], intervals: Intervals
) -> dict[float, dict[str, Any]]:
    """Return share -> the mean over the collections that have it, with its interval."""
    headline = {}
    measured = [(s, each) for s, shares in found.items() for each in shares if each.runs]
    for share in sorted({each.share for _, each in measured}):
        have = {source: each for source, each in measured if each.share == share}
        draws = [_shuffled(each.draws, source) for source, each in sorted(have.items())]
        low, high = interval_of(np.mean(draws, axis=0)) if intervals.resamples else (None, None)
        value = float(np.mean([each.values["auroc"][0] for each in have.values()]))
        headline[share] = {"auroc": value, "low": low, "high": high, "collections": sorted(have)}
    return headline


def _shuffled(draws: Floats, name: str) -> Floats:
    """Return a collection's draws in an order of its own: collections share no patients."""
    return draws[np.random.default_rng([ord(letter) for letter in name]).permutation(len(draws))]


def _row(source: str, found: Share) -> dict[str, Any]:
    row: dict[str, Any] = {
        "collection": source,
        "share": found.share,
        "train_patients": found.patients,
        "train_images": found.images,
        "seeds": len(found.runs),
        "labels": len(found.labels),
    }
    for name in REPORTED:
        value, low, high = found.values.get(name, (None, None, None))
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row | {
        "spread": found.spread,
        "lowest": min(found.runs, default=None),
        "highest": max(found.runs, default=None),
    }


def _facts(found: Share) -> dict[str, Any]:
    return {
        **{k: v for k, v in _row("", found).items() if k not in ("collection", "labels")},
        "runs": list(found.runs),
        "strengths": list(found.strengths),
        "label_auroc": dict(found.labels),
        "unlearnt": dict(found.unlearnt),
    }


def _percent(share: float) -> str:
    return f"{100 * share:g}%"


def _notes(found: Mapping[str, tuple[Share, ...]]) -> list[str]:
    """Return a line for each share in which a seed could not learn a label."""
    return [
        f"probe: {source}, {_percent(each.share)} of the patients ({each.patients}): "
        f"{'' if each.runs else 'not measured, no label is left; '}too few positives or negatives "
        "to learn (seeds without them): "
        + ", ".join(f"{name} ({count})" for name, count in each.unlearnt.items())
        for source, shares in sorted(found.items())
        for each in shares
        if each.unlearnt
    ]
