"""The task `zeroshot`: every measure of every label, by texts that no label was trained on.

Each collection is measured in its own protocol; the headline is the mean over the collections, and
`pooled` is beside it. Thresholds come from the validation split, scored in the same way. A
collection that cannot be measured is listed with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models.score_file import NoRowError
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.scores import ScoreTable
from cxr_vlp.train.evaluation.tasks.base import Evaluation, TaskResult
from cxr_vlp.train.evaluation.zeroshot import collect, groups, measured, reader_tables, rows
from cxr_vlp.train.evaluation.zeroshot.collect import Collection, Scored
from cxr_vlp.train.evaluation.zeroshot.measured import POOLED, Measurement, Part

VALIDATE = "validate"
UNMEASURABLE = "no label has the positives and negatives that the protocol asks for"
SHOWN = ("auroc", "auprc", "f1", "mcc")  # in the summary for `dvc metrics`


def run(evaluation: Evaluation) -> TaskResult:
    """Return everything that is measured zero-shot.

    Raises ConfigError where thresholds would come from the measured images, where no collection
    can be measured, and for a collection without any image of the views.
    """
    _refuse_own_thresholds(evaluation)
    if not evaluation.shards[evaluation.split]:
        return _alone(evaluation)
    found = collect.collections(evaluation.shards[evaluation.split], evaluation.protocol)
    return _measured(
        evaluation, found, {each.name: collect.scored(each, evaluation) for each in found}
    )


def _alone(evaluation: Evaluation) -> TaskResult:
    """Return what is measured of score files that hold the truth, without any shards.

    Raises ConfigError for several files: they would be joined by nothing but their own words.
    """
    if len(evaluation.score_files) != 1 or evaluation.models:
        raise ConfigError("without --shards give one --scores FILE, which holds the truth too")
    return _measured(evaluation, *collect.alone(evaluation.score_files[0], evaluation))


def _measured(
    evaluation: Evaluation, found: tuple[Collection, ...], scored: Mapping[str, Scored]
) -> TaskResult:
    """Return what is measured of scored collections. Raises ConfigError where nothing can be."""
    tables = {name: each.table for name, each in scored.items() if not each.why}
    if not tables:
        raise ConfigError("nothing can be measured: " + _reasons(scored))
    protocols = {each.name: each.protocol for each in found}
    thresholds, unused = _thresholds(evaluation, tables, found)
    measurement = measured.measure(
        tables, protocols, thresholds, evaluation.protocol, evaluation.intervals
    )
    if not measurement.headline.macro_of:
        raise ConfigError(_nothing(measurement))
    result = _result(evaluation, found, scored, measurement, thresholds)
    rows = _unused(evaluation, [*(each.unused for each in scored.values()), *unused])
    return replace(result, notes=(*rows, *result.notes))


def _unused(evaluation: Evaluation, found: Sequence[tuple[frozenset[int], ...]]) -> Iterator[str]:
    """Say how many rows of each score file belong to no image that was measured or validated."""
    several = [each for each in found if each]
    for place, source in enumerate(evaluation.score_files):
        rows = [each[place] for each in several]
        count = len(frozenset.intersection(*rows)) if rows else 0
        if count:
            yield f"{source.name}: {count} rows of images that are not evaluated"


def _refuse_own_thresholds(evaluation: Evaluation) -> None:
    own = (evaluation.protocol.in_collection(name) for name in evaluation.protocol.of)
    several = [evaluation.protocol, *own]
    by = next((each.thresholds.by for each in several if not _is_fixed(each)), "")
    if by and evaluation.split == VALIDATE and evaluation.shards[VALIDATE]:
        raise ConfigError(
            f"thresholds are chosen by {by} on the validation split, which is the split that is "
            "measured: F1, MCC and accuracy would be too good. Measure --split test, or set "
            "evaluate.thresholds: {by: none} (or half, a threshold of 0.5)"
        )


def _reasons(scored: Mapping[str, Scored]) -> str:
    return "; ".join(f"{name}: {each.why}" for name, each in sorted(scored.items()))


def _nothing(measurement: Measurement) -> str:
    whys = sorted(
        f"{name}: {row.label}: {rows.why(row)}"
        for name, part in measurement.parts.items()
        for row in part.measured.labels
    )
    return (
        f"nothing can be measured: {UNMEASURABLE} (evaluate.min_positives): "
        + "; ".join(whys[:6])
        + (f"; and {len(whys) - 6} more" if len(whys) > 6 else "")
    )


def _thresholds(
    evaluation: Evaluation, tables: Mapping[str, ScoreTable], found: tuple[Collection, ...]
) -> tuple[dict[str, dict[str, float]], list[tuple[frozenset[int], ...]]]:
    """Return the thresholds of every collection and of POOLED, by the validation split.

    A collection without validation images has none. Beside them, of each validated collection the
    rows of the score files that it does not use.
    """
    whole = evaluation.protocol
    chosen = {
        each.name: measured.chosen(tables[each.name], each.protocol)
        for each in found
        if each.name in tables and _is_fixed(each.protocol)
    }
    known, unused = _known(evaluation, tables, found)
    for each in found:
        if each.name in known and not _is_fixed(each.protocol):
            chosen[each.name] = measured.chosen(known[each.name], each.protocol)
    if _is_fixed(whole):
        chosen[POOLED] = measured.chosen(measured.pooled(tables), whole)
    elif known:
        chosen[POOLED] = measured.chosen(measured.pooled(known), whole)
    return chosen, unused


def _known(
    evaluation: Evaluation, tables: Mapping[str, ScoreTable], found: tuple[Collection, ...]
) -> tuple[dict[str, ScoreTable], list[tuple[frozenset[int], ...]]]:
    """Return the validation images' scores of the collections whose thresholds they decide."""
    asked = {
        each.name: each
        for each in found
        if each.name in tables and not (_is_fixed(each.protocol) and _is_fixed(evaluation.protocol))
    }
    mine = tuple(s for s in evaluation.shards.get(VALIDATE, ()) if s.source in asked)
    known: dict[str, ScoreTable] = {}
    unused: list[tuple[frozenset[int], ...]] = []
    for each in _measurable(collect.surveyed(mine, evaluation.protocol)):
        like = asked[each.name]  # the same labels, or No Finding's scores would differ
        scored = _validated(replace(each, names=like.names, named=like.named), evaluation)
        if scored is not None and not scored.why:
            known[each.name] = scored.table
            unused.append(scored.unused)
    return known, unused


