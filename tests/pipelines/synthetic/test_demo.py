"""`make demo` and `make clean`: nothing is deleted that they did not make."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cxr_vlp.pipelines import scan
from cxr_vlp.pipelines.files import synthetic_marker
from cxr_vlp.pipelines.synthetic import demo, ownership
from cxr_vlp.pipelines.synthetic import generate as command

ROOT = Path(__file__).resolve().parents[3]
SMALL = ("--studies", "3", "--height", "64", "--sources", "nih")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_trees(out: str, *more: str) -> int:
    return command.main(["--out", out, *SMALL, *more])


def listing(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_a_folder_of_somebody_else_is_refused_and_kept(capsys):
    own = Path("raw/nih/images/00000001_000.png")
    own.parent.mkdir(parents=True)
    own.write_bytes(b"a real one")
    assert make_trees("raw") == 2
    assert "did not make" in capsys.readouterr().err
    assert listing(Path("raw")) == {"nih/images/00000001_000.png": b"a real one"}


def test_a_link_to_a_real_tree_is_refused_and_the_tree_is_kept(tmp_path, capsys):
    assert make_trees("elsewhere") == 0
    before = listing(Path("elsewhere"))
    Path("raw").mkdir()
    Path("raw/nih").symlink_to(tmp_path / "elsewhere/nih")
    assert make_trees("raw", "--seed", "1") == 2
    assert "is a link" in capsys.readouterr().err
    assert listing(Path("elsewhere")) == before


def test_one_foreign_tree_stops_the_command_before_any_change(capsys):
    assert make_trees("raw", "--sources", "nih,openi") == 0
    before = listing(Path("raw/nih"))
    shutil.rmtree("raw/openi")
    Path("raw/openi").mkdir()
    Path("raw/openi/mine.txt").write_text("mine")
    assert make_trees("raw", "--sources", "nih,openi", "--seed", "3") == 2
    assert listing(Path("raw/nih")) == before


def test_a_file_that_was_added_to_a_tree_is_not_deleted(capsys):
    assert make_trees("raw") == 0
    Path("raw/nih/images/mine.png").write_bytes(b"mine")
    assert make_trees("raw", "--seed", "1") == 2
    assert "added after it was made" in capsys.readouterr().err
    assert Path("raw/nih/images/mine.png").read_bytes() == b"mine"


def test_a_tree_is_made_again_only_with_other_settings(capsys):
    assert make_trees("raw") == 0
    first = listing(Path("raw"))
    assert "making 3 studies" in capsys.readouterr().err
    stamp = Path("raw/nih", synthetic_marker.NAME).stat().st_mtime_ns
    assert make_trees("raw") == 0
    assert "kept, it was made" in capsys.readouterr().err
    assert Path("raw/nih", synthetic_marker.NAME).stat().st_mtime_ns == stamp
    assert make_trees("raw", "--seed", "1") == 0
    assert listing(Path("raw")) != first
    assert make_trees("raw", "--seed", "0") == 0
    assert listing(Path("raw")) == first, "nothing of the other tree is left in it"


def test_a_tree_that_was_interrupted_is_made_again():
    assert make_trees("whole") == 0
    ownership.begin(Path("raw/nih"), {"studies": 3})
    Path("raw/nih/half.png").write_bytes(b"")
    assert make_trees("raw") == 0
    assert listing(Path("raw")) == listing(Path("whole"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_is_one_line_and_130(workers):
    arguments = ["--out", "raw", "--studies", "4000", "--sources", "nih", "--workers", workers]
    running = subprocess.Popen(
        [sys.executable, "-m", "cxr_vlp.pipelines.synthetic.generate", *arguments], text=True,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT / ".src")},
        start_new_session=True,
    )  # fmt: skip
    while not list(Path("raw").glob("nih/images/*.png")):
        assert running.poll() is None
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal sends it: to every process
    _, printed = running.communicate()
    assert running.returncode == 130
    assert printed.strip().splitlines()[-1].startswith("stopped")
    assert "Traceback" not in printed


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout whose `dvc repro` is a script that writes the demo's outputs."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["collections"] = ["nih", "openi"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    tools = {
        "python": f'#!/bin/sh\nPYTHONPATH={ROOT}/.src exec {sys.executable} "$@"\n',
        "cxr-vlp": f'#!/bin/sh\nPYTHONPATH={ROOT}/.src exec {sys.executable} -m cxr_vlp.cli "$@"\n',
        "dvc": "#!/bin/sh\nset -e\nfor place in data/scan/nih data/texts/nih data/shards/nih "
        "data/scan/openi data/cards/nih data/cards/joined models/cxrclip_tiny "
        "reports/evaluate/cxrclip_tiny; do\n"
        "mkdir -p $place; echo made > $place/file; done\n"
        "mkdir -p data/recipes; echo made > data/recipes/cxrclip_tiny.yaml\n"
        "mkdir -p reports/site; echo made > reports/site/index.html\n"
        "for place in nih joined; do mkdir -p data/cards/$place/train\n"
        'ln -sf ../../../shards/nih/file "data/cards/$place/train/a.tar"; done\n'
        'echo "$@" > asked\n',
    }
    Path(".venv/bin").mkdir(parents=True)
    for name, text in tools.items():
        path = Path(".venv/bin", name)
        path.write_text(text)
        path.chmod(0o755)
    Path(".venv/.ready").touch()
    return tmp_path


def make(target: str) -> subprocess.CompletedProcess[str]:
    words = ["make", target, "STUDIES=3", "WORKERS=1"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def files(*tops: str) -> set[str]:
    return {str(path) for top in tops for path in Path(top).rglob("*") if path.is_file()}


@pytest.mark.usefixtures("checkout")
def test_make_demo_and_clean_keep_all_other_files():
    own = {
        "data/raw/mimic/files/p10/image.dcm", "data/raw/nih/images/00000001_000.png",
        "data/shards/mimic/manifest.jsonl", "data/cards/mimic/README.md",
        "models/mine/model.safetensors", "reports/evaluate/mine/metrics.json", "reports/notes.txt",
        ".cxr/checkpoints/a/1.json",
    }  # fmt: skip
    for name in own:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("mine")
    done = make("demo")
    assert done.returncode == 0, done.stderr
    assert "making 3 studies" in done.stderr
    assert files("data/synthetic/nih")
    assert Path("asked").read_text().split() == ["repro", "report", "card", "joined"]
    again = make("demo")
    assert "kept, it was made with these settings" in again.stderr
    cleaned = make("clean")
    assert cleaned.returncode == 0, cleaned.stderr
    assert files("data", "models", "reports", ".cxr") == own
    assert not Path("data/synthetic").exists()
    assert "removed models/cxrclip_tiny" in cleaned.stdout
    for path in (
        "models/mine",
        "data/raw",
        "data/shards/mimic",
        "data/cards/mimic",
        "reports/evaluate/mine",
    ):
        assert f"kept    {path}\n" in cleaned.stdout


@pytest.mark.usefixtures("checkout")
def test_a_model_trained_by_hand_in_place_of_the_demos_is_kept():
    assert make("demo").returncode == 0
    Path("models/cxrclip_tiny/file").write_text("trained for a week")
    cleaned = make("clean")
    assert Path("models/cxrclip_tiny/file").read_text() == "trained for a week"
    assert "kept    models/cxrclip_tiny\n" in cleaned.stdout
    assert not Path("data/shards").exists()


@pytest.mark.usefixtures("checkout")
def test_without_a_demo_make_clean_removes_nothing():
    for name in ("data/shards/nih/manifest.jsonl", "models/cxrclip_tiny/model.safetensors"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("built by hand")
    assert make("clean").returncode == 0
    assert len(files("data", "models")) == 2


@pytest.mark.usefixtures("checkout")
def test_the_demo_does_not_run_over_a_real_tree():
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["sources"]["nih"]["root"] = "data/raw/nih"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("data/raw/nih").mkdir(parents=True)
    done = make("demo")
    assert done.returncode != 0
    assert "nih from data/raw/nih, which the demo did not make" in done.stderr
    assert not Path("models").exists()


def test_no_command_of_the_makefile_removes_a_folder_by_name():
    assert "rm " not in (ROOT / "Makefile").read_text()


def test_params_point_at_trees_of_the_demos_own_folder():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in params["collections"]:
        assert params["sources"][name]["root"] == f"{demo.TREES}/{name}"


def test_a_marker_of_another_writer_is_not_accepted(tmp_path):
    (tmp_path / synthetic_marker.NAME).write_text(json.dumps({"files": 0}))
    assert synthetic_marker.read(tmp_path) is None
    (tmp_path / synthetic_marker.NAME).write_text("[")
    assert synthetic_marker.read(tmp_path) is None


def as_older_versions_wrote(tree: Path) -> None:
    """Replace the marker by that of 0.2 and 0.3, which had another name and another writer."""
    marker = tree / synthetic_marker.NAME
    content = json.loads(marker.read_text())
    content["made_by"] = "python -m pipelines.lookalike"
    content["drawing"]["code"] = "another version's"
    (tree / ".lookalike.json").write_text(json.dumps(content))
    marker.unlink()


def test_a_tree_of_an_older_version_is_recognised_and_made_again(capsys):
    assert make_trees("raw") == 0
    first = listing(Path("raw"))
    as_older_versions_wrote(Path("raw/nih"))
    assert synthetic_marker.wholly_synthetic(Path("raw/nih"))
    assert make_trees("raw") == 0
    assert listing(Path("raw")) == first
    assert not Path("raw/nih/.lookalike.json").exists()


def test_a_tree_of_an_older_version_is_removed_unless_a_file_was_added():
    assert make_trees("data/synthetic", "--sources", "nih,openi") == 0
    for name in ("nih", "openi"):
        as_older_versions_wrote(demo.TREES / name)
    (demo.TREES / "nih/mine.png").write_bytes(b"mine")
    assert not synthetic_marker.wholly_synthetic(demo.TREES / "nih")
    lines = demo.clean()
    assert (demo.TREES / "nih/mine.png").read_bytes() == b"mine"
    assert not (demo.TREES / "openi").exists()
    assert f"removed {demo.TREES / 'openi'}" in lines


def test_a_synthetic_tree_has_no_terms_until_a_real_file_is_in_it(tmp_path):
    """A synthetic MIMIC tree is not credentialed: texts may be shown, files are readable."""
    assert make_trees("raw", "--sources", "mimic") == 0
    assert synthetic_marker.wholly_synthetic(Path("raw/mimic"))
    for number, is_real in enumerate((False, True)):
        if is_real:
            Path("raw/mimic/mine.dcm").write_bytes(b"a real one")
        out = tmp_path / str(number)
        common = ["--root", "raw/mimic", "--out", str(out / "scan"), "--state", str(out / "s")]
        assert scan.main(["mimic", *common]) == 0
        header = json.loads((out / "scan/inventory.json").read_text())
        assert header["credentialed"] is is_real
        assert ("synthetic" in header["licence"]) is not is_real
    own = {"studies": 1, "own": True}
    ownership.begin(Path("mixed"), own)
    ownership.finish(Path("mixed"), own)
    assert not synthetic_marker.wholly_synthetic(Path("mixed"))


def test_the_views_of_every_collection_of_the_demo_are_known(capsys):
    """Without views `evaluate.views: [frontal]` stops the demo: files of Open-i name no view."""
    assert make_trees("data/synthetic", "--studies", "12", "--sources", "openi") == 0
    Path("params.yaml").write_text(
        "collections: [openi]\n"
        "sources: {openi: {root: data/synthetic/openi, parts: {train: 1, validate: 1, test: 1}}}\n"
    )
    assert scan.main(["openi", "--out", "data/scan/openi", "--workers", "1"]) == 0
    assert "view.unknown" not in capsys.readouterr().out
