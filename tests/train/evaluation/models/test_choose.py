"""The flags that name what is evaluated; baselines and ensembles."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.models import baselines, ensemble
from cxr_vlp.train.evaluation.models.base import SourceScores
from cxr_vlp.train.evaluation.models.choose import add_flags, chosen
from cxr_vlp.train.evaluation.models.open_clip_model import Request
from tests.train.conftest import sample, write_shard


def parsed(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(flags)


def test_flags_belong_to_the_open_clip_before_them():
    found = parsed(
        "--open-clip", "A", "--pretrained", "1.pt", "--pretrained", "2.pt",
        "--preprocess", "chexzero", "--open-clip", "B", "--pretrained", "t", "--activation", "gelu",
    ).open_clip  # fmt: skip
    assert found == [
        Request("A", "1.pt", "chexzero"),
        Request("A", "2.pt", "chexzero"),
        Request("B", "t", activation="gelu"),
    ]


@pytest.mark.parametrize(
    "flags",
    [
        ("--pretrained", "x"),
        ("--preprocess", "chexzero", "--open-clip", "A"),
        ("--open-clip", "A", "--activation", "relu"),
        ("--baseline", "majority"),
        ("--baseline", "frequency:3"),
        ("--scores", "s3://a/b.csv"),
    ],
)
def test_flags_that_mean_nothing(flags):
    with pytest.raises(SystemExit):
        parsed(*flags)


def test_nothing_is_named():
    with pytest.raises(ConfigError, match="name a --model DIR, an --open-clip NAME"):
        chosen(parsed())


def test_a_score_file_and_a_random_tower_are_an_ensemble(tmp_path):
    (tmp_path / "a.csv").write_text("key,Edema\nx,0.5\n")
    found = chosen(parsed("--scores", str(tmp_path / "a.csv"), "--baseline", "random:3"))
    assert [each.name for each in found.members] == ["random cxr-tiny", "a"]
    assert [each["kind"] for each in ensemble.record(found.members)] == ["random", "scores"]
    assert found.members[0].facts["seed"] == 3
    json.dumps(ensemble.record(found.members))


def test_a_random_tower_follows_from_its_seed_alone():
    grey = torch.randint(0, 256, (2, 1, 128, 128), dtype=torch.uint8)
    one, same, other = (baselines.random_of_recipe(seed=seed) for seed in (1, 1, 2))
    first = one.encode_images(grey).whole
    assert torch.equal(first, same.encode_images(grey).whole)
    assert not torch.allclose(first, other.encode_images(grey).whole)
    assert one.digest == same.digest != other.digest


def test_a_random_tower_of_an_architecture(tmp_path):
    found = chosen(parsed("--open-clip", "cxr-tiny-vit", "--baseline", "random"))
    (model,) = found.models
    assert model.facts["architecture"] == "cxr-tiny-vit"
    assert model.facts["kind"] == "random"
    again = baselines.random_of_open_clip("cxr-tiny-vit", "own").encode_texts(["no edema"]).whole
    assert torch.equal(model.encode_texts(["no edema"]).whole, again)


@pytest.fixture
def train(tmp_path) -> tuple:
    """Two collections; only `a` names Edema, and one of its samples does not mention it."""
    rows = {
        "a": [{"Edema": 1}, {"Edema": 0}, {"Edema": -1}, {"Fracture": 1}],
        "b": [{"Fracture": 0}, {"Fracture": 1}],
    }
    for source, labels in rows.items():
        records = {
            f"{source}-s{i:04d}": sample(source, i, labels=each) for i, each in enumerate(labels)
        }
        write_shard(tmp_path / source / "train" / f"{source}-train-00000.tar", records)
        sizes = {f"{source}-train-00000.tar": len(records)}
        (tmp_path / source / "train" / "sizes.json").write_text(json.dumps(sizes))
    return list_shards([tmp_path / "a", tmp_path / "b"], "train")


def facts(source: str) -> ImageFacts:
    return ImageFacts(f"{source}-1-0", source, f"{source}/1", f"{source}/1")


def test_label_frequencies_of_the_train_split(train):
    made = baselines.Frequency(train)
    assert made.known(["Edema", "Fracture", "Hernia"]) == ("Edema", "Fracture")
    found = made.scored([facts("a"), facts("b"), facts("c")], ["Edema", "Fracture"])
    # a: Edema 1 of 3 (one is uncertain, one does not mention it), Fracture 1 of 4; b: 1 of 2
    assert found.scores == pytest.approx(np.array([[1 / 3, 1 / 4], [1 / 3, 1 / 2], [1 / 3, 2 / 6]]))
    assert found.notes == (
        "frequency: b has no Edema in its train split: that of all collections is used",
        "frequency: c has no Edema, Fracture in its train split: that of all collections is used",
    )
    assert found.probabilities


def test_label_frequencies_need_a_train_split():
    with pytest.raises(ConfigError, match="no shards in the train split"):
        chosen(parsed("--baseline", "frequency"))


def scores(*rows: list[float], probabilities: bool = True) -> SourceScores:
    return SourceScores(np.array(rows), probabilities)


def test_an_ensemble_is_the_mean_of_probabilities():
    found = ensemble.mean([("a", scores([0.25, 1.0])), ("b", scores([0.75, 0.5]))])
    assert found.tolist() == [[0.5, 0.75]]
    logits = scores([3.0, -2.0], probabilities=False)
    assert ensemble.mean([("a", logits)]).tolist() == [[3.0, -2.0]]
    with pytest.raises(ConfigError, match="and b gives scores outside"):
        ensemble.mean([("a", scores([0.5, 0.5])), ("b", logits)])


def test_a_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"recipe.json: no such file"):
        chosen(parsed("--model", str(tmp_path)))
