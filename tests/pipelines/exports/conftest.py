"""Fixtures of the export tests: what the sets hold, read with tarfile alone, and finished exports.

`Truth` is one sample of a set. `truth` has those of all four built sets, `exported` writes a form
of them once a session.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cxr_vlp.pipelines.exports import command
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.tar import TarWriter


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
    """Return key -> sample of every tar of a folder of sets."""
    found = {}
    for path in sorted(sets.glob("*/*/*.tar")):
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


def alter(
    source: Path,
    target: Path,
    change: Callable[[dict[str, Any]], Any] = lambda document: None,
    **header: Any,
) -> Path:
    """Copy a set, changing its JSON members (captions follow) and its manifest's header."""
    shutil.copytree(source, target)
    first, lines = manifest.read(source)
    for line in (each for each in lines if each["samples"]):
        path = target / line["split"] / line["name"]
        with tarfile.open(path) as tar:
            members = [(m.name, tar.extractfile(m).read()) for m in tar]
        with path.open("wb") as stream:
            writer = TarWriter(stream)
            for image, document, text in zip(*[iter(members)] * 3, strict=True):
                content = json.loads(document[1])
                change(content)
                changed = json.dumps(content, sort_keys=True, ensure_ascii=False)
                writer.add(*image)
                writer.add(document[0], changed.encode())
                writer.add(text[0], content["caption"].encode())
            line["sha256"], line["bytes"] = writer.finish()
    first = first | header
    first["digest"] = manifest.digest(first, lines, target / manifest.REJECTS)
    written = "".join(json.dumps(row, sort_keys=True) + "\n" for row in (first, *lines))
    (target / manifest.NAME).write_text(written)
    return target


HARD = ('=1+1\n"quoted", and\tmore', "- no, -1", "00012", "NA", "\u2028 Röntgen \r\n,,", " ", "@x'")


def harden(document: dict[str, Any]) -> None:
    """Give a sample texts and labels on which readers of tables stumble."""
    number = int.from_bytes(hashlib.sha256(document["image"].encode()).digest()[:2])
    document["caption"] = HARD[number % len(HARD)] + "."
    document["impression"] = HARD[number // 7 % len(HARD)]
    document["labels_other"] = [{"name": 'Old "TB", =x', "value": number % 3 - 1}]
    document["labels_other"] += [{"name": "Ünlisted", "value": 0}] * (number % 2)


@pytest.fixture(scope="session")
def sets(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four sets; those of Open-i have texts and labels that are hard to write."""
    folder = tmp_path_factory.mktemp("sets")
    for path in (built / "shards").iterdir():
        if path.name == "openi":
            alter(path, folder / "openi", harden)
        elif (path / manifest.NAME).is_file():
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="session")
def altered() -> Callable[..., Path]:
    return alter


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
