"""Radiologists beside the model: a point on the ROC plane each, F1 and MCC, and differences.

Readers and model are compared on the same images: those of known truth that every reader has read.
The others are left out and counted. The mean reader is the mean of the readers' values, not a vote.
Every difference is model - mean reader, on the same resamples of patients. Means over labels use
the resamples in which all labels are measured (table.macro_draws).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.measures import checks
from cxr_vlp.train.evaluation.measures.column import decided
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights
from cxr_vlp.train.evaluation.measures.table import Estimate, estimate, macro_draws
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

COLUMNS = ("sensitivity", "false_positive_rate", "f1", "mcc")
MODEL, MEAN_READER, DIFFERENCE = "model", "mean reader", "model - mean reader"
MEAN = "mean"  # the row of the mean over labels


@dataclass(frozen=True, slots=True)
class ReaderMeasures:
    """One reader (or MODEL, MEAN_READER, DIFFERENCE) on one label (or MEAN), by COLUMNS."""

    label: str
    reader: str
    values: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class ReaderLabel:
    """The images of one label: how many were compared, and left out for the lack of a reading."""

    label: str
    positives: int
    negatives: int
    left_out: int
    why: str  # why it is not measured, "" else


@dataclass(frozen=True, slots=True)
class Readers:
    """All labels and readers; `of` are the labels of the rows MEAN."""

    labels: tuple[ReaderLabel, ...]
    measures: tuple[ReaderMeasures, ...]
    of: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of readers.csv."""
        counts = {each.label: asdict(each) for each in self.labels}
        missing = dict.fromkeys(("positives", "negatives", "left_out"))
        made = []
        for each in self.measures:
            found = counts.get(each.label, missing)
            row = {"label": each.label, "reader": each.reader} | {k: found[k] for k in missing}
            for name, value in each.values.items():
                row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            made.append(row)
        return made


def against(
    readers: Mapping[str, Truth],
    scores: Floats,
    truth: Truth,
    names: Sequence[str],
    *,
    groups: Sequence[str],
    intervals: Intervals,
    average: Sequence[str],
    thresholds: Mapping[str, float],
    least: int = 1,
) -> Readers:
    """Return how the readers and the model do on the same images, with intervals by patient.

    readers: name -> (N, L), what the reader said: 1, 0, or EXCLUDED where he did not read. scores,
    truth: (N, L). groups: N patients. average: the labels of the mean. thresholds: label -> the
    model's, chosen on other patients. A label without a threshold, or with fewer than `least`
    positives or negatives that all readers read, is not measured and says why. Raises DataError
    for readings that do not fit, and where there is no reader or no image to compare.
    """
    checks.table(scores, truth, names)
    checks.groups(groups, len(scores))
    checks.thresholds(thresholds)
    calls = _calls(readers, scores, names, thresholds)
    missing = np.any([calls[name] == EXCLUDED for name in readers], axis=0)
    compared = np.where(missing, EXCLUDED, truth).astype(np.int8)
    labels = tuple(
        _label(name, truth[:, i], compared[:, i], name in thresholds, least)
        for i, name in enumerate(names)
    )
    chosen = [i for i, label in enumerate(labels) if not label.why]
    if not chosen:
        reasons = "; ".join(f"{label.label}: {label.why}" for label in labels)
        raise DataError(f"no label can be compared with the readers: {reasons}")
    cells = np.stack([_cells(calls[who], compared)[:, chosen] for who in (*readers, MODEL)])
    points = _values(np.ones((1, len(scores))), cells)[:, 0]
    chunks = [_values(weights, cells) for weights in bootstrap_weights(groups, intervals)]
    draws = np.concatenate([np.empty((len(cells), 0, *points.shape[1:])), *chunks], axis=1)
    of = [k for k, i in enumerate(chosen) if names[i] in average]
    listed = [(names[i], points[:, k], draws[:, :, k]) for k, i in enumerate(chosen)]
    if of:
        listed.append((MEAN, points[:, of].mean(axis=1), _means(points[:, of], draws[:, :, of])))
    rows = tuple(row for each in listed for row in _measures(*each, tuple(readers)))
    return Readers(labels, rows, tuple(names[chosen[k]] for k in of))


