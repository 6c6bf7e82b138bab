"""Differences of two models: DeLong against all pairs, patients with several images, Holm."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.measures.paired import Side, delong, holm, paired
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import measure


def two(seed=0, images=120, labels=2):
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, labels)) < 0.3).astype(np.int8)
    base = truth + rng.normal(size=(images, labels))
    other = base + 0.5 * truth + rng.normal(size=(images, labels))
    return tuple(np.round(1 / (1 + np.exp(-x)), 2) for x in (base, other)), truth


def by_all_pairs(a, b, truth):
    """DeLong 1988 by its definition: the kernel of every pair, covariances of its means."""
    areas, rows, columns = [], [], []
    for scores in (a, b):
        high, low = scores[truth == 1][:, None], scores[truth == 0][None]
        kernel = (high > low) + 0.5 * (high == low)
        areas.append(kernel.mean())
        rows.append(kernel.mean(axis=1))
        columns.append(kernel.mean(axis=0))
    matrix = np.cov(rows) / len(rows[0]) + np.cov(columns) / len(columns[0])
    contrast = np.array([-1, 1])
    return areas, math.sqrt(contrast @ matrix @ contrast)


@pytest.mark.parametrize("seed", range(5))
def test_delong_is_that_of_all_pairs_ties_included(seed):
    (a, b), truth = two(seed)
    found = delong(a[:, 0], b[:, 0], truth[:, 0])
    areas, error = by_all_pairs(a[:, 0], b[:, 0], truth[:, 0])
    assert (found.first, found.second) == pytest.approx(tuple(areas), abs=1e-12)
    assert found.error == pytest.approx(error, abs=1e-12)
    z = (areas[1] - areas[0]) / error
    assert found.p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)))
    assert found.low == pytest.approx(found.difference - 1.959963984540054 * error)
    assert found.method == "DeLong 1988"


def test_delong_worked_by_hand():
    # positives 3 and 1 against negatives 2 and 0: first (1 + 1/2)/2; second orders all rightly
    truth = np.array([1, 1, 0, 0], np.int8)
    found = delong(np.array([3.0, 1, 2, 0]), np.array([3.0, 2, 1, 0]), truth)
    assert (found.first, found.second, found.difference) == (0.75, 1.0, 0.25)
    # placements of the differences: 0 and 1/2 on both sides: variance 1/8 each, over 2 images each
    assert found.error == pytest.approx(math.sqrt(1 / 16 + 1 / 16))


def test_exclusions_play_no_part():
    (a, b), truth = two()
    some = truth[:, 0].copy()
    some[::5] = -1
    known = some >= 0
    whole, part = (
        delong(a[:, 0], b[:, 0], some, [str(i // 2) for i in range(120)]),
        delong(a[known, 0], b[known, 0], some[known], [str(i // 2) for i in np.flatnonzero(known)]),
    )
    assert whole == part


def test_an_image_stored_twice_for_a_patient_adds_nothing():
    (a, b), truth = two()
    once = delong(a[:, 0], b[:, 0], truth[:, 0])
    owners = [str(i) for i in range(120)] * 2
    twice = delong(np.tile(a[:, 0], 2), np.tile(b[:, 0], 2), np.tile(truth[:, 0], 2), owners)
    assert twice.method == "Obuchowski 1997"
    assert twice.error == pytest.approx(once.error, abs=1e-12)
    naive = delong(np.tile(a[:, 0], 2), np.tile(b[:, 0], 2), np.tile(truth[:, 0], 2))
    assert naive.error < once.error * 0.8


def obuchowski(a, b, truth, owners):
    """The sums of the paper, patient by patient."""
    rows, columns = [], []
    for scores in (a, b):
        high, low = scores[truth == 1][:, None], scores[truth == 0][None]
        kernel = (high > low) + 0.5 * (high == low)
        rows.append(kernel.mean(axis=1) - kernel.mean())
        columns.append(kernel.mean(axis=0) - kernel.mean())
    v10, v01 = rows[1] - rows[0], columns[1] - columns[0]
    m, n = len(v10), len(v01)
    ill, well, names = owners[truth == 1], owners[truth == 0], sorted(set(owners))
    i10, i01, i = len(set(ill)), len(set(well)), len(names)
    sums = [(v10[ill == name].sum(), v01[well == name].sum()) for name in names]
    s10 = i10 / ((i10 - 1) * m) * sum(x * x for x, _ in sums)
    s01 = i01 / ((i01 - 1) * n) * sum(y * y for _, y in sums)
    s11 = i / (i - 1) * sum(x * y for x, y in sums)
    return math.sqrt(s10 / m + s01 / n + 2 * s11 / (m * n))


@pytest.mark.parametrize("seed", range(3))
def test_patients_with_several_images_are_clusters(seed):
    (a, b), truth = two(seed)
    owners = np.array([f"p{i}" for i in np.random.default_rng(seed).integers(0, 50, 120)])
    found = delong(a[:, 0], b[:, 0], truth[:, 0], owners)
    expected = obuchowski(a[:, 0], b[:, 0], truth[:, 0], owners)
    assert found.error == pytest.approx(expected, abs=1e-12)


def test_what_does_not_vary_has_no_p():
    truth = np.array([1, 1, 0, 0], np.int8)
    same = delong(np.array([3.0, 1, 2, 0]), np.array([3.0, 1, 2, 0]), truth)
    assert (same.difference, same.error, same.p) == (0.0, 0.0, None)
    single = delong(np.array([3.0, 2, 1]), np.array([1.0, 2, 3]), np.array([1, 0, 0], np.int8))
    assert (single.difference, single.error, single.low, single.p) == (-1.0, None, None, None)
    with pytest.raises(DataError, match="2 positives and 0 negatives"):
        delong(np.array([1.0, 2]), np.array([1.0, 2]), np.array([1, 1], np.int8))


def test_both_models_are_measured_on_the_same_resamples():
    (a, b), truth = two()
    groups = [str(i // 3) for i in range(120)]
    common = {"groups": groups, "intervals": Intervals(80, seed=4), "average": ("A", "B")}
    cuts = {"A": 0.5, "B": 0.6}
    found = paired(Side(a, cuts), Side(b, cuts), truth, ("A", "B"), **common)
    one = measure(a, truth, ("A", "B"), thresholds=cuts, **common)
    other = measure(b, truth, ("A", "B"), thresholds=cuts, **common)
    assert repr(found.first) == repr(one)
    assert repr(found.second) == repr(other)
    for name in ("auroc", "f1", "ece"):
        change = found.difference.macro[name]
        assert change.value == pytest.approx(other.macro[name].value - one.macro[name].value)
        draws = other.draws[name] - one.draws[name]
        assert (change.low, change.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert found.delong["A"] == delong(a[:, 0], b[:, 0], truth[:, 0], groups)
    assert found.difference.labels[0].threshold is None


def test_a_model_does_not_differ_from_itself():
    (a, _), truth = two()
    common = {"groups": [str(i) for i in range(120)], "intervals": Intervals(20), "average": ("A",)}
    found = paired(Side(a), Side(a), truth, ("A", "B"), **common)
    change = found.difference.macro["auroc"]
    assert (change.value, change.low, change.high) == (0.0, 0.0, 0.0)


def test_a_measure_that_one_model_lacks_is_measured_for_neither():
    (a, b), truth = two()
    common = {"groups": [str(i) for i in range(120)], "intervals": Intervals(0), "average": "AB"}
    found = paired(
        Side(a, {"A": 0.5, "B": 0.5}), Side(b * 9, {"A": 3.0}, False), truth, ("A", "B"), **common
    )
    assert found.first.averaged["f1"] == found.second.averaged["f1"] == ("A",)
    assert found.first.macro["brier"].value is None
    assert found.difference.macro["auroc"].value is not None


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, 0.06, 0.06]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
