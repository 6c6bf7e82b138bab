"""Each collection by itself: its protocol, and the images of a benchmark set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr_vlp.pipelines.format.versions import FORMAT
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import benchmark_sets, by_collection
from cxr_vlp.train.evaluation.benchmark_sets import Entry
from cxr_vlp.train.evaluation.protocols import known_as, protocol
from cxr_vlp.train.evaluation.tasks.base import Evaluation, Intervals
from cxr_vlp.train.evaluation.zeroshot import collect
from tests.train.conftest import write_source


def named(root: Path) -> Path:
    """A set of the name `mine`, whose manifest says that it was made of VinDr-CXR."""
    folder = write_source(root, "mine", {"test": (8,)})
    header = {"format": FORMAT, "source": "vindr", "title": "VinDr-CXR"}
    (folder / "manifest.jsonl").write_text(json.dumps(header) + "\n")
    return folder


def evaluation(folder: Path, seeing=None, keys=(), **changes) -> Evaluation:
    made = protocol.load("cxrclip", changes)
    entries = [Entry(key, "mock", "p", "s", "Edema") for key in keys]
    return Evaluation(
        (seeing(),) if seeing else (), {"test": list_shards([folder], "test")}, "test", made,
        Intervals(0), benchmark=benchmark_sets.made("list", entries) if keys else None,
    )  # fmt: skip


def test_a_set_of_another_name_has_the_protocol_of_its_source_in_every_task(tmp_path, seeing):
    own = evaluation(named(tmp_path), seeing)
    assert own.protocol.labels == ()
    (part,) = by_collection.parts(own, "retrieval").values()
    (found,) = collect.surveyed(own.shards["test"], own.protocol)
    assert part.protocol == found.protocol
    assert len(part.protocol.labels) == 18


def test_without_a_manifest_the_name_of_the_set_alone_counts(source):
    assert known_as.names(list_shards([source], "test")) == ("mock",)


def test_images_of_a_set_that_are_missing_are_counted_and_refused(source):
    # samples 64 to 87 are the test split; every fourth is lateral, which is not measured
    keys = [f"mock-s{n:04d}" for n in (64, 65, 66, 67, 99)]
    by_collection.require_set(evaluation(source, keys=keys[:3]))
    by_collection.require_set(evaluation(source, keys=keys[:4], views=[]))
    with pytest.raises(ConfigError, match=r"2 of its 5 images are not in the test split"):
        by_collection.require_set(evaluation(source, keys=keys))