def _is_fixed(protocol: Protocol) -> bool:
    """Whether thresholds are not chosen by any image."""
    return protocol.thresholds.by in ("half", "none")


def _validated(collection: Collection, evaluation: Evaluation) -> Scored | None:
    """Return the scores of the validation split, None where a score file does not hold them."""
    try:
        return collect.scored(collection, replace(evaluation, benchmark=None))
    except NoRowError:
        return None  # _notes says that there are no thresholds


def _measurable(found: tuple[Collection, ...]) -> Iterator[Collection]:
    """Yield the collections with an image of the views."""
    for each in found:
        wanted = each.protocol.views
        if not wanted or any(view in wanted for view in each.seen):
            yield each


def _result(
    evaluation: Evaluation,
    found: tuple[Collection, ...],
    scored: Mapping[str, Scored],
    measurement: Measurement,
    thresholds: Mapping[str, Mapping[str, float]],
) -> TaskResult:
    parts = {
        each.name: rows.of_part(measurement.parts[each.name])
        | {
            "left_out": each.left_out,
            "all_negative_dropped": scored[each.name].dropped,
            "not_scored": list(scored[each.name].not_scored),
        }
        for each in found
        if each.name in measurement.parts
    }
    dropped = _dropped(scored, measurement)
    headline = rows.macro(measurement.headline)
    by_group = groups.fairness(measurement, evaluation.intervals)
    by_reader = reader_tables.readers(measurement, evaluation.readers, evaluation.intervals)
    metrics = {
        "macro_auroc": headline["auroc"]["value"],
        "macro_low": headline["auroc"]["low"],
        "macro_high": headline["auroc"]["high"],
        "images": sum(part["images"] for part in parts.values()),
        "headline": headline,
        "headline_of": list(measurement.headline.macro_of),
        "collections": parts,
        "pooled": rows.of_part(measurement.pooled),
        "dropped": dropped,
        "prompts": _prompts(found),
        "protocol_of": {each.name: list(each.aliases) for each in found},
        **by_group.metrics,
        **by_reader.metrics,
    }
    tables = {
        "labels.csv": list(rows.labels(measurement)),
        "roc.csv": list(rows.roc(measurement)),
        **by_group.tables,
        **by_reader.tables,
    }
    notes = (
        *_unlisted(evaluation.protocol, found),
        *_notes(scored, measurement, thresholds),
    )
    return TaskResult(
        metrics,
        tables,
        _summary(measurement),
        (*notes, *by_group.notes, *by_reader.notes),
        [part.table for part in measurement.parts.values()],
    )


