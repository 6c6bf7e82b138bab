"""Computes the AUROC of each label as the mean over collections, with its interval.

Collections that pool their images let the largest one decide. Here each counts the same, as in the
headline of an evaluation, and the resamples are the same too.
"""

from __future__ import annotations

from collections import defaultdict

from cxr_vlp.train.evaluation.finished import Collection, Finished
from cxr_vlp.train.evaluation.measures.column import Rules
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import (
    Estimate,
    Labels,
    Measured,
    assemble,
    mean_of,
    sort,
)


def of(finished: Finished, intervals: Intervals) -> dict[str, Estimate]:
    """Return label -> the mean of its AUROC over the collections that measure it."""
    parts: dict[str, dict[str, Measured]] = defaultdict(dict)
    for name, collection in finished.collections.items():
        for label, measured in _of(collection, intervals).items():
            parts[label][name] = measured
    return {label: mean_of(found).macro["auroc"] for label, found in parts.items()}


def _of(collection: Collection, intervals: Intervals) -> dict[str, Measured]:
    """Return each label of a collection, measured alone."""
    names = collection.names
    rules = {name: Rules(probabilities=False) for name in names}
    labels = sort(collection.scores, collection.truth, names, rules)
    points = labels.points(len(collection.keys))
    draws = labels.draws(collection.patients, intervals)
    least = int(collection.rules["min_positives"])
    return {
        name: assemble(
            Labels((name,), labels.columns[i : i + 1], labels.strata[i : i + 1]),
            points[i : i + 1], draws[:, i : i + 1], average=(name,), least=least,
        )
        for i, name in enumerate(names)
    }  # fmt: skip
