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
    if given := os.environ.get("CXR_DALI_PYTHON"):
        return given
    pytest.skip("no nvidia-dali here: set CXR_DALI_PYTHON to the python of an environment with it")


@pytest.mark.slow
@pytest.mark.parametrize(("source", "form"), [("mimic", "jpg"), ("openi", "png")])
def test_dali_on_the_cpu(sets, source, form):
    said = run("read_with_dali.py", sets / source, "--form", form, python=dali())
    assert first_number(said) == number(sets / source)


def joined(out: Path, folders: list[Path]) -> tuple[Path, int]:
    """Link the training tars of sets into one folder; return it and its number of samples."""
    (out / "train").mkdir(parents=True)
    sizes: dict[str, int] = {}
    for folder in folders:
        sizes |= manifest.sizes(folder / "train")
        for path in (folder / "train").glob("*.tar"):
            (out / "train" / path.name).symlink_to(path)
    (out / "train" / manifest.SIZES).write_bytes(str(sizes).replace("'", '"').encode())
    return out / "train", sum(sizes.values())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("names", [("nih",), ("nih", "mimic", "openi")], ids=["one", "three"])
def test_open_clips_own_command_line_trains(sets, tmp_path, names):
    folder, samples = joined(tmp_path / "joined", [sets / name for name in names])
    tars = "::".join(str(path) for path in sorted(folder.glob("*.tar")))
    words = ["--train-data", tars, "--dataset-type", "webdataset", "--model", "cxr-tiny",
             "--batch-size", 4, "--epochs", 1, "--workers", 1,
             "--warmup", 1, "--device", "cpu", "--precision", "fp32", "--log-every-n-steps", 1,
             "--logs", tmp_path / "logs", "--name", "trial"]  # fmt: skip
    run("train_with_open_clip.py", *words, cwd=tmp_path)
    log = (tmp_path / "logs" / "trial" / "out.log").read_text()
    assert re.search(rf"{-(-samples // 4) * 4}/{-(-samples // 4) * 4}|100%", log), log[-2000:]
    assert (tmp_path / "logs" / "trial" / "checkpoints" / "epoch_1.pt").is_file()


def test_every_example_is_run_here():
    here = Path(__file__).read_text(encoding="utf-8")
    ours = {path.name for path in EXAMPLES.glob("*_with_*.py")}
    assert len(ours) >= 9
    assert [name for name in sorted(ours) if f'"{name}"' not in here] == []
