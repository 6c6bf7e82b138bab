"""Every script of examples/ runs on small sets and reads every sample of them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import WRITERS
from stages import build

from cxr_vlp.pipelines.cards import command as card_command
from cxr_vlp.pipelines.format import manifest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SHARDS = "SHARDS"


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """A folder with small sets of MIMIC, NIH (no report) and, as png, Open-i."""
    folder = tmp_path_factory.mktemp("examples")
    for source in ("mimic", "nih", "openi"):
        WRITERS[source].write(folder / "raw", studies=14, seed=3, height=192)
        form = "png" if source == "openi" else "jpg"
        build(folder / "raw" / source, source, folder, shards={"side": 96, "format": form})
    return folder / "shards"


def number(folder: Path, split: str = "train") -> int:
    _, lines = manifest.read(folder)
    return sum(line["samples"] for line in lines if line["split"] == split)


def run(name: str, *words: object, python: str = sys.executable, cwd: Path | None = None) -> str:
    """Run an example in a process of its own; return what it prints."""
    paths = os.pathsep.join((str(ROOT / ".src"), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [python, str(EXAMPLES / name), *map(str, words)],
        capture_output=True, text=True, check=False, cwd=cwd,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def first_number(text: str) -> int:
    return int(re.match(r"\d+", text.strip().splitlines()[-1])[0])


@pytest.mark.slow
@pytest.mark.parametrize("source", ["mimic", "nih", "openi"])
def test_plain_tarfile(sets, source):
    assert first_number(run("read_with_tarfile.py", sets / source)) == number(sets / source)


@pytest.mark.slow
def test_duckdb(sets, tmp_path):
    said = run("query_with_duckdb.py", sets / "nih", sets / "openi", "--state", tmp_path)
    assert f"nih train {number(sets / 'nih')} " in said
    assert f"openi test {number(sets / 'openi', 'test')} " in said


@pytest.mark.slow
def test_webdataset_and_pytorch(sets):
    said = run("read_with_webdataset.py", sets / "mimic", sets / "openi")
    assert first_number(said) == number(sets / "mimic") + number(sets / "openi")
    assert "(1, 64, 64)" in said


@pytest.mark.slow
def test_datasets_streaming(sets):
    said = run("stream_with_datasets.py", sets / "nih", sets / "mimic")
    assert first_number(said) == number(sets / "nih") + number(sets / "mimic")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["mimic", "openi"])
def test_ray_data(sets, source):
    said = run("read_with_ray.py", sets / source)
    assert first_number(said) == number(sets / source)


@pytest.mark.slow
def test_monai(sets, tmp_path):
    said = run("read_with_monai.py", sets / "nih", "--state", tmp_path)
    assert 0 < first_number(said) <= number(sets / "nih")


@pytest.mark.slow
def test_torchxrayvision(sets, tmp_path):
    said = run("read_with_xrv.py", sets / "nih", sets / "mimic", "--state", tmp_path)
    assert first_number(said) == number(sets / "nih") + number(sets / "mimic")
    assert "(1, 224, 224), 18 labels" in said


def dali() -> str:
    """Return a Python that has DALI, or skip the test."""
    if importlib.util.find_spec("nvidia.dali") if importlib.util.find_spec("nvidia") else None:
        return sys.executable
    given = os.environ.get("CXR_CLIENTS_PYTHON", "")
    if (
        given
        and not subprocess.run([given, "-c", "import nvidia.dali"], capture_output=True).returncode
    ):
        return given
    pytest.skip("set CXR_CLIENTS_PYTHON to the Python of an environment with nvidia-dali-cuda120")


@pytest.mark.slow
@pytest.mark.parametrize(("source", "form"), [("mimic", "jpg"), ("openi", "png")])
def test_dali_on_the_cpu(sets, source, form):
    said = run("read_with_dali.py", sets / source, "--form", form, python=dali())
    assert first_number(said) == number(sets / source)


@pytest.fixture(scope="module")
def cards(sets) -> Path:
    """The cards of the sets, and the folder that joins them."""
    out = sets.parent / "cards"
    words = [str(sets), "--out", str(out), "--no-images", "--no-plots"]
    assert card_command.main([*words, "--state", str(sets.parent / "state")]) == 0
    return out


def train_data(card: Path) -> str:
    """Return --train-data as the page of a card prints it."""
    page = (card / "README.md").read_text(encoding="utf-8")
    return re.search(r"--train-data '([^']+)'", page)[1]


def flags(card: Path, logs: Path) -> list[object]:
    return ["--train-data", train_data(card), "--dataset-type", "webdataset",
            "--batch-size", 4, "--epochs", 1, "--workers", 1, "--warmup", 1, "--device", "cpu",
            "--precision", "fp32", "--log-every-n-steps", 1, "--logs", logs, "--name", "trial",
            ]  # fmt: skip


def assert_trained(logs: Path, samples: int) -> None:
    """Look whether open_clip counted the samples, trained to the end and saved the model."""
    log = (logs / "trial" / "out.log").read_text()
    whole = -(-samples // 4) * 4  # open_clip fills the last batch up
    assert re.search(rf"Train Epoch: 0 \[ *{whole}/{whole} \(100%\)", log), log[-2000:]
    assert (logs / "trial" / "checkpoints" / "epoch_1.pt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nih", "joined"])
def test_open_clips_own_command_line_trains(sets, cards, tmp_path, name):
    words = flags(cards / name, tmp_path / "logs")
    run("train_with_open_clip.py", *words, "--model", "cxr-tiny", cwd=cards / name)
    used = ("nih", "mimic", "openi") if name == "joined" else (name,)
    assert_trained(tmp_path / "logs", sum(number(sets / each) for each in used))


@pytest.mark.slow
def test_open_clip_with_its_own_release_of_webdataset_needs_no_script(sets, cards, tmp_path):
    python = os.environ.get("CXR_CLIENTS_PYTHON", "")
    asked = [python, "-c", "import webdataset, open_clip_train; print(webdataset.__version__)"]
    release = subprocess.run(asked, capture_output=True, text=True).stdout if python else ""
    if release.strip() != "0.2.86":
        pytest.skip("set CXR_CLIENTS_PYTHON to a Python with open_clip_train and webdataset 0.2.86")
    words = [*flags(cards / "joined", tmp_path / "logs"),
             "--model", "ViT-S-32-alt", "--force-image-size", 32]  # fmt: skip
    done = subprocess.run(
        [python, "-m", "open_clip_train.main", *map(str, words)],
        capture_output=True, text=True, cwd=cards / "joined",
        env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert_trained(
        tmp_path / "logs", sum(number(sets / name) for name in ("nih", "mimic", "openi"))
    )


def test_a_wrong_folder_is_said_and_not_counted_as_nothing(tmp_path):
    with pytest.raises(AssertionError, match="no samples in"):
        run("read_with_tarfile.py", tmp_path)


def test_every_example_is_run_here():
    here = Path(__file__).read_text(encoding="utf-8")
    ours = {path.name for path in EXAMPLES.glob("*_with_*.py")}
    assert len(ours) >= 9
    assert [name for name in sorted(ours) if f'"{name}"' not in here] == []
