"""Refuses tables of scores that cannot be measured, with the label and the count.

A comparison with nan is false, so a score that is not a number would silently become the lowest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth


def table(scores: Floats, truth: Truth, names: Sequence[str]) -> None:
    """Raise DataError unless scores and truth are (N, L), L names, finite and of known values."""
    shape = len(scores), len(names)
    if scores.shape != shape or truth.shape != shape:
        raise DataError(
            f"scores {scores.shape} and truth {truth.shape} must both have a row for each image "
            f"and a column for each of the {len(names)} labels"
        )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"labels named twice: {', '.join(twice)}")
    _finite(scores, names)
    bad = ~np.isin(truth, (EXCLUDED, 0, 1))
    if bad.any():
        raise DataError(f"truth must be 1, 0 or {EXCLUDED} (excluded): {_counted(bad, names)}")


def probabilities(scores: Floats, names: Sequence[str]) -> None:
    """Raise DataError for a score outside 0..1."""
    bad = (scores < 0) | (scores > 1)
    if bad.any():
        raise DataError(
            f"scores outside 0..1 are no probabilities: {_counted(bad, names)}. Declare them as "
            "scores that are no probabilities; Brier score and ECE are then not measured"
        )


def groups(owners: Sequence[str], images: int, what: str = "patients") -> None:
    """Raise DataError unless there is one name for each image."""
    if len(owners) != images:
        raise DataError(f"{len(owners)} {what} are given for {images} images: give one for each")


def both_classes(truth: Truth) -> None:
    """Raise DataError unless truth (N,) has a positive and a negative."""
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if not (positives and negatives):
        raise DataError(
            f"{positives} positives and {negatives} negatives: both are needed to compare models"
        )


def thresholds(given: Mapping[str, float]) -> None:
    """Raise ConfigError for a threshold that is not a finite number."""
    bad = [name for name, value in given.items() if not np.isfinite(value)]
    if bad:
        raise ConfigError(f"thresholds must be finite numbers: {', '.join(bad)}")


def _finite(scores: Floats, names: Sequence[str]) -> None:
    bad = ~np.isfinite(scores)
    if bad.any():
        raise DataError(
            f"scores that are not finite numbers: {_counted(bad, names)}. Look at the model or the "
            "file that made them; no image is left out for it"
        )


def _counted(bad: np.ndarray, names: Sequence[str]) -> str:
    """Return `label: n of N images` for the labels with a bad cell."""
    counts = zip(names, bad.sum(axis=0), strict=True)
    return ", ".join(f"{name}: {count} of {len(bad)} images" for name, count in counts if count)
