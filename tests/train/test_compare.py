"""`compare`: joined by key, refused where truths or policies differ, differences with intervals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_vlp.train import compare, evaluate
from cxr_vlp.train.evaluation.measures.paired import delong, holm

LABELS = ("Edema", "Fracture", "No Finding")
PROTOCOL = {
    "uncertain": "exclude", "uncertain_of": {}, "unmentioned": "negative", "unit": "image",
    "average": [], "no_finding": "apart", "min_positives": 1, "bins": 15,
    "thresholds": {"by": "mcc", "specificity": 0.9},
}  # fmt: skip


def rows(images=60, seed=0, collection="mimic"):
    """Return the columns of scores.parquet of one collection; patients have two images each."""
    rng = np.random.default_rng(7)  # the truth is the same for all models
    truth = (rng.random((images, 3)) < 0.4).astype(int)
    noise = np.random.default_rng(seed).normal(size=(images, 3))
    scores = 1 / (1 + np.exp(-(truth + noise)))
    columns = {
        "key": [f"{collection}-{i:03}" for i in range(images)],
        "collection": [collection] * images,
        "patient": [f"{collection}/p{i // 2}" for i in range(images)],
    }
    for place, label in enumerate(LABELS):
        columns[f"score:{label}"] = scores[:, place].tolist()
        columns[f"truth:{label}"] = truth[:, place].tolist()
    columns["no_finding:direct"] = scores[:, 0].tolist()
    return columns


def write(folder: Path, *parts: dict, protocol=None, names=None, split="test", **decided) -> str:
    """Write an evaluation as `cxr-vlp evaluate` does; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: [v for part in parts for v in part[name]] for name in parts[0]}
    pq.write_table(pa.table(columns), folder / "scores.parquet")
    label = {"threshold": 0.5, "brier": {"value": 0.2}}
    metrics = {
        "collections": {
            name: {"labels": dict.fromkeys(LABELS, label), "no_finding": {"direct": label}}
            for name in names or dict.fromkeys(columns["collection"])
        },
        "decided_by": {
            "protocol": PROTOCOL | (protocol or {}), "split": split,
            "intervals": {"resamples": 40, "by": "patient", "seed": 1},
        } | decided,
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return str(folder)


@pytest.fixture
def folders(tmp_path):
    return write(tmp_path / "a", rows()), write(tmp_path / "b", rows(seed=1))


def read(out: Path):
    with (out / "compare.csv").open() as file:
        return list(csv.DictReader(file))


def row(found, label, collection="mimic", measure="auroc", model=None):
    (one,) = (
        r for r in found
        if (r["label"], r["collection"], r["measure"]) == (label, collection, measure)
        and model in (None, r["model"])
    )  # fmt: skip
    return one


def test_differences_with_intervals_and_tests(folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare.main([*folders, "--out", str(out)]) == 0
    found = read(out)
    first, second = rows(), rows(seed=1)
    p = {}
    for label in LABELS:
        given = [np.array(each[f"score:{label}"]) for each in (first, second)]
        test = delong(*given, np.array(first[f"truth:{label}"], np.int8), first["patient"])
        one = row(found, label)
        assert float(one["difference"]) == pytest.approx(test.difference)
        assert float(one["first"]) + float(one["difference"]) == pytest.approx(float(one["second"]))
        assert float(one["low"]) < float(one["difference"]) < float(one["high"])
        assert (float(one["p"]), one["test"]) == (pytest.approx(test.p), "Obuchowski 1997")
        p[label] = test.p
    adjusted = dict(zip(p, holm(list(p.values())), strict=True))
    assert float(row(found, "Edema")["p_holm"]) == pytest.approx(adjusted["Edema"])
    assert row(found, "No Finding (direct)")["p_holm"] == ""
    macro = row(found, "macro")
    mean = np.mean([float(row(found, label)["difference"]) for label in LABELS[:2]])
    assert float(macro["difference"]) == pytest.approx(mean)
    assert row(found, "macro", "mean")["difference"] == macro["difference"]
    printed = capsys.readouterr().out
    assert "Holm: over the labels of a collection" in printed
    content = json.loads((out / "compare.json").read_text())
    assert content["intervals"] == {"resamples": 40, "by": "patient", "seed": 1}
    assert content["models"][folders[1]]["collections"]["mimic"]["macro_of"] == list(LABELS[:2])


def test_images_are_joined_by_key_and_not_by_row(folders, tmp_path):
    shuffled = {}
    order = np.random.default_rng(0).permutation(60)
    for name, values in rows(seed=1).items():
        shuffled[name] = [values[i] for i in order]
    other = write(tmp_path / "shuffled", shuffled)
    for place, folder in enumerate((folders[1], other)):
        assert compare.main([folders[0], folder, "--out", str(tmp_path / f"out{place}")]) == 0
    one, two = read(tmp_path / "out0"), read(tmp_path / "out1")
    assert [{**r, "model": ""} for r in one] == [{**r, "model": ""} for r in two]


def test_the_same_bytes_each_time(folders, tmp_path):
    for name in ("one", "two"):
        assert compare.main([*folders, "--out", str(tmp_path / name)]) == 0
    for file in ("compare.csv", "compare.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_images_of_one_evaluation_only_are_counted_and_said(folders, tmp_path, capsys):
    part = {name: values[10:] for name, values in rows(seed=1).items()}
    other = write(tmp_path / "part", part)
    assert compare.main([folders[0], other, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "50 images are in both; 10 are in " in said
    assert f"0 in {other} only" in said
    facts = json.loads((tmp_path / "out/compare.json").read_text())["models"][other]
    assert facts["collections"]["mimic"]["only_first"] == 10


def test_a_collection_of_one_evaluation_only_is_named_and_in_no_mean(folders, tmp_path, capsys):
    both = write(tmp_path / "both", rows(seed=1), rows(seed=2, collection="nih"))
    assert compare.main([folders[0], both, "--out", str(tmp_path / "out")]) == 0
    assert "nih is not compared: in one evaluation only" in capsys.readouterr().err
    assert {r["collection"] for r in read(tmp_path / "out")} == {"mimic", "mean"}


def test_the_mean_is_over_collections(tmp_path):
    made = [
        write(tmp_path / str(k), rows(seed=k), rows(images=30, seed=k + 5, collection="nih"))
        for k in range(2)
    ]
    assert compare.main([*made, "--out", str(tmp_path / "out")]) == 0
    found = read(tmp_path / "out")
    each = [float(row(found, "macro", name)["difference"]) for name in ("mimic", "nih")]
    assert float(row(found, "macro", "mean")["difference"]) == pytest.approx(np.mean(each))


def test_several_models_are_each_compared_with_the_first(folders, tmp_path):
    third = write(tmp_path / "c", rows(seed=2))
    words = [*folders, third, "--measure", "auroc", "f1", "brier", "--out", str(tmp_path / "out")]
    assert compare.main(words) == 0
    found = read(tmp_path / "out")
    assert {r["model"] for r in found} == {folders[1], third}
    assert {r["measure"] for r in found} == {"auroc", "f1", "brier"}
    assert row(found, "Edema", measure="f1", model=third)["p"] == ""
    starts = {row(found, "Edema", model=model)["first"] for model in (folders[1], third)}
    assert len(starts) == 1


@pytest.mark.parametrize(
    ("change", "said", "code"),
    [
        ({"protocol": {"uncertain": "positive"}}, "uncertain = exclude", 2),
        ({"protocol": {"uncertain_of": {"Edema": "positive"}}}, "uncertain_of", 2),
        ({"protocol": {"unmentioned": "exclude"}}, "unmentioned = negative", 2),
        ({"protocol": {"unit": "study"}}, "unit = image", 2),
        ({"protocol": {"of": {"mimic": {"unmentioned": "exclude"}}}}, "unmentioned", 2),
        ({"split": "validate"}, "evaluate both on one split", 2),
    ],
)
def test_other_policies_and_splits_are_refused(folders, tmp_path, capsys, change, said, code):
    other = write(tmp_path / "other", rows(seed=1), **change)
    assert compare.main([folders[0], other]) == code
    assert said in capsys.readouterr().err


def test_what_decides_no_truth_may_differ(folders, tmp_path):
    change = {"score": "sigmoid", "views": ["frontal"], "of": {"nih": {"unmentioned": "exclude"}}}
    other = write(tmp_path / "other", rows(seed=1), protocol=change)
    assert compare.main([folders[0], other]) == 0


@pytest.mark.parametrize(("measure", "code"), [("auroc", 0), ("sensitivity", 2)])
def test_the_specificity_must_be_one_where_it_matters(folders, tmp_path, measure, code):
    change = {"thresholds": {"by": "mcc", "specificity": 0.8}}
    other = write(tmp_path / "other", rows(seed=1), protocol=change)
    assert compare.main([folders[0], other, "--measure", measure]) == code


def spoiled(name, change):
    part = rows(seed=1)
    part[name] = [change(i, value) for i, value in enumerate(part[name])]
    return part


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (spoiled("truth:Edema", lambda i, v: 1 - v if i < 3 else v), "Edema: 3 of 60"),
        (spoiled("truth:Edema", lambda i, v: None if i < 2 else v), "Edema: 2 of 60"),
        (spoiled("patient", lambda i, v: "mimic/x" if i == 5 else v), "1 images belong to"),
        (spoiled("key", lambda i, v: f"other-{i}"), "nothing in common: mimic: no common image"),
        (spoiled("key", lambda i, v: "mimic-000" if i == 1 else v), "1 keys are there twice"),
        (spoiled("score:Edema", lambda i, v: float("nan") if i < 4 else v), "Edema: 4 of 60"),
        (spoiled("score:Edema", lambda i, v: None if i < 4 else v), "is empty for 4 images"),
    ],
)
def test_tables_that_do_not_fit_are_refused(folders, tmp_path, capsys, part, said):
    other = write(tmp_path / "other", part)
    assert compare.main([folders[0], other]) == 65
    heard = capsys.readouterr().err
    assert said in heard
    assert "mimic-0" not in heard
    assert "p5" not in heard


def test_folders_that_hold_no_evaluation_are_refused(folders, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert compare.main([folders[0], str(tmp_path / "empty")]) == 2
    assert "no metrics.json; give a folder that `cxr-vlp evaluate --out` wrote" in (
        capsys.readouterr().err
    )
    assert compare.main([folders[0]]) == 2
    assert compare.main([folders[0], folders[0]]) == 2
    assert compare.main([*folders, "--split", "validate"]) == 2
    assert compare.main([*folders, "--split", "test", "--resamples", "0"]) == 0
    old = tmp_path / "old"
    write(old, rows())
    (old / "metrics.json").write_text(json.dumps({"macro_auroc": 0.5}))
    assert compare.main([folders[0], str(old)]) == 2
    (old / "metrics.json").write_text("{")
    assert compare.main([folders[0], str(old)]) == 65


def test_what_evaluate_writes_is_what_compare_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("evaluate: {resamples: 30, min_positives: 5}\n")
    for name, seed in (("a", 0), ("b", 1)):
        parts = [rows(seed=seed), rows(images=40, seed=seed + 4, collection="nih")]
        columns = {key: parts[0][key] + parts[1][key] for key in parts[0] if "direct" not in key}
        pq.write_table(pa.table(columns), f"{name}.parquet")
        assert evaluate.main(["--scores", f"{name}.parquet", "--out", name]) == 0
    assert compare.main(["a", "b", "--measure", "auroc", "auprc", "brier", "--out", "out"]) == 0
    found = read(Path("out"))
    for side, name in (("first", "a"), ("second", "b")):
        metrics = json.loads(Path(name, "metrics.json").read_text())
        for measure in ("auroc", "auprc", "brier"):
            for collection, part in metrics["collections"].items():
                for label in LABELS[:2]:
                    value = part["labels"][label][measure]["value"]
                    assert float(row(found, label, collection, measure)[side]) == value
                macro = row(found, "macro", collection, measure)
                assert float(macro[side]) == part["macro"][measure]["value"]
            mean = row(found, "macro", "mean", measure)
            assert float(mean[side]) == metrics["headline"][measure]["value"]
    assert any(r["label"].startswith("No Finding (") for r in found)
