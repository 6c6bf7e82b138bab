"""Radiologists beside the model: points by hand, the mean reader, the same images for both."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.measures.readers import DIFFERENCE, MEAN, MEAN_READER, MODEL, against
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights


def two_labels(images=150, seed=0):
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, 2)) < 0.35).astype(np.int8)
    scores = 1 / (1 + np.exp(-(2 * truth - 1 + rng.normal(size=truth.shape))))
    said = {f"R{k}": np.where(rng.random(truth.shape) < 0.8, truth, 1 - truth) for k in range(3)}
    return {k: v.astype(np.int8) for k, v in said.items()}, scores, truth


def compared(readers, scores, truth, **more):
    names = more.pop("names", ("A", "B"))
    given = {
        "groups": [str(i) for i in range(len(scores))],
        "intervals": Intervals(0),
        "average": names,
        "thresholds": dict.fromkeys(names, 0.5),
    } | more
    return against(readers, scores, truth, names, **given)


def value(found, label, reader, column):
    (row,) = (m for m in found.measures if (m.label, m.reader) == (label, reader))
    return row.values[column]


def test_a_reader_is_a_point_worked_by_hand():
    truth = np.array([[1], [1], [0], [0], [0]], np.int8)
    said = np.array([[1], [0], [1], [0], [0]], np.int8)  # 1 hit, 1 missed, 1 alarm, 2 passed
    scores = np.array([[0.9], [0.5], [0.4], [0.1], [0.2]])  # all right at 0.5
    found = compared({"R": said}, scores, truth, names=("A",))
    expected = {"sensitivity": 1 / 2, "false_positive_rate": 1 / 3, "f1": 1 / 2, "mcc": 1 / 6}
    for name, number in expected.items():
        assert value(found, "A", "R", name).value == pytest.approx(number)
    assert value(found, "A", MODEL, "f1").value == 1.0
    assert value(found, "A", DIFFERENCE, "mcc").value == pytest.approx(5 / 6)


def test_the_mean_reader_is_the_mean_of_the_readers_and_rows_tell_all():
    readers, scores, truth = two_labels()
    found = compared(readers, scores, truth)
    for i, label in enumerate("AB"):
        each = [metrics.matthews_corrcoef(truth[:, i], said[:, i]) for said in readers.values()]
        model = metrics.matthews_corrcoef(truth[:, i], scores[:, i] >= 0.5)
        assert value(found, label, MEAN_READER, "mcc").value == pytest.approx(np.mean(each))
        assert value(found, label, DIFFERENCE, "mcc").value == pytest.approx(model - np.mean(each))
    means = [value(found, label, "R1", "f1").value for label in "AB"]
    assert value(found, MEAN, "R1", "f1").value == pytest.approx(np.mean(means))
    rows = found.rows()
    assert len(rows) == 3 * 6  # two labels and their mean; three readers, model, mean, difference
    assert {row["reader"] for row in rows} == {*readers, MODEL, MEAN_READER, DIFFERENCE}
    assert len({tuple(row) for row in rows}) == 1


def test_the_difference_is_paired_on_resamples_of_patients():
    readers, scores, truth = two_labels()
    groups, intervals = [str(i // 3) for i in range(150)], Intervals(60, seed=2)
    found = compared(readers, scores, truth, groups=groups, intervals=intervals)
    draws = []
    for weights in np.concatenate(list(bootstrap_weights(groups, intervals))):
        rows = np.repeat(np.arange(150), weights.astype(int))
        called = scores[rows, 0] >= 0.5
        each = [metrics.f1_score(truth[rows, 0], said[rows, 0]) for said in readers.values()]
        draws.append(metrics.f1_score(truth[rows, 0], called) - np.mean(each))
    got = value(found, "A", DIFFERENCE, "f1")
    assert (got.low, got.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert got.resamples == 60


def test_images_that_a_reader_has_not_read_are_left_out_for_all():
    readers, scores, truth = two_labels()
    readers["R0"][:30, 0] = -1
    truth[30, 0] = -1
    found = compared(readers, scores, truth)
    assert [label.left_out for label in found.labels] == [30, 0]
    part = compared({k: v[31:] for k, v in readers.items()}, scores[31:], truth[31:])
    for who in ("R1", MODEL):
        assert value(found, "A", who, "f1").value == value(part, "A", who, "f1").value


def test_labels_that_cannot_be_compared_say_why():
    readers, scores, truth = two_labels()
    found = compared(readers, scores, truth, thresholds={"B": 0.5})
    assert [label.why for label in found.labels] == ["no threshold for the model", ""]
    assert found.of == ("B",)
    few = int(truth[:, 0].sum())
    assert compared(readers, scores, truth, least=few).labels[0].why == ""
    assert "fewer than" in compared(readers, scores, truth, least=few + 1).labels[0].why


def test_readings_that_do_not_fit_are_refused():
    readers, scores, truth = two_labels()
    with pytest.raises(DataError, match=r"no label can be compared .*A: no threshold"):
        compared(readers, scores, truth, thresholds={})
    with pytest.raises(DataError, match="no reader"):
        compared({}, scores, truth)
    with pytest.raises(DataError, match="reader R0: readings"):
        compared({"R0": truth[:, :1]}, scores, truth)
    with pytest.raises(DataError, match="reader R0: readings"):
        compared({"R0": truth + 1}, scores, truth)
    with pytest.raises(DataError, match="no label can be compared"):
        compared({"R0": np.full_like(truth, -1)}, scores, truth)
