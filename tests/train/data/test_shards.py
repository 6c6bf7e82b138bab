"""Lists of shards: no sample is lost silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr_vlp.train.data.shards import digest, list_shards
from cxr_vlp.train.errors import ConfigError
from tests.train.conftest import write_source


def test_folders_are_joined_in_order_and_sources_are_named(tmp_path, source):
    other = write_source(tmp_path, "other", {"train": (3,), "test": (2, 1)})
    shards = list_shards([other, source], "test")
    assert [(s.source, s.samples) for s in shards] == [
        ("other", 2), ("other", 1), ("mock", 12), ("mock", 12),
    ]  # fmt: skip
    assert list_shards([other], "validate") == ()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "sizes.json").unlink(), r"sizes\.json: no such file"),
        (lambda f: (f / "sizes.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "odd-train-00001.tar").unlink(), r"odd-train-00001\.tar is in sizes"),
        (lambda f: (f / "sizes.json").write_text("{}"), r"odd-train-00000\.tar is in sizes"),
    ],
    ids=["no sizes", "sizes cut off", "a tar is gone", "a tar is not counted"],
)
def test_a_folder_that_differs_from_sizes_json_fails(tmp_path, damage, message):
    folder = write_source(tmp_path, "odd", {"train": (2, 2)})
    damage(folder / "train")
    with pytest.raises(ConfigError, match=message):
        list_shards([folder], "train")


def test_a_folder_given_twice_or_missing_or_one_too_deep_fails(source, tmp_path):
    with pytest.raises(ConfigError, match="given twice"):
        list_shards([source, source], "train")
    with pytest.raises(ConfigError, match="no such folder"):
        list_shards([tmp_path / "nowhere"], "train")
    with pytest.raises(ConfigError, match="no set of shards"):
        list_shards([source / "train"], "train")


def test_a_relative_folder_gives_the_shards_of_the_whole_path(tmp_path, source, monkeypatch):
    monkeypatch.chdir(source.parent)
    assert list_shards([Path(source.name)], "test") == list_shards([source], "test")


def test_a_folder_of_sets_means_every_set_in_it(tmp_path):
    for name in ("two", "one"):
        write_source(tmp_path, name, {"train": (2,)})
    (tmp_path / "notes").mkdir()
    assert [s.source for s in list_shards([tmp_path], "train")] == ["one", "two"]


def test_the_digest_follows_the_manifest(tmp_path):
    folder = write_source(tmp_path, "odd", {"train": (2,)})
    before = digest(list_shards([folder], "train"))
    assert before == digest(list_shards([folder], "train"))
    (folder / "manifest.jsonl").write_text(json.dumps({"sha256": "0"}))
    assert digest(list_shards([folder], "train")) != before
