"""A set is known to a protocol by its own name, and by the title of the collection it is of."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.sources import BUILT_IN
from cxr_vlp.train.data.shards import Shard, list_shards
from cxr_vlp.train.evaluation import by_collection
from cxr_vlp.train.evaluation.protocols import known_as, protocol
from cxr_vlp.train.evaluation.tasks.base import Evaluation, Intervals
from cxr_vlp.train.evaluation.zeroshot import collect
from tests.train.conftest import write_source

OF = sorted({name for each in protocol.names() for name in protocol.load(each).of})
ELSEWHERE = ("chestxdet10",)  # no reader is of it: a user names the title of his own table


def titled(folder: Path, title: str) -> tuple[Shard, ...]:
    made = write_source(folder, "mine", {"test": (4,)})
    (made / "manifest.jsonl").write_text(json.dumps({"source": "mine", "title": title}) + "\n")
    return tuple(list_shards([made], "test"))


def title(name: str) -> str:
    preset = "" if name in BUILT_IN else name
    return sources.reader("mine" if preset else name, {}, "params.yaml", preset).title


@pytest.mark.parametrize("end", ["", " (synthetic)"])
@pytest.mark.parametrize("name", [name for name in OF if name not in ELSEWHERE])
def test_a_collection_under_a_name_of_ones_own_is_found_by_its_title(tmp_path, name, end):
    shards = titled(tmp_path, title(name) + end)
    assert name in known_as.names(shards)


@pytest.mark.parametrize("spelling", ["ChestXDet10", "ChestX-Det10", "chestx det10"])
def test_a_table_of_ones_own_is_found_by_any_spelling_of_its_title(tmp_path, spelling):
    assert "chestxdet10" in known_as.names(titled(tmp_path, spelling))


def test_the_sets_own_name_decides_first(tmp_path):
    assert known_as.names(titled(tmp_path, "VinDr-CXR"))[0] == "mine"


def test_every_task_measures_it_in_the_same_protocol(tmp_path):
    shards = titled(tmp_path, "RSNA Pneumonia Detection Challenge")
    whole = protocol.load("cxrclip")
    evaluation = Evaluation(
        models=(SimpleNamespace(fused=False),), shards={"test": shards}, split="test",
        protocol=whole, intervals=Intervals(10, "patient", 0),
    )  # fmt: skip
    found = by_collection.parts(evaluation, "retrieval")["mine"].protocol
    assert found.labels == ("Pneumonia",)
    assert found == collect.surveyed(shards, whole)[0].protocol
