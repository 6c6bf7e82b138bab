"""The results of the command are compared with scikit-learn on known scores; its files."""

from __future__ import annotations

import csv
import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train import evaluate, fit
from cxr_vlp.train.config.params import EvaluateParams
from cxr_vlp.train.evaluation.results import ScoreTable, by_source
from cxr_vlp.train.evaluation.scoring import ScoredImages
from tests.train.conftest import FINDINGS, write_source

LABELS = ("Cardiomegaly", "Edema", "No Finding")


def scored(seed: int = 0, images: int = 80) -> ScoreTable:
    """Two sources; only the second one names Edema."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(images):
        sick = int(rng.random() < 0.4)
        row = {"Cardiomegaly": sick, "No Finding": 1 - sick}
        rows.append(row | ({"Edema": int(rng.random() < 0.5)} if i % 2 else {}))
    return ScoreTable(
        keys=tuple(f"{i:016x}" for i in range(images)),
        sources=tuple("b" if i % 2 else "a" for i in range(images)),
        patients=tuple(f"p{i // 3}" for i in range(images)),
        rows=tuple(rows),
        names=LABELS,
        scores=rng.random((images, 3)),
        direct=rng.random(images),
    )


def test_numbers_are_those_of_sklearn_per_source_and_pooled():
    made = scored()
    found = by_source(made, EvaluateParams(resamples=0))
    won, pairs = 0.0, 0
    for name in ("a", "b"):
        mine = [i for i, source in enumerate(made.sources) if name == source]
        truth = [made.rows[i]["Cardiomegaly"] for i in mine]
        expected = roc_auc_score(truth, made.scores[mine, 0])
        assert found[name]["auroc"]["Cardiomegaly"] == pytest.approx(expected)
        count = sum(truth) * (len(truth) - sum(truth))
        won, pairs = won + expected * count, pairs + count
    # together: the pairs inside each source, as images of two collections are not comparable
    assert found["all"]["auroc"]["Cardiomegaly"] == pytest.approx(won / pairs)
    odd = [i for i in range(80) if i % 2]
    edema = roc_auc_score([made.rows[i]["Edema"] for i in odd], made.scores[odd, 1])
    assert found["all"]["auroc"]["Edema"] == pytest.approx(edema)
    assert found["all"]["macro_auroc"] == pytest.approx(
        (edema + found["all"]["auroc"]["Cardiomegaly"]) / 2
    )


def test_a_source_is_not_measured_on_labels_that_it_never_names():
    found = by_source(scored(), EvaluateParams(resamples=0))
    assert "Edema" not in found["a"]["auroc"]
    assert "Edema" in found["b"]["auroc"]
    asked = by_source(scored(), EvaluateParams(labels=LABELS, resamples=0))
    assert asked["a"]["auroc"]["Edema"] is None
    assert asked["a"]["unmeasured"] == ["Edema"]


def test_a_source_without_labels_has_no_number_and_stops_nothing():
    made = scored()
    rows = tuple(
        {} if source == "a" else row for source, row in zip(made.sources, made.rows, strict=True)
    )
    found = by_source(dataclasses.replace(made, rows=rows), EvaluateParams(resamples=5))
    assert (found["a"]["macro_auroc"], found["a"]["auroc"], found["a"]["images"]) == (None, {}, 40)
    assert (
        found["b"]["macro_auroc"]
        == by_source(made, EvaluateParams(resamples=5))["b"]["macro_auroc"]
    )


def test_no_finding_is_in_no_mean_and_is_measured_in_three_ways():
    made = scored()
    found = by_source(made, EvaluateParams(resamples=0))["a"]
    even = list(range(0, 80, 2))
    quiet = [made.rows[i]["No Finding"] for i in even]
    assert found["macro_auroc"] == found["auroc"]["Cardiomegaly"]
    assert "No Finding" not in found["auroc"]
    pair, highest = made.scores[even, 2], made.scores[even, 0]
    assert found["no_finding"]["pair"] == pytest.approx(roc_auc_score(quiet, pair))
    direct = roc_auc_score(quiet, made.direct[even])
    assert found["no_finding"]["direct"] == pytest.approx(direct)
    assert found["no_finding"]["one_minus_max"] == pytest.approx(roc_auc_score(quiet, 1 - highest))


@pytest.fixture(scope="module")
def model(source, tiny_recipe, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(out)
        fit.main([str(tiny_recipe), "--shards", str(source), "--out", "model", "--limit", "2"])
    return out / "model"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(model: Path, out: str, *shards: Path, more: tuple[str, ...] = ()) -> int:
    folders = [str(each) for each in shards]
    return evaluate.main(["--model", str(model), "--out", out, "--shards", *folders, *more])


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_a_perfect_scorer_has_an_auroc_of_1_and_the_files_agree(
    model, source, tmp_path, monkeypatch
):
    other = write_source(tmp_path, "other", {"train": (2,), "test": (10,)})

    whole = evaluate.scored

    def known(*arguments) -> ScoredImages:
        images = whole(*arguments)
        names = sorted({name for row in images.rows for name in row})
        truth = torch.tensor([[float(row[name]) for name in names] for row in images.rows])
        return replace(images, scores=torch.cat([truth, images.scores[:, -1:]], dim=1))

    monkeypatch.setattr(evaluate, "scored", known)
    assert run(model, "out", source, other) == 0
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["macro_auroc"] == metrics["macro_low"] == 1.0
    assert set(metrics["sources"]) == {"mock", "other"}
    assert metrics["images"] == 34
    assert set(metrics["auroc"]) == set(FINDINGS)
    rows = read("out/auroc.csv")
    assert list(rows[0]) == [
        "source", "label", "auroc", "low", "high", "positives", "negatives",
    ]  # fmt: skip
    assert {row["source"] for row in rows} == {"all", "mock", "other"}
    assert all(int(row["positives"]) + int(row["negatives"]) > 0 for row in rows)
    lines = read("out/scores.csv")
    assert len(lines) == 34
    assert key_hash("mock-s0064") in {line["key"] for line in lines}
    assert not any("mock-s" in value for line in lines for value in line.values())


def test_two_evaluations_give_the_same_bytes_and_an_untrained_model_scores_low(model, source):
    assert run(model, "one", source) == run(model, "two", source, more=("--workers", "1")) == 0
    for name in ("metrics.json", "auroc.csv", "scores.csv"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()
    assert 0.1 < json.loads(Path("one/metrics.json").read_text())["macro_auroc"] < 0.95


def test_views_limit_and_split(model, source):
    Path("params.yaml").write_text("evaluate: {views: [frontal], resamples: 0}")
    assert run(model, "out", source, more=("--split", "validate")) == 0
    assert len(read("out/scores.csv")) == 12
    assert run(model, "few", source, more=("--limit", "5")) == 0
    assert 1 <= len(read("few/scores.csv")) <= 5
    assert json.loads(Path("few/metrics.json").read_text())["macro_low"] is None


@pytest.mark.parametrize(
    ("params", "more", "message"),
    [
        ("evaluate: {views: [oblique]}", (), "expected one of frontal, lateral, other, unknown"),
        ("evaluate: {views: [unknown]}", (), "no image of the views unknown"),
        ("evaluate: {bank: nobodys}", (), "nobodys"),
        ("evaluate: {seeds: 1}", (), "unknown key 'seeds'"),
        ("", ("--model", "nowhere"), "give the folder that cxr-vlp fit wrote"),
    ],
)
def test_bad_configuration_ends_with_2(model, source, capsys, params, more, message):
    Path("params.yaml").write_text(params)
    assert run(model, "out", source, more=more) == 2
    assert message in capsys.readouterr().err


def test_a_split_that_is_not_there_ends_with_2(model, tmp_path, capsys):
    folder = write_source(tmp_path, "only", {"train": (2,)})
    assert run(model, "out", folder) == 2
    assert "no shards in the test split" in capsys.readouterr().err