def _calls(
    readers: Mapping[str, Truth],
    scores: Floats,
    names: Sequence[str],
    thresholds: Mapping[str, float],
) -> dict[str, Truth]:
    """Return what each reader and the model call positive (N, L)."""
    if not readers:
        raise DataError("no reader: give at least one column of readings")
    for name, said in readers.items():
        if said.shape != scores.shape or not np.isin(said, (EXCLUDED, 0, 1)).all():
            raise DataError(
                f"reader {name}: readings {said.shape} must be 1, 0 or {EXCLUDED} (not read), one "
                f"for each of {scores.shape[0]} images and {scores.shape[1]} labels"
            )
    cuts = np.array([thresholds.get(name, np.inf) for name in names])
    return dict(readers) | {MODEL: (scores >= cuts).astype(np.int8)}


def _label(name: str, truth: Truth, compared: Truth, cut: bool, least: int) -> ReaderLabel:
    positives, negatives = int((compared == 1).sum()), int((compared == 0).sum())
    left_out = int((truth != EXCLUDED).sum()) - positives - negatives
    why = "" if cut else "no threshold for the model"
    for count, what in ((positives, "positives"), (negatives, "negatives")):
        if count < max(least, 1):
            why = f"{count} {what} that every reader read, fewer than {max(least, 1)}"
    return ReaderLabel(name, positives, negatives, left_out, why)


def _cells(calls: Truth, truth: Truth) -> Floats:
    """Return (N, L, 4): whether an image is a true or false positive, false or true negative."""
    pairs = ((1, 1), (1, 0), (0, 1), (0, 0))  # called, true
    made = [(calls == call) & (truth == true) for call, true in pairs]
    return np.stack(made, axis=-1).astype(np.float64)


def _values(weights: Floats, cells: Floats) -> Floats:
    """Return COLUMNS (K, R, L, 4) of K readers, nan where a class is missing; weights (R, N)."""
    hits, alarms, missed, passed = np.moveaxis(np.tensordot(cells, weights, ([1], [1])), 2, 0)
    positives, negatives = hits + missed, alarms + passed
    both = (positives > 0) & (negatives > 0)
    found = decided(hits, alarms, missed, passed)
    sensitivity = hits / np.where(both, positives, 1.0)
    made = [sensitivity, alarms / np.where(both, negatives, 1.0), found["f1"], found["mcc"]]
    values = np.where(both[..., None], np.stack(made, axis=-1), np.nan)
    return np.moveaxis(values, 1, 2)  # from (K, L, R, 4)


def _means(points: Floats, draws: Floats) -> Floats:
    """Return the means over labels (K, R, 4) of points (K, L, 4) and draws (K, R, L, 4)."""
    made = np.empty((draws.shape[0], draws.shape[1], draws.shape[3]))
    for who in range(len(draws)):
        for m in range(draws.shape[3]):
            made[who, :, m] = macro_draws(points[who, :, m], draws[who, :, :, m])
    return made


def _measures(
    label: str, points: Floats, draws: Floats, readers: tuple[str, ...]
) -> Iterator[ReaderMeasures]:
    """Yield the readers, the model, the mean reader and the difference: points (K + 1, 4)."""
    mean = points[:-1].mean(axis=0), draws[:-1].mean(axis=0)
    own = points[-1], draws[-1]
    each = [(name, points[k], draws[k]) for k, name in enumerate(readers)]
    each += [(MODEL, *own), (MEAN_READER, *mean)]
    each.append((DIFFERENCE, own[0] - mean[0], own[1] - mean[1]))
    for who, values, made in each:
        found = {name: estimate(values[m], made[:, m]) for m, name in enumerate(COLUMNS)}
        yield ReaderMeasures(label, who, found)
