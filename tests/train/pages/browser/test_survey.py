"""What a set holds: counted by hand."""

from __future__ import annotations

import json
import shutil

import pytest

from cxr_vlp.train.config.params import ReportParams
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.pages.browser import set_page
from cxr_vlp.train.pages.browser.survey import age_band, extent, survey
from tests.train.pages.browser.made_site import make, record, write_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    box = {"label": "Edema", "x": 1, "y": 1, "w": 9, "h": 9, "layer": "ms"}
    report = "FINDINGS: Large left pleural effusion. The heart is normal in size."
    small = {"width": 64, "height": 72, "notes": ["view.unknown"]}
    records = [
        record("alpha", 0, report, sex="F", age=39, boxes=[box, box], labels={"Edema": 1}),
        record("alpha", 1, report, sex="M", age=40, labels={"Edema": -1}, patient="p"),
        record("alpha", 2, labels={"Edema": 0, "Mass": 1}, projection="PA", patient="p"),
        record("alpha", 3, labels={}, patient="p", pixels=small),
    ]
    return write_set(tmp_path_factory.mktemp("sets"), "alpha",
                     {"train": records[:3], "test": records[3:]})  # fmt: skip


@pytest.fixture(scope="module")
def found(folder):
    return survey(folder)


def test_splits(found):
    train, test = set_page.splits(found)
    assert train == {"name": "train", "images": 3, "studies": 3, "patients": 2}
    assert test == {"name": "test", "images": 1, "studies": 1, "patients": 1}
    assert set_page.shared_patients(found) == 1  # "p" is in both


def test_labels_with_those_that_are_not_mentioned(found):
    assert set_page.labels(found) == [
        {"name": "Edema", "positive": 1, "uncertain": 1, "negative": 1, "unmentioned": 1},
        {"name": "Mass", "positive": 1, "uncertain": 0, "negative": 0, "unmentioned": 3},
    ]


def test_people_views_reports_and_boxes(found):
    assert found.sexes == {"F": 1, "M": 1, "unknown": 2}
    assert found.ages == {"20-39": 1, "40-59": 1, "unknown": 2}
    assert found.views == {"frontal": 3, "lateral": 1}
    assert found.projections == {"PA": 1, "unknown": 3}
    assert (found.reports, found.statuses) == (2, {"abnormal": 2, "normal": 2})
    assert (found.boxed, found.boxes) == (1, {("Edema", "ms"): 2})
    assert found.notes == {"view.unknown": 1}
    assert (found.total, found.tars) == (4, 2)


@pytest.mark.parametrize(
    ("age", "band"), [(0, "0-19"), (19, "0-19"), (20, "20-39"), (100, "100-119"), (None, "unknown")]
)
def test_age_bands(age, band):
    assert age_band(age) == band


def test_extent_of_the_sides():
    shorter, longer = extent({(512, 700): 2, (600, 500): 1, (512, 512): 2})
    assert (tuple(shorter), tuple(longer)) == ((500, 512, 512), (512, 600, 700))


def test_the_flow_adds_up_and_keeps_the_codes():
    header = {"listed": 10, "written": 7, "dropped": {"scan a.b": 2, "texts report.missing": 1}}
    rows = set_page.flow(header)
    assert [(row["step"], row["code"], row["number"]) for row in rows] == [
        ("", "images listed", 10), ("scan", "a.b", 2), ("texts", "report.missing", 1),
        ("", "samples in shards", 7),
    ]  # fmt: skip


def test_examples_have_different_findings():
    examples = set_page.Examples()
    for n in range(40):
        name = "No Finding" if n < 36 else f"Finding {n}"
        examples.add({"study": f"s{n}", "labels": {name: 1, "Absent": 0}})
    names = [next(iter(row["labels"])) for row in examples.chosen()]
    assert len(names) == set_page.EXAMPLES
    assert {"Finding 36", "Finding 37", "Finding 38", "Finding 39"} <= set(names[:5])


def test_examples_are_of_different_studies():
    examples = set_page.Examples()
    for _ in range(3):
        examples.add({"study": "s", "labels": {}})
    assert len(examples.chosen()) == 1


def test_a_tar_with_another_number_of_samples_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "alpha")
    (copy / "train" / "sizes.json").write_text(json.dumps({"alpha-train-00000.tar": 4}))
    with pytest.raises(DataError, match=r"3 samples where sizes\.json promises 4"):
        survey(copy)


def test_a_set_without_samples_is_refused(tmp_path):
    folder = write_set(tmp_path, "alpha", {"train": []})
    with pytest.raises(DataError, match="holds no sample"):
        survey(folder)


def test_a_sample_of_another_format_is_refused_without_its_key(tmp_path):
    folder = write_set(tmp_path, "alpha", {"train": [record("alpha", 0, format=1)]})
    with pytest.raises(DataError, match=r"sample [0-9a-f]{16}: ") as refused:
        survey(folder)
    assert "s0000" not in str(refused.value)


def test_the_same_sets_give_the_same_bytes(folder, tmp_path):
    first, second = (make(tmp_path / name, [folder], samples=2) for name in ("a", "b"))
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_the_number_of_samples_is_kept_and_said(folder, tmp_path):
    out = make(tmp_path / "out", [folder], samples=2, linked=["alpha-s0000"])
    keys = {path.stem for path in (out / "samples/alpha/images").iterdir()}
    assert len(keys) in (2, 3)
    assert "alpha-s0000" in keys
    assert f"{len(keys)} of 4 samples" in (out / "reports.html").read_text()


def test_the_number_of_samples_is_not_negative():
    with pytest.raises(ValueError, match="samples"):
        ReportParams(samples=-1)
