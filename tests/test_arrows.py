"""The arrows between the rooms, and what each may not drag in: pipelines -> nlp <- train."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "nlp": {"pipelines", "train", "apache_beam", "torch", "open_clip"},
    "pipelines": {"train", "torch", "open_clip", "torchvision"},
    "train": {"pipelines", "apache_beam"},
}
# Beam stays in one file: everything else is a plain function that needs no pipeline to be tested
BEAM = {"pipelines/beam.py"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", FORBIDDEN)
def test_imports(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        crossed = imports(path) & FORBIDDEN[room]
        assert not crossed, f"{path.relative_to(ROOT)} imports {crossed}"


def test_beam_is_in_one_file():
    users = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "pipelines").rglob("*.py")
        if "apache_beam" in imports(path)
    }
    assert users == BEAM


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cxr_vlp.nlp.annotate", ("torch", "apache_beam", "pandas", "spacy", "scispacy")),
        ("cxr_vlp.pipelines.texts", ("torch", "spacy", "scispacy")),
        ("cxr_vlp.pipelines.verify", ("torch", "apache_beam", "spacy")),
        ("cxr_vlp.pipelines.shards", ("torch",)),
        ("cxr_vlp.train.config.recipe", ("torch", "apache_beam")),
    ],
)
def test_what_a_module_drags_in(module, heavy):
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
