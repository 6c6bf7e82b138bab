"""The command `cxr-vlp benchmark-set`: exit codes, what it says, and that the file is fixed."""

from __future__ import annotations

import json
import re

import pytest

from cxr_vlp.train import benchmark_set
from cxr_vlp.train.evaluation import benchmark_sets
from cxr_vlp.train.evaluation.retrieval.five_classes import FIVE


@pytest.fixture
def shards(tmp_path, write):
    """Eight studies of MIMIC with each finding, a set for each, in one folder."""
    for place, label in enumerate(FIVE):
        folder = write(
            tmp_path,
            "mimic",
            lambda number, label=label: {"labels": {label: 1}, "view": "frontal"},
            first=place * 8,
        )
        folder.rename(tmp_path / f"set{place}")
    for place in range(len(FIVE)):  # tars of two sets have different names
        test = tmp_path / f"set{place}" / "test"
        (test / "mimic-test-00000.tar").rename(test / f"mimic-test-0000{place}.tar")
        (test / "sizes.json").write_text(json.dumps({f"mimic-test-0000{place}.tar": 8}))
    return [tmp_path / f"set{place}" for place in range(len(FIVE))]


def run(out, folders, *more, name="mimic5x200", split="test"):
    flags = ["--shards", *map(str, folders), "--out", str(out), "--split", split, *more]
    return benchmark_set.main([name, *flags])


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_the_same_file_from_any_order_of_the_sets(shards, tmp_path, capsys, ending):
    one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
    assert run(one, shards, "--per-class", "3") == 0
    assert run(two, shards[::-1], "--per-class", "3", split="all") == 0
    assert one.read_bytes() == two.read_bytes()
    chosen = benchmark_sets.load(one)
    assert chosen.counts() == dict.fromkeys(sorted(FIVE), 3)
    said = capsys.readouterr().out
    assert chosen.digest in said
    assert "sources.mimic.leave_out" in said
    assert "mimic-s0" not in said


def test_another_seed_is_another_file(shards, tmp_path):
    run(tmp_path / "one.csv", shards, "--per-class", "3")
    run(tmp_path / "two.csv", shards, "--per-class", "3", "--seed", "1")
    assert (tmp_path / "one.csv").read_bytes() != (tmp_path / "two.csv").read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "there are Atelectasis 8, .*give --per-class 8"),
        ({"name": "chexpert5x200"}, "of another collection 40"),
        ({"split": "train"}, "no shards in the train split"),
    ],
)
def test_what_cannot_be_made_writes_nothing(shards, tmp_path, capsys, more, message):
    assert run(tmp_path / "x.csv", shards, **more) == 2
    assert not (tmp_path / "x.csv").exists()
    found = capsys.readouterr().err
    assert re.search(message, found)


def test_another_ending_is_refused(shards, tmp_path, capsys):
    assert run(tmp_path / "x.txt", shards, "--per-class", "3") == 2
    assert ".csv or .json" in capsys.readouterr().err
