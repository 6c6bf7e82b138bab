"""The cards of the four small sets, and of all of them joined."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_vlp.pipelines.cards import command


@pytest.fixture(scope="session")
def cards(built, tmp_path_factory) -> Path:
    """A folder with the card of every set, and with `joined`."""
    out = tmp_path_factory.mktemp("cards") / "data cards é"
    words = [str(built / "shards"), "--out", str(out), "--state", str(out.parent / ".cxr")]
    assert command.main(words) == 0
    return out
