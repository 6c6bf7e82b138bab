"""Tables of measures: intervals by patient, what is not measured, strata, means of collections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.measures.column import MEASURES, Rules
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights
from cxr_vlp.train.evaluation.measures.table import macro_draws, mean_of, measure

NONE = Intervals(0)
CUT = {"A": 0.5, "B": 0.4}


def many(seed: int = 0, images: int = 200):
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, 2)) < 0.3).astype(np.int8)
    return 1 / (1 + np.exp(-(truth + rng.normal(size=(images, 2))))), truth


def measured(scores, truth, names=("A", "B"), groups=None, intervals=NONE, **more):
    groups = [str(i) for i in range(len(scores))] if groups is None else groups
    given = {"average": names, "thresholds": None} | more
    return measure(scores, truth, names, groups=groups, intervals=intervals, **given)


def sensitivity(truth, scores):
    alarms, hits, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    return hits[1 - alarms >= 0.9 - 1e-12].max()


def theirs(truth, scores, cut):
    called = (scores >= cut).astype(int)
    return {
        "auroc": metrics.roc_auc_score(truth, scores),
        "auprc": metrics.average_precision_score(truth, scores),
        "f1": metrics.f1_score(truth, called),
        "mcc": metrics.matthews_corrcoef(truth, called),
        "accuracy": metrics.accuracy_score(truth, called),
        "sensitivity": sensitivity(truth, scores),
        "brier": metrics.brier_score_loss(truth, scores),
    }


def test_intervals_of_all_measures_are_the_plain_bootstrap_over_patients():
    scores, truth = many()
    groups = [f"p{i // 4}" for i in range(len(scores))]
    intervals = Intervals(60, seed=3)
    found = measured(scores, truth, groups=groups, intervals=intervals, thresholds=CUT)
    names = sorted(set(groups))
    members = {name: [i for i, g in enumerate(groups) if g == name] for name in names}
    values = []
    for draw in np.random.default_rng(3).integers(0, 50, (60, 50)):
        rows = [i for place in draw for i in members[names[place]]]
        values.append(
            [theirs(truth[rows, k], scores[rows, k], cut) for k, cut in enumerate(CUT.values())]
        )
    for name in theirs(truth[:, 0], scores[:, 0], 0.5):
        table = np.array([[row[name] for row in resample] for resample in values])
        for k, row in enumerate(found.labels):
            got = row.values[name]
            assert (got.low, got.high) == pytest.approx(tuple(interval(table[:, k]))), name
            assert got.resamples == 60
        macro = found.macro[name]
        assert (macro.low, macro.high) == pytest.approx(tuple(interval(table.mean(axis=1))))


def interval(values):
    return np.quantile(values, [0.025, 0.975])


def test_what_cannot_be_measured_says_why_and_is_not_in_the_mean():
    scores = np.array([[0.1, 0.5, 0.9], [0.9, 0.5, 0.1]])
    truth = np.array([[0, 0, 1], [1, 0, 0]], np.int8)
    found = measured(scores, truth, ("A", "B", "C"), average=("A", "B"))
    assert found.unmeasured == ("B",)
    assert (found.macro["auroc"].value, found.macro_of) == (1.0, ("A",))
    assert [row.label for row in found.labels] == ["A", "B", "C"]
    assert [row.why for row in found.labels] == ["", "0 positives, fewer than 1", ""]
    assert all(found.labels[1].values[name].value is None for name in MEASURES)
    empty = measured(scores[:, :1], truth[:, 1:2], ("B",))
    assert empty.macro["auroc"].value is None


@pytest.mark.parametrize(("least", "why"), [(1, ""), (2, "1 positives, fewer than 2")])
def test_a_label_with_too_few_positives_is_listed_not_measured(least, why):
    scores, truth = np.array([[0.9], [0.1], [0.5]]), np.array([[1], [0], [0]], np.int8)
    found = measured(scores, truth, ("A",), least=least)
    assert found.labels[0].why == why
    assert (found.labels[0].positives, found.labels[0].negatives) == (1, 2)


def test_a_label_without_a_threshold_has_no_f1_and_the_mean_says_so():
    scores, truth = many()
    found = measured(scores, truth, thresholds={"B": 0.4})
    assert found.labels[0].values["f1"].value is None
    assert found.labels[0].values["auroc"].value is not None
    assert found.averaged["f1"] == ("B",)
    assert found.averaged["auroc"] == found.macro_of == ("A", "B")
    assert found.macro["f1"].value == found.labels[1].values["f1"].value
    without = measured(scores, truth)
    assert without.macro["mcc"].value is None
    assert without.averaged["mcc"] == ()


def test_scores_of_another_scale_have_no_calibration():
    scores, truth = many()
    logits = scores * 20 - 10
    found = measured(
        logits, truth, rules=Rules(probabilities=False), thresholds={"A": 0.0, "B": 0.0}
    )
    assert (found.macro["brier"].value, found.macro["ece"].value) == (None, None)
    assert found.macro["auroc"].value == measured(scores, truth).macro["auroc"].value
    with pytest.raises(DataError, match=r"outside 0\.\.1 .*A: \d+ of 200 images, B: "):
        measured(logits, truth)


def test_resamples_without_a_class_are_left_out_and_counted():
    scores, truth = many(images=40)
    truth[:, 0] = 0
    truth[0, 0] = 1  # in about 63 % of the resamples
    groups, intervals = [str(i) for i in range(40)], Intervals(300)
    found = measured(scores, truth, groups=groups, intervals=intervals, thresholds=CUT)
    weights = np.concatenate(list(bootstrap_weights(groups, intervals)))
    used = int((weights[:, 0] > 0).sum())
    assert 0 < used < 300
    for name in MEASURES:
        assert found.labels[0].values[name].resamples == used
        assert found.labels[1].values[name].resamples == 300
        # the mean is of both labels in every resample that counts
        assert found.macro[name].resamples == used
        assert (np.isnan(found.draws[name]) == (weights[:, 0] == 0)).all()


def test_a_mean_without_enough_complete_resamples_keeps_the_value_of_what_is_missing():
    points = np.array([0.9, 0.5])
    draws = np.full((100, 2), np.nan)
    draws[:, 1] = 0.7
    draws[:5, 0] = 0.8
    complete = macro_draws(points, draws)  # 5 of 100: just enough
    assert complete[:5] == pytest.approx(0.75)
    assert np.isnan(complete[5:]).all()
    draws[4, 0] = np.nan
    filled = macro_draws(points, draws)
    assert filled[:4] == pytest.approx(0.75)
    assert filled[4:] == pytest.approx(0.8)
    assert np.isnan(macro_draws(points, np.full((9, 2), np.nan))).all()


def test_the_same_seed_gives_the_same_bytes():
    scores, truth = many()
    one, same, other = (measured(scores, truth, intervals=Intervals(50, seed=s)) for s in (1, 1, 2))
    assert repr(one) == repr(same)
    assert one.macro["auroc"].low != other.macro["auroc"].low


def test_strata_compare_pairs_of_one_collection_only():
    # inside each collection the order is perfect; between them the scores lie apart
    scores = np.array([[0.1], [0.2], [0.8], [0.9]])
    truth = np.array([[0], [1], [0], [1]], np.int8)
    strata = ["x", "x", "y", "y"]
    apart = measured(scores, truth, ("A",), strata=strata, intervals=Intervals(50))
    mixed = measured(scores, truth, ("A",))
    assert apart.macro["auroc"].value == apart.labels[0].values["auroc"].low == 1.0
    assert mixed.macro["auroc"].value == 0.75
    # the other measures take all images as one set
    assert apart.macro["auprc"].value == mixed.macro["auprc"].value < 1


def test_a_stratum_without_a_pair_says_nothing():
    scores, truth = np.array([[0.9], [0.1], [0.5]]), np.array([[0], [1], [1]], np.int8)
    found = measured(scores, truth, ("A",), strata=["x", "x", "y"])
    assert found.macro["auroc"].value == 0.0
    assert (found.labels[0].positives, found.labels[0].negatives) == (2, 1)
    apart = measured(scores, truth, ("A",), strata=["x", "y", "y"])
    assert apart.labels[0].why == "no collection has both positives and negatives"


def test_the_headline_counts_every_collection_the_same():
    large, small = many(0, 400), many(1, 40)
    parts = {
        name: measured(*each, intervals=Intervals(100), thresholds=CUT)
        for name, each in (("large", large), ("small", small))
    }
    found = mean_of(parts)
    assert found.macro_of == ("large", "small")
    for name in MEASURES:
        values = [parts[p].macro[name].value for p in parts]
        assert found.macro[name].value == pytest.approx(np.mean(values))
        assert found.macro[name].low < found.macro[name].value < found.macro[name].high
    assert len(found.draws["auroc"]) == 100


def test_equal_collections_are_resampled_independently():
    one = measured(*many(0, 100), intervals=Intervals(1000))
    mean = mean_of({"a": one, "b": one}).draws["auroc"]
    assert np.std(mean) == pytest.approx(np.std(one.draws["auroc"]) / np.sqrt(2), rel=0.1)


def test_undefined_resamples_of_collections_meet_each_other():
    one = measured(*many(0, 100), intervals=Intervals(100))
    draws = one.draws["auroc"].copy()
    draws[:30] = np.nan
    other = replace(one, draws={**one.draws, "auroc": draws})
    more = draws.copy()
    more[30:50] = np.nan
    third = replace(one, draws={**one.draws, "auroc": more})
    found = mean_of({"a": one, "b": other, "c": third})
    assert found.macro["auroc"].resamples == 50
    assert found.macro["f1"].resamples == 0  # without thresholds
    assert found.macro["auprc"].resamples == 100


def test_a_collection_without_a_mean_is_named():
    good = measured(*many(), intervals=Intervals(10))
    bad = measured(np.full((3, 1), 0.5), np.ones((3, 1), np.int8), ("A",), intervals=Intervals(10))
    found = mean_of({"good": good, "bad": bad})
    assert (found.macro_of, found.unmeasured) == (("good",), ("bad",))
    assert found.macro["auroc"].value == good.macro["auroc"].value
    assert found.averaged["f1"] == ()
    nothing = mean_of({"bad": bad})
    assert (nothing.macro["auroc"].value, nothing.macro_of) == (None, ())
    with pytest.raises(ConfigError, match="different numbers of resamples"):
        mean_of({"good": good, "other": measured(*many())})


def test_a_collection_without_labels_has_no_mean():
    found = measured(np.empty((3, 0)), np.empty((3, 0), np.int8), (), intervals=Intervals(5))
    assert (found.labels, found.macro["auroc"].value) == ((), None)
    assert mean_of({"x": found}).unmeasured == ("x",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"groups": ["a"]}, "1 patients are given for 200 images"),
        ({"strata": ["a"]}, "1 strata are given for 200 images"),
        ({"names": ("A", "A")}, "named twice: A"),
        ({"names": ("A",)}, "a column for each of the 1 labels"),
        ({"thresholds": {"A": float("nan")}}, "thresholds must be finite numbers: A"),
        ({"rules": Rules(specificity=1.0)}, "above 0 and below 1"),
        ({"rules": Rules(bins=0)}, "give 1 or more"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    with pytest.raises((ConfigError, DataError), match=said):
        measured(*many(), **change)
