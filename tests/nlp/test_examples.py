"""Examples: every example in the docstrings prints what the docstring says it prints."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def with_examples() -> list[str]:
    files = sorted((ROOT / "nlp").rglob("*.py"))
    chosen = [path for path in files if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(("cxr_vlp", *path.relative_to(ROOT).with_suffix("").parts)) for path in chosen]


@pytest.mark.parametrize("name", with_examples())
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("name", ["annotate", "status", "findings.mentions"])
def test_a_public_module_has_examples(name: str) -> None:
    assert f"cxr_vlp.nlp.{name}" in with_examples()


def test_the_examples_of_the_readme() -> None:
    found = doctest.testfile(str(ROOT / "nlp" / "README.md"), module_relative=False)
    assert found.attempted > 10
    assert not found.failed
