"""Training stops when its sets were made with other parameters than its params file gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr_vlp.train import evaluate, fit
from cxr_vlp.train.config import params
from cxr_vlp.train.data import parameter_check
from cxr_vlp.train.errors import ConfigError, DataError
from tests.train.conftest import write_source

MADE = {"side": 80, "enlarge": False, "caption": ["impression", "prompt"]}


@pytest.fixture
def folder(tmp_path) -> Path:
    for source in ("one", "two"):
        made = write_source(tmp_path / "shards", source, {"train": (4,), "test": (4,)})
        header = {"source": source, "shards": MADE}
        (made / "manifest.jsonl").write_text(json.dumps(header) + "\n")
    return tmp_path / "shards"


def check(folder: Path, text: str, *folders: Path) -> None:
    path = folder.parent / "params.yaml"
    path.write_text(text)
    parameter_check.check(folders or [folder], params.load(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shards: {side: 224}", "shards.side is 224 in .*one was made with 80"),
        ("shards: {side: 80, enlarge: true}", "shards.enlarge is true in .*made with false"),
        ("shards: {enlarge: 0}", "shards.enlarge is 0 in .*made with false"),
        ("shards: {caption: [prompt]}", "shards.caption is"),
        ("shards: {quality: 95}", "shards.quality is 95 in .*made with null"),
        ("collections: [two]\nshards: {side: 224}", "two was made with 80.*cxr-vlp shards two"),
    ],
)
def test_a_set_of_other_parameters_stops_it(folder, text, message):
    with pytest.raises(ConfigError, match=message):
        check(folder, text)


def test_the_same_parameters_pass_and_so_does_what_is_not_compared(folder):
    check(folder, "shards: {side: 80, caption: [impression, prompt]}")
    check(folder, "train: {seed: 1}")  # the defaults are the other room's to know
    check(folder, "collections: [nih]\nshards: {side: 224}")  # of no collection that is named
    # named itself: it may come from anywhere
    check(folder, "shards: {side: 224}", folder / "one", folder / "two")
    parameter_check.check([folder], params.Params())


@pytest.mark.parametrize("said", ["5", "two", "{two: 1}", "[1]", "[]"])
def test_collections_that_are_not_a_list_of_names_are_refused(folder, said):
    with pytest.raises(ConfigError, match="collections: give a list of names"):
        check(folder, f"collections: {said}\nshards: {{side: 80}}")


def test_a_damaged_manifest_is_reported(folder):
    (folder / "one" / "manifest.jsonl").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        check(folder, "shards: {side: 80}")


def test_the_commands_stop_before_any_work(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    Path("params.yaml").write_text("shards: {side: 224}")
    asked = ["--shards", str(folder), "--out", "out"]
    assert fit.main(["chexzero_tiny", *asked]) == 2
    assert evaluate.main(["--model", "none", *asked]) == 2
    assert capsys.readouterr().err.count("shards.side is 224") == 2
    assert not Path("out").exists()
