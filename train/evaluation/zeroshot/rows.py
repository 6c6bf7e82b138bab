"""Makes what was measured into the parts of metrics.json and the rows of the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from cxr_vlp.train.evaluation.measures import curves
from cxr_vlp.train.evaluation.measures.column import MEASURES
from cxr_vlp.train.evaluation.measures.table import NOTHING, Estimate, LabelMeasures, Measured
from cxr_vlp.train.evaluation.scores import EXCLUDED, ScoreTable
from cxr_vlp.train.evaluation.zeroshot.measured import (
    NOTHING_LABELLED,
    POOLED,
    Measurement,
    Part,
)

MEAN = "mean"  # the collection of the headline's row
MACRO = "macro"  # the label of a macro mean's row


def of_part(part: Part) -> dict[str, Any]:
    """Return a collection's entry in metrics.json."""
    table = part.table
    return {
        "images": len(table.facts),
        "studies": len({fact.study for fact in table.facts}),
        "patients": len({fact.patient for fact in table.facts}),
        "macro": macro(part.measured),
        "macro_of": list(part.measured.macro_of),
        "labels": {row.label: _label(row) for row in part.measured.labels},
        "no_finding": {how: _label(found.labels[0]) for how, found in part.no_finding.items()},
        "unmeasured": list(part.measured.unmeasured),
        "prevalence": prevalence(table),
        "probabilities": table.probabilities,
    }


def macro(measured: Measured) -> dict[str, dict[str, Any]]:
    """Return measure -> value and interval of a macro mean."""
    return {name: estimate(measured.macro[name]) for name in MEASURES}


def prevalence(table: ScoreTable) -> dict[str, float | None]:
    """Return the share of positives of each label, among the images that count for it."""
    known = (table.truth != EXCLUDED).sum(axis=0)
    positive = (table.truth == 1).sum(axis=0)
    return {
        name: float(positive[i] / known[i]) if known[i] else None
        for i, name in enumerate(table.names)
    }


def _label(row: LabelMeasures) -> dict[str, Any]:
    found: dict[str, Any] = {
        "positives": row.positives,
        "negatives": row.negatives,
        "threshold": row.threshold,
    }
    return found | {name: estimate(row.values[name]) for name in MEASURES} | {"why": why(row)}


def why(row: LabelMeasures) -> str:
    """Return why a label is not measured, "" where it is."""
    return NOTHING_LABELLED if not row.positives + row.negatives else row.why


def estimate(found: Estimate) -> dict[str, Any]:
    """Return a value, its interval, and how many resamples the interval is of."""
    return interval(found) | {"resamples": found.resamples}


def interval(found: Estimate) -> dict[str, float | None]:
    """Return a value and its interval."""
    return {"value": found.value, "low": found.low, "high": found.high}


def labels(measurement: Measurement) -> Iterator[dict[str, Any]]:
    """Yield the rows of labels.csv: each label, No Finding's strategies, the macro means.

    The collection `mean` has each label's mean over the collections that measure it, with how many
    of its images are positive and negative there, and the headline.
    """
    for name, part in {**measurement.parts, POOLED: measurement.pooled}.items():
        for row in part.measured.labels:
            yield _row(name, row)
        for found in part.no_finding.values():
            yield _row(name, found.labels[0])
        yield _macro_row(name, part.measured)
    yield from _means(measurement.parts.values())
    yield _macro_row(MEAN, measurement.headline)


def _means(parts: Collection[Part]) -> Iterator[dict[str, Any]]:
    """Yield the rows of each label's mean over the collections, without intervals."""
    found: dict[str, list[LabelMeasures]] = {}
    for part in parts:
        several = [row for each in part.no_finding.values() for row in each.labels]
        for row in (*part.measured.labels, *several):
            found.setdefault(row.label, []).extend([] if row.why else [row])
    for label, mine in found.items():
        counts = sum(row.positives for row in mine), sum(row.negatives for row in mine)
        values = {name: _mean(row.values[name].value for row in mine) for name in MEASURES}
        yield _row(MEAN, LabelMeasures(label, *counts, None, values, ""))


def _mean(values: Iterable[float | None]) -> Estimate:
    known = [value for value in values if value is not None]
    return Estimate(sum(known) / len(known), None, None) if known else NOTHING


def _row(collection: str, row: LabelMeasures) -> dict[str, Any]:
    found = {
        "collection": collection,
        "label": row.label,
        "positives": row.positives,
        "negatives": row.negatives,
        "threshold": row.threshold,
    }
    return found | _flat(row.values)


def _macro_row(collection: str, measured: Measured) -> dict[str, Any]:
    found = {
        "collection": collection,
        "label": MACRO,
        "positives": None,
        "negatives": None,
        "threshold": None,
    }
    return found | _flat(measured.macro)


def _flat(values: Mapping[str, Estimate]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in MEASURES:
        found |= {
            name: values[name].value,
            f"{name}_low": values[name].low,
            f"{name}_high": values[name].high,
        }
    return found


def roc(measurement: Measurement) -> Iterator[dict[str, Any]]:
    """Yield the rows of roc.csv: at most 200 points of each measured label's curve."""
    for name, part in measurement.parts.items():
        for i, row in enumerate(part.measured.labels):
            if row.why:
                continue
            curve = curves.roc(part.table.scores[:, i], part.table.truth[:, i])
            for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True):
                yield {
                    "collection": name,
                    "label": row.label,
                    "false_positive_rate": x,
                    "true_positive_rate": y,
                }
