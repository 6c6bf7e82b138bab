"""AUROC is compared with scikit-learn; a label that cannot be measured stays in the list."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cxr_vlp.train.evaluation.metrics import Bootstrap, measure, targets

NONE = Bootstrap(0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([-1, 0, 1])), min_size=1, max_size=40))
def test_auroc_is_that_of_sklearn_ties_and_exclusions_included(pairs):
    scores = np.array([[s] for s, _ in pairs], float)
    truth = np.array([[t] for _, t in pairs], np.int8)
    row = measure(scores, truth, ["Edema"], [""] * len(pairs), NONE, ["Edema"]).labels[0]
    known = truth[:, 0] >= 0
    assert (row.positives, row.negatives) == ((truth == 1).sum(), (truth == 0).sum())
    if row.positives and row.negatives:
        assert row.auroc == pytest.approx(roc_auc_score(truth[known, 0], scores[known, 0]))
    else:
        assert row.auroc is None


def test_what_cannot_be_measured_is_listed_and_not_in_the_mean():
    scores = np.array([[0.1, 0.5, 0.9], [0.9, 0.5, 0.1]])
    truth = np.array([[0, 0, 1], [1, 0, 0]], np.int8)
    found = measure(scores, truth, ["A", "B", "C"], ["x", "y"], NONE, ["A", "B"])
    assert found.unmeasured == ("B",)
    assert (found.macro, found.macro_of) == (1.0, ("A",))
    assert [row.label for row in found.labels] == ["A", "B", "C"]
    empty = measure(scores[:, :1], truth[:, 1:2], ["B"], ["x", "y"], NONE, ["B"])
    assert (empty.macro, empty.low, empty.high) == (None, None, None)


def many(seed: int = 0, images: int = 200):
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, 2)) < 0.3).astype(np.int8)
    return truth * 0.8 + rng.normal(size=(images, 2)), truth


def test_an_interval_is_the_plain_bootstrap_over_patients():
    scores, truth = many()
    groups = [f"p{i // 4}" for i in range(len(scores))]
    found = measure(scores, truth, ["A", "B"], groups, Bootstrap(120, 3), ["A", "B"])
    names = sorted(set(groups))
    rng = np.random.default_rng(3)
    draws = np.concatenate([rng.integers(0, 50, (n, 50)) for n in (50, 50, 20)])
    members = {name: [i for i, g in enumerate(groups) if g == name] for name in names}
    values = []
    for draw in draws:
        rows = [i for place in draw for i in members[names[place]]]
        values.append([roc_auc_score(truth[rows, k], scores[rows, k]) for k in range(2)])
    expected = np.quantile(values, [0.025, 0.975], axis=0)
    for k, row in enumerate(found.labels):
        assert (row.low, row.high) == pytest.approx(tuple(expected[:, k]))
    macro = np.quantile(np.mean(values, axis=1), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(macro))


def test_intervals_repeat_with_the_seed_and_hold_the_value():
    scores, truth = many()
    groups = [str(i) for i in range(len(scores))]
    one, same, other = (
        measure(scores, truth, ["A", "B"], groups, Bootstrap(100, seed), ["A"])
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one.labels[0].low != other.labels[0].low
    assert one.labels[0].low < one.labels[0].auroc < one.labels[0].high


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


def test_only_images_of_a_stratum_are_compared():
    # inside each collection the order is perfect; between them the scores lie apart
    scores = np.array([[0.1], [0.2], [0.8], [0.9]])
    truth = np.array([[0], [1], [0], [1]], np.int8)
    owners, strata = ["a", "b", "c", "d"], ["x", "x", "y", "y"]
    apart = measure(scores, truth, ["A"], owners, Bootstrap(50, 0), ["A"], strata=strata)
    mixed = measure(scores, truth, ["A"], owners, NONE, ["A"])
    assert (apart.macro, mixed.macro) == (1.0, 0.75)
    assert apart.labels[0].low == 1.0


def test_a_stratum_without_a_pair_says_nothing():
    scores = np.array([[0.9], [0.1], [0.5]])
    truth = np.array([[0], [1], [1]], np.int8)
    found = measure(scores, truth, ["A"], ["a"] * 3, NONE, ["A"], strata=["x", "x", "y"])
    assert found.macro == 0.0
    assert (found.labels[0].positives, found.labels[0].negatives) == (2, 1)


def test_a_label_with_too_few_positives_is_listed_not_measured():
    scores = np.array([[0.9], [0.1], [0.5]])
    truth = np.array([[1], [0], [0]], np.int8)
    found = measure(scores, truth, ["A"], ["a", "b", "c"], NONE, ["A"], least=2)
    assert (found.macro, found.unmeasured) == (None, ("A",))
