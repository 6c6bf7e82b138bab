"""The table of clients is true: every client has a row, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reuse.md").read_text(encoding="utf-8")
CLIENTS = (
    "tarfile", "webdataset", "wids", "open_clip", "Hugging Face datasets", "Ray Data", "DALI",
    "MONAI", "torchxrayvision", "DuckDB", "litdata", "mosaicml-streaming", "CXR-CLIP", "CheXzero",
    "CARZero", "MGCA", "MedCLIP", "LLaVA-Rad",
)  # fmt: skip
PACKAGES = {  # clients that are in requirements.lock
    "webdataset + PyTorch": "webdataset", "wids": "wids", "open_clip": "open-clip-torch",
    "Hugging Face datasets": "datasets", "Ray Data": "ray", "MONAI": "monai",
    "torchxrayvision": "torchxrayvision", "DuckDB": "duckdb", "litdata": "litdata",
}  # fmt: skip
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.count("|") == 6][2:]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_has_a_row(client):
    assert sum(client in row[0] for row in ROWS) == 1


def test_every_row_says_how_and_names_a_test():
    assert len(ROWS) == len(CLIENTS)
    for row in ROWS:
        assert re.search(r"unchanged|`export --(?:to|for) \w+`|cannot", row[1]), row[0]
        assert re.search(r"`tests/\S+\.py::test_\w+`", row[4]), row[0]


def test_every_row_says_which_version_was_run_and_how_to_call_it():
    for row in ROWS:
        assert re.fullmatch(r"(Python )?\d+(\.\d+)+|`[0-9a-f]{7}`", row[2].strip()), row[0]
        assert re.search(r"`[^`]+`|\]\(", row[3]), row[0]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_a_version_is_that_of_the_lock_or_of_the_exporter(row):
    """A new release in the lock, or a new revision in an exporter, is run before it is named."""
    name, version = row[0].strip(), row[2].strip(" `")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", lock, re.M))
    package = PACKAGES.get(name)
    if package:
        assert version == locked[package]
    if trainer := re.search(r"`export --for (\w+)`", row[1]):
        source = ROOT / "pipelines" / "exports" / "trainers" / f"{trainer[1]}.py"
        assert version in re.search(r"CHECKED = (.+)", source.read_text(encoding="utf-8"))[1]


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+\.py\S*)`", PAGE))))
def test_the_tests_that_the_table_names_exist(named):
    path, _, test = named.partition("::")
    assert (ROOT / path).is_file(), named
    assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), named


def test_the_codes_of_the_table_exist():
    from cxr_vlp.pipelines import codes

    part = PAGE.partition("## Tars of another program")[2]
    named = set(
        re.findall(
            r"`((?:manifest|member|sample|json|shard|sizes|caption|image|patient)\.[a-z_]+)`", part
        )
    )
    assert len(named) > 6
    assert named - {"sizes.json", "image.jpg"} <= codes.VERIFY.keys()
