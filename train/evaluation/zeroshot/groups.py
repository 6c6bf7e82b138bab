"""Measures by groups of patients or images: sex, age band, view, projection, and their gaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.measures.column import MEASURES
from cxr_vlp.train.evaluation.measures.fairness import (
    MEAN,
    UNKNOWN,
    Fairness,
    Gap,
    Group,
    age_band,
    by_group,
)
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import Estimate
from cxr_vlp.train.evaluation.tasks.base import TaskResult
from cxr_vlp.train.evaluation.zeroshot.measured import Measurement, Part, averaged, rules
from cxr_vlp.train.evaluation.zeroshot.rows import estimate, interval

GAP = "gap"  # the group of a row that holds a gap


def fairness(measurement: Measurement, intervals: Intervals) -> TaskResult:
    """Return the measures by group of every collection that knows two groups of an attribute."""
    found: dict[str, Fairness] = {}
    notes = []
    for name, part in measurement.parts.items():
        attributes = _attributes(part.table.facts)
        if attributes and part.measured.macro_of:
            found[name] = _of_part(part, attributes, intervals)
        else:
            notes.append(f"{name}: no sex, age or view tells its images apart: no fairness")
    rows = [row for name, each in found.items() for row in _rows(name, each)]
    metrics = {"fairness": {name: _metrics(each) for name, each in found.items()}}
    return TaskResult(metrics, {"fairness.csv": rows} if rows else {}, notes=tuple(notes))


def _of_part(part: Part, attributes: Mapping[str, Sequence[str]], intervals: Intervals) -> Fairness:
    table, protocol = part.table, part.protocol
    return by_group(
        attributes, table.scores, table.truth, table.names,
        groups=[fact.patient for fact in table.facts], intervals=intervals,
        average=averaged(table.names, protocol), thresholds=part.thresholds,
        least=protocol.min_positives,
        rules=rules(protocol, probabilities=table.probabilities),
    )  # fmt: skip


def _attributes(facts: Sequence[ImageFacts]) -> dict[str, list[str]]:
    """Return the attributes with two known groups or more: name -> the group of each image."""
    found = {
        "sex": [fact.sex for fact in facts],
        "age": [age_band(fact.age) for fact in facts],
        "view": [fact.view for fact in facts],
        "projection": [fact.projection for fact in facts],
    }
    return {
        name: groups
        for name, groups in found.items()
        if len({group for group in groups if group and group != UNKNOWN}) > 1
    }


def _metrics(found: Fairness) -> dict[str, Any]:
    return {
        "groups": [_group(group) for group in found.groups],
        "gaps": [
            {
                "attribute": gap.attribute,
                "label": gap.label,
                "measure": gap.measure,
                "lowest": gap.lowest,
                "highest": gap.highest,
                **estimate(gap.gap),
            }
            for gap in found.gaps
            if gap.label in ("", MEAN)
        ],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "attribute": group.attribute,
        "group": group.group,
        "images": group.images,
        "patients": group.patients,
        "sick": group.sick,
        "healthy": group.healthy,
        "undecided": group.undecided,
        "macro_of": list(group.measured.macro_of),
        "macro": {name: estimate(group.measured.macro[name]) for name in MEASURES},
        "rates": {name: estimate(value) for name, value in group.rates.items()},
        "why": group.why,
    }


def _rows(collection: str, found: Fairness) -> Iterator[dict[str, Any]]:
    """Yield the rows of fairness.csv: one for each group (or gap), label and measure."""
    for group in found.groups:
        for name in MEASURES:
            yield _row(collection, group, MEAN, name, group.measured.macro[name])
        for rate, value in group.rates.items():
            yield _row(collection, group, "", rate, value)
        for label in group.measured.labels:
            for name in MEASURES:
                yield _row(collection, group, label.label, name, label.values[name])
    for gap in found.gaps:
        yield _gap_row(collection, gap)


def _row(
    collection: str, group: Group, label: str, measure: str, value: Estimate
) -> dict[str, Any]:
    return {
        "collection": collection,
        "attribute": group.attribute,
        "group": group.group,
        "label": label,
        "measure": measure,
        **interval(value),
        "images": group.images,
        "patients": group.patients,
        "lowest": "",
        "highest": "",
        "why": group.why,
    }


def _gap_row(collection: str, gap: Gap) -> dict[str, Any]:
    return {
        "collection": collection,
        "attribute": gap.attribute,
        "group": GAP,
        "label": gap.label,
        "measure": gap.measure,
        **interval(gap.gap),
        "images": None,
        "patients": None,
        "lowest": gap.lowest,
        "highest": gap.highest,
        "why": "",
    }
