"""Means of grounding measures by label and over all labels, with their intervals by patient.

A label's value is the mean over its images and phrases that have the measure. The macro value is
the mean over labels; in a resample that lacks a label, the rule of measures/table.macro_draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_vlp.train.evaluation.frame import Mask
from cxr_vlp.train.evaluation.grounding.boxes import Target
from cxr_vlp.train.evaluation.grounding.localization import MEASURES
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights
from cxr_vlp.train.evaluation.measures.table import Estimate, estimate, macro_draws
from cxr_vlp.train.evaluation.scores import Floats

MACRO, ALL = "macro", "all"  # the rows of the mean over labels, and over all images and phrases


@dataclass(frozen=True, slots=True)
class Found:
    """The measures of one image and target, in the order of MEASURES, NaN for no value.

    `seen`: which share of the boxes' pixels the model sees.
    """

    source: str
    key: str
    patient: str
    target: Target
    values: tuple[float, ...]
    seen: float


@dataclass(frozen=True, slots=True)
class Unit:
    """The measures of one annotation layer of one collection, with the resamples of its macros."""

    rows: tuple[dict[str, Any], ...]
    macro: Mapping[str, Estimate]
    draws: Floats


def unit(name: tuple[str, str], found: Sequence[Found], intervals: Intervals) -> Unit:
    """Return the measures of one layer of a collection: of each label, macro and of all."""
    values = np.array([each.values for each in found])
    labels = sorted({each.target.label for each in found})
    masks = np.array([[each.target.label == label for each in found] for label in labels])
    masks = np.vstack([masks, np.ones((1, len(found)), bool)])  # and all of them
    points = _means(values, masks, np.ones((1, len(found))))[0]
    chunks = [
        _means(values, masks, weights)
        for weights in bootstrap_weights([each.patient for each in found], intervals)
    ]
    draws = np.concatenate([np.empty((0, *points.shape)), *chunks])
    macros, macro_values = _macro(points[:-1], draws[:, :-1])
    macro = dict(zip(MEASURES, map(estimate, macro_values, macros.T), strict=True))
    rows = [_row(name, MACRO, found, macro)]
    for i, label in enumerate((*labels, ALL)):
        mine = [each for each, inside in zip(found, masks[i], strict=True) if inside]
        each = dict(zip(MEASURES, map(estimate, points[i], draws[:, i].T), strict=True))
        rows.append(_row(name, label, mine, each))
    return Unit(tuple(rows), macro, macros)


def _means(values: Floats, masks: Mask, weights: Floats) -> Floats:
    """Return the means (R, G, M) of values (N, M) in groups (G, N), weighted (R, N); NaN: none."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    total = np.einsum("rn,gn,nm->rgm", weights, masks.astype(np.float64), filled, optimize=True)
    count = np.einsum(
        "rn,gn,nm->rgm", weights, masks.astype(np.float64), known.astype(np.float64), optimize=True
    )
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def _macro(points: Floats, draws: Floats) -> tuple[Floats, Floats]:
    """Return the macro means (R, M) of the resamples and of all (M,), over labels with a value."""
    macros = np.full((len(draws), points.shape[1]), np.nan)
    values = np.full(points.shape[1], np.nan)
    for m in range(points.shape[1]):
        have = ~np.isnan(points[:, m])
        if have.any():
            values[m] = points[have, m].mean()
            macros[:, m] = macro_draws(points[have, m], draws[:, have, m])
    return macros, values


def mean_of_units(units: Mapping[tuple[str, str], Unit]) -> dict[str, Estimate]:
    """Return the headline: the mean of the macro values over collections and layers.

    Collections share no patients, so each one's resamples are put into an order of its own first.
    """
    headline = {}
    for m, name in enumerate(MEASURES):
        have = [key for key, unit in units.items() if unit.macro[name].value is not None]
        values = [units[key].macro[name].value or 0.0 for key in have]
        draws = [_shuffled(units[key].draws[:, m], key[0]) for key in have]
        point = float(np.mean(values)) if have else np.nan
        headline[name] = estimate(point, np.mean(draws, axis=0) if have else np.empty(0))
    return headline


def _shuffled(draws: Floats, name: str) -> Floats:
    return draws[np.random.default_rng([ord(letter) for letter in name]).permutation(len(draws))]


def _row(
    name: tuple[str, str], label: str, found: Sequence[Found], values: Mapping[str, Estimate]
) -> dict[str, Any]:
    counts = {
        "n": len(found),
        "images": len({each.key for each in found}),
        "patients": len({each.patient for each in found}),
    }
    return {"collection": name[0], "layer": name[1], "label": label, **counts, **_cells(values)}


def _cells(values: Mapping[str, Estimate]) -> dict[str, float | None]:
    cells: dict[str, float | None] = {}
    for name, each in values.items():
        cells |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
    return cells


def headline_row(headline: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    """Return the row of the headline, the mean over collections and layers."""
    counts = dict.fromkeys(("n", "images", "patients"))
    return [{"collection": "mean", "layer": "", "label": MACRO, **counts, **_cells(headline)}]


def rows_of(units: Mapping[tuple[str, str], Unit]) -> list[dict[str, Any]]:
    """Return the rows of all collections and layers, in order."""
    return [each for name in sorted(units) for each in units[name].rows]
