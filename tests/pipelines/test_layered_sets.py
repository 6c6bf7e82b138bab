"""Annotation layers all the way: from the tables of a layer to verified sets, cards and exports."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from stages import PARTS, build, params, run_scan, samples, tree_bytes

from cxr_vlp.pipelines import scan, shards, verify
from cxr_vlp.pipelines.cards import command as card
from cxr_vlp.pipelines.cards import sample_table, terms
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.exports import command as export
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.pipelines.sources import layers, reader
from cxr_vlp.pipelines.sources.layers.base import OpenLayer
from cxr_vlp.pipelines.stages import inventory_header
from cxr_vlp.pipelines.synthetic.layouts import chexpert, mimic
from cxr_vlp.pipelines.synthetic.layouts import layers as layouts

ON = {"mimic": ("mscxr", "mscxrt"), "chexpert": ("chexlocalize",)}
SALT = "a secret salt of this test"


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> Path:
    """The trees of MIMIC and CheXpert, with their layers beside them."""
    folder = tmp_path_factory.mktemp("trees")
    for writer in (mimic, chexpert):
        writer.write(folder, studies=12, seed=4, height=96)
    for write in (layouts.write_mscxr, layouts.write_mscxrt, layouts.write_chexlocalize):
        write(folder)
    return folder


def section(trees: Path, source: str, *, names: tuple[str, ...] | None = None, **more: Any) -> dict:
    found = {name: str(trees / name) for name in (ON[source] if names is None else names)}
    return {"sources": {source: {"parts": PARTS, "layers": found, **more}}}


@pytest.fixture(scope="module")
def sets(trees, tmp_path_factory) -> Path:
    """Both collections with their layers: scan/, texts/ and shards/."""
    out = tmp_path_factory.mktemp("sets")
    for source in ON:
        build(trees / source, source, out, **section(trees, source))
    return out


@pytest.fixture(scope="module")
def bare(trees, tmp_path_factory) -> Path:
    """MIMIC without layers."""
    out = tmp_path_factory.mktemp("bare")
    build(trees / "mimic", "mimic", out)
    return out


def truth(trees: Path, layer: str) -> list[dict]:
    lines = (trees / f"{layer}.truth.jsonl").read_text().splitlines()
    assert lines
    return [json.loads(line) for line in lines]


def members(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*/*.tar")):
        with tarfile.open(path) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar}
    return found


def stored(box: dict, pixels: dict) -> list[float]:
    """Return a box of the whole image in pixels of the stored one."""
    across = pixels["width"] / pixels["source_width"]
    down = pixels["height"] / pixels["source_height"]
    return [box["x"] * across, box["y"] * down, box["w"] * across, box["h"] * down]


@pytest.mark.parametrize(("source", "layer"), [("mimic", "mscxr"), ("chexpert", "chexlocalize")])
def test_the_boxes_are_those_that_the_layer_has(trees, sets, source, layer):
    wanted = {line["image"]: line["boxes"] for line in truth(trees, layer)}
    found = 0
    for key, sample in samples(sets / "shards" / source):
        name = f"{sample['study']}_{sample['image']}".replace("-", "_", 1)
        boxes = wanted.get(sample["image"] if source == "mimic" else name, [])
        found += len(boxes)
        said = sorted((b["label"], b["phrase"], b["x"], b["y"], b["w"], b["h"], b["layer"])
                      for b in sample["boxes"])  # fmt: skip
        drawn = sorted(
            (box["label"], box.get("phrase", ""), *stored(box, sample["pixels"]), layer)
            for box in boxes
        )
        assert [(*b[:2], b[6]) for b in said] == [(*b[:2], b[6]) for b in drawn], key
        for one, other in zip(said, drawn, strict=True):
            assert one[2:6] == pytest.approx(other[2:6], abs=0.06)
    assert found > 5
    listed = jsonl.read_header(sets / "scan" / source, "inventory.json", "scan")
    assert sum(map(len, wanted.values())) == found + listed["dropped"].get("texts", 0)


def test_changes_name_the_sample_of_the_earlier_image(trees, sets):
    by_image = {s["image"]: (key, s) for key, s in samples(sets / "shards/mimic")}
    wanted = truth(trees, "mscxrt")
    for line in wanted:
        earlier = by_image[line["earlier"]][0]
        _, sample = by_image[line["image"]]
        ends = {"earlier": earlier, "layer": "mscxrt"}
        assert sample["changes"] == [change | ends for change in line["changes"]]
        assert sample["patient"] == by_image[line["earlier"]][1]["patient"]
    with_changes = [sample for _, sample in by_image.values() if sample["changes"]]
    assert len(with_changes) == len(wanted)


def test_nothing_else_in_a_set_changes(sets, bare):
    before, now = members(bare / "shards/mimic"), members(sets / "shards/mimic")
    assert before.keys() == now.keys()
    differ = {name for name in before if before[name] != now[name]}
    assert differ
    for name in differ:
        old, new = json.loads(before[name]), json.loads(now[name])
        assert old | {"boxes": new["boxes"], "changes": new["changes"]} == new
        assert old["boxes"] == old["changes"] == []


def test_the_sets_are_valid_and_are_made_again_alike(trees, sets, tmp_path, capsys):
    both = {"sources": {s: section(trees, s)["sources"][s] | {"root": str(trees / s)} for s in ON}}
    words = ["--deep", "--json", "--rederive", "99", "--params", str(params(tmp_path, **both))]
    folders = ["--scan", str(sets / "scan"), "--texts", str(sets / "texts")]
    assert verify.main([str(sets / "shards"), *words, *folders]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["breaches"], [row["rederived"] > 5 for row in result["sets"]]) == (
        [],
        [True] * 2,
    )


def test_a_table_that_changed_since_scan_is_a_breach_and_one_that_is_gone_a_note(
    trees, sets, tmp_path, capsys
):
    folder = Path(shutil.copytree(trees / "mscxr", tmp_path / "mscxr"))
    next(folder.glob("*.csv")).write_text(next(folder.glob("*.csv")).read_text() + "\n")
    chosen = {"mscxr": str(folder)}
    sources = {"mimic": {"parts": PARTS, "root": str(trees / "mimic"), "layers": chosen}}
    words = ["--rederive", "1", "--params", str(params(tmp_path, sources=sources)), "--json"]
    folders = ["--scan", str(sets / "scan/mimic"), "--texts", str(sets / "texts/mimic")]
    with pytest.raises(ConfigError, match=r"sources\.mimic\.layers"):
        verify.main([str(sets / "shards/mimic"), *words, *folders])
    from cxr_vlp.pipelines import config
    from cxr_vlp.pipelines.validate import rederive

    header, _ = manifest.read(sets / "shards/mimic")
    changed, gone = rederive.layers(config.load(tmp_path / "params.yaml"), header)
    assert (changed, gone) == (["mscxr"], ["mscxrt"])


def test_the_headers_name_the_layers_with_licence_and_digest(trees, sets):
    header, _ = manifest.read(sets / "shards/mimic")
    listed = jsonl.read_header(sets / "scan/mimic", "inventory.json", "scan")
    assert listed["layers"] == ["mscxr", "mscxrt"]
    assert header["layers"] == listed["annotations"]
    for each in header["layers"]:
        kind = layers.layer(each["name"])
        assert (each["title"], each["licence"]) == (kind.title, kind.licence)
        assert each["credentialed"] is True
        [(table, digest)] = each["tables"].items()
        assert jsonl.sha256(trees / each["name"] / table) == digest
        assert each["images"] == len(truth(trees, each["name"]))
    assert manifest.read(sets / "shards/chexpert")[0]["layers"][0]["tables"].keys() == {
        "gt_annotations_val.json", "gt_annotations_test.json"
    }  # fmt: skip


@pytest.fixture
def again(trees, sets, tmp_path) -> tuple[Path, Path]:
    """A copy of the trees and of the finished MIMIC set, to change and run again."""
    raw = Path(shutil.copytree(trees, tmp_path / "trees"))
    out = Path(shutil.copytree(sets, tmp_path / "sets"))
    build(raw / "mimic", "mimic", out, **section(raw, "mimic"))  # links and times are others now
    return raw, out


def test_a_changed_row_writes_the_tar_of_its_study_and_decodes_nothing(again, capsys):
    raw, out = again
    before = tree_bytes(out)
    table = next((raw / "mscxr").glob("*.csv"))
    head, first, *rest = table.read_text().splitlines()
    first = re.sub(r"^([^,]+),[^,]+,", r"\1,Hernia,", first)
    table.write_text("\n".join([head, first, *rest]) + "\n")
    capsys.readouterr()
    build(raw / "mimic", "mimic", out, **section(raw, "mimic"))
    said = capsys.readouterr().out
    assert re.search(r"scan mimic: .*written", said)
    assert re.search(r"tars rewritten +1\n", said)
    assert re.search(r"tars kept +3\n", said)
    assert re.search(r"images decoded +0\n", said)
    now = tree_bytes(out)
    changed = {name for name in now if name.endswith(".tar") and now[name] != before.get(name)}
    assert len(changed) == 1
    texts = {name for name in now if name.startswith("texts/mimic/mimic-")}
    assert all(now[name] == before[name] for name in texts)  # no text changes with a box
    image = first.split(",")[0]
    [(_, sample)] = [(k, s) for k, s in samples(out / "shards/mimic") if s["image"] == image]
    assert "Hernia" in {box["label"] for box in sample["boxes"]}


@pytest.mark.slow
def test_a_table_of_a_layer_with_a_new_time_and_the_same_bytes_writes_nothing(again, capsys):
    raw, out = again
    before = tree_bytes(out / "scan")
    build(raw / "mimic", "mimic", out, **section(raw, "mimic"))
    assert "scan mimic: 12 studies, unchanged" in capsys.readouterr().out
    os.utime(next((raw / "mscxrt").glob("*class*.csv")), (1, 1))
    build(raw / "mimic", "mimic", out, **section(raw, "mimic"))
    assert "scan mimic: 12 studies, unchanged" in capsys.readouterr().out
    assert tree_bytes(out / "scan") == before


@pytest.mark.slow
def test_layers_that_come_later_decode_no_image(trees, bare, tmp_path, capsys):
    out = Path(shutil.copytree(bare, tmp_path / "sets"))
    build(trees / "mimic", "mimic", out)
    capsys.readouterr()
    folder = build(trees / "mimic", "mimic", out, **section(trees, "mimic"))
    assert re.search(r"images decoded +0\n", capsys.readouterr().out)
    assert any(sample["boxes"] for _, sample in samples(folder))


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(trees, sets, tmp_path):
    folder = build(trees / "mimic", "mimic", tmp_path, workers=2, **section(trees, "mimic"))
    assert tree_bytes(folder) == tree_bytes(sets / "shards/mimic")


def test_rows_of_images_that_are_not_there_are_counted(again, capsys):
    raw, out = again
    table = next((raw / "mscxr").glob("*.csv"))
    row = table.read_text().splitlines()[1]
    other = "0" * 8 + row[8:].replace(row.split(",")[0], "0" * 8 + row.split(",")[0][8:])
    table.write_text(table.read_text() + other + "\n")
    build(raw / "mimic", "mimic", out, **section(raw, "mimic"))
    header, _ = manifest.read(out / "shards/mimic")
    assert header["notes"]["layer.unmatched:mscxr"] == 1
    said = capsys.readouterr()
    assert "layer.unmatched: rows of a layer that name images" in said.out + said.err


def test_a_dry_run_shows_what_the_layers_add(trees, sets, tmp_path, capsys):
    words = ["--root", str(trees / "mimic"), "--state", str(tmp_path / ".cxr"), "--dry-run"]
    file = params(tmp_path, **section(trees, "mimic"))
    assert scan.main(["mimic", *words, "--params", str(file)]) == 0
    said = capsys.readouterr().out
    for each in jsonl.read_header(sets / "scan/mimic", "inventory.json", "scan")["annotations"]:
        assert re.search(rf"with {each['name']} +{each['images']}\n", said)
    boxes = sum(len(line["boxes"]) for line in truth(trees, "mscxr"))
    assert re.search(rf"boxes +{boxes}\n", said)
    wrong = params(tmp_path, **section(trees, "chexpert", names=("mscxr",)))
    words[1] = str(trees / "chexpert")
    with pytest.raises(DataError, match=r"layer\.unmatched"):
        scan.main(["chexpert", *words, "--params", str(wrong)])


def test_a_layer_of_another_collection_stops_and_publishes_nothing(trees, tmp_path):
    words = ["--root", str(trees / "chexpert"), "--state", str(tmp_path / ".cxr")]
    wrong = section(trees, "chexpert", names=("mscxr",))
    words += ["--out", str(tmp_path / "out"), "--params", str(params(tmp_path, **wrong))]
    with pytest.raises(DataError, match=r"layer\.unmatched: none of the \d+ images that MS-CXR"):
        scan.main(["chexpert", *words])
    assert not (tmp_path / "out").exists()


def test_an_unknown_layer_and_one_without_a_folder_are_refused(trees, tmp_path):
    for name, said in (("mscxrr", r"unknown layer 'mscxrr' \(did you mean mscxr\?\)"),
                       ("mscxr", "mscxr has no folder")):  # fmt: skip
        path = params(tmp_path, sources={"mimic": {"layers": {name: ""}}})
        words = ["--root", str(trees / "mimic"), "--params", str(path), "--out", "o"]
        with pytest.raises(ConfigError, match=rf"sources\.mimic.*layers.*{said}"):
            scan.main(["mimic", *words])


def test_shards_refuse_an_inventory_with_other_layers(trees, sets, tmp_path):
    words = ["--root", str(trees / "mimic"), "--params", str(params(tmp_path))]
    for stage in ("scan", "texts"):
        words += [f"--{stage}", str(sets / stage / "mimic")]
    with pytest.raises(ConfigError, match=r"sources\.mimic\.(layers|parts)"):
        shards.main(["mimic", *words, "--out", str(tmp_path / "shards")])


def test_salted_ids_are_hashed_in_changes_too(trees, tmp_path, capsys):
    more = section(trees, "mimic", ids="salted")
    folder = build(trees / "mimic", "mimic", tmp_path, scan={"salt": SALT}, **more)
    made = dict(samples(folder))
    changes = [change for sample in made.values() for change in sample["changes"]]
    assert changes
    assert {change["earlier"] for change in changes} <= made.keys()
    assert sum(len(sample["boxes"]) for sample in made.values()) > 5
    assert verify.main([str(folder), "--json"]) == 0
    capsys.readouterr()
    text = b"".join(members(folder).values())
    for line in truth(trees, "mscxrt"):
        assert line["image"].encode() not in text
        assert line["earlier"].encode() not in text


def test_a_sample_is_read_back_with_its_boxes_and_changes(sets):
    for name, data in members(sets / "shards/mimic").items():
        if name.endswith(".json"):
            sample = Sample.from_json(data)
            assert sample.to_json() == data
            row = json.loads(data)
            assert [box.phrase for box in sample.boxes] == [box["phrase"] for box in row["boxes"]]
            assert len(sample.changes) == len(row["changes"])
            assert sample.without_texts().changes == ()


def test_card_and_export_name_the_layers(sets, tmp_path):
    where = tmp_path / "card"
    words = ["--out", str(where), "--state", str(tmp_path / ".cxr"), "--no-images", "--no-plots"]
    assert card.main([str(sets / "shards/mimic"), *words[:4]]) == 0
    page = (where / "README.md").read_text()
    for each in (layers.layer("mscxr"), layers.layer("mscxrt")):
        assert f"With the annotations of **{each.title}**: {each.licence} (" in page
    out = tmp_path / "flat"
    words = ["--to", "jsonl", "--side", "64", "--out", str(out), "--state", str(tmp_path / ".cxr")]
    assert export.main([str(sets / "shards/mimic"), *words]) == 0
    assert "with the annotations of MS-CXR, licence: PhysioNet" in (out / "LICENCE.txt").read_text()


def test_the_inspector_shows_phrases_and_changes(sets, tmp_path):
    from inspecting import client_of

    from cxr_vlp.pipelines.inspector.session import Session

    client = client_of(Session(sets / "shards/mimic", tmp_path))
    phrases = changes = 0
    for key, sample in samples(sets / "shards/mimic"):
        page = html.unescape(client.get(f"/sample/mimic/{key}").text)
        for box in sample["boxes"]:
            phrases += 1
            assert f"\u201c{box['phrase']}\u201d" in page
        for change in sample["changes"]:
            changes += 1
            assert f"{change['label']}: {change['change']} <small>mscxrt, since " in page
            assert change["earlier"] in page
    assert min(phrases, changes) > 1
    assert "With MS-CXR (PhysioNet" in client.get("/sets").text


def test_the_table_of_samples_counts_phrases_and_comparisons(sets):
    rows = {row["key"]: row for row in sample_table.build(sets / "shards/mimic").to_pylist()}
    for key, sample in samples(sets / "shards/mimic"):
        assert rows[key]["boxes"] == rows[key]["phrases"] == len(sample["boxes"])
        assert rows[key]["comparisons"] == len(sample["changes"])
    boxes = sample_table.build(sets / "shards/chexpert").to_pylist()
    assert sum(row["boxes"] for row in boxes) > sum(row["phrases"] for row in boxes) == 0


def test_a_set_is_as_closed_as_its_layers(trees):
    source = reader("nih", {})
    assert source.credentialed is False
    opened = OpenLayer.at(layers.layer("mscxr"), str(trees / "mscxr"), "key")
    found = inventory_header.terms(source, trees / "mimic", [opened])
    assert found["credentialed"] is True
    protection = Protection.of_inventory({"source": "nih", "ids": "source", **found})
    assert protection.private
    assert protection.licence == f"{source.licence}; {layers.layer('mscxr').licence}"
    header = {"source": "nih", "ids": "source", **found, "layers": found["annotations"]}
    assert terms.of(header).asked
    assert not terms.of(header | {"layers": []}).asked
    assert inventory_header.terms(source, trees / "mimic", [])["credentialed"] is False


def test_a_synthetic_layer_has_no_terms(tmp_path):
    from cxr_vlp.pipelines.synthetic import generate

    words = ["--studies", "12", "--seed", "4", "--height", "48", "--sources", "mscxr,mimic"]
    assert generate.main(["--out", str(tmp_path), *words]) == 0
    opened = OpenLayer.at(layers.layer("mscxr"), str(tmp_path / "mscxr"), "key")
    found = inventory_header.terms(reader("mimic", {}), tmp_path / "mimic", [opened])
    assert found["credentialed"] is False
    assert found["annotations"][0]["title"] == "MS-CXR (synthetic)"


def test_a_layer_without_its_tree_is_not_written(tmp_path, capsys):
    from cxr_vlp.pipelines.synthetic import generate

    assert generate.main(["--out", str(tmp_path), "--sources", "mscxrt"]) == 2
    assert "write --sources mimic,mscxrt" in capsys.readouterr().err


@pytest.mark.slow
def test_a_missing_row_of_a_layer_makes_scan_again(again, capsys):
    # the digest of the tables is in the header: also a change that touches no image is recorded
    raw, out = again
    before = jsonl.read_header(out / "scan/mimic", "inventory.json", "scan")
    table = next((raw / "mscxr").glob("*.csv"))
    table.write_text(table.read_text() + "\n")
    common = ["--root", str(raw / "mimic"), "--params", str(params(out, **section(raw, "mimic")))]
    run_scan("mimic", common, out)
    capsys.readouterr()
    now = jsonl.read_header(out / "scan/mimic", "inventory.json", "scan")
    assert now["annotations"] != before["annotations"]
    assert now | {"annotations": 0} == before | {"annotations": 0}
