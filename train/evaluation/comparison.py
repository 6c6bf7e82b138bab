"""Compares two finished evaluations on the images that both have, collection by collection.

Every difference is second - first. Images are joined by collection and key. Evaluations that do not
mean the same by a label (other truth, other policies, another split) are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.finished import Collection, Finished
from cxr_vlp.train.evaluation.measures.column import Rules
from cxr_vlp.train.evaluation.measures.paired import Paired, Side, paired
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import Measured, mean_of
from cxr_vlp.train.evaluation.scores import Floats

NO_IMAGE, NO_LABEL = "no common image", "no common label"
ONE_ONLY = "in one evaluation only"


@dataclass(frozen=True, slots=True)
class Compared:
    """One collection: the paired measures, and how many images only one evaluation has."""

    paired: Paired
    images: int
    patients: int
    only_first: int
    only_second: int
    labels_of_one: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations: collections, means over them (first, second, difference), what is left out.

    left_out: collection -> why it could not be compared.
    """

    first: Finished
    second: Finished
    collections: Mapping[str, Compared]
    means: tuple[Measured, Measured, Measured]
    left_out: Mapping[str, str]


def compare(
    first: Finished, second: Finished, intervals: Intervals, measures: Sequence[str]
) -> Comparison:
    """Return how the second evaluation differs from the first on their common images.

    measures: those that are asked for; only they decide which rules must be equal. Raises
    ConfigError for evaluations of different splits or label policies, DataError for different
    truths or patients of an image, and where nothing is common.
    """
    if first.split != second.split:
        raise ConfigError(
            f"{first.folder} measured the split {first.split!r}, {second.folder} "
            f"{second.split!r}: evaluate both on one split"
        )
    found: dict[str, Compared] = {}
    left_out: dict[str, str] = {}
    for name in sorted({*first.collections, *second.collections}):
        if name not in first.collections or name not in second.collections:
            left_out[name] = ONE_ONLY
            continue
        one, other = first.collections[name], second.collections[name]
        why = _apart(one, other)
        if why:
            left_out[name] = why
        else:
            _check(name, one, other, (first, second), measures)
            found[name] = _collection(name, one, other, intervals)
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise DataError(f"{first.folder} and {second.folder} have nothing in common: {reasons}")
    means = tuple(
        mean_of({name: _side(each.paired, k) for name, each in found.items()}) for k in range(3)
    )
    return Comparison(first, second, found, (means[0], means[1], means[2]), left_out)


def _side(made: Paired, which: int) -> Measured:
    return (made.first, made.second, made.difference)[which]


def _apart(one: Collection, other: Collection) -> str:
    """Return why two evaluations of a collection have nothing to compare, "" where they have."""
    if not set(one.keys) & set(other.keys):
        return NO_IMAGE
    return "" if set(one.names) & set(other.names) else NO_LABEL


def _check(
    name: str,
    one: Collection,
    other: Collection,
    both: tuple[Finished, Finished],
    measures: Sequence[str],
) -> None:
    """Refuse evaluations that do not mean the same. Raises ConfigError."""
    rules = {"sensitivity": "specificity", "ece": "bins"}
    asked = {key: one.rules[key] for measure, key in rules.items() if measure in measures}
    given = {**one.policies, **asked}
    others = {**other.policies, **{key: other.rules[key] for key in asked}}
    for key, value in given.items():
        if (value or None) != (others[key] or None):
            raise ConfigError(
                f"{name}: {both[0].folder} was measured with {key} = {value}, {both[1].folder} "
                f"with {others[key]}: evaluate both with one protocol, or with one value of {key}"
            )


def _collection(name: str, one: Collection, other: Collection, intervals: Intervals) -> Compared:
    """Return the paired measures of the common images and labels of a collection."""
    places = [{key: place for place, key in enumerate(each.keys)} for each in (one, other)]
    keys = [key for key in one.keys if key in places[1]]
    names = [label for label in one.names if label in other.names]
    first, second = (_cut(c, [p[k] for k in keys], names) for c, p in
                     zip((one, other), places, strict=True))  # fmt: skip
    _same(name, first, second)
    labels = tuple(sorted(set(one.names) ^ set(other.names)))
    made = paired(
        Side(first.scores, one.thresholds, one.probabilities),
        Side(second.scores, other.thresholds, other.probabilities),
        first.truth,
        names,
        groups=first.patients,
        intervals=intervals,
        average=[label for label in one.average if label in other.average],
        least=int(max(one.rules["min_positives"], other.rules["min_positives"])),
        rules=Rules(specificity=one.rules["specificity"], bins=int(one.rules["bins"])),
    )
    only = len(one.keys) - len(keys), len(other.keys) - len(keys)
    return Compared(made, len(keys), len(set(first.patients)), *only, labels)


@dataclass(frozen=True, slots=True)
class _Cut:
    patients: tuple[str, ...]
    names: tuple[str, ...]
    scores: Floats
    truth: np.ndarray


def _cut(collection: Collection, rows: Sequence[int], names: Sequence[str]) -> _Cut:
    """Return some images and labels of a collection, in the given order."""
    columns = [collection.names.index(name) for name in names]
    place = np.ix_(np.array(rows, np.intp), np.array(columns, np.intp))
    patients = tuple(collection.patients[row] for row in rows)
    return _Cut(patients, tuple(names), collection.scores[place], collection.truth[place])


def _same(name: str, one: _Cut, other: _Cut) -> None:
    """Refuse images that differ in more than their scores. Raises DataError."""
    differ = (one.truth != other.truth).sum(axis=0)
    if differ.any():
        listed = ", ".join(
            f"{label}: {count}" for label, count in zip(one.names, differ, strict=True) if count
        )
        raise DataError(
            f"{name}: the two evaluations have different truths for the same images ({listed} of "
            f"{len(one.truth)}): evaluate both on the same shards"
        )
    moved = sum(a != b for a, b in zip(one.patients, other.patients, strict=True))
    if moved:
        raise DataError(
            f"{name}: {moved} images belong to different patients in the two evaluations: evaluate "
            "both on the same shards"
        )