def _dropped(scored: Mapping[str, Scored], measurement: Measurement) -> dict[str, str]:
    """Return the collections that are not in the headline, each with the reason."""
    dropped = {name: each.why for name, each in scored.items() if each.why}
    return dropped | {n: _why(measurement.parts[n]) for n in measurement.headline.unmeasured}


def _why(part: Part) -> str:
    """Return why a collection has no macro mean."""
    others = [row.label for row in part.measured.labels if not row.why]
    if not others:
        return UNMEASURABLE
    return f"what can be measured of it, {', '.join(others)}, is not averaged by the protocol"


def _unlisted(protocol: Protocol, found: tuple[Collection, ...]) -> Iterator[str]:
    """Yield a line for each collection of which a protocol with lists of labels says nothing."""
    for each in found:
        if protocol.of and not protocol.labels and not set(protocol.of).intersection(each.aliases):
            yield (
                f"{each.name}: the protocol {protocol.name} has no list of labels for it, so all "
                "that its samples name are measured"
            )


def _prompts(found: tuple[Collection, ...]) -> dict[str, Any]:
    """Return the texts that were used: of every label, then those that differ in a collection."""
    common: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for each in found:
        for label, texts in collect.prompts(each).items():
            if common.setdefault(label, texts) != texts:
                own.setdefault(each.name, {})[label] = texts
    return {"labels": common, "of": own}


def _summary(measurement: Measurement) -> dict[str, float | None]:
    """Return few numbers for `dvc metrics`: the headline, and each collection's macro AUROC."""
    found = {f"macro_{name}": measurement.headline.macro[name].value for name in SHOWN}
    for name, part in list(measurement.parts.items())[:12]:
        found[f"auroc_{name}"] = part.measured.macro["auroc"].value
    best = [part.no_finding["pair"].labels[0] for part in measurement.parts.values()
            if "pair" in part.no_finding]  # fmt: skip
    values = [row.values["auroc"].value for row in best]
    known = [value for value in values if value is not None]
    return found | {"no_finding_pair": sum(known) / len(known) if known else None}


def _notes(
    scored: Mapping[str, Scored],
    measurement: Measurement,
    thresholds: Mapping[str, Mapping[str, float]],
) -> Iterator[str]:
    for name, why in _dropped(scored, measurement).items():
        yield f"{name} is not in the headline: {why}"
    for name, each in scored.items():
        if each.dropped and not each.why:
            yield f"{name}: {each.dropped} images left out: {collect.DROPPED}"
        if each.not_scored and not each.why:
            lacking = ", ".join(each.not_scored)
            yield f"{name}: left out, because a score file or a head has no score of it: {lacking}"
        yield from each.notes
    for name, part in measurement.parts.items():
        if part.protocol.thresholds.by != "none":
            yield from _threshold_notes(name, part.measured.labels, thresholds.get(name))


def _threshold_notes(
    name: str, labels: tuple[Any, ...], chosen: Mapping[str, float] | None
) -> Iterator[str]:
    if chosen is None:
        yield (
            f"{name}: no image in the validation split, or none with scores, so no thresholds: F1, "
            "MCC and accuracy are not measured"
        )
        return
    lacking = [row.label for row in labels if not row.why and row.label not in chosen]
    if lacking:
        yield (
            f"{name}: no threshold for {', '.join(lacking)}: the validation split lacks positives "
            "or negatives"
        )


def settings(protocol: Protocol) -> str:
    """Return the conventions of a protocol in a line for the user."""
    counted = {"negative": "counts as negative", "exclude": "is left out"}[protocol.unmentioned]
    return (
        f"a label that a sample does not mention {counted} (evaluate.unmentioned: "
        f"{protocol.unmentioned}); {NO_FINDING} is {protocol.no_finding}"
    )
