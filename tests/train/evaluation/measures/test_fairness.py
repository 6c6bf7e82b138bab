"""Groups: the measures of their images alone, gaps with intervals, small groups, rates."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.measures import point
from cxr_vlp.train.evaluation.measures.fairness import MEAN, UNKNOWN, age_band, by_group
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights

CUTS = {"A": 0.5, "B": 0.5}


def people(images=240, seed=0):
    rng = np.random.default_rng(seed)
    sex = np.where(rng.random(images) < 0.5, "F", "M")
    truth = (rng.random((images, 2)) < 0.3).astype(np.int8)
    noise = np.where(sex == "F", 0.3, 2.0)[:, None]
    return (
        sex.tolist(),
        1 / (1 + np.exp(-(2 * truth - 1 + noise * rng.normal(size=truth.shape)))),
        truth,
    )


def grouped(attributes, scores, truth, names=("A", "B"), **more):
    given = {
        "groups": [str(i) for i in range(len(scores))],
        "intervals": Intervals(0),
        "average": names,
        "thresholds": CUTS,
    } | more
    return by_group(attributes, scores, truth, names, **given)


def gap(found, label, measure, attribute="sex"):
    (row,) = (
        g for g in found.gaps if (g.attribute, g.label, g.measure) == (attribute, label, measure)
    )
    return row


def test_a_group_is_measured_on_its_own_images():
    sex, scores, truth = people()
    found = grouped({"sex": sex}, scores, truth)
    assert [group.group for group in found.groups] == ["F", "M"]
    values = {}
    for group in found.groups:
        mine = np.array(sex) == group.group
        assert group.images == mine.sum()
        for i, label in enumerate(group.measured.labels):
            expected = point.auroc(scores[mine, i], truth[mine, i])
            assert label.values["auroc"].value == expected
            assert label.values["mcc"].value == point.mcc(scores[mine, i], truth[mine, i], 0.5)
            values[group.group, i] = expected
    row = gap(found, "A", "auroc")
    assert (row.lowest, row.highest) == ("M", "F")
    assert row.gap.value == values["F", 0] - values["M", 0] > 0.1
    mean = gap(found, MEAN, "auroc").gap.value
    assert mean == pytest.approx(np.mean([values["F", i] - values["M", i] for i in (0, 1)]))


def test_a_gap_has_the_interval_of_the_difference_and_can_hold_0():
    sex, scores, truth = people()
    owners = [str(i // 2) for i in range(240)]  # a patient may be in both groups
    intervals = Intervals(60, seed=1)
    found = grouped({"sex": sex}, scores, truth, groups=owners, intervals=intervals)
    draws = []
    for weights in np.concatenate(list(bootstrap_weights(owners, intervals))):
        each = []
        for name in ("F", "M"):
            mine = np.array(sex) == name
            each.append(point.auroc(scores[mine, 0], truth[mine, 0], weights[mine]))
        draws.append(each[0] - each[1])
    row = gap(found, "A", "auroc").gap
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    random = np.random.default_rng(3).permutation(sex).tolist()
    none = gap(grouped({"sex": random}, scores, truth, intervals=Intervals(200)), "A", "auroc").gap
    assert none.low < 0 < none.value


def test_a_small_group_is_listed_and_in_no_gap():
    sex, scores, truth = people()
    sex[:3] = ["X"] * 3
    truth[:3] = [[1, 0], [0, 0], [0, 0]]
    found = grouped({"sex": sex}, scores, truth, least=2)
    small = found.groups[-1]
    assert (small.group, small.images, small.patients) == ("X", 3, 3)
    assert small.why == "too few positives or negatives: 0 of 2 labels can be measured"
    assert small.measured.macro["auroc"].value is None
    assert small.rates["underdiagnosis"].value is None
    assert all("X" not in (g.lowest, g.highest) for g in found.gaps)
    assert gap(found, MEAN, "auroc").gap.value is not None


def test_means_of_groups_are_over_the_labels_that_all_have():
    sex, scores, truth = people()
    truth[np.array(sex) == "M", 1] = 0  # half of the labels: the group is measured
    found = grouped({"sex": sex}, scores, truth)
    assert [group.measured.macro_of for group in found.groups] == [("A",), ("A",)]
    assert gap(found, MEAN, "auroc").gap.value == gap(found, "A", "auroc").gap.value
    assert not [g for g in found.gaps if g.label == "B"]


def test_unknown_groups_are_measured_but_in_no_gap():
    sex, scores, truth = people()
    members = ["" if i % 2 else name for i, name in enumerate(sex)]
    found = grouped({"sex": members}, scores, truth)
    assert [group.group for group in found.groups] == ["F", "M", UNKNOWN]
    assert found.groups[-1].why == ""
    assert all(UNKNOWN not in (g.lowest, g.highest) for g in found.gaps)
    only = grouped({"sex": ["F"] * 240}, scores, truth)
    assert (len(only.groups), only.gaps) == (1, ())


def test_underdiagnosis_by_hand():
    truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [0, 0], [0, -1]], np.int8)
    scores = np.array([[0.9, 0.1], [0.4, 0.4], [0.1, 0.7], [0.2, 0.6], [0.1, 0.2], [0.9, 0.9]])
    both = grouped({"view": ["frontal"] * 6}, scores, truth).groups[0]
    # 3 images with a finding, the second one is called free; of 2 without one, one is called
    assert both.rates["underdiagnosis"].value == pytest.approx(1 / 3)
    assert both.rates["overdiagnosis"].value == pytest.approx(1 / 2)
    assert (both.sick, both.healthy, both.undecided) == (3, 2, 1)
    without = grouped({"view": ["frontal"] * 6}, scores, truth, thresholds=None).groups[0]
    assert without.rates["underdiagnosis"].value is None


def test_rates_have_a_gap_too():
    sex, scores, truth = people()
    row = gap(grouped({"sex": sex}, scores, truth, intervals=Intervals(50)), "", "underdiagnosis")
    assert (row.highest, row.gap.resamples) == ("M", 50)


@pytest.mark.parametrize(
    ("age", "band"),
    [(0, "0-17"), (17, "0-17"), (18, "18-39"), (59, "40-59"), (60, "60-79"),
     (79, "60-79"), (80, "80+"), (91, "80+"),
     (None, UNKNOWN), (-1, UNKNOWN)],
)  # fmt: skip
def test_age_bands(age, band):
    assert age_band(age) == band


def test_members_that_do_not_fit_are_refused():
    _, scores, truth = people()
    with pytest.raises(DataError, match="1 values of sex are given for 240 images"):
        grouped({"sex": ["F"]}, scores, truth)
