"""What pyproject.toml declares is what the code imports, extra by extra, and CITATION agrees."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import cxr_vlp

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# import name -> the distribution's name, where they differ
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "open_clip": "open-clip-torch",
    "upath": "universal-pathlib",
    "yaml": "pyyaml",
}
NOT_LOCKED = {"gs", "abfs"}  # extras that were not run, as pyproject.toml says
# Declared, and imported by no module: why.
NOT_IMPORTED = {
    "dvc": "a command; dvc.yaml is for it",
    "scispacy": "its pipelines are loaded by spaCy, which imports it by entry points",
}


def normal(requirement: str) -> str:
    """Return the normalised name of a requirement's distribution."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(each) for each in requirements}


def imported(folder: str) -> dict[str, str]:
    """Return the distributions that the modules of a folder import, each with one of them."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                modules = [node.module]
            for module in (each.split(".")[0] for each in modules):
                if module not in sys.stdlib_module_names and module != "cxr_vlp":
                    found[normal(DISTRIBUTIONS.get(module, module))] = str(path)
    return found


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("nlp", declared(PROJECT["dependencies"]) | declared(EXTRAS["scispacy"])),
        (
            "pipelines",
            declared([*PROJECT["dependencies"], *EXTRAS["share"], *EXTRAS["spark"], *EXTRAS["s3"]]),
        ),
        ("train", declared(PROJECT["dependencies"]) | declared(EXTRAS["train"])),
    ],
)
def test_what_is_imported_is_declared(folder, allowed):
    missing = {name: where for name, where in imported(folder).items() if name not in allowed}
    assert missing == {}


def test_what_is_declared_is_imported():
    core = imported("nlp") | imported("pipelines")
    assert declared(PROJECT["dependencies"]) - set(core) - set(NOT_IMPORTED) == set()
    assert declared(EXTRAS["train"]) - set(imported("train")) - set(NOT_IMPORTED) == set()


def test_the_core_caps_numpy_at_nothing():
    numpy = next(each for each in PROJECT["dependencies"] if each.startswith("numpy"))
    assert "<" not in numpy  # scispaCy's own limit comes with the extra


def test_all_extras_are_in_all_and_in_the_lock():
    named = re.fullmatch(r"cxr-vlp\[(.*)\]", EXTRAS["all"][0])
    assert named
    assert set(named[1].split(",")) == set(EXTRAS) - {"all", *NOT_LOCKED}
    lines = (ROOT / "requirements.lock").read_text().split()
    locked = [line.partition("==") for line in lines]
    assert all(version for _, _, version in locked)
    names = [normal(name) for name, _, _ in locked]
    extras = (each for x in named[1].split(",") for each in EXTRAS[x])
    wanted = [*PROJECT["dependencies"], *extras]
    assert declared(wanted) - set(names) == set()
    assert len(set(names)) == len(names)


def test_the_citation_is_of_this_version():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0"
    assert found["version"] == cxr_vlp.__version__
    assert found["license"] == PROJECT["license"]
    assert found["authors"] == [{"name": "The cxr-vlp contributors"}]
    for paper in found["references"]:
        assert paper["title"]
        assert paper["authors"]
        assert 2022 <= paper["year"] <= 2025
        assert paper["type"] in ("article", "conference-paper")
    assert len(found["references"]) == 6
