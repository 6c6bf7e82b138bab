"""All collections and layers in one params.yaml and one `dvc repro`, on their look-alikes.

Some look-alikes hold the same films, as the real collections do. What a user must do about it is
done here as well:

- RSNA's films are NIH's: their people leave NIH, by the public list of names (`leave_out`).
- VinBigData's are VinDr-CXR's, under the same ids: they leave VinDr-CXR, by its own table.
- MS-CXR's are MIMIC's, and it is laid over MIMIC. The people of MS-CXR-T are left out of nothing:
  a layer on the same images is no second collection.
- No list says which films of NIH the ones of SIIM are, so SIIM is made with another seed here;
  `verify --near-duplicates` would find them (tests/pipelines/validate/test_near_duplicates.py).
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import checkouts
import pytest
from checkouts import run
from PIL import Image, ImageOps

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.sources import BUILT_IN, PRESETS
from cxr_vlp.pipelines.sources.layers import LAYERS
from cxr_vlp.pipelines.synthetic import generate, layouts

pytestmark = pytest.mark.slow

ALL = [name for name in (*BUILT_IN, *PRESETS) if name != "table"]
ON = {"mimic": ("mscxr", "mscxrt"), "chexpert": ("chexlocalize",)}
RAW = Path("data/synthetic")
LIST = "rsna-to-nih.csv"
# collection -> its list of those who leave it
LEFT_OUT: dict[str, dict[str, str]] = {
    "nih": {"file": LIST, "column": "nih", "by": "patient"},
    "vindr": {"file": str(RAW / "vinbigdata/train.csv"), "column": "image_id", "by": "image"},
}
STUDIES = 8
FEW = 4  # films of NIH that are RSNA's, films of VinDr-CXR that are VinBigData's


def write_trees(out: Path) -> None:
    """Write all look-alikes, those with films of another collection smaller or of other people."""
    kinds = {"rsna": ("--studies", str(FEW)), "vinbigdata": ("--studies", str(FEW)),
             "siim": ("--seed", "2"),
             # a sixth of its studies have no label, and a Spanish report gives no text
             "padchest": ("--studies", "24")}  # fmt: skip
    rest = [name for name in (*layouts.WRITERS, *layouts.LAYERS) if name not in kinds]
    for names, words in [(",".join(rest), ()), *kinds.items()]:
        common = ["--out", str(out), "--sources", names, "--height", "128"]
        common += ["--studies", str(STUDIES), "--seed", "1"]
        assert generate.main([*common, *words]) == 0


def write_list(out: Path) -> None:
    """Write which film of NIH each one of RSNA is; the public list says the same."""
    truth = [json.loads(line) for line in (out / "rsna.truth.jsonl").read_text().splitlines()]
    with (out.parents[1] / LIST).open("w", newline="") as stream:
        rows = csv.DictWriter(stream, ("nih", "rsna"))
        rows.writeheader()
        rows.writerows({"nih": line["nih"], "rsna": line["study"]} for line in truth)


def settings(params: dict[str, Any]) -> None:
    parts = {"train": 1, "validate": 1, "test": 1}
    sources = {name: {"root": str(RAW / name), "parts": parts} for name in ALL}
    for name, layers in ON.items():
        sources[name]["layers"] = {layer: str(RAW / layer) for layer in layers}
    for name, listed in LEFT_OUT.items():
        sources[name]["leave_out"] = [listed]
    sources["chexpert"]["parts"] = {"train": 3, "validate": 1, "test": 1}
    params |= {"collections": ALL, "sources": sources}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    folder = checkouts.make(tmp_path_factory.mktemp("everything"), settings)
    write_trees(folder / RAW)
    write_list(folder / RAW)
    run(folder, "dvc", "repro", "report", "card", "joined")
    return folder


def header(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"data/shards/{name}/manifest.jsonl").read_text().split("\n")[0])


def ran(said: str) -> list[str]:
    """Return the stages that DVC says it ran."""
    return re.findall(r"Running stage '([^']+)'", said)


def test_every_look_alike_and_every_layer_is_in_it():
    assert set(ALL) == set(layouts.WRITERS)
    assert {name for layers in ON.values() for name in layers} == set(LAYERS) == set(layouts.LAYERS)


def test_all_of_them_are_valid_together(checkout):
    said = run(checkout, "cxr-vlp", "verify", "data/shards", "--deep")
    assert "two_splits" not in said
    assert "\nvalid\n" in said
    assert len(list((checkout / "data/shards").glob("*/manifest.jsonl"))) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_the_flow_of_each_adds_up(checkout, name):
    scanned = json.loads((checkout / f"data/scan/{name}/inventory.json").read_text())
    made = header(checkout, name)
    lost: Counter[str] = Counter()
    for line in (checkout / f"data/shards/{name}/rejects.jsonl").read_text().splitlines():
        reject = json.loads(line)
        lost[f"{reject['step']} {reject['code']}"] += reject["images"]
    lost = Counter({code: number for code, number in lost.items() if number})
    assert made["listed"] == scanned["listed"] > 0
    assert {code: n for code, n in made["dropped"].items() if n} == dict(lost)
    assert made["written"] == made["listed"] - sum(lost.values()) > 0
    rows = sample_table.build(checkout / f"data/shards/{name}").num_rows
    assert rows == made["written"]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_the_people_of_the_other_collection_are_left_out(checkout, name):
    dropped = header(checkout, name)["dropped"]
    code = f"scan leave_out.{LEFT_OUT[name]['by']}"
    # the list of VinBigData does not name the films of its test folder
    assert 0 < dropped[code] < header(checkout, name)["listed"]


@pytest.mark.parametrize(("name", "layer"), [(n, layer) for n in ON for layer in ON[n]])
def test_every_layer_annotates_its_collection(checkout, name, layer):
    found = {each["name"]: each["images"] for each in header(checkout, name)["layers"]}
    assert found[layer] > 0


def test_without_the_list_the_same_films_are_found(checkout):
    # why VinDr-CXR leaves films out: with all of them `verify` says that the sets are not valid
    params = (checkout / "params.yaml").read_text()
    assert "leave_out" in params
    (checkout / "all.yaml").write_text(re.sub(r"    leave_out:\n(?:    [- ] .*\n)+", "", params))
    for step, words in (
        ("scan", ("--out", "all/scan/vindr")),
        ("texts", ("--scan", "all/scan/vindr", "--out", "all/texts/vindr")),
        ("shards", ("--scan", "all/scan/vindr", "--texts", "all/texts/vindr",
                    "--out", "all/shards/vindr")),
    ):  # fmt: skip
        run(checkout, "cxr-vlp", step, "vindr", "--params", "all.yaml", *words)
    both = checkout / "all/shards/vinbigdata"
    both.symlink_to(checkout / "data/shards/vinbigdata")
    said = run(checkout, "cxr-vlp", "verify", "all/shards", "--deep", code=65)
    assert "image.two_splits: vinbigdata/test and vindr/train (same id)" in said


def test_a_second_repro_runs_the_scans_and_builds_nothing(checkout):
    said = run(checkout, "dvc", "repro", "report", "card", "joined")
    assert ran(said) == [f"scan@{name}" for name in ALL]
    assert said.count("unchanged") == len(ALL)


def test_one_changed_image_rebuilds_one_tar_of_one_collection(checkout):
    changed = min((checkout / RAW / "chexpert").rglob("train/**/*.jpg"))
    before = changed.read_bytes()
    ImageOps.invert(Image.open(changed)).save(changed)
    try:
        said = run(checkout, "dvc", "repro", "shards")
        assert [stage for stage in ran(said) if not stage.startswith("scan@")] == [
            "texts@chexpert",
            "shards@chexpert",
        ]
        log = (checkout / ".cxr/logs/shards-chexpert.log").read_text().splitlines()[-5:]
        did = [line.split(maxsplit=2)[2] for line in log]
        assert sum(line.startswith("kept") for line in did) == 4
        assert sum(line.startswith("rewritten decoded=1") for line in did) == 1
    finally:
        changed.write_bytes(before)
