"""A site of two sets, a trained model, and two evaluations; made once for all tests of a session.

Contents: `chromium` (the browser of this machine), `sets` (the folder of shards), `model`,
`evaluations` (two folders), `site`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr_vlp.train import fit, report
from tests.train.conftest import FINDINGS
from tests.train.pages import made_evaluations
from tests.train.pages.made_site import chromium_of, write_set

LABELS = (*FINDINGS, "Lung <b>Lesion</b> & co")  # the last one is in no sample


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Chromium without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with api.sync_playwright() as playwright:
        path = chromium_of(playwright.chromium)
        if not path:
            pytest.skip("no Chromium: install it, or name one in CXR_CHROMIUM, to test the pages")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    for name in ("mimic", "openi"):
        write_set(root, name)
    return root


@pytest.fixture(scope="session")
def model(sets: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "trial"
    given = ["--shards", str(sets), "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out.parent)
        assert fit.main([str(tiny_recipe), *given]) == 0
    return out


@pytest.fixture(scope="session")
def evaluations(
    sets: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("evaluations")
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    return (
        made_evaluations.write(root / "trial", [sets], LABELS, digest=digest),
        made_evaluations.write(root / "other", [sets], LABELS, strength=0.5, seed=1),
    )


@pytest.fixture(scope="session")
def site(
    sets: Path,
    model: Path,
    evaluations: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    assert make(sets, model, evaluations, out) == 0
    return out


def make(sets: Path, model: Path, evaluations: tuple[Path, ...], out: Path) -> int:
    """Run the command; return its exit code."""
    given = [word for each in evaluations for word in ("--evaluation", str(each))]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out.parent)  # no params.yaml there
        return report.main(
            ["--shards", str(sets), "--model", str(model), *given, "--out", str(out)]
        )
