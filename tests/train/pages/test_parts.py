"""Charts, points of curves, tables, words and the choice of images, by hand."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from cxr_vlp.train.config.params import ReportParams
from cxr_vlp.train.evaluation.measures.paired import delong
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.pages import charts, label_means, points
from cxr_vlp.train.pages.charts import Series
from cxr_vlp.train.pages.site import differences, labels, overview, picks, tables, tasks, words
from cxr_vlp.train.pages.site.evaluations import read
from cxr_vlp.train.pages.site.page import Site


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
        {"group": "old", "auroc": "0.8", "auroc_low": "0.7", "auroc_high": "0.9", "images": "1200",
         "p": ""},
        {"group": "young", "auroc": "", "auroc_low": "", "auroc_high": "", "images": "3", "p": ""},
    ]  # fmt: skip
    found = tables.tidy(rows)
    assert found.head == (("group", False), ("AUROC", True), ("images", True))
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


def test_labels_that_differ_in_signs_or_case_have_pages_of_their_own():
    assert labels.page_of("Lung Opacity") == "label-lung-opacity.html"
    names = (
        "Nodule Mass",
        "Nodule/Mass",
        "Nodule-Mass",
        "nodule mass",
        "\u7d50\u7bc0",
        "\u816b\u7624",
    )
    assert len({labels.page_of(name) for name in names}) == len(names)


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


def test_an_image_of_a_collection_that_does_not_name_the_label_is_in_no_list(evaluations, tmp_path):
    copy = shutil.copytree(evaluations[0], tmp_path / "copy")
    table = pq.read_table(copy / "scores.parquet")
    other = pc.equal(table["collection"], "openi")
    for name in ("score:Cardiomegaly", "truth:Cardiomegaly"):
        place = table.column_names.index(name)
        column = pc.if_else(other, pa.scalar(None, table.schema.field(name).type), table[name])
        table = table.set_column(place, name, column)
    pq.write_table(table, copy / "scores.parquet")
    found = picks.of(read(copy), "Cardiomegaly")
    assert {each.collection for images in found.values() for each in images} == {"mimic"}
    scores = table["score:Cardiomegaly"].drop_null().to_pylist()
    assert [each.score for each in found["lowest"]] == sorted(scores)[: picks.COUNT]


def test_a_label_is_the_mean_of_its_collections_and_its_interval_is_resampled(evaluations):
    evaluated = read(evaluations[0])
    found = label_means.of(evaluated.finished, Intervals(200, "patient", 0))
    areas = []
    for collection in evaluated.finished.collections.values():
        at = collection.names.index("Cardiomegaly")
        known = collection.truth[:, at] >= 0
        areas.append(roc_auc_score(collection.truth[known, at], collection.scores[known, at]))
    assert len(areas) == 2
    mean = found["Cardiomegaly"]
    assert mean.value == pytest.approx(np.mean(areas), abs=1e-12)
    assert mean.low < mean.value < mean.high


def test_a_better_model_differs_and_a_model_not_from_itself(evaluations):
    worse, better = (read(folder) for folder in reversed(evaluations))
    (found,) = differences.of([worse, better])
    assert found.why == ""
    assert found.alone == 0
    assert found.headline.low > 0
    assert set(found.collections) == {"mimic", "openi"}
    (same,) = differences.of([better, better])
    assert (same.headline.value, same.headline.low, same.headline.high) == (0, 0, 0)


def test_each_label_has_its_difference_and_the_p_of_delongs_test(evaluations):
    first, second = (read(folder) for folder in evaluations)
    (found,) = differences.of([first, second])
    changes = {each.collection: each for each in found.labels["Cardiomegaly"]}
    assert set(changes) == {"mimic", "openi"}
    for name, change in changes.items():
        one, other = (each.finished.collections[name] for each in (first, second))
        at = one.names.index("Cardiomegaly")
        test = delong(one.scores[:, at], other.scores[:, at], one.truth[:, at], one.patients)
        assert change.p == test.p
        assert change.estimate.value == pytest.approx(test.difference, abs=1e-12)
        assert change.estimate.low < change.estimate.value < change.estimate.high
    assert words.p_value(0.0009999) == "< 0.001"
    assert words.p_value(0.001) == "0.001"
    assert words.p_value(None) == "–"


def test_what_cannot_be_compared_is_said_with_names_and_without_paths(evaluations, tmp_path):
    copy = shutil.copytree(evaluations[1], tmp_path / "other_truth")
    table = pq.read_table(copy / "scores.parquet")
    place = table.column_names.index("truth:Cardiomegaly")
    flipped = pc.subtract(pa.scalar(1, pa.int8()), pc.max_element_wise(table[place], 0))
    table = table.set_column(place, table.column_names[place], flipped.cast(pa.int8()))
    pq.write_table(table, copy / "scores.parquet")
    (found,) = differences.of([read(evaluations[0]), read(copy)])
    assert "different truths for the same images" in found.why
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["decided_by"]["split"] = "validate"
    (copy / "metrics.json").write_text(json.dumps(metrics))
    (found,) = differences.of([read(evaluations[0]), read(copy)])
    assert found.why.startswith("trial measured the split 'test', other_truth 'validate'")
    assert str(tmp_path) not in found.why


def task(file, folders, tmp_path):
    """Return what the page of tasks shows of a file in folders of evaluations."""
    found = []
    for place, text in enumerate(folders):
        folder = tmp_path / f"e{place}"
        folder.mkdir()
        (folder / file).write_text(text)
        decided = {"decided_by": {"models": []}}
        (folder / "metrics.json").write_text(json.dumps(decided))
        found.append(read(folder))
    site = Site(tmp_path, (), tuple(found), (), ReportParams())
    (page,) = tasks.pages(site)
    (only,) = page.content["tasks"]
    return only


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_negation_has_a_column_for_each_truth_and_labels_are_folded_away(tmp_path):
    head = "collection,label,kind,truth,images,value,low,high,chance\n"
    rows = (
        "mimic,Edema,long,absent,40,0.6,0.5,0.7,0.5\n"
        "mimic,Edema,long,present,1200,0.8,0.7,0.9,0.5\n"
        "mimic,macro,long,absent,,0.61,0.5,0.7,0.5\n"
        "mimic,macro,long,present,,0.81,0.7,0.9,0.5\n"
        "mean,macro,long,absent,,0.62,0.5,0.7,0.5\n"
        "mean,macro,long,present,,0.82,0.7,0.9,0.5\n"
    )
    found = task("negation.csv", [head + rows, head + rows], tmp_path)
    heading = [words for words, _ in found["table"].head]
    assert heading == ["evaluation", "collection", "statements", "without it", "with the finding"]
    assert texts(found["table"]) == [
        ["e0", "mean", "long", "0.620", "0.820"], ["e1", "mean", "long", "0.620", "0.820"],
        ["e0", "mimic", "long", "0.610", "0.810"], ["e1", "mimic", "long", "0.610", "0.810"],
    ]  # fmt: skip
    assert found["table"].rows[0][3].interval == "0.500–0.700"
    (part,) = found["parts"]
    assert part["collection"] == "mimic"
    assert part["table"].rows[0][5].notes == ("1,200 images",)


def test_gaps_name_their_groups_and_groups_that_are_not_measured_are_listed_once(tmp_path):
    head = (
        "collection,attribute,group,label,measure,value,low,high,images,patients,lowest,highest,"
        "why\n"
    )
    few = "too few positives"
    rows = (
        f"nih,sex,F,mean,auroc,,,,63,46,,,{few}\nnih,sex,F,mean,f1,,,,63,46,,,{few}\n"
        f"nih,sex,F,Edema,auroc,,,,63,46,,,{few}\n"
        "nih,sex,M,mean,auroc,0.8,0.7,0.9,57,36,,,\nnih,sex,M,,underdiagnosis,0.1,0,0.2,57,36,,,\n"
        "nih,sex,gap,mean,auroc,0.05,-0.1,0.2,,,F,M,\n"
    )
    found = task("fairness.csv", [head + rows], tmp_path)
    assert texts(found["table"]) == [
        ["nih", "sex", "M", "57", "36", "0.800", "0.100"],
        ["nih", "sex", "gap", "–", "–", "0.050", "–"],
    ]
    assert found["table"].rows[1][5].notes == ("F to M",)
    assert texts(found["unmeasured"]) == [["nih", "sex", "F", "63", "46", few]]
    assert found["parts"] == []


def test_shares_of_the_probe_are_percent(tmp_path):
    text = "collection,share,labels,auroc,auroc_low,auroc_high\nnih,0.01,5,0.7,0.6,0.8\n"
    found = task("probe.csv", [text], tmp_path)
    assert texts(found["table"]) == [["nih", "1 %", "5", "0.700"]]


def test_only_radiologists_are_points_beside_the_curve(evaluations, tmp_path):
    copy = shutil.copytree(evaluations[0], tmp_path / "read")
    (copy / "readers.csv").write_text(
        "collection,label,reader,sensitivity,false_positive_rate\n"
        "mimic,Cardiomegaly,reader 1,0.8,0.2\nmimic,Cardiomegaly,reader 2,,\n"
        "mimic,Cardiomegaly,model,0.9,0.1\nmimic,Cardiomegaly,mean reader,0.8,0.2\n"
        "mimic,Cardiomegaly,model - mean reader,0.1,-0.1\nopeni,Cardiomegaly,reader 1,0.5,0.5\n"
    )
    drawn = list(labels._readers(read(copy), "Cardiomegaly", "mimic"))
    assert drawn == [("reader 1", 0.2, 0.8)]
