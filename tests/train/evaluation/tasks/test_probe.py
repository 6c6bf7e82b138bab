"""The probe: which patients it learns from, what it says of rare labels, and its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation import benchmark_sets
from cxr_vlp.train.evaluation.benchmark_sets import Entry
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.tasks import probe
from cxr_vlp.train.evaluation.tasks.base import Evaluation, Intervals
from cxr_vlp.train.model.fusion import Tokens
from tests.train.conftest import FINDINGS, write_source

PROTOCOL = Protocol(probe_shares=(0.25, 1), probe_seeds=2)
SIZED = {"train": 32, "validate": 16, "test": 24}
SIZES = {"train": (32,), "validate": (16,), "test": (24,)}


class Small:
    """A model whose features are the image itself, on 6 x 6 pixels, with noise of its own."""

    name, digest, facts = "small", "", {}
    size, image, device = 24, ImageConfig(), torch.device("cpu")
    fused, scale, finer = False, 1.0, False

    def encode_images(self, images, *, patches=False):
        whole = torch.nn.functional.avg_pool2d(images.float(), 4).flatten(1) / 255
        return Tokens(whole, whole[:, None, :0], torch.ones(len(whole), 0, dtype=torch.bool))


def evaluation(root: Path, protocol: Protocol = PROTOCOL, **changes) -> Evaluation:
    shards = {split: list_shards([root], split) for split in ("train", "validate", "test")}
    given = {"models": (Small(),), "split": "test", "intervals": Intervals(20)} | changes
    return Evaluation(shards=shards, protocol=protocol, **given)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_source(tmp_path_factory.mktemp("probe"), "mock", SIZES).parent


def test_of_all_patients_the_numbers_are_those_of_scikit_learn(root):
    run = evaluation(root)
    result = probe.run(run)
    whole = result.metrics["collections"]["mock"]["100%"]
    model = Small()
    parts = {s: probe.features(model, run.shards[s], run) for s in ("train", "test")}
    learnt, tested = parts["train"][1], parts["test"][1]
    mean, deviation = learnt.mean(axis=0), learnt.std(axis=0)
    for name in FINDINGS:
        truth = {s: np.array([each.labels[name] for each in parts[s][0]]) for s in parts}
        fitted = LogisticRegression(C=whole["strengths"][0], tol=1e-12, max_iter=10_000)
        fitted.fit((learnt - mean) / deviation, truth["train"])
        scores = fitted.decision_function((tested - mean) / deviation)
        assert whole["label_auroc"][name] == pytest.approx(roc_auc_score(truth["test"], scores))
    assert whole["auroc"] == pytest.approx(np.mean(list(whole["label_auroc"].values())))
    assert whole["auroc"] > 0.9
    assert whole["train_images"] == 32
    assert (whole["seeds"], whole["spread"]) == (1, None)
    assert set(whole["label_auroc"]) == set(FINDINGS)  # No Finding is in no mean


def test_a_share_is_of_patients_and_has_a_spread(root):
    result = probe.run(evaluation(root))
    row = next(each for each in result.tables["probe.csv"] if each["share"] == 0.25)
    assert (row["train_patients"], row["train_images"], row["seeds"]) == (4, 8, 2)
    runs = result.metrics["collections"]["mock"]["25%"]["runs"]
    assert row["auroc"] == pytest.approx(np.mean(runs))
    assert row["spread"] == pytest.approx(np.std(runs, ddof=1))
    assert set(result.summary) == {"probe_25%", "probe_100%"}


def test_a_smaller_share_is_part_of_a_larger_one_and_seeds_differ():
    patients = [f"p{i}" for i in range(200)]
    one, ten = probe.drawn(patients, 0.01, 3), probe.drawn(patients, 0.1, 3)
    assert (len(one), len(ten)) == (2, 20)
    assert one < ten
    assert ten == probe.drawn(reversed(patients), 0.1, 3)
    assert ten != probe.drawn(patients, 0.1, 4)
    assert probe.drawn(patients, 1, 0) == set(patients)
    assert len(probe.drawn(patients[:5], 0.01, 0)) == 1
    assert len(probe.drawn(patients[:10], 0.3, 0)) == 3  # 0.3 * 10 is a little more than 3


def test_labels_that_a_share_cannot_learn_are_said(root):
    result = probe.run(evaluation(root, replace(PROTOCOL, probe_shares=(0.01, 1))))
    row = result.tables["probe.csv"][0]
    assert (row["share"], row["train_patients"]) == (0.01, 1)
    note = next(each for each in result.notes if "1% of the patients (1)" in each)
    assert "too few positives or negatives" in note
    assert result.metrics["collections"]["mock"]["1%"]["unlearnt"]


def test_the_policies_of_the_protocol_decide_the_truth():
    facts = [
        ImageFacts("a", "s", "p", "t", labels={"Edema": -1}),
        ImageFacts("b", "s", "p", "t", labels={"Mass": 1}),
        ImageFacts("c", "s", "p", "t"),
    ]
    names = ("Edema", "Mass")
    assert probe.truth(facts, names, Protocol()).tolist() == [[-1, 0], [0, 1], [0, 0]]
    changed = Protocol(uncertain="positive", unmentioned="exclude")
    assert probe.truth(facts, names, changed).tolist() == [[1, -1], [-1, 1], [-1, -1]]
    single = Protocol(uncertain_of={"Edema": "negative"})
    assert probe.truth(facts, names, single)[0, 0] == 0


def test_the_measured_images_do_not_choose_the_strength(root, monkeypatch):
    run = evaluation(root, replace(PROTOCOL, probe_shares=(1,)))
    before = probe.run(run).metrics["collections"]["mock"]["100%"]["strengths"]
    shards = {**run.shards, "test": run.shards["validate"]}
    after = probe.run(replace(run, shards=shards)).metrics["collections"]["mock"]["100%"]
    assert after["strengths"] == before


def test_a_collection_without_a_split_is_listed_and_no_collection_is_an_error(root, tmp_path):
    write_source(tmp_path, "bare", {"test": (8,)})
    with pytest.raises(DataError, match="bare: no image of its split train"):
        probe.run(evaluation(tmp_path))
    write_source(tmp_path, "mock", SIZES)
    result = probe.run(evaluation(tmp_path, replace(PROTOCOL, probe_shares=(1,))))
    assert list(result.metrics["dropped"]) == ["bare"]
    assert "bare is not measured" in result.notes[-1]
    assert result.metrics["headline"]["100%"]["collections"] == ["mock"]


@pytest.mark.parametrize(
    "changes", [{"split": "train"}, {"models": (Small(), Small())}], ids=["train", "ensemble"]
)
def test_what_cannot_be_probed_is_refused(root, changes):
    with pytest.raises(ConfigError, match="probe: "):
        probe.run(evaluation(root, **changes))


def test_the_same_run_gives_the_same_numbers(root):
    assert probe.run(evaluation(root)) == probe.run(evaluation(root, workers=2))


def test_the_strength_is_the_one_that_is_best_on_the_validation_images():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 20))
    truth = (features[:, :1] + rng.normal(size=(60, 1)) > 0).astype(np.int8)
    parts = [probe.Split((), features[rows], truth[rows]) for rows in (slice(30), slice(30, 60))]
    values = [
        roc_auc_score(
            parts[1].truth[:, 0],
            probe.fit(parts[0].features, parts[0].truth, c, exact=False).scores(parts[1].features),
        )
        for c in probe.GRID
    ]
    assert max(values) > values[0]
    assert probe._learnt(*parts).strength == probe.GRID[int(np.argmax(values))]


class Grey(Small):
    """A model with one feature, the mean grey level: it cannot tell the findings apart."""

    def encode_images(self, images, *, patches=False):
        whole = images.float().mean(dim=(1, 2, 3))[:, None] / 255
        return Tokens(whole, whole[:, None, :0], torch.ones(len(whole), 0, dtype=torch.bool))


def test_a_benchmark_set_restricts_the_measured_split_alone(root):
    run = evaluation(root, replace(PROTOCOL, probe_shares=(1,)), models=(Grey(),))
    facts, features = probe.features(Grey(), run.shards["test"], run)
    few = facts[:15]
    entries = [Entry(each.key, "mock", "p", "s", "Edema") for each in few]
    own = replace(run, benchmark=benchmark_sets.made("few", entries))
    whole, part = (probe.run(r).metrics["collections"]["mock"]["100%"] for r in (run, own))
    assert whole["train_images"] == part["train_images"] == 32
    assert whole["strengths"] == part["strengths"]
    for name in FINDINGS:  # one feature: its sign alone decides
        found = roc_auc_score([each.labels[name] for each in few], features[:15, 0])
        assert part["label_auroc"][name] == pytest.approx(found)
        assert part["label_auroc"][name] != whole["label_auroc"][name]


@pytest.mark.parametrize("split", ["train", "validate"])
def test_the_splits_that_it_learns_from_are_not_measured(root, split):
    with pytest.raises(ConfigError, match="would be too good: measure --split test"):
        probe.run(replace(evaluation(root), split=split))
