"""The commands on whole trees: output and exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from stages import build, params, run_scan, samples, tree_bytes

from cxr_vlp.pipelines import scan, shards, texts, verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.synthetic.layouts import mimic

SOURCES = ("mimic", "chexpert", "nih", "openi")


@pytest.fixture(params=SOURCES)
def source(request) -> str:
    return request.param


def test_verify_finds_nothing_in_a_new_set(built, source):
    result = verify.check([built / "shards" / source], deep=True)
    assert result["breaches"] == []
    assert result["sets"][0]["samples"] > 10


def test_every_listed_image_is_written_or_rejected(built, source):
    header, lines = manifest.read(built / "shards" / source)
    lost = sum(header["dropped"].values())
    assert header["listed"] == header["written"] + lost
    assert header["written"] == sum(line["samples"] for line in lines)
    assert header["written"] == len(list(samples(built / "shards" / source)))


@pytest.mark.parametrize("name", ["mimic", "chexpert", "nih"])
def test_splits_are_the_official_ones(built, raw, name):
    ours = {"valid": "validate"}
    official = {
        str(row["study"]).replace("/", "-").removeprefix("s"): ours.get(row["split"], row["split"])
        for row in jsonl.read_records(raw / f"{name}.truth.jsonl")
    }
    found = {s["study"].removeprefix("s"): s["split"] for _, s in samples(built / "shards" / name)}
    assert found
    assert set(found) <= set(official)
    if name == "nih":  # its lists do not separate train and validate
        found = {study: split.replace("validate", "train") for study, split in found.items()}
    assert found == {study: official[study] for study in found}


def test_no_patient_is_in_two_splits(built, source):
    splits: dict[str, set[str]] = {}
    for _, sample in samples(built / "shards" / source):
        splits.setdefault(sample["patient"], set()).add(sample["split"])
    assert all(len(found) == 1 for found in splits.values())


def test_collections_without_reports_get_label_prompts(built):
    for name in ("chexpert", "nih"):
        for _, sample in samples(built / "shards" / name):
            assert sample["caption"] == sample["prompt"] != ""
            assert sample["findings"] == sample["impression"] == ""
            assert len(sample["prompts"]) == 4


def test_two_workers_write_the_same_bytes_as_one(built, raw, tmp_path):
    again = build(raw / "mimic", "mimic", tmp_path, workers=2)
    assert tree_bytes(again) == tree_bytes(built / "shards" / "mimic")
    assert tree_bytes(tmp_path / "scan" / "mimic") == tree_bytes(built / "scan" / "mimic")
    assert tree_bytes(tmp_path / "texts" / "mimic") == tree_bytes(built / "texts" / "mimic")


@pytest.mark.slow
def test_environment_and_folder_change_no_byte(built, raw, tmp_path):
    moved = tmp_path / "elsewhere" / "mimic"
    shutil.copytree(raw / "mimic", moved)
    environment = {**os.environ, "TZ": "Pacific/Apia", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    code = (
        "import os, sys; from pathlib import Path; os.umask(0o077); sys.path.insert(0, sys.argv[1])"
        "\nfrom stages import build; build(Path(sys.argv[2]), 'mimic', Path(sys.argv[3]))"
    )
    here = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", code, here, str(moved), str(tmp_path / "out")]
    subprocess.run(command, env=environment, check=True, capture_output=True, cwd=tmp_path)
    ours = tree_bytes(built / "shards" / "mimic")
    assert tree_bytes(tmp_path / "out" / "shards" / "mimic") == ours


def test_scan_of_an_unchanged_tree_writes_nothing(raw, tmp_path):
    common = ["--root", str(raw / "nih"), "--params", str(params(tmp_path))]
    run_scan("nih", common, tmp_path)
    before = {p: p.stat().st_ino for p in (tmp_path / "scan" / "nih").iterdir()}
    run_scan("nih", common, tmp_path)
    assert {p: p.stat().st_ino for p in (tmp_path / "scan" / "nih").iterdir()} == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize("change", ["content", "parameters", "output"])
def test_scan_detects_changes_of_the_tree(raw, tmp_path, change):
    tree = tmp_path / "nih"
    shutil.copytree(raw / "nih", tree)
    common = ["--root", str(tree), "--params", str(params(tmp_path))]
    run_scan("nih", common, tmp_path)
    out = tmp_path / "scan" / "nih"
    before = tree_bytes(out)
    if change == "content":
        next(tree.glob("images/*.png")).unlink()
    elif change == "parameters":
        common[-1] = str(params(tmp_path, scan={"salt": "other"}))
    else:
        next(out.glob("nih-train-*.jsonl")).write_text("")
    run_scan("nih", common, tmp_path)
    assert (tree_bytes(out) == before) == (change == "output")


def test_damaged_files_get_codes_and_the_other_files_are_used(faulty, tmp_path):
    truth = list(jsonl.read_records(faulty / "mimic.truth.jsonl"))
    assert any("fault" in json.dumps(row) for row in truth)
    folder = build(faulty / "mimic", "mimic", tmp_path)
    header, _ = manifest.read(folder)
    codes = {reason.split()[1] for reason in header["dropped"]}
    # a missing DICOM is no loss here: its JPG twin takes its place
    assert {"dicom.no_pixels", "dicom.empty", "image.degenerate"} <= codes
    assert codes & {"dicom.truncated", "dicom.undecodable"}
    assert verify.check([folder], deep=True)["breaches"] == []
    folder = build(faulty / "chexpert", "chexpert", tmp_path)
    header, _ = manifest.read(folder)
    codes = {reason.split()[1] for reason in header["dropped"]}
    assert codes == {"image.missing", "image.unreadable"}


def test_missing_fail_stops_with_the_counts(faulty, tmp_path):
    strict = {"mimic": {"parts": {"train": 1, "validate": 1, "test": 1}, "missing": "fail"}}
    file = params(tmp_path, sources=strict)
    common = ["mimic", "--root", str(faulty / "mimic"), "--params", str(file)]
    with pytest.raises(DataError, match=r"images and \d+ reports are listed and not on disk"):
        scan.main([*common, "--out", str(tmp_path / "o"), "--state", str(tmp_path / "s")])
    assert not (tmp_path / "o").exists()


def test_an_image_that_changed_since_scan_stops(raw, tmp_path):
    tree = tmp_path / "nih"
    shutil.copytree(raw / "nih", tree)
    build(tree, "nih", tmp_path)
    before = tree_bytes(tmp_path / "shards" / "nih")
    image = next(tree.glob("images/*.png"))
    image.write_bytes(image.read_bytes() + b"\0")
    common = ["nih", "--root", str(tree), "--params", str(params(tmp_path))]
    common += ["--state", str(tmp_path / "other")]  # which has no tar of an earlier run
    read = ["--scan", str(tmp_path / "scan/nih"), "--texts", str(tmp_path / "texts/nih")]
    with pytest.raises(DataError, match=r"source\.changed"):
        shards.main([*common, *read, "--out", str(tmp_path / "shards" / "nih")])
    assert tree_bytes(tmp_path / "shards" / "nih") == before  # the old set is whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mimic", "--root", "{raw}/nih"], "no MIMIC-CXR tree"),
        (["mimic", "--root", "{tmp}/nowhere"], "give the raw tree with --root"),
        (["mimic"], "give the raw tree with --root"),
    ],
    ids=["another-collection", "no-such-folder", "no-root"],
)
def test_messages_for_wrong_arguments_name_the_remedy(raw, tmp_path, arguments, message):
    words = [a.format(raw=raw, tmp=tmp_path) for a in arguments]
    words += ["--params", str(params(tmp_path)), "--out", str(tmp_path / "o")]
    with pytest.raises(ConfigError, match=message):
        scan.main([*words, "--state", str(tmp_path)])


def test_stages_refuse_another_collections_output(built, raw, tmp_path):
    common = ["nih", "--root", str(raw / "nih"), "--params", str(params(tmp_path))]
    with pytest.raises(ConfigError, match="holds mimic, not nih"):
        texts.main([*common, "--scan", str(built / "scan/mimic"), "--out", str(tmp_path / "o")])
    with pytest.raises(ConfigError, match=r"run `cxr-vlp scan` first"):
        texts.main([*common, "--scan", str(tmp_path), "--out", str(tmp_path / "o")])


def test_a_folder_of_another_collection_is_not_replaced(built, raw, tmp_path):
    common = ["nih", "--root", str(raw / "nih"), "--params", str(params(tmp_path))]
    read = ["--scan", str(built / "scan/nih"), "--texts", str(built / "texts/nih")]
    before = tree_bytes(built / "shards" / "mimic")
    with pytest.raises(ConfigError, match="holds mimic: give every collection"):
        shards.main([*common, *read, "--out", str(built / "shards/mimic")])
    with pytest.raises(ConfigError, match="holds mimic: give every collection"):
        texts.main([*common, *read[:2], "--out", str(built / "texts/mimic")])
    with pytest.raises(ConfigError, match="holds mimic: give every collection"):
        scan.main([*common, "--out", str(built / "scan/mimic"), "--state", str(tmp_path)])
    assert tree_bytes(built / "shards" / "mimic") == before


def test_exit_codes_and_messages_of_the_command_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "cxr_vlp.pipelines.scan",
        "mimic",
        "--out",
        str(tmp_path / "o"),
    ]
    done = subprocess.run(
        [*command, "--root", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: this is no MIMIC-CXR tree")
    assert "Traceback" not in done.stderr
    assert subprocess.run([*command[:-2]], capture_output=True, cwd=tmp_path).returncode == 2


CANARY = "CANARYWORD"


def test_report_text_and_ids_stay_out_of_everything_but_texts_and_tars(tmp_path, capfd, caplog):
    mimic.write(tmp_path, studies=16, seed=5, height=96)
    for report in (tmp_path / "mimic").rglob("s*.txt"):
        report.write_text(report.read_text() + f"\n {CANARY} is seen.\n")
    # a report that is not text, and one that is empty, take the failure paths
    reports = sorted((tmp_path / "mimic").rglob("s5*.txt"))
    reports[0].write_bytes(b"\xff\xfe" + CANARY.encode("utf-16"))
    reports[1].write_text("")
    build(tmp_path / "mimic", "mimic", tmp_path / "o")
    printed = capfd.readouterr()
    assert CANARY not in printed.out + printed.err + caplog.text
    assert "19999" not in printed.out + printed.err + caplog.text
    for path in (tmp_path / "o").rglob("*"):
        held = path.is_file() and path.suffix != ".tar" and "texts" not in path.parts
        if held and ".cxr" not in path.parts:
            assert CANARY.encode() not in path.read_bytes()
            if "scan" not in path.parts:
                assert b"p19999" not in path.read_bytes()
