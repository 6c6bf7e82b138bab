"""Fixture: `site` (pages about two small sets); `chromium` is that of the folder above."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.pages.browser.made_site import make, record, write_set

REPORTS = (
    "FINDINGS: The lungs are clear. No pneumothorax. IMPRESSION: No acute disease.",
    "FINDINGS: Large left pleural effusion. The heart is normal in size. AP view.",
    "FINDINGS: Hyperinflated but clear lungs. IMPRESSION: Possible right lower lobe nodule.",
    "FINDINGS: Small LEFT effusion, decreased since the prior study. Right base is clear.",
)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a site about `alpha` (60 reports, boxes) and `beta` (8 images, no report).

    Report number % 4 of REPORTS; views and labels by conftest.sample. Sample 0 of alpha has a box
    an eighth across and a quarter down, half as large as the image, and one of a layer.
    """
    root = tmp_path_factory.mktemp("site")
    box = {"label": "Edema", "x": 8.0, "y": 18.0, "w": 32.0, "h": 36.0, "phrase": "", "layer": ""}
    other = {
        "label": "Nodule",
        "x": 0,
        "y": 0,
        "w": 6.4,
        "h": 7.2,
        "phrase": "a dot",
        "layer": "ms",
    }
    alpha = [record("alpha", n, REPORTS[n % 4], sex="F", age=n) for n in range(60)]
    alpha[0] = record("alpha", 0, REPORTS[0], boxes=[box, other])
    beta = [record("beta", n, labels={"Mass": n % 2, "Edema": -1}) for n in range(8)]
    folders = [
        write_set(root, "alpha", {"train": alpha[:40], "test": alpha[40:]}, dropped={"scan x.y": 2},
                  listed=62),
        write_set(root, "beta", {"test": beta}),
    ]  # fmt: skip
    return f"file://{make(Path(root) / 'out', folders, samples=0)}"
