"""The command: what it writes, how an interrupted run resumes, exit codes."""

from __future__ import annotations

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cxr_vlp.train import fit
from cxr_vlp.train.config import params
from cxr_vlp.train.config.recipe import load as load_recipe
from cxr_vlp.train.data.loader import Loading, training
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.engine import checkpoints
from cxr_vlp.train.engine.metrics_writer import MetricsWriter
from cxr_vlp.train.engine.plan import TrainingJob
from cxr_vlp.train.engine.selection import Selection
from cxr_vlp.train.engine.steps import Steps
from cxr_vlp.train.evaluation.scoring import load
from cxr_vlp.train.model import build
from cxr_vlp.train.objective.method import Method
from cxr_vlp.train.objective.terms import TERMS
from cxr_vlp.train.pages import batch_page
from tests.train.conftest import write_source


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no params.yaml of the project, nothing written into it


def run(recipe: Path, source: Path, out: Path, *more: str) -> int:
    return fit.main([str(recipe), "--shards", str(source), "--out", str(out), *more])


def rows(out: Path, name: str) -> list[str]:
    return (out / f"metrics/{name}.tsv").read_text().splitlines()


@pytest.fixture(scope="module")
def finished(source, tiny_recipe, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    assert run(tiny_recipe, source, out) == 0
    return out


def test_the_files_of_a_training(finished):
    names = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    assert names == {
        "model.safetensors", "recipe.json", "metrics/metrics.json",
        "metrics/loss.tsv", "metrics/lr.tsv", "metrics/val_loss.tsv",
    }  # fmt: skip
    assert [line.split("\t")[0] for line in rows(finished, "val_loss")] == ["step", "2", "4", "6"]
    metrics = json.loads((finished / "metrics/metrics.json").read_text())
    assert set(metrics) == {"loss", "lr", "step", "val_loss"}


def test_the_model_is_the_best_by_validation(finished):
    values = [line.split("\t") for line in rows(finished, "val_loss")[1:]]
    steps = {int(row[0]): float(row[1]) for row in values}
    assert set(steps) == {2, 4, 6}
    metrics = json.loads((finished / "metrics/metrics.json").read_text())
    assert metrics["val_loss"] == steps[6]
    loaded, encoder = load(finished)
    assert loaded.name == "trial"
    written = load_file(finished / "model.safetensors")
    assert all(torch.equal(written[name], w) for name, w in encoder.model.state_dict().items())


def test_without_a_validation_split_the_model_is_the_last_and_it_says_so(
    tiny_recipe, tmp_path, capsys, monkeypatch
):
    made = write_source(tmp_path / "sets", "own", {"train": (24,)})
    recipe = tmp_path / "short.yaml"
    recipe.write_text(f"base: {tiny_recipe}\nrun: {{steps: 4}}\n")
    kept, save = [], checkpoints.save_best

    def saved(folder, step, weights):
        kept.append(step)
        save(folder, step, weights)

    monkeypatch.setattr(checkpoints, "save_best", saved)
    assert run(recipe, made, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert not re.search(r"\b(inf|nan)\b", said)
    assert "model is that of the last step" in " ".join(said.replace("│", "").split())
    assert kept == [2, 4]


@pytest.mark.parametrize(
    "step", [3, pytest.param(4, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_resumes_to_the_same_bytes(
    finished, source, tiny_recipe, tmp_path, monkeypatch, capsys, step
):
    whole = Steps.step

    def dies(self, number, batches, rate):
        if number == step:
            raise KeyboardInterrupt
        return whole(self, number, batches, rate)

    monkeypatch.setattr(Steps, "step", dies)
    assert run(tiny_recipe, source, tmp_path / "out") == 130
    assert "resume from the last checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "no half model"
    monkeypatch.setattr(Steps, "step", whole)
    assert run(tiny_recipe, source, tmp_path / "out", "--resume") == 0
    for path in finished.rglob("*"):
        if path.is_file():
            assert (tmp_path / "out" / path.relative_to(finished)).read_bytes() == path.read_bytes()


def test_accumulated_steps_see_as_many_batches(source, tiny_recipe, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("train: {overrides: {run: {accumulate: 3, steps: 2}}}")
    whole = Steps.step
    sizes = []

    def counted(self, number, batches, rate):
        sizes.append([len(batch) for batch in batches])
        return whole(self, number, batches, rate)

    monkeypatch.setattr(Steps, "step", counted)
    assert run(tiny_recipe, source, tmp_path / "out") == 0
    assert sizes == [[8, 8, 8]] * 2


def test_a_divergence_says_step_rate_losses_and_remedy(
    source, tiny_recipe, tmp_path, monkeypatch, capsys
):
    whole, called = TERMS["clip"], []

    def diverges(seen, loss):
        called.append(1)
        return whole(seen, loss) * (float("nan") if len(called) == 2 else 1)

    monkeypatch.setitem(TERMS, "clip", diverges)
    assert run(tiny_recipe, source, tmp_path / "out") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the loss of step 2 is nan, at a learning rate of 0.002" in said
    assert re.search(r"last finite losses of this run: [0-9.]+ at step 1\.", said)
    assert "Lower optim.lr (0.002), lengthen optim.warmup" in said
    assert "clip_norm" not in said, "the recipe has it"
    assert "mock-s" not in said
    assert "hash" not in said


def test_a_validation_that_is_not_finite_is_a_divergence(
    source, tiny_recipe, tmp_path, monkeypatch, capsys
):
    whole = Steps.measure
    monkeypatch.setattr(Steps, "measure", lambda *given: (float("inf"), whole(*given)[1]))
    assert run(tiny_recipe, source, tmp_path / "out") == 2
    assert "after step 2, val_loss is inf" in capsys.readouterr().err


def test_features_that_are_not_finite_are_a_divergence_for_a_selection_by_auroc(
    source, tiny_recipe, tmp_path, monkeypatch, capsys
):
    (tmp_path / "params.yaml").write_text("train: {overrides: {run: {select: auroc}}}")
    whole = Steps.measure

    def spoiled(*given):
        loss, images = whole(*given)
        return loss, images._replace(whole=images.whole * float("nan"))

    monkeypatch.setattr(Steps, "measure", spoiled)
    assert run(tiny_recipe, source, tmp_path / "out") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search("after step 2, val_loss is [0-9.]+, val_auroc is nan", said)


@pytest.mark.parametrize(("bad", "code"), [(1, 65), (2, 2), (8, 2)])
def test_a_single_bad_pair_is_named_by_its_hash(
    source, tiny_recipe, tmp_path, monkeypatch, capsys, bad, code
):
    whole = Method.forward

    def spoiled(self, images, tokens):
        found = whole(self, images, tokens)
        factor = torch.ones(found.images.shape[1], 1)
        factor[:bad] = float("nan")
        return found._replace(images=found.images * factor)

    monkeypatch.setattr(Method, "forward", spoiled)
    assert run(tiny_recipe, source, tmp_path / "out") == code
    hashes = re.findall(r"key hash: ([0-9a-f]{16})$", capsys.readouterr().err.strip())
    assert len(hashes) == (1 if code == 65 else 0)


def test_selection_by_auroc_keeps_the_weights_of_the_highest(
    source, tiny_recipe, tmp_path, monkeypatch, capsys
):
    (tmp_path / "params.yaml").write_text("train: {overrides: {run: {select: auroc}}}")
    values = iter([0.5, 0.7, 0.6])
    monkeypatch.setattr(Selection, "auroc", lambda *_: next(values))
    assert run(tiny_recipe, source, tmp_path / "out") == 0
    assert rows(tmp_path / "out", "val_auroc")[1:] == ["2\t0.5", "4\t0.7", "6\t0.6"]
    said = capsys.readouterr().out
    assert "0.700 at step 4" in said
    assert "run.select: auroc" in said, "the overrides are printed"
    assert "image tower random, text tower random" in said
    written = json.loads((tmp_path / "out/recipe.json").read_text())
    assert written["validation"]["studies"] == {"mock": 16}


@pytest.mark.slow
def test_a_run_that_selects_by_auroc_resumes_to_the_same_bytes(
    source, tiny_recipe, tmp_path, monkeypatch
):
    (tmp_path / "params.yaml").write_text("train: {overrides: {run: {select: auroc}}}")
    assert run(tiny_recipe, source, tmp_path / "whole") == 0
    whole = Steps.step

    def dies(self, number, batches, rate):
        if number == 3:
            raise KeyboardInterrupt
        return whole(self, number, batches, rate)

    monkeypatch.setattr(Steps, "step", dies)
    assert run(tiny_recipe, source, tmp_path / "out") == 130
    monkeypatch.setattr(Steps, "step", whole)
    assert run(tiny_recipe, source, tmp_path / "out", "--resume") == 0
    for path in (tmp_path / "whole").rglob("*.*"):
        assert (tmp_path / "out" / path.relative_to(tmp_path / "whole")).read_bytes() == (
            path.read_bytes()
        )


def test_selection_by_auroc_without_a_validation_split_stops(tiny_recipe, tmp_path, capsys):
    made = write_source(tmp_path / "sets", "own", {"train": (24,)})
    (tmp_path / "params.yaml").write_text("train: {overrides: {run: {select: auroc}}}")
    assert run(tiny_recipe, made, tmp_path / "out") == 2
    assert "set run.select: loss" in capsys.readouterr().err


def test_a_dry_run_trains_nothing_and_shows_text_on_its_page_only(
    source, tiny_recipe, tmp_path, capsys
):
    assert run(tiny_recipe, source, tmp_path / "out", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "(1, 8, 1, 96, 96)" in printed
    assert "8 pairs; published: 64" in printed
    assert "cardiomegaly" not in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["batch.html"]


def test_the_page_shows_the_batch_itself(source, tmp_path):
    (tmp_path / "two.yaml").write_text(
        "base: cxrclip_tiny\nrun: {batch_size: 6, shuffle: 16}\ntext: {policies: [statement]}\n"
    )
    job = TrainingJob(
        load_recipe(tmp_path / "two.yaml"), 0, list_shards([source], "train"), (), tmp_path
    )
    encoder = build.build(job.recipe.model, 0)
    batch = next(iter(training(job.train, Loading(job.recipe, 96, encoder.tokenize), 0, 6)))
    batch = replace(batch, texts=(("<b>&",) * 6, batch.texts[1]))
    page = batch_page.write(batch, "two", 96, tmp_path).read_text()
    pngs = [base64.b64decode(part) for part in re.findall(r"base64,([^\"]+)", page)]
    shown = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) for png in pngs]
    expected = batch.images[:, :, 0].transpose(0, 1).flatten(0, 1).numpy()
    assert (np.stack(shown) == expected).all()
    assert page.count("&lt;b&gt;&amp;") == 6
    assert all(text in page for text in batch.texts[1])
    assert "http" not in page


def test_resumed_metrics_hold_each_step_once(tmp_path):
    folder = tmp_path / "metrics"
    MetricsWriter(folder, []).log(3, loss=9.0, val_loss=8.0)  # after the last checkpoint
    MetricsWriter(folder, [(1, "loss", 2.0)]).log(2, loss=1.5)
    assert (folder / "loss.tsv").read_text() == "step\tloss\n1\t2.0\n2\t1.5\n"
    assert json.loads((folder / "metrics.json").read_text()) == {"loss": 1.5, "step": 2}
    assert {path.name for path in folder.iterdir()} == {"loss.tsv", "metrics.json"}


def test_the_params_file_is_read_once(source, tiny_recipe, tmp_path, monkeypatch):
    path = tmp_path / "params.yaml"
    path.write_text("train: {seed: 1}\nshards: {side: 80}\n")
    whole, read = params.read_yaml, []

    def counted(path, secret=()):
        read.append(path)
        return whole(path, secret)

    monkeypatch.setattr(params, "read_yaml", counted)
    assert run(tiny_recipe, source, tmp_path / "out", "--dry-run") == 0
    assert read == [Path("params.yaml")]


def test_a_model_of_version_0_3_can_still_be_loaded(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "old")
    path = tmp_path / "old" / "recipe.json"
    used = json.loads(path.read_text())
    for section, key in (("image", "pictures"), ("text", "texts")):
        used["recipe"][section][key] = used["recipe"][section].pop("count")
    path.write_text(json.dumps(used))
    assert load(tmp_path / "old")[0] == load(finished)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody", "--shards", "SOURCE"], "no recipe 'nobody'"),
        (["chexzero_tiny", "--shards", "nowhere"], "no such folder of shards"),
        (["chexzero_tiny", "--shards", "SOURCE", "--params", "none.yaml"], "no such file"),
        (["chexzero_tiny", "--shards", "SOURCE", "--params", "odd.yaml"], "unknown key 'sed'"),
        (["odd_text.yaml", "--shards", "SOURCE"], "text.policies: unknown"),
        (["odd_loss.yaml", "--shards", "SOURCE"], "loss: expected keys and values"),
    ],
)
def test_bad_configuration_ends_with_2(source, tmp_path, capsys, arguments, message):
    (tmp_path / "odd.yaml").write_text("train: {sed: 1}")
    (tmp_path / "odd_text.yaml").write_text("base: chexzero_tiny\ntext: {policies: [reprot]}\n")
    (tmp_path / "odd_loss.yaml").write_text("base: chexzero_tiny\nloss: clap\n")
    filled = [str(source) if each == "SOURCE" else each for each in arguments]
    assert fit.main([*filled, "--out", "out"]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("error:") == 1


@pytest.mark.parametrize("arguments", [[], ["chexzero"], ["x", "--shards", "y", "--limit", "-1"]])
def test_bad_arguments_end_with_2(arguments):
    with pytest.raises(SystemExit) as ended:
        fit.main([*arguments, "--out", "out"])
    assert ended.value.code == 2


def test_an_unreadable_output_ends_with_74(source, tiny_recipe, tmp_path):
    (tmp_path / "file").write_text("")
    assert run(tiny_recipe, source, tmp_path / "file" / "out", "--limit", "1") == 74


def test_a_checkpoint_runs_no_code(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    checkpoints.save_best(tmp_path, 1, {})
    checkpoints.save(tmp_path, "x", checkpoints.Progress(1, best_step=1), {}, None)
    torch.save({"step": 1, "rest": Evil()}, tmp_path / "00000001.state")
    receipt = json.loads((tmp_path / "00000001.json").read_text())
    receipt["sha256"]["00000001.state"] = checkpoints._sha256(tmp_path / "00000001.state")
    (tmp_path / "00000001.json").write_text(json.dumps(receipt))
    with pytest.raises(pickle.UnpicklingError):
        checkpoints.load(tmp_path, "x")
