"""A training that is killed or stopped resumes, also if its output was deleted."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_vlp.train import fit, output_dir, translate
from cxr_vlp.train.engine import checkpoints
from cxr_vlp.train.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "long.yaml"
    path.write_text(
        "base: chexzero_tiny\n"
        f"run: {{batch_size: 8, steps: {STEPS}, validate_every: 4, shuffle: 16}}\n"
    )
    return path


def arguments(recipe: Path, source: Path, *more: str) -> list[str]:
    return [str(recipe), "--shards", str(source), "--out", "models/m", "--threads", "1", *more]


def run(recipe: Path, source: Path, *more: str) -> int:
    return fit.main(arguments(recipe, source, *more))


def started(recipe: Path, source: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / ".src")}
    command = [sys.executable, "-m", "cxr_vlp.train.fit", *arguments(recipe, source)]
    return subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)


def records() -> list[Path]:
    return sorted(Path(".cxr/checkpoints").glob("*/*.json"))


def until_a_checkpoint(running: subprocess.Popen[str]) -> None:
    while not records():
        assert running.poll() is None, "it ended before its first checkpoint"
        time.sleep(0.01)


def contents(out: Path) -> dict[str, bytes]:
    found = (path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def whole(recipe, source, tmp_path_factory) -> dict[str, bytes]:
    """The output of an uninterrupted training."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("whole"))
        assert run(recipe, source) == 0
        assert records() == [], "a finished training keeps checkpoints"
        return contents(Path("models/m"))


