"""A stage reads each file of a part once, and computes each fingerprint of a sample once."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from stages import build, params, run_scan

from cxr_vlp.nlp.config import plain_yaml
from cxr_vlp.pipelines import plan, scan, shards, texts, verify
from cxr_vlp.pipelines.executor.pool import PartAttempts, PartPool
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.stages import sample_members

SOURCE = "mimic"
SAMPLES = 19  # of the 21 images of the tree; the study of two of them has no text
_counts: list[Counter[str]] = []  # the last one counts; an audit hook cannot be removed


def _count_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _counts and isinstance(arguments[0], str | os.PathLike):
        _counts[-1][os.fspath(arguments[0])] += 1


@pytest.fixture(scope="session")
def hook() -> None:
    # once in a process: tests of other modules may come between, and a second hook counts twice
    sys.addaudithook(_count_open)


@pytest.fixture
def opened(hook, monkeypatch) -> Iterator[Counter[str]]:
    """How often each path is opened; the parts are done in this process."""

    def in_this_process(_: PartPool, attempts: Sequence[PartAttempts], over: Any) -> Iterator[Any]:
        for each in attempts:
            yield each.next()()

    monkeypatch.setattr(PartPool, "run", in_this_process)
    _counts.append(Counter())
    yield _counts[-1]
    _counts.clear()


def arguments(raw: Path, out: Path, *stages: str) -> list[str]:
    common = [SOURCE, "--root", str(raw / SOURCE), "--params", str(params(out))]
    common += ["--state", str(out / ".cxr")]
    return common + [w for name in stages for w in (f"--{name}", str(out / name / SOURCE))]


def times(opened: Counter[str], folder: Path, pattern: str) -> dict[str, int]:
    """Return how often each file was opened for reading, by its name."""
    return {path.name: opened[str(path)] for path in folder.rglob(pattern)}


def image_reads(opened: Counter[str], raw: Path) -> list[int]:
    """Return how often each image that was opened at all was opened."""
    return [number for number in times(opened, raw / SOURCE, "*.dcm").values() if number]


def run_texts(raw: Path, out: Path) -> None:
    stage = [*arguments(raw, out, "scan"), "--out", str(out / "texts" / SOURCE)]
    assert texts.main(stage) == 0


def run_shards(raw: Path, out: Path) -> None:
    stage = [*arguments(raw, out, "scan", "texts"), "--out", str(out / "shards" / SOURCE)]
    assert shards.main(stage) == 0


def test_texts_opens_each_part_of_the_inventory_once(raw, tmp_path, opened):
    run_scan(SOURCE, arguments(raw, tmp_path)[1:], tmp_path)
    for reads in (1, 0):  # the second run keeps every part, by the digests that scan recorded
        opened.clear()
        run_texts(raw, tmp_path)
        found = times(opened, tmp_path / "scan", f"{SOURCE}-*.jsonl")
        assert len(found) == 4
        assert set(found.values()) == {reads}


def test_shards_opens_each_part_and_each_image_once(raw, tmp_path, opened):
    run_scan(SOURCE, arguments(raw, tmp_path)[1:], tmp_path)
    run_texts(raw, tmp_path)
    for reads, images in ((1, SAMPLES), (0, 0)):  # the second run keeps every tar
        opened.clear()
        run_shards(raw, tmp_path)
        for stage in ("scan", "texts"):
            found = times(opened, tmp_path / stage, f"{SOURCE}-*.jsonl")
            assert len(found) == 4
            assert set(found.values()) == {reads}
        assert image_reads(opened, raw) == [1] * images


def test_each_fingerprint_of_a_sample_is_computed_once(raw, tmp_path, opened, monkeypatch):
    run_scan(SOURCE, arguments(raw, tmp_path)[1:], tmp_path)
    run_texts(raw, tmp_path)
    calls: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counting(*values: Any) -> Any:
            calls[name] += 1
            return function(*values)

        monkeypatch.setattr(module, name, counting)

    counted(fingerprints, "image")
    counted(sample_members, "fingerprint")
    counted(fingerprints, "shard")
    run_shards(raw, tmp_path)
    assert calls == {"image": SAMPLES, "fingerprint": SAMPLES, "shard": 4}
    calls.clear()
    run_shards(raw, tmp_path)  # keeps every tar, by the digests of the parts
    assert not calls


def test_rederive_opens_each_image_once(raw, tmp_path, opened):
    build(raw / SOURCE, SOURCE, tmp_path)
    opened.clear()
    where = [str(tmp_path / "shards"), *arguments(raw, tmp_path, "scan", "texts")[1:5]]
    for name in ("scan", "texts"):
        where += [f"--{name}", str(tmp_path / name)]
    assert verify.main([*where, "--rederive", "1000", "--workers", "1"]) == 0
    assert image_reads(opened, raw) == [1] * SAMPLES


def test_a_command_reads_its_parameters_once(raw, tmp_path, opened, monkeypatch):
    build(raw / SOURCE, SOURCE, tmp_path)
    file = str(tmp_path / "params.yaml")
    stages = {
        scan: [*arguments(raw, tmp_path), "--out", str(tmp_path / "scan" / SOURCE)],
        texts: [*arguments(raw, tmp_path, "scan"), "--out", str(tmp_path / "texts" / SOURCE)],
        shards: [
            *arguments(raw, tmp_path, "scan", "texts"),
            *("--out", str(tmp_path / "shards" / SOURCE)),
        ],
        plan: arguments(raw, tmp_path, "scan"),
        verify: [str(tmp_path / "shards"), "--params", file],
    }
    reads: list[str] = []
    read = plain_yaml.read

    def counting(path: Path, *values: Any) -> Any:
        reads.append(str(path))
        return read(path, *values)

    monkeypatch.setattr(plain_yaml, "read", counting)
    for command, words in stages.items():
        reads.clear()
        assert command.main(words) == 0
        assert reads == [file], command.__name__
