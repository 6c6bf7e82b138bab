"""Readers of installed packages: a whole run of one, and packages that cannot be used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_vlp.pipelines import config, sources
from cxr_vlp.pipelines.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "own_collection"
REPORT = "FINDINGS: The lungs are clear.\nIMPRESSION: Small left pleural effusion.\n"

Install = Callable[..., Path]


def distribution(folder: Path, name: str, **readers: str) -> Path:
    """Make a folder into what an installation of a package leaves: its dist-info."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{source} = {value}" for source, value in readers.items()]
    (info / "entry_points.txt").write_text("\n".join(["[cxr_vlp.sources]", *lines, ""]))
    return folder


@pytest.fixture
def install(tmp_path, monkeypatch) -> Install:
    def installed(name: str, **readers: str) -> Path:
        folder = distribution(tmp_path / f"site-{name}", name, **readers)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return installed


@pytest.fixture
def clinic(tmp_path) -> Path:
    """A site folder into which pip installed the example, beside a raw tree of it."""
    package = shutil.copytree(EXAMPLE, tmp_path / "package")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--disable-pip-version-check", "--target"]
    subprocess.run([*pip, *options, str(tmp_path / "site"), str(package)], check=True)
    raw = tmp_path / "raw"
    (raw / "reports").mkdir(parents=True)
    rows, shade = ["patient,study,image,view"], np.random.default_rng(0)
    y, x = np.mgrid[0:96, 0:80]
    for number in range(12):
        study = f"s{number}"
        (raw / "images" / study).mkdir(parents=True)
        for image, view in (("a", "PA"), ("b", "LATERAL")):
            rows.append(f"p{number // 2},{study},{image},{view}")
            soft = np.sin(x / 17 + shade.random()) * np.cos(y / 23 + shade.random())
            grey = (127 + 90 * soft).astype(np.uint8)
            cv2.imwrite(str(raw / "images" / study / f"{image}.png"), grey)
        (raw / "reports" / f"{study}.txt").write_text(REPORT)
    (raw / "images.csv").write_text("\n".join([*rows, ""]))
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    found = {**os.environ, "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT / '.src'}"}
    command = [sys.executable, "-m", "cxr_vlp", *words]
    return subprocess.run(
        command, cwd=folder, env=found, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_collection_of_another_package_is_built_and_verified(clinic):
    (clinic / "params.yaml").write_text(
        "collections: [clinic]\n"
        "sources:\n"
        "  clinic:\n"
        "    root: raw\n"
        "    parts: {train: 2, validate: 1, test: 1}\n"
        "    reader: {frontal_only: true}\n"
        "shards: {side: 64}\n"
    )
    for words in (
        ("scan", "clinic", "--out", "scan"),
        ("texts", "clinic", "--scan", "scan", "--out", "texts"),
        ("shards", "clinic", "--scan", "scan", "--texts", "texts", "--out", "set", "--workers=2"),
        ("verify", "set", "--deep", "--rederive=3", "--scan=scan", "--texts=texts"),
    ):
        done = run(clinic, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    said = run(clinic, "scan", "clinic", "--out", "scan").stdout
    assert re.search(r"images in inventory +12\n\Z", said)
    assert len(list((clinic / "set").glob("*/*.tar"))) == 4
    assert "clinic" in run(clinic, "scan", "--help").stdout


def test_an_option_of_such_a_reader_is_checked(clinic):
    (clinic / "params.yaml").write_text("sources: {clinic: {reader: {frontal: true}}}")
    done = run(clinic, "scan", "nih", "--out", "o", "--root", "raw")
    assert done.returncode == 2
    assert "sources.clinic.reader: unknown key 'frontal'" in done.stderr


BROKEN = {
    "absent": ("no_such_module:Reader", r"cannot be loaded \(ModuleNotFoundError: No module named"),
    "raises": ("raising:Reader", r"cannot be loaded \(RuntimeError: of two lines\)"),
    "leaves": ("leaving:Reader", r"cannot be loaded \(SystemExit: 3\)"),
    "nothing": ("json:loads", "is no reader: it must be a frozen dataclass"),
    "lacking": ("lacking:Reader", "is no reader: it lacks title, .*, tables, rows, assemble, repo"),
    "Upper": ("lacking:Reader", "has a name that is not lower case letters and digits"),
    "renamed": ("clinic_cxr:Clinic", "calls itself 'clinic': both names must be the same"),
    "unknowable": ("unknowable:Reader", r"cannot be loaded \(NameError"),
}
MODULES = {
    "raising": "raise RuntimeError('of two lines\\nof which one is shown')",
    "leaving": "raise SystemExit(3)",
    "lacking": (
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\nclass Reader:\n    name = 'x'\n"
    ),
    "unknowable": (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import clinic_cxr\n"
        "@dataclass(frozen=True)\nclass Reader(clinic_cxr.Clinic):\n    option: Missing = None\n"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_named_with_the_remedy(install, name):
    value, problem = BROKEN[name]
    site = install("broken-cxr", **{name: value})
    shutil.copy(EXAMPLE / "clinic_cxr.py", site)
    for module, text in MODULES.items():
        (site / f"{module}.py").write_text(text)
    said = rf"{name!r}: {value} of the package broken-cxr 1\.0 {problem}.*"
    with pytest.raises(ConfigError, match=said + "; .*pip uninstall broken-cxr") as caught:
        sources.reader(name, {})
    assert "\n" not in str(caught.value)
    assert name in sources.names()


def test_a_broken_package_stops_no_other_collection(install, tmp_path):
    install("broken-cxr", broken="no_such_module:Reader")
    path = tmp_path / "params.yaml"
    path.write_text("collections: [nih, broken]\nsources: {broken: {root: x}, nih: {root: y}}")
    found = config.load(path)
    assert sources.reader("nih", found.collection("nih").reader).name == "nih"
    path.write_text("sources: {broken: {rot: x}}")  # what is ours to check is checked all the same
    with pytest.raises(ConfigError, match=r"sources\.broken: unknown key 'rot'"):
        config.load(path)


def test_a_name_registered_twice_is_refused(install):
    install("other-nih", nih="clinic_cxr:Clinic")
    said = (
        r"'nih' is registered by the package other-nih 1\.0, and cxr-vlp has a reader of that "
        "name; .*pip uninstall other-nih"
    )
    with pytest.raises(ConfigError, match=said):
        sources.kind("nih")
    install("one", clinic="a:B")
    install("two", clinic="c:D")
    with pytest.raises(ConfigError, match=r"one 1\.0 and two 1\.0, and only one of them may"):
        sources.kind("clinic")
    assert sources.kind("mimic").name == "mimic"


def test_a_command_for_a_broken_package_prints_one_line(clinic):
    (clinic / "site" / "clinic_cxr.py").write_text("import no_such_module")
    done = run(clinic, "scan", "clinic", "--root", "raw", "--out", "o")
    assert done.returncode == 2
    assert done.stderr.startswith("error: collection 'clinic': clinic_cxr:Clinic of the package")
    assert len(done.stderr.splitlines()) == 1
    assert run(clinic, "scan", "nih", "--root", "raw", "--out", "o").stderr.startswith(
        "error: this is no ChestX-ray14 tree"
    )


def test_importing_a_reader_needs_no_image_library():
    code = "import sys, cxr_vlp.pipelines.config; print({'cv2', 'pydicom'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "set()\n"
