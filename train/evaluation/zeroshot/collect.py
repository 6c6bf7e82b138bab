"""Scores the images of one split by every model, collection by collection, each in its protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.data import samples, views
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation import by_collection, reading
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.models import ensemble
from cxr_vlp.train.evaluation.models.base import Model, ScoreSource, SourceScores, label_model
from cxr_vlp.train.evaluation.models.score_file import ScoreFile
from cxr_vlp.train.evaluation.protocols import known_as
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.scores import Floats, ScoreTable
from cxr_vlp.train.evaluation.tasks.base import Evaluation
from cxr_vlp.train.evaluation.zeroshot import no_finding, scorer, texts, truth

NO_LABELS = "its samples name no label"
NO_IMAGES = "no image of it is among those that are measured"
NO_VIEW = "the score file has no column view: all its images are measured"
DROPPED = "every label of every image is negative, and the protocol drops such images"
VIEWS = "evaluate.views"
ASKED = (texts.DIRECT, texts.PAIR)  # No Finding's strategies that have texts


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection of a split before any image is scored.

    names: the labels that are measured; named: those that its samples name. seen: images by view.
    """

    name: str
    shards: tuple[Shard, ...]
    protocol: Protocol
    names: tuple[str, ...]
    named: frozenset[str]
    seen: Mapping[str, int]
    aliases: tuple[str, ...] = ()  # the names by which a protocol may know it

    @property
    def left_out(self) -> dict[str, int]:
        """The images of other views than the protocol's, by view."""
        return views.left_out({self.name: self.seen}, self.protocol.views)[self.name]


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a collection, and why it has none ("": it has)."""

    table: ScoreTable
    why: str = ""
    dropped: int = 0  # images (or studies) of which every label is negative
    notes: tuple[str, ...] = ()
    not_scored: tuple[str, ...] = ()  # labels that a score file or a head lacks
    unused: tuple[frozenset[int], ...] = ()  # of each score file, the rows of none of its images


def collections(shards: Sequence[Shard], protocol: Protocol) -> tuple[Collection, ...]:
    """Return what the samples of each collection say; the images are not read.

    Raises ConfigError for a collection without any image of the views.
    """
    found = surveyed(shards, protocol)
    for each in found:
        views.require({each.name: each.seen}, each.protocol.views, VIEWS)
    return found


def surveyed(shards: Sequence[Shard], protocol: Protocol) -> tuple[Collection, ...]:
    """Return what the samples of each collection say, also of one without images of the views."""
    return tuple(
        _collection(name, mine, protocol) for name, mine in by_collection.by_source(shards).items()
    )


def _collection(name: str, shards: tuple[Shard, ...], protocol: Protocol) -> Collection:
    aliases = known_as.names(shards)
    own = protocol.in_collection(*aliases)
    seen: Counter[str] = Counter()
    named: set[str] = set()
    for shard in shards:
        for sample in samples.facts(shard):
            seen[views.view(sample)] += 1
            if views.shown(sample, own.views):
                named |= set(sample.all_labels)
    names = own.labels or tuple(sorted(named))
    return Collection(name, shards, own, names, frozenset(named), seen, aliases)


def scored(collection: Collection, evaluation: Evaluation) -> Scored:
    """Return the scores and the truth of a collection, the mean of the members where several.

    The images are sorted by their keys. Raises ConfigError for an ensemble of scores that are no
    probabilities, DataError for a score file that lacks an image.
    """
    if not collection.named.intersection(collection.names):
        return Scored(_empty(collection), _no_label(collection))
    narrowed = _known(collection, evaluation)
    lacking = tuple(name for name in collection.names if name not in narrowed.names)
    found = [_by_model(model, narrowed, evaluation) for model in evaluation.models]
    facts = _facts(narrowed, evaluation) if not found else [f for f, _ in found[0].values()]
    facts = sorted(facts, key=lambda fact: fact.key)
    if any(set(each) != {fact.key for fact in facts} for each in found):
        raise DataError(f"{collection.name}: the models were not given the same images")
    if not facts:
        return Scored(_empty(narrowed), NO_IMAGES)
    rows = [np.array([each[fact.key][1] for fact in facts], np.float64) for each in found]
    made = _with_files(narrowed, tuple(facts), rows, evaluation)
    return replace(made, not_scored=lacking)


def _with_files(
    collection: Collection,
    facts: tuple[ImageFacts, ...],
    rows: list[Floats],
    evaluation: Evaluation,
) -> Scored:
    """Return the mean of the models' scores (N, C) and of the score files'.

    No Finding's two texts are scored where every member does: a model by texts, a file by columns.
    """
    width = len(collection.names)
    files = [each.scored(facts, collection.names) for each in evaluation.score_files]
    raw = collection.protocol.score == "positive"
    members = [
        SourceScores(
            row[:, :width], not raw, no_finding=dict(zip(ASKED, row[:, width:].T, strict=False))
        )
        for row in rows
    ] + files
    probabilities = all(each.probabilities for each in members)
    named = [each.name for each in evaluation.models]
    named += [each.name for each in evaluation.score_files]
    scores = ensemble.mean(list(zip(named, members, strict=True)))
    asked = {
        how: np.mean([each.no_finding[how] for each in members], axis=0)
        for how in ASKED
        if all(how in each.no_finding for each in members)
    }
    made = _table(collection, facts, SourceScores(scores, probabilities, no_finding=asked))
    return replace(
        made,
        notes=tuple(note for each in files for note in each.notes),
        unused=tuple(each.unused for each in files),
    )


def _known(collection: Collection, evaluation: Evaluation) -> Collection:
    """Return the collection with the labels that every score file and every head has."""
    heads = [head for model in evaluation.models if (head := label_model(model))]
    known = [set(each.known(collection.names)) for each in evaluation.score_files]
    known += [set(head.labels) for head in heads]
    names = tuple(n for n in collection.names if all(n in each for each in known))
    if not names:
        raise ConfigError(
            f"{collection.name}: none of its labels is in all score files and heads: "
            + ", ".join(collection.names)
        )
    return replace(collection, names=names)


def _facts(collection: Collection, evaluation: Evaluation) -> list[ImageFacts]:
    """Return the facts of the images without decoding one."""
    wanted = evaluation.benchmark.keys if evaluation.benchmark else None
    found = [
        ImageFacts.of(collection.name, key, sample)
        for shard in collection.shards
        for key, sample in samples.keyed_facts(shard)
        if views.shown(sample, collection.protocol.views) and (wanted is None or key in wanted)
    ]
    return found[: evaluation.limit or None]


def _no_label(collection: Collection) -> str:
    if not collection.named:
        return NO_LABELS
    return "its samples name none of the labels " + ", ".join(collection.names)


def _columns(collection: Collection) -> tuple[texts.LabelTexts, ...]:
    """Return the texts of the labels, then those of No Finding asked directly and as a pair."""
    own = texts.of_no_finding(collection.protocol)
    labels = texts.of_labels(collection.names, collection.protocol)
    return (*labels, own[texts.DIRECT], own[texts.PAIR])


def prompts(collection: Collection) -> dict[str, dict[str, list[str]]]:
    """Return the texts by which a collection is scored: label -> polarity -> texts."""
    own = texts.of_no_finding(collection.protocol)
    labels = texts.of_labels(collection.names, collection.protocol)
    found = {each.label: each.listed() for each in labels}
    return found | {f"{NO_FINDING} ({how})": each.listed() for how, each in own.items()}


@torch.no_grad()
def _by_model(
    model: Model, collection: Collection, evaluation: Evaluation
) -> dict[str, tuple[ImageFacts, list[float]]]:
    """Return key -> facts and scores (C,) of one image."""
    columns = _columns(collection)
    if label_model(model):
        columns = columns[: len(collection.names)]
    score = scorer.scorer(model, columns, collection.protocol)
    found: dict[str, tuple[ImageFacts, list[float]]] = {}
    for batch in reading.batches(
        collection.shards, model.image, model.size, collection.protocol.views,
        limit=evaluation.limit, workers=evaluation.workers,
        keys=evaluation.benchmark.keys if evaluation.benchmark else None,
    ):  # fmt: skip
        for image, row in zip(batch.images, score(batch.pixels).tolist(), strict=True):
            found[image.facts.key] = image.facts, row
    return found


def _table(
    collection: Collection,
    facts: tuple[ImageFacts, ...],
    given: SourceScores,
    *,
    stated: bool = False,
) -> Scored:
    """Return the table of the scores of images, or of their studies.

    stated: the truth is what a file states of an image, and an empty cell is never negative.
    """
    protocol, names = collection.protocol, collection.names
    scores = np.column_stack([given.scores, *given.no_finding.values()])
    if protocol.unit == "study":
        facts, scores = truth.studies(facts, scores, protocol.of_study)
    answers = (
        truth.stated(facts, names, protocol)
        if stated
        else truth.of(facts, names, protocol, collection.named)
    )
    kept = np.arange(len(facts))
    if protocol.unlabelled == "drop":
        kept = np.flatnonzero(truth.labelled(answers))
    if not len(kept):
        return Scored(_empty(collection), DROPPED, len(facts))
    own = scores[kept][:, : len(names)]
    asked = dict(zip(given.no_finding, scores[kept][:, len(names) :].T, strict=True))
    strategies = _strategies(collection, own, asked, probabilities=given.probabilities)
    chosen = tuple(facts[i] for i in kept)
    table = ScoreTable(chosen, names, own, answers[kept], strategies, given.probabilities)
    return Scored(table, dropped=len(facts) - len(kept))


def _strategies(
    collection: Collection, scores: Floats, asked: Mapping[str, Floats], *, probabilities: bool
) -> dict[str, Floats]:
    """Return No Finding's scores; {} where it is no label, or not known of the collection.

    asked: what a member says itself, which counts before what follows from the findings.
    """
    if NO_FINDING not in collection.named.intersection(collection.names):
        return {}
    used = [i for i, name in enumerate(collection.names) if name in collection.named]
    names = [collection.names[i] for i in used]
    made = no_finding.from_findings(scores[:, used], names, probabilities=probabilities)
    found = {**made, **asked}
    return {how: found[how] for how in no_finding.STRATEGIES if how in found}


def _empty(collection: Collection) -> ScoreTable:
    names = collection.names
    nothing = np.empty((0, len(names)))
    return ScoreTable((), names, nothing, nothing.astype(np.int8))


def alone(
    source: ScoreSource, evaluation: Evaluation
) -> tuple[tuple[Collection, ...], dict[str, Scored]]:
    """Return the collections of a score file and their scores, its own columns being the truth.

    Views and patients that the file does not name are said. Raises ConfigError for a source that
    holds no truth, and for a benchmark set with images that the file lacks.
    """
    if not isinstance(source, ScoreFile):
        raise ConfigError("without --shards give one --scores FILE, which holds the truth too")
    whole = source.alone(evaluation.split)
    if evaluation.benchmark:
        evaluation.benchmark.require({fact.key for fact in whole.facts}, str(source.table.path))
    collections, made = [], {}
    for name in sorted({fact.source for fact in whole.facts}):
        found, made[name] = _of_file(source, whole, name, evaluation)
        collections.append(found)
    return tuple(collections), made


def _of_file(
    source: ScoreFile, whole: ScoreTable, name: str, evaluation: Evaluation
) -> tuple[Collection, Scored]:
    """Return one collection of a file, in its own protocol."""
    protocol, benchmark = evaluation.protocol.in_collection(name), evaluation.benchmark
    if not source.states("view"):
        protocol = replace(protocol, views=())
    mine = [i for i, fact in enumerate(whole.facts) if fact.source == name]
    seen = Counter(whole.facts[i].view for i in mine)
    views.require({name: seen}, protocol.views, VIEWS)
    scored = {n for i, n in enumerate(whole.names) if not np.isnan(whole.scores[mine, i]).all()}
    wanted = protocol.labels or tuple(sorted(scored))
    names = tuple(label for label in wanted if label in scored)
    rows = [
        i
        for i in mine
        if (not protocol.views or whole.facts[i].view in protocol.views)
        and (benchmark is None or whole.facts[i].key in benchmark.keys)
    ]
    found = Collection(name, (), protocol, names, frozenset(names), seen, (name,))
    lacking = tuple(label for label in wanted if label not in scored)
    if not (rows and names):
        return found, Scored(_empty(found), NO_IMAGES if names else _no_label(found))
    columns = [whole.names.index(label) for label in names]
    asked = {how: values[rows] for how, values in whole.no_finding.items()}
    given = SourceScores(
        whole.scores[np.ix_(rows, columns)],
        whole.probabilities,
        no_finding={how: values for how, values in asked.items() if not np.isnan(values).any()},
    )
    facts = tuple(whole.facts[i] for i in rows)
    notes = () if source.states("view") else (f"{name}: {NO_VIEW}",)
    return found, replace(_table(found, facts, given, stated=True), not_scored=lacking, notes=notes)
