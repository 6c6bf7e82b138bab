"""Every recipe trains, resumes after a kill to the same bytes, and can be evaluated."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from cxr_vlp.train import evaluate, fit
from cxr_vlp.train.config import recipe
from cxr_vlp.train.engine import checkpoints
from cxr_vlp.train.engine.steps import Steps
from cxr_vlp.train.model import build
from cxr_vlp.train.objective import losses
from cxr_vlp.train.objective.terms import TERMS

METHODS = sorted(name for name in recipe.names() if name.endswith("_tiny"))
SMALL = """
model: {name: cxr-tiny-vit, fusion: {width: 32, hidden: 32, dropout: 0.1}}
loss: {queue: 20}
run: {batch_size: 8, steps: 4, validate_every: 2, shuffle: 16, %s}
optim: {warmup: 2}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(path: Path, source: Path, out: Path, *more: str) -> int:
    folders = ("--shards", str(source), "--out", str(out), "--state", f"{out}-state")
    return fit.main([str(path), *folders, *more])


@pytest.fixture
def _checkpoints_stay(monkeypatch):
    """Keep the checkpoints, which a finished training removes: the test reads them."""
    monkeypatch.setattr(checkpoints, "drop", lambda place: None)


def checkpoint(out: Path, kind: str) -> Path:
    (found,) = Path(f"{out}-state").glob(f"checkpoints/*/{kind}")
    return found


def small(folder: Path, method: str, run: str = "accumulate: 1") -> Path:
    path = folder / "small.yaml"
    path.write_text(f"base: {method}\n{SMALL % run}")
    return path


def files(out: Path) -> dict[str, bytes]:
    found = (path for path in out.rglob("*") if path.is_file() and path.suffix != ".state")
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def state(out: Path) -> dict[str, Any]:
    return torch.load(checkpoint(out, "00000004.state"), weights_only=True)


def test_there_is_a_small_version_of_every_published_method():
    published = {"chexzero", "sentence_relax", "cxrclip", "mococlip", "offclip", "carzero", "best"}
    assert {name.removesuffix("_tiny") for name in METHODS} == {*published, "supervised"}
    for name in METHODS:
        method = name.removesuffix("_tiny")
        above = [path.stem for path in recipe.files(name)]
        assert above[-3:] == [method, "tiny", name]
        weights = asdict(recipe.load(method).loss.weights)
        assert (
            asdict(recipe.load(name).loss.weights).items()
            >= {term: weight for term, weight in weights.items() if weight}.items()
        )


@pytest.mark.sampled(3)
@pytest.mark.usefixtures("_checkpoints_stay")
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_training_resumes_to_the_same_bytes(method, source, tmp_path, monkeypatch):
    path = small(tmp_path, method, "average: 0.5")
    assert train(path, source, tmp_path / "whole") == 0
    step = Steps.step

    def dies(self, number, batches, rate):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number, batches, rate)

    monkeypatch.setattr(Steps, "step", dies)
    assert train(path, source, tmp_path / "killed") == 130
    monkeypatch.setattr(Steps, "step", step)
    assert train(path, source, tmp_path / "killed", "--resume") == 0
    assert files(tmp_path / "whole") == files(tmp_path / "killed")
    one, other = (state(tmp_path / name)["rest"] for name in ("whole", "killed"))
    assert one["average"].keys() == other["average"].keys()
    assert all(torch.equal(other["average"][key], value) for key, value in one["average"].items())
    assert one["places"] == other["places"]


@pytest.mark.usefixtures("_checkpoints_stay")
def test_the_queue_and_its_tower_are_in_the_checkpoint_and_the_queue_is_filled(source, tmp_path):
    assert train(small(tmp_path, "mococlip_tiny"), source, tmp_path / "out") == 0
    held = load_file(checkpoint(tmp_path / "out", "00000004.safetensors"))
    assert int(held["momentum.filled"]) == 20
    assert int(held["momentum.place"]) == 4 * 8 % 20
    lengths = held["momentum.rows"].norm(dim=1)
    assert torch.allclose(lengths, torch.ones(20), atol=1e-5)
    tower, key = (held[f"{name}.proj"] for name in ("model.visual", "momentum.tower"))
    chosen = recipe.load(tmp_path / "small.yaml")
    first = build.build(chosen.model, 0).model.visual.proj
    assert 0 < (key - first).abs().max() < 0.1 * (tower - first).abs().max()
    model = load_file(tmp_path / "out/model.safetensors")
    assert not any(name.startswith("momentum") for name in model)