@pytest.mark.slow
@pytest.mark.parametrize("earlier", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_run_that_was_killed_and_lost_its_output_resumes_to_the_same_bytes(
    recipe, source, whole, capfd, earlier
):
    """As under DVC, which deletes an output before it runs the stage that makes it."""
    if earlier:
        assert run(recipe, source, "--seed", "7") == 0
    running = started(recipe, source)
    until_a_checkpoint(running)
    if earlier:
        assert contents(Path("models/m")) != whole, "the earlier model stays until the end"
        assert (Path("models/m") / "model.safetensors").is_file()
    else:
        assert not Path("models/m").exists(), "a half model"
    running.kill()
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    shutil.rmtree("models/m", ignore_errors=True)
    capfd.readouterr()
    assert run(recipe, source) == 0
    assert "in earlier runs" in capfd.readouterr().out
    assert contents(Path("models/m")) == whole
    assert records() == []
    assert sorted(path.name for path in Path("models").iterdir()) == [".m.lock", "m"]


def test_ctrl_c_says_it_was_stopped_and_ends_with_130(recipe, source, whole):
    running = started(recipe, source)
    until_a_checkpoint(running)
    running.send_signal(signal.SIGINT)
    _, printed = running.communicate()
    assert running.returncode == 130
    lines = printed.strip().splitlines()
    assert lines[-1].startswith("stopped: start the command again to resume")
    assert "Traceback" not in printed
    assert run(recipe, source, "--resume") == 0
    assert contents(Path("models/m")) == whole


def test_ctrl_c_during_imports_is_reported(recipe, source):
    """Torch takes seconds to import, and no line of the command runs before that."""
    code = (
        "import os, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stop())\n"
    )
    Path("sitecustomize.py").write_text(code)
    paths = f"{Path.cwd()}{os.pathsep}{ROOT}/.src"
    for command in ("fit", "evaluate", "translate"):
        done = subprocess.run(
            [sys.executable, "-m", f"cxr_vlp.train.{command}", "--help"],
            env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (130, "stopped\n"), command


@pytest.mark.slow
def test_another_training_into_the_same_output_starts_from_step_0(recipe, source, whole, capfd):
    running = started(recipe, source)
    until_a_checkpoint(running)
    running.kill()
    running.communicate()
    assert run(recipe, source, "--seed", "1", "--limit", "2") == 0
    printed = capfd.readouterr()
    assert "in earlier runs" not in printed.out
    assert "checkpoints of 1 other unfinished trainings" in printed.err
    assert len(records()) == 1, "the other's checkpoint is its own"
    assert run(recipe, source) == 0
    assert contents(Path("models/m")) == whole


def test_resume_without_a_checkpoint_of_this_training_ends_with_2(recipe, source, capsys):
    assert run(recipe, source, "--resume") == 2
    assert "leave out --resume" in capsys.readouterr().err
    assert not Path("models/m").exists()


def left_behind(recipe: Path, source: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """Leave a training as if it had been killed just before its model is published."""
    with monkeypatch.context() as patched:
        patched.setattr(output_dir, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(recipe, source, *more) == 130


@pytest.mark.slow
def test_no_resume_starts_over(recipe, source, whole, monkeypatch, capsys):
    left_behind(recipe, source, monkeypatch)
    assert run(recipe, source, "--no-resume") == 0
    assert "in earlier runs" not in capsys.readouterr().out
    assert contents(Path("models/m")) == whole


def test_killed_before_it_is_published_a_model_is_published_as_it_was(
    recipe, source, whole, monkeypatch
):
    left_behind(recipe, source, monkeypatch)
    assert not Path("models/m").exists()
    assert run(recipe, source, "--resume") == 0
    assert contents(Path("models/m")) == whole


@pytest.mark.slow
@pytest.mark.parametrize("kind", [
    "*[0-9].safetensors",
    *(
        pytest.param(kind, marks=pytest.mark.slow)
        for kind in ("best-*.safetensors", "*.state", "*.json")
    ),
])  # fmt: skip
def test_a_checkpoint_with_one_changed_byte_is_not_used(
    recipe, source, whole, monkeypatch, capsys, kind
):
    left_behind(recipe, source, monkeypatch)
    names = Path(".cxr/checkpoints").glob(f"*/{kind}")
    path = max(each for each in names if kind[0] == "b" or each.name[0] != "b")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert run(recipe, source) == 0
    printed = capsys.readouterr()
    assert "damaged and is not used" in printed.err
    assert contents(Path("models/m")) == whole


def test_a_checkpoint_of_another_run_is_not_used(tmp_path):
    checkpoints.save_best(tmp_path, 1, {})
    checkpoints.save(tmp_path, "x", checkpoints.Progress(1, best_step=1), {}, None)
    assert checkpoints.load(tmp_path, "y") is None
    assert checkpoints.load(tmp_path, "x").progress.step == 1


def test_what_no_training_wrote_is_not_deleted(recipe, source, capsys):
    own = Path("models/m/notes.txt")
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert run(recipe, source) == 2
    assert "notes.txt, which no training wrote" in capsys.readouterr().err
    assert own.read_text() == "mine"


def test_what_was_put_there_while_the_training_ran_is_not_deleted(tmp_path):
    out = tmp_path / "m"
    with output_dir.staged(out, tmp_path / ".cxr") as place:
        (place / "recipe.json").write_text("{}")
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        with pytest.raises(ConfigError, match="notes"):
            output_dir.publish(place, out)
    assert (out / "notes.txt").read_text() == "mine"


def test_an_output_that_holds_the_state_folder_is_refused(recipe, source, capsys):
    assert fit.main([str(recipe), "--shards", str(source), "--out", "."]) == 2
    assert "holds the state folder" in capsys.readouterr().err


def test_a_run_killed_between_two_renames_gets_its_old_model_back(tmp_path):
    old = tmp_path / ".m.old"
    old.mkdir()
    (old / "recipe.json").write_text("old")
    with output_dir.staged(tmp_path / "m", tmp_path / ".cxr"):
        assert (tmp_path / "m/recipe.json").read_text() == "old"


def test_a_second_run_of_the_same_training_is_refused(recipe, source, capsys, monkeypatch):
    left_behind(recipe, source, monkeypatch, "--limit", "2")
    (run_folder,) = {path.parent for path in records()}
    lock = run_folder.with_name(f"{run_folder.name}.lock")
    with lock.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert run(recipe, source, "--limit", "2") == 2
    assert "another run does the same training" in capsys.readouterr().err
    assert records(), "the other run's checkpoint"


def test_a_stopped_translation_says_what_is_kept(monkeypatch, capsys, tmp_path):
    def stops(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(translate, "translate", stops)
    folders = ["--texts", "t", "--there", "a", "--back", "b", "--out", "o"]
    assert translate.main(folders) == 130
    assert "the finished translations are kept" in capsys.readouterr().err


def test_recipe_json_holds_what_the_views_left_out(recipe, source):
    path = Path("frontal.yaml")
    path.write_text(f"base: [{recipe}]\nimage: {{views: [frontal]}}\n")
    assert run(path, source, "--limit", "1") == 0
    assert json.loads(Path("models/m/recipe.json").read_text())["left_out"] == {
        "mock": {"lateral": 12}
    }
