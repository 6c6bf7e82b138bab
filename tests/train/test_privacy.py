"""What is made of a private set is readable by the user alone."""

from __future__ import annotations

import json
import os

import pytest

from cxr_vlp.pipelines.format import manifest
from cxr_vlp.train import privacy


@pytest.fixture(autouse=True)
def _umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("header", "mode"),
    [
        ({"credentialed": True, "ids": "source"}, 0o600),
        ({"credentialed": False, "ids": "salted"}, 0o600),
        ({"credentialed": False, "ids": "source"}, 0o644),
        ("no header", 0o644),
        (None, 0o644),
    ],
)
def test_files_are_as_private_as_the_sets_they_are_made_of(tmp_path, header, mode):
    (tmp_path / "open").mkdir()
    (tmp_path / "mine").mkdir()
    if header is not None:
        (tmp_path / "mine" / manifest.NAME).write_text(json.dumps(header) + "\n")
    privacy.narrow([tmp_path / "open", tmp_path / "mine"])
    made = tmp_path / "page.html"
    made.write_text("")
    assert made.stat().st_mode & 0o777 == mode
