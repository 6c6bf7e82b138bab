"""Charts, points of curves, tables, words and the choice of images, by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from cxr_vlp.train.pages import charts, points
from cxr_vlp.train.pages.charts import Series
from cxr_vlp.train.pages.site import differences, labels, overview, picks, tables, words
from cxr_vlp.train.pages.site.evaluations import read


def test_an_axis_has_round_ticks_around_the_values():
    assert charts.fitted("", [2.9, 4.3]).ticks == (2.5, 3.0, 3.5, 4.0, 4.5)
    assert charts.fitted("", [0, 900], zero=True).ticks == (0, 500, 1000)
    assert charts.fitted("", [7.0, 7.0]).low < 7 < charts.fitted("", [7.0, 7.0]).high


def test_a_chart_is_xml_and_hostile_names_are_escaped():
    name = '<script>"&'
    drawn = charts.lines(
        name, name, [Series(name, ((0, 0), (1, 1)))], charts.share(name), charts.share("y"),
        marks=[(name, 0.5, 0.5)],
    )  # fmt: skip
    root = ET.fromstring(str(drawn))
    assert root.find("title").text == name
    assert "<script>" not in drawn


def test_a_line_goes_through_its_points():
    series = [Series("a", ((0, 0), (0.5, 1), (1, 1)))]
    drawn = ET.fromstring(str(charts.lines("t", "d", series, charts.share("x"), charts.share("y"))))
    (path,) = (each for each in drawn.iter("path") if each.get("class").startswith("line"))
    # the plot is 34..292 across and 266..22 down
    assert path.get("d") == "M34 266L163 22L292 22"


def test_a_histogram_counts_shares_of_each_class():
    edges, positive, negative = points.shares(
        np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 1, 1, 1], np.int8)
    )
    assert (edges[0], edges[-1], len(edges)) == (0, 1, points.BARS + 1)
    assert (positive[0], positive[-1]) == (1 / 3, 2 / 3)
    assert (negative[0], negative[-1]) == (1, 0)
    assert len(points.shares(np.full(3, 0.5), np.array([0, 1, 1], np.int8))[0]) == points.BARS + 1


def test_a_band_of_unchanged_resamples_is_the_curve():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 80).astype(np.int8)
    scores = np.round(rng.normal(size=80) + truth, 1)  # with ties
    low, high = points.roc_band(scores, truth, [np.ones((3, 80))])
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    grid = np.array([x for x, _ in low])
    assert np.allclose([y for _, y in low], np.interp(grid, false, true))
    assert low == high


def test_a_resample_without_positives_is_left_out_of_the_band():
    scores, truth = np.array([0.9, 0.1]), np.array([1, 0], np.int8)
    weights = np.array([[1.0, 1.0], [0.0, 2.0]])
    assert points.roc_band(scores, truth, [weights]) == points.roc_band(
        scores, truth, [weights[:1]]
    )
    assert points.roc_band(scores, truth, [weights[1:]]) == ((), ())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), ("", "–"), ("0.12345", "0.123"), (-0.5, "−0.500"), (9.9999, "10.000"),
     (10, "10.0"), (0, "0.000")],
)  # fmt: skip
def test_a_number_in_a_cell(value, shown):
    assert words.number(value) == shown


def test_an_interval_below_zero_has_no_dash_beside_its_minus():
    assert words.interval(0.1, 0.2) == "0.100–0.200"
    assert words.interval(-0.1, 0.2) == "−0.100 to 0.200"
    assert words.interval("", 0.2) == words.interval(0.1, None) == ""


def test_a_measure_takes_its_interval_and_empty_columns_are_left_out():
    rows = [
        {"group": "old", "auroc": "0.8", "auroc_low": "0.7", "auroc_high": "0.9", "n": "1200",
         "p": ""},
        {"group": "young", "auroc": "", "auroc_low": "", "auroc_high": "", "n": "3", "p": ""},
    ]  # fmt: skip
    found = tables.tidy(rows)
    assert found.head == (("group", False), ("AUROC", True), ("n", True))
    assert [cell.text for cell in found.rows[0]] == ["old", "0.800", "1,200"]
    assert found.rows[0][1].interval == "0.700–0.900"
    assert found.rows[1][1] == tables.Cell("–", "", numeric=True)


def test_listed_images_minus_the_lost_ones_are_the_samples():
    headers = [
        {"listed": 10, "dropped": {"b": 3}, "written": 7},
        {"listed": 5, "dropped": {"a": 1}, "written": 4},
    ]
    assert overview.flow(headers) == [
        ("in", "images listed", [10, 5]),
        ("lost", "a", [0, 1]),
        ("lost", "b", [3, 0]),
        ("out", "samples in shards", [7, 4]),
    ]


def test_what_decided_the_numbers_is_flat():
    found = {"a": {"b": [1, 2], "none": None}, "m": [{"x": 1}], "two": [{"x": 1}, {"x": 2}]}
    assert overview.facts(found) == [
        ("a.b", "1, 2"), ("m.x", "1"), ("two.1.x", "1"), ("two.2.x", "2"),
    ]  # fmt: skip


def test_the_page_of_a_label_with_signs():
    assert labels.page_of("Nodule/Mass") == "label-nodule-mass.html"


def test_the_lists_of_images(evaluations):
    evaluated = read(evaluations[0])
    found = picks.of(evaluated, "Cardiomegaly")
    assert set(found) == {"highest", "lowest", "alarms", "misses"}
    scores, truth = evaluated.scored("Cardiomegaly")
    assert [each.score for each in found["highest"]] == sorted(scores, reverse=True)[: picks.COUNT]
    assert [each.score for each in found["lowest"]] == sorted(scores)[: picks.COUNT]
    assert {each.truth for each in found["alarms"]} == {0}
    assert {each.truth for each in found["misses"]} == {1}
    assert found["misses"][0].score == scores[truth == 1].min()
    assert picks.of(evaluated, "no such label") == {}
    linked = labels.linked([evaluated])
    assert {each.key for images in found.values() for each in images} <= linked


def test_a_better_model_differs_and_a_model_not_from_itself(evaluations):
    worse, better = (read(folder) for folder in reversed(evaluations))
    (found,) = differences.of([worse, better])
    assert found.why == ""
    assert found.alone == 0
    assert found.headline.low > 0
    assert set(found.collections) == {"mimic", "openi"}
    (same,) = differences.of([better, better])
    assert (same.headline.value, same.headline.low, same.headline.high) == (0, 0, 0)
