"""Fixtures of the export tests: what the sets hold, read with tarfile alone, and finished exports.

`Truth` is one sample of a set. `truth` has those of all four built sets, `exported` writes a form
of them once a session.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cxr_vlp.pipelines.exports import command


class Truth(NamedTuple):
    split: str
    image: bytes
    document: dict[str, Any]
    caption: str

    @property
    def labels(self) -> dict[str, int]:
        return self.document["labels"]

    @property
    def others(self) -> dict[str, int]:
        return {each["name"]: each["value"] for each in self.document["labels_other"]}


def read(sets: Path) -> dict[str, Truth]:
    """Return key -> sample of every tar below a folder."""
    found = {}
    for path in sorted(sets.rglob("*.tar")):
        members: dict[str, dict[str, bytes]] = {}
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, form = member.name.partition(".")
                members.setdefault(key, {})[form] = tar.extractfile(member).read()
        for key, each in members.items():
            image = each.get("jpg") or each["png"]
            document = json.loads(each["json"])
            found[key] = Truth(path.parent.name, image, document, each["txt"].decode())
    return found


@pytest.fixture(scope="session")
def sets(built: Path) -> Path:
    return built / "shards"


@pytest.fixture(scope="session")
def truth(sets: Path) -> dict[str, Truth]:
    found = read(sets)
    # the tests would prove little without these
    assert {value for each in found.values() for value in each.labels.values()} == {1, 0, -1}
    assert any(each.others for each in found.values())
    assert len({each.document["dataset"] for each in found.values()}) == 4
    return found


@pytest.fixture(scope="session")
def read_sets() -> Callable[[Path], dict[str, Truth]]:
    return read


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="session")
def run(state: Path) -> Callable[..., Path]:
    """Runs the command; returns the folder of the export."""

    def export(path: Path, out: Path, *flags: str) -> Path:
        words = [str(path), "--out", str(out), "--state", str(state), *flags]
        assert command.main(words) == 0
        return out

    return export


@pytest.fixture(scope="session")
def exported(
    sets: Path, run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Returns the export of all sets in a form, with further flags; each is written once."""
    made: dict[tuple[str, ...], Path] = {}

    def export(*flags: str) -> Path:
        if flags not in made:
            made[flags] = run(sets, tmp_path_factory.mktemp("exported") / "out", *flags)
        return made[flags]

    return export
