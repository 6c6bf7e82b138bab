"""Computes how each evaluation differs from the first one, on the images that both scored.

The differences are paired: both are measured on the same resamples of the same patients. They are
joined by the key of an image, and never by the order of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_vlp.train.evaluation.measures.column import Floats, Truth
from cxr_vlp.train.evaluation.measures.paired import Paired, Side, paired
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import Estimate, mean_of
from cxr_vlp.train.pages.site.evaluations import Evaluated

MEASURE = "auroc"


@dataclass(frozen=True, slots=True)
class Difference:
    """How `second` differs from `first` in macro AUROC; `why` it is not compared, "" else.

    collections: the difference in each; labels: (collection, label) -> difference and DeLong's p.
    alone: images that only one of them scored.
    """

    first: str
    second: str
    headline: Estimate | None = None
    collections: Mapping[str, Estimate] | None = None
    labels: Mapping[tuple[str, str], tuple[Estimate, float | None]] | None = None
    images: int = 0
    alone: int = 0
    why: str = ""


def of(evaluations: Sequence[Evaluated]) -> tuple[Difference, ...]:
    """Return the differences of each evaluation from the first; none for a single one."""
    return tuple(_of(evaluations[0], each) for each in evaluations[1:])


def _of(first: Evaluated, second: Evaluated) -> Difference:
    names = [name for name in first.label_names if name in second.label_names]
    places = {key: i for i, key in enumerate(second.column("key"))}
    pairs = [(i, places[key]) for i, key in enumerate(first.column("key")) if key in places]
    alone = len(first.column("key")) + len(places) - 2 * len(pairs)
    if not pairs or not names:
        return Difference(first.name, second.name, alone=alone, why="no image and label in common")
    one, other = np.array(pairs).T
    truth = _truth(first, names)[one]
    differing = int((truth != _truth(second, names)[other]).any(axis=1).sum())
    if differing:
        why = f"the truth of {differing} images differs"
        return Difference(first.name, second.name, alone=alone, why=why)
    sources = np.array(first.column("collection"))[one]
    patients = np.array(first.column("patient"))[one]
    scores = _scores(first, names)[one], _scores(second, names)[other]
    found = {
        source: _in(first, source, names, truth[at], patients[at], [each[at] for each in scores])
        for source in first.collections
        if (at := sources == source).any()
    }
    return _made(first, second, {k: v for k, v in found.items() if v}, len(pairs), alone)


def _in(
    first: Evaluated,
    source: str,
    names: Sequence[str],
    truth: Truth,
    patients: Sequence[str],
    scores: Sequence[Floats],
) -> Paired | None:
    """Return the difference in a collection, on the labels that the first evaluation averages."""
    macro = first.metrics["collections"][source].get("macro_of") or [
        name for name in names if first.row(source, name).get(MEASURE)
    ]
    kept = [i for i, name in enumerate(names) if name in macro and _measurable(scores, truth, i)]
    if not kept:
        return None
    given = first.decided_by["intervals"]
    intervals = Intervals(given["resamples"], given["by"], given["seed"])
    sides = [Side(each[:, kept], probabilities=False) for each in scores]
    chosen = [names[i] for i in kept]
    return paired(
        sides[0],
        sides[1],
        truth[:, kept],
        chosen,
        groups=list(patients),
        intervals=intervals,
        average=chosen,
    )


def _measurable(scores: Sequence[Floats], truth: Truth, place: int) -> bool:
    return all(
        np.isfinite(each[:, place]).all() for each in scores
    ) and {0, 1} <= set(truth[:, place].tolist())  # fmt: skip


def _made(
    first: Evaluated, second: Evaluated, found: Mapping[str, Paired], images: int, alone: int
) -> Difference:
    if not found:
        why = "no label can be measured in both"
        return Difference(first.name, second.name, images=images, alone=alone, why=why)
    changes = {source: each.difference for source, each in found.items()}
    labels = {
        (source, row.label): (row.values[MEASURE], found[source].delong[row.label].p)
        for source, change in changes.items()
        for row in change.labels
        if row.label in found[source].delong
    }
    return Difference(
        first.name,
        second.name,
        mean_of(changes).macro[MEASURE],
        {source: change.macro[MEASURE] for source, change in changes.items()},
        labels,
        images,
        alone,
    )


def _truth(evaluated: Evaluated, names: Sequence[str]) -> Truth:
    return np.stack([evaluated.scored(name)[1] for name in names], axis=1)


def _scores(evaluated: Evaluated, names: Sequence[str]) -> Floats:
    return np.stack([evaluated.scored(name)[0] for name in names], axis=1)
