"""Means, medians and their intervals over resampled patients, for tasks that have no score table.

A query (an image, a text, an image of a label) has a value; whole patients are drawn again, and
each draw gives its own mean. The gallery that the queries were compared with stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.evaluation.measures.resampling import Intervals, interval_of
from cxr_vlp.train.evaluation.scores import Floats


@dataclass(frozen=True, slots=True)
class Resampled:
    """A value, and the values (R,) that it has in R resamples; nan where one is undefined."""

    value: float
    draws: Floats

    def entry(self, chance: float | None = None) -> dict[str, float | None]:
        """Return value, low and high for metrics.json, with the level of chance where given."""
        low, high = interval_of(self.draws)
        found: dict[str, float | None] = {"value": number(self.value), "low": low, "high": high}
        return found if chance is None else found | {"chance": chance}


def number(value: float) -> float | None:
    """Return a value for a JSON file: null instead of nan."""
    return None if np.isnan(value) else float(value)


def of_collection(intervals: Intervals, name: str) -> Intervals:
    """Return the intervals with a seed of this collection: two collections draw independently."""
    text = hashlib.sha256(f"{intervals.seed}/{name}".encode()).digest()
    return replace(intervals, seed=int.from_bytes(text[:8], "big"))


def shared(weights: Floats, owners: npt.NDArray[np.intp]) -> Floats:
    """Return the weights (R, T) of T texts: each the mean weight of its images.

    weights: (R, N) of the images; owners: (N,) the text of each, every text at least once.
    """
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    totals = np.add.reduceat(weights[:, order], starts, axis=1)
    return totals / np.bincount(owners)


def mean(values: Floats, drawn: Iterable[Floats]) -> Resampled:
    """Return the mean of the values (Q,) with that of each resample; drawn: chunks (R, Q)."""
    draws = [_divided(part @ values, part.sum(axis=1)) for part in drawn]
    return Resampled(float(values.mean()) if len(values) else np.nan, _joined(draws))


def means(values: Floats, drawn: Iterable[Floats]) -> list[Resampled]:
    """Return the mean of each column of values (Q, M) without its nans; drawn: chunks (R, Q)."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    points = _divided(filled.sum(axis=0), known.sum(axis=0))
    parts = [_divided(part @ filled, part @ known) for part in drawn]
    draws = np.concatenate(parts) if parts else np.empty((0, len(points)))
    return [Resampled(float(point), own) for point, own in zip(points, draws.T, strict=True)]


def median(values: Floats, drawn: Iterable[Floats]) -> Resampled:
    """Return the median of the values (Q,) with that of each resample; drawn: chunks (R, Q)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    draws = [_medians(ordered, part[:, order]) for part in drawn]
    return Resampled(float(np.median(values)) if len(values) else np.nan, _joined(draws))


def mean_of(several: Sequence[Resampled]) -> Resampled:
    """Return the mean of several values, averaged resample by resample.

    In a resample where some are undefined, the mean is that of the others.
    """
    values = [each.value for each in several]
    draws = np.array([each.draws for each in several])
    known = ~np.isnan(draws)
    filled = np.where(known, draws, 0.0)
    return Resampled(float(np.mean(values)), _divided(filled.sum(axis=0), known.sum(axis=0)))


def entries(found: Mapping[str, Resampled], chance: Mapping[str, float]) -> dict[str, Any]:
    """Return the entries of several measures, each with its level of chance where there is one."""
    return {name: each.entry(chance.get(name)) for name, each in found.items()}


def _medians(ordered: Floats, weights: Floats) -> Floats:
    """Return the weighted medians (R,): with weights 1, the mean of the two in the middle."""
    below = np.cumsum(weights, axis=1)
    half = below[:, -1:] / 2
    lower, upper = (below >= half).argmax(axis=1), (below > half).argmax(axis=1)
    middle: Floats = (ordered[lower] + ordered[upper]) / 2
    return np.where(half[:, 0] > 0, middle, np.nan)


def _divided(above: Floats, below: npt.NDArray[Any]) -> Floats:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _joined(draws: Sequence[Floats]) -> Floats:
    return np.concatenate(draws) if draws else np.empty(0)
