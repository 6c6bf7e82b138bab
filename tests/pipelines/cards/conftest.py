"""The cards of the four small sets, and of all of them joined."""

from __future__ import annotations

from pathlib import Path

import pytest
from stages import build as build_set

from cxr_vlp.pipelines.cards import command


@pytest.fixture(scope="session")
def cards(built, tmp_path_factory) -> Path:
    """A folder with the card of every set, and with `joined`."""
    out = tmp_path_factory.mktemp("cards") / "data cards é"
    words = [str(built / "shards"), "--out", str(out), "--state", str(out.parent / ".cxr")]
    assert command.main(words) == 0
    return out


@pytest.fixture(scope="session")
def salted_png(raw, tmp_path_factory) -> Path:
    """A small set of Open-i as PNG, with salted ids."""
    out = tmp_path_factory.mktemp("salted")
    parts = {"train": 2, "validate": 1, "test": 1}
    return build_set(
        raw / "openi", "openi", out,
        sources={"openi": {"parts": parts, "ids": "salted"}},
        scan={"salt": "a secret of sixteen"}, shards={"format": "png", "side": 64},
    )  # fmt: skip
