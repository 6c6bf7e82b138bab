"""Bootstrap resamples of patients or images, and the intervals that are taken from them.

A resample is a row of weights: how often each image is in it. All labels and all measures of a
resample use the same weights, so a mean over labels has an interval of its own, and two models that
are measured with the same groups and seed are measured on the same resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.scores import Floats

LEVEL = 0.95  # of the intervals
BY = ("patient", "image")
CELLS = 2**18  # weights in memory at a time: two megabytes, which fit into a processor's cache


@dataclass(frozen=True, slots=True)
class Intervals:
    """How intervals are made: bootstrap resamples of patients or images, and a seed."""

    resamples: int = 1000
    by: str = "patient"
    seed: int = 0


def bootstrap_weights(groups: Sequence[str], intervals: Intervals) -> Iterator[Floats]:
    """Yield chunks (R, N) of resamples: how often each of the N images is in a resample.

    groups: N names. By patient, a group is drawn as a whole, because images of one patient are not
    independent; by image, the names play no part. The draws are the same for any size of the
    chunks. Raises ConfigError for intervals that cannot be made, DataError for images without a
    patient.
    """
    place, count = _places(groups, intervals)
    if not (count and intervals.resamples):
        return
    nameless = sum(not name for name in groups) if intervals.by == "patient" else 0
    if nameless:  # else they would all be one patient
        raise DataError(
            f"{nameless} of {len(groups)} images have no patient: name the patients, or make the "
            "intervals by image"
        )
    rng = np.random.default_rng(intervals.seed)
    size = max(1, CELLS // max(len(groups), count))
    for start in range(0, intervals.resamples, size):
        rows = min(size, intervals.resamples - start)
        drawn = rng.integers(0, count, (rows, count))
        times = np.stack([np.bincount(row, minlength=count) for row in drawn])
        yield times[:, place].astype(np.float64)


def interval_of(draws: Floats) -> tuple[float | None, float | None]:
    """Return the 2.5th and 97.5th percentile of (R,) draws; nan draws are left out."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _places(groups: Sequence[str], intervals: Intervals) -> tuple[npt.NDArray[np.intp], int]:
    """Return the number of each image's group, and how many groups there are."""
    if intervals.by not in BY:
        raise ConfigError(f"intervals by {intervals.by!r}: give one of {', '.join(BY)}")
    if intervals.resamples < 0:
        raise ConfigError(f"{intervals.resamples} resamples: give 0 (no intervals) or more")
    if intervals.by == "image":
        return np.arange(len(groups)), len(groups)
    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return place, len(names)