@pytest.mark.usefixtures("_checkpoints_stay")
def test_the_saved_weights_are_the_moving_average(source, tmp_path):
    path = small(tmp_path, "chexzero_tiny", "average: 0.5")
    assert train(path, source, tmp_path / "out") == 0
    last = load_file(checkpoint(tmp_path / "out", "00000004.safetensors"))
    kept = load_file(tmp_path / "out/model.safetensors")
    assert set(kept) == {name.removeprefix("model.") for name in last}
    assert not torch.equal(kept["visual.proj"], last["model.visual.proj"])


@pytest.fixture
def _another_precision():
    AcceleratorState._reset_state(reset_partial_state=True)  # one precision a process
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("_another_precision")
@pytest.mark.parametrize("method", ["carzero_tiny", "mococlip_tiny"])
def test_in_half_precision_similarities_are_still_compared_in_full(
    method, source, tmp_path, monkeypatch
):
    compared = []

    def noted(seen, loss):
        parts = [seen.images, seen.texts, seen.keys, *(seen.fused or ())]
        compared.append({part.dtype for part in parts if part is not None})
        return losses.clip(seen.images[0], seen.texts[0], seen.scale)

    monkeypatch.setitem(TERMS, "clip", noted)
    path = small(tmp_path, method, "precision: bf16")
    assert train(path, source, tmp_path / "out", "--limit", "2") == 0
    assert len(compared) > 2
    assert set().union(*compared) == {torch.float32}
    weights = load_file(tmp_path / "out/model.safetensors")
    assert weights["visual.proj"].dtype == torch.float32


@pytest.mark.parametrize("method", ["carzero_tiny", "best_tiny"])
def test_a_trained_method_is_evaluated(method, source, tmp_path):
    assert train(small(tmp_path, method), source, tmp_path / "out") == 0
    folders = ["--shards", str(source), "--out", "found"]
    assert evaluate.main(["--model", str(tmp_path / "out"), *folders]) == 0
    metrics = json.loads(Path("found/metrics.json").read_text())
    assert metrics["images"] == 24
    labels = metrics["collections"]["mock"]["labels"].values()
    assert all(0 <= row["auroc"]["value"] <= 1 for row in labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("image: {count: 1}\nbase: mococlip", "loss.weights.momentum needs image.count: 2"),
        ("text: {count: 1}\nbase: cxrclip", "loss.weights.multi_view needs text.count: 2"),
        ("model: {fusion: {layers: 0}}\nbase: carzero", "carzero needs model.fusion.layers"),
        ("model: {fusion: {layers: 1}}\nbase: chexzero", "no term of the loss trains them"),
        ("model: {bias: true}\nbase: chexzero", "model.bias is only for off_diagonal's bce"),
        ("run: {chunk: 8}\nbase: carzero", "run.chunk: a fusion needs the whole batch"),
        ("loss: {weights: {clip: 0.0}}\nbase: chexzero", "one weight besides momentum has to be"),
        ("loss: {weights: {clap: 1.0}}\nbase: chexzero", "unknown key 'clap'"),
        ("loss: {form: mse}\nbase: offclip", 'form: expected one of bce, softce, found "mse"'),
        (
            "loss: {cap: 0}\nbase: sentence_relax",
            "loss.cap: expected a number from 0.001 to 1, found 0",
        ),
        ("model: {fusion: {width: 10}}\nbase: carzero", "width: 10 is no multiple of heads: 4"),
        ("base: [chexzero, nobody]", "no recipe 'nobody'"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused(changes, message, tmp_path, capsys):
    (tmp_path / "odd.yaml").write_text(changes)
    assert train(tmp_path / "odd.yaml", tmp_path, tmp_path / "out") == 2
    assert message in capsys.readouterr().err
