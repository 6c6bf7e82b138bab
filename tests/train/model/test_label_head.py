"""The supervised baseline: its targets, its loss, a training of it, and its scores."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score

from cxr_vlp.train import fit
from cxr_vlp.train.config.recipe import LossConfig, load
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models import ours
from cxr_vlp.train.evaluation.models.base import label_model
from cxr_vlp.train.evaluation.reading import batches
from cxr_vlp.train.model import build, label_head
from cxr_vlp.train.objective import losses
from cxr_vlp.train.objective.method import Method
from tests.train.conftest import FINDINGS, read, write_source


def test_the_loss_counts_positives_and_negatives_alone():
    logits = torch.tensor([[0.0, 2.0], [1.0, -1.0]])
    targets = torch.tensor([[1.0, -1.0], [0.0, 1.0]])
    # ln 2, ln(1 + e), ln(1 + e); the second label of the first image is uncertain
    expected = (0.693147 + 1.313262 + 1.313262) / 3
    assert losses.labels(logits, targets).item() == pytest.approx(expected, abs=1e-6)
    none = logits.clone().requires_grad_()
    loss = losses.labels(none, torch.full((2, 2), -1.0))
    loss.backward()
    assert loss.item() == 0
    assert none.grad.abs().sum() == 0


def head(*, negatives: bool) -> label_head.LabelHead:
    made = label_head.LabelHead(4, ("Edema", "Fracture", "Hernia"))
    made.named = {"a": frozenset(("Edema", "Fracture")), "b": frozenset(("Hernia",))}
    made.negatives = negatives
    return made


def test_what_is_not_mentioned_is_negative_where_the_collection_names_it():
    samples = [
        read({"dataset": "a", "labels": {"Edema": 1}}),
        read({"dataset": "a", "labels": {"Edema": -1, "Fracture": 0}}),
        read({"dataset": "b", "labels": {}}),
        read({"dataset": "c", "labels": {}}),
    ]
    assert head(negatives=True).targets(samples).tolist() == [
        [1, 0, -1], [-1, 0, -1], [-1, -1, 0], [-1, -1, -1],
    ]  # fmt: skip
    assert head(negatives=False).targets(samples).tolist() == [
        [1, -1, -1], [-1, 0, -1], [-1, -1, -1], [-1, -1, -1],
    ]  # fmt: skip


def test_the_text_tower_is_not_trained():
    recipe = load("supervised_tiny")
    encoder = build.build(recipe.model, seed=0)
    label_head.attach(encoder.model, FINDINGS, seed=0)
    method = Method(encoder, recipe.loss)
    trained = {name.split(".")[1] for name, w in method.named_parameters() if w.requires_grad}
    assert trained == {"visual", "label_head"}
    both = load("supervised_tiny", {"loss": {"weights": {"clip": 1.0}}})
    assert "text" in {
        name.split(".")[1]
        for name, w in Method(build.build(recipe.model, 0), both.loss).named_parameters()
        if w.requires_grad
    }


def test_the_heads_weights_follow_from_the_seed_alone():
    model = build.build(load("supervised_tiny").model, seed=0).model
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = (label_head.attach(model, FINDINGS, s).linear.weight for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"run": {"chunk": 8}}, "run.chunk: loss.weights.labels needs the whole batch"),
        ({"run": {"select": "auroc"}}, "no term of the loss trains the text tower"),
        ({"loss": {"weights": {"labels": 0.0}}}, "one weight besides momentum"),
    ],
)
def test_settings_that_do_not_fit(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load("supervised_tiny", overrides)


def test_labels_that_no_sample_has(source):
    train = list_shards([source], "train")
    model = build.build(load("supervised_tiny").model, seed=0).model
    weights = load("supervised_tiny").loss.weights
    with pytest.raises(ConfigError, match="no sample of the train split has Hernia; its labels"):
        label_head.of_shards(model, LossConfig(weights, labels=("Hernia",)), train, 0)
    found = label_head.of_shards(model, LossConfig(weights, labels=FINDINGS[:1]), train, 0)
    assert found is not None
    assert found.names == FINDINGS[:1]
    assert label_head.of_shards(model, LossConfig(), train, 0) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A supervised model that saw 64 images some times, and its shards."""
    root = tmp_path_factory.mktemp("supervised")
    shards = write_source(root, "mock", {"train": (64,), "validate": (16,), "test": (48,)})
    (root / "trial.yaml").write_text(
        "base: supervised_tiny\n"
        "run: {batch_size: 16, steps: 40, validate_every: 20, shuffle: 64}\n"
        "optim: {warmup: 4}\n"
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        done = fit.main([str(root / "trial.yaml"), "--shards", str(shards), "--out", "model"])
    assert done == 0
    return root / "model", shards


def test_a_trained_head_scores_the_labels_of_unseen_images(trained, caplog):
    folder, shards = trained
    with caplog.at_level(logging.WARNING):
        model = ours.model(folder)
    assert not caplog.records  # nothing is said of random weights
    names = json.loads((folder / "recipe.json").read_text())["labels"]
    assert label_model(model) is model
    assert model.labels == tuple(names) == tuple(sorted((*FINDINGS, "No Finding")))
    assert model.facts["labels"] == names
    images, scores = [], []
    for batch in batches(list_shards([shards], "test"), model.image, model.size):
        images += batch.images
        scores.append(model.label_scores(batch.pixels))
    found = torch.cat(scores)
    assert found.min() >= 0
    assert found.max() <= 1
    for name in FINDINGS:
        truth = [each.facts.labels[name] for each in images]
        assert roc_auc_score(truth, found[:, names.index(name)]) > 0.9


def test_its_texts_are_refused_with_words(trained):
    model = ours.model(trained[0])
    with pytest.raises(ConfigError, match="trained on labels alone: it compares images with no"):
        model.encode_texts(["no edema"])
