"""The wheel: what is in it, and that it works from any folder, beside a user's own modules."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("nlp", "pipelines", "train")
# Tracked files of the three folders that are no part of an installation.
LEFT_OUT = {"README.md", ".gitignore"}

USER = """
import cxr_vlp
report: str = cxr_vlp.annotate("FINDINGS: No effusion.").abnormal
batch: cxr_vlp.Batch = next(iter(cxr_vlp.loader("data/shards", "chexzero_tiny")))
wrong: int = cxr_vlp.annotate("FINDINGS: No effusion.").abnormal
cxr_vlp.open_shards("data/shards", spilt="train")
"""


def tracked() -> list[str]:
    """Return the files that belong to the source tree; without git, those that lie in it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return [name for name in done.stdout.splitlines() if os.path.lexists(ROOT / name)]
    skipped = ("data", "models", "reports")
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
    return [
        str(path)
        for path in found
        if path.parts[0] not in skipped and "__pycache__" not in path.parts
        and not (ROOT / path).is_dir()
    ]  # fmt: skip


def modules_and_data() -> set[str]:
    """Return the files that a wheel must hold, under the names that they have there."""
    own = [name.removeprefix(".src/") for name in tracked() if name.startswith(".src/cxr_vlp/")]
    own = [name for name in own if name.removeprefix("cxr_vlp/") not in ROOMS]  # the links
    rooms = [f"cxr_vlp/{name}" for name in tracked() if name.split("/")[0] in ROOMS]
    return {name for name in (*own, *rooms) if Path(name).name not in LEFT_OUT}


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(
        list(map(str, words)),
        cwd=cwd, env=clean | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """A copy of the source tree's files: a build leaves traces beside what it builds."""
    folder = tmp_path_factory.mktemp("sources")
    needed = ("pyproject.toml", "README.md", "LICENSE", ".src/", *(f"{room}/" for room in ROOMS))
    for name in tracked():
        if name.startswith(needed):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def wheel_of(sources: Path, out: Path) -> Path:
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", out, sources, cwd=out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    return wheel_of(sources, tmp_path_factory.mktemp("wheel"))


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as found:
        return {name for name in found.namelist() if ".dist-info/" not in name}


def test_a_wheel_holds_every_module_and_data_file_and_nothing_else(wheel):
    wanted = modules_and_data()
    for kind in ("py.typed", "lexicon/en/findings.yaml", "phrases.yaml", "recipes/base.yaml",
                 "configs/cxr-tiny.json", "templates/site/base.html", "static/site.css",
                 "static/browser/browser.css", "protocols/ours.yaml", "presets/vindr.yaml",
                 "cards/terms.yaml", "planning/measured.json"):  # fmt: skip
        assert any(name.endswith(kind) for name in wanted), kind
    assert names(wheel) == wanted


def test_a_wheel_claims_one_top_level_name(wheel):
    assert {name.split("/")[0] for name in names(wheel)} == {"cxr_vlp"}
    with zipfile.ZipFile(wheel) as found:
        top = next(name for name in found.namelist() if name.endswith("/top_level.txt"))
        assert found.read(top).decode().split() == ["cxr_vlp"]


def test_a_wheel_built_from_the_sdist_holds_the_same(wheel, sources, tmp_path):
    pack = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", pack, tmp_path, cwd=sources)
    shutil.unpack_archive(next(tmp_path.glob("*.tar.gz")), tmp_path / "unpacked", filter="data")
    (tmp_path / "again").mkdir()
    again = wheel_of(next((tmp_path / "unpacked").iterdir()), tmp_path / "again")
    assert names(again) == names(wheel)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of a fresh environment with the wheel in it.

    The third-party packages are lent by the environment that runs the tests. A .pth file inside a
    folder that was added by a .pth file is not read, so its editable installation stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = folder / "venv" / "lib" / version / "site-packages"
    lent = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (target / "lent.pth").write_text("\n".join([*lent, ""]))
    bin_folder = folder / "venv" / "bin"
    offline = ("--no-deps", "--no-index", "--quiet", "--ignore-installed")
    run(bin_folder / "python", "-m", "pip", "install", *offline, wheel, cwd=folder)
    where = run(bin_folder / "python", "-c", "import cxr_vlp; print(cxr_vlp.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(target)
    return bin_folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """A user's folder, with modules of the names that ours had, each failing on import."""
    for room in ROOMS:
        (tmp_path / f"{room}.py").write_text(f"raise RuntimeError('{room}.py was imported')\n")
    return tmp_path


BANK = """
frames:
  positive: ["Seen here is {x}."]
  negative: ["Seen here is no {x}."]
  uncertain: ["Perhaps {x}."]
names: {}
no_finding: {positive: [Nothing.], negative: [Something.], uncertain: [Perhaps something.]}
"""


@pytest.mark.slow
def test_the_steps_run_beside_a_users_own_modules(installed, folder):
    script = installed / "cxr-vlp"
    (folder / "params.yaml").write_text(
        "sources: {nih: {root: trees/nih, parts: {train: 2, validate: 1, test: 1}}}\n"
        "texts: {bank: own/bank.yaml}\n"
        "shards: {side: 64}\n"
    )
    (folder / "own").mkdir()
    (folder / "own/bank.yaml").write_text(BANK)
    common = ("nih", "--workers", "2")
    for words in (
        ("synthetic", "--out", "trees", "--sources=nih", "--studies=12", "--height=96"),
        ("scan", *common, "--out", "scan"),
        ("texts", *common, "--scan", "scan", "--out", "texts"),
        ("shards", *common, "--scan", "scan", "--texts", "texts", "--out", "sets/nih"),
        ("verify", "sets", "--deep", "--workers", "2"),
    ):
        run(script, *words, cwd=folder)
    assert len(list((folder / "sets/nih").glob("*/*.tar"))) > 1
    assert "Seen here is" in (folder / "texts/nih-train-00000.jsonl").read_text()


def test_a_users_own_recipe_is_found_by_its_path(installed, folder):
    (folder / "mine.yaml").write_text("base: chexzero_tiny\nrun: {steps: 7}\n")
    run(installed / "cxr-vlp", "resolve", "mine.yaml", "--out", "whole.yaml", cwd=folder)
    assert "steps: 7" in (folder / "whole.yaml").read_text()
    run(installed / "python", "-m", "cxr_vlp", "resolve", "best", "--out", "b.yaml", cwd=folder)


@pytest.mark.slow
def test_mypy_sees_the_types_of_an_installation(installed, folder):
    (folder / "user.py").write_text(USER)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", installed / "python",
         "--ignore-missing-imports", "--follow-imports=silent", "user.py"],
        cwd=folder, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 2, done.stdout + done.stderr
    assert "user.py:5: error: Incompatible types" in errors[0]
    assert 'user.py:6: error: Unexpected keyword argument "spilt"' in errors[1]
