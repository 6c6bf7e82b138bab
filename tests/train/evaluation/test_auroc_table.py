"""The public table of AUROCs: policies of the labels, No Finding apart, intervals by patient."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.auroc_table import measured, targets
from cxr_vlp.train.evaluation.measures.column import Rules
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.measures.table import measure


@pytest.mark.parametrize(
    ("uncertain", "unmentioned", "expected"),
    [
        ("exclude", "negative", [[1, 0], [-1, 0], [0, 1]]),
        ("positive", "negative", [[1, 0], [1, 0], [0, 1]]),
        ("negative", "exclude", [[1, -1], [0, -1], [0, 1]]),
    ],
)
def test_policies_of_the_labels(uncertain, unmentioned, expected):
    rows = [{"Edema": 1}, {"Edema": -1}, {"Edema": 0, "Fracture": 1}]
    made = targets(rows, ["Edema", "Fracture"], uncertain=uncertain, unmentioned=unmentioned)
    assert made.tolist() == expected


def test_the_table_is_that_of_all_measures_with_no_finding_apart():
    rng = np.random.default_rng(0)
    truth = (rng.random((80, 3)) < 0.4).astype(np.int8)
    truth[:, 1] = 0
    scores = truth + rng.normal(size=truth.shape)  # any finite numbers
    names, groups = ("Edema", "Mass", "No Finding"), [str(i // 2) for i in range(80)]
    found = measured(scores, truth, names, groups, Intervals(50, seed=3))
    whole = measure(
        scores, truth, names, groups=groups, intervals=Intervals(50, seed=3), average=names[:2],
        thresholds=None, rules=Rules(probabilities=False),
    )  # fmt: skip
    assert (found.macro_of, found.unmeasured) == (("Edema",), ("Mass",))
    assert found.macro == found.labels[0].auroc == whole.macro["auroc"].value
    assert (found.low, found.high) == (whole.macro["auroc"].low, whole.macro["auroc"].high)
    assert (found.labels[1].auroc, found.labels[1].negatives) == (None, 80)
    assert found.labels[2].auroc == whole.labels[2].values["auroc"].value


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(DataError, match="Edema: 1 of 2 images"):
        measured(
            np.array([[0.1], [np.inf]]), np.array([[0], [1]], np.int8), ["Edema"], ["a", "b"],
            Intervals(0),
        )  # fmt: skip
