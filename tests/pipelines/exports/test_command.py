"""What `export` refuses, leaves out, protects and replaces."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.exports import choice, command, registry
from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.selection import command as select


def held(out: Path) -> dict:
    return json.loads((out / "export.json").read_bytes())


# ---- what is chosen


def test_a_label_that_only_one_of_the_sets_has_can_be_asked_for(sets, run, truth, tmp_path):
    where = '"Old ""TB"", =x" = 1 and split = \'train\''
    out = run(sets, tmp_path / "out", "--to", "jsonl", "--where", where)
    expected = {k for k, t in truth.items() if t.others.get('Old "TB", =x') == 1}
    keys = {json.loads(line)["key"] for line in (out / "samples.jsonl").open("rb")}
    assert keys == {key for key in expected if truth[key].split == "train"} != set()
    assert [each["source"] for each in held(out)["sources"]] == ["openi"]


def test_split_and_where_hold_together(sets, run, truth, tmp_path):
    out = run(sets, tmp_path / "out", "--to", "csv", "--split", "test", "--where", "view='frontal'")
    wanted = [t for t in truth.values() if t.split == "test" and t.document["view"] == "frontal"]
    assert held(out)["chosen"] == len(wanted) > 0
    assert held(out)["written"] == {"test": len(wanted)}
    assert {path.name for path in (out / "images").iterdir()} == {"test"}


@pytest.mark.parametrize("form", registry.FORMATS)
def test_a_choice_of_nothing_is_an_error_and_writes_nothing(form, sets, run, tmp_path):
    with pytest.raises(ConfigError, match="no sample is chosen: --where with --split"):
        run(sets, tmp_path / "o", "--to", form, "--where", "age > 500", "--split", "test")
    assert not (tmp_path / "o").exists()


def test_a_folder_without_a_set_is_an_error(run, tmp_path):
    with pytest.raises(ConfigError, match=r"no manifest\.jsonl in"):
        run(tmp_path, tmp_path / "o", "--to", "csv")


def test_two_sets_with_the_same_keys_are_refused(built, run, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(built / "shards/nih", tmp_path / "sets" / name)
    with pytest.raises(DataError, match=r"key\.twice: 14 samples"):
        run(tmp_path / "sets", tmp_path / "o", "--to", "csv")


def test_two_selections_that_share_a_patient_over_splits_are_refused(
    built, run, truth, state, tmp_path
):
    source = built / "shards/mimic"
    lines = {
        f"{each.document['patient']},test"
        for each in truth.values()
        if each.document["dataset"] == "mimic"
    }
    (tmp_path / "splits.csv").write_text("\n".join(["patient,split", *lines]))
    for view, flags in (("frontal", []), ("lateral", ["--resplit", f"{tmp_path}/splits.csv"])):
        words = [str(source), "--where", f"view = '{view}'", "--out", f"{tmp_path}/sets/{view}"]
        assert select.main([*words, "--state", str(state), *flags]) == 0
    with pytest.raises(
        DataError, match=r"patient\.two_splits: \d+ patients .* of frontal, lateral"
    ):
        run(tmp_path / "sets", tmp_path / "o", "--to", "csv")
    out = run(tmp_path / "sets", tmp_path / "o", "--to", "csv", "--split", "test")
    assert held(out)["written"]["test"] > 5


# ---- what is left out


def test_samples_without_the_asked_text_are_counted_and_said(sets, run, truth, tmp_path, capsys):
    out = run(sets, tmp_path / "o", "--to", "jsonl", "--caption", "findings")
    without = sum(not t.document["findings"] for t in truth.values())
    assert held(out)["left_out"] == {"text.empty": without}
    assert sum(held(out)["written"].values()) == len(truth) - without > 0
    said = capsys.readouterr().out
    assert f"- text.empty {without}" in " ".join(said.split())
    assert "name more: --caption impression,findings,prompt" in said
    assert f"Left out: {without} samples (text.empty)" in (out / "README.md").read_text()


@pytest.mark.parametrize("form", registry.FORMATS)
def test_a_split_that_is_left_out_as_a_whole_leaves_no_broken_folder(
    form, built, altered, run, tmp_path
):
    def change(document):
        if document["split"] != "train":
            document["findings"] = ""

    altered(built / "shards/mimic", tmp_path / "set", change)
    out = run(tmp_path / "set", tmp_path / "o", "--to", form, "--caption", "findings")
    assert set(held(out)["written"]) == {"train"}
    names = {path.name for path in out.rglob("*")}
    assert not names & {"validate", "validation", "test", "validate.json", "test.json"}


def test_a_set_without_any_such_text_is_an_error(built, run, tmp_path):
    with pytest.raises(DataError, match=r"all 14 are left out \(text\.empty 14\).* name more"):
        run(built / "shards/nih", tmp_path / "o", "--to", "folder", "--caption", "findings")
    assert {path.name for path in tmp_path.iterdir()} == {".o.lock"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["nih", "--for", "llava"], r"trainer\.no_text 14\); .*--caption impression,findings"),
        (["mimic", "--for", "mgca", "--where", "view = 'lateral'"], "take cxrclip, medclip or xrv"),
    ],
)
def test_a_trainer_that_can_use_no_sample_names_the_remedy(flags, said, built, run, tmp_path):
    with pytest.raises(DataError, match=said):
        run(built / "shards" / flags[0], tmp_path / "o", *flags[1:])
    assert {path.name for path in tmp_path.iterdir()} == {".o.lock"}


def test_an_export_into_the_working_directory(built, run, tmp_path, monkeypatch, capsys):
    (tmp_path / "o").mkdir()
    monkeypatch.chdir(tmp_path / "o")
    run(built / "shards/nih", tmp_path / "o", "--to", "csv")
    assert "written to ." in capsys.readouterr().out
    assert (tmp_path / "o/samples.csv").is_file()


def test_an_exporter_without_its_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(registry.FORMATS, "odd", "a_package_that_is_not_there.x:Y")
    with pytest.raises(ConfigError, match=r'a_package_that_is_not_there: pip install "cxr-vlp\['):
        registry.load("odd", registry.FORMATS)
    assert ("odd", "") in list(registry.described(registry.FORMATS))


def test_an_exporter_that_loses_samples_unsaid_is_noticed():
    class Half(Request):
        rows = 4

    result = Result()
    result.written["train"] = 3
    with pytest.raises(DataError, match=r"flow\.unbalanced"):
        choice.check(Half((), Path()), result)
    result.left_out["text.empty"] = 1
    choice.check(Half((), Path()), result)


# ---- flags


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--to", "hf", "--no-images"], "--no-images is for"),
        (["--for", "xrv", "--no-images"], "--no-images is for"),
        (["--to", "csv", "--no-images", "--side", "64"], "leave one out"),
        (["--to", "csv", "--embed-images"], "--embed-images is for --to parquet"),
        (["--to", "csv", "--where", "agee > 5"], "--where: Binder Error"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags, said, sets, run, tmp_path):
    with pytest.raises(ConfigError, match=said):
        run(sets, tmp_path / "o", *flags)


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--to", "csv", "--for", "xrv"],
        ["--to", "excel"],
        ["--to", "csv", "--side", "0"],
        ["--to", "csv", "--side", "2.5"],
        ["--to", "csv", "--caption", "sentences"],
        ["--to", "csv", "--caption", ""],
        ["--to", "csv", "--split", "validation"],
    ],
)
def test_wrong_words_end_with_exit_code_2(flags, sets, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        command.main([str(sets), "--out", str(tmp_path / "o"), *flags])
    assert end.value.code == 2


@pytest.mark.parametrize("flags", [["--out"], ["--state"], ["--params"], []])
def test_an_address_creates_no_folder(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        command.main([*flags, "s3://user:secret@bucket/x"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "mount it, or copy it" in said
    assert "secret" not in said
    assert not list(tmp_path.iterdir())


def test_the_help_has_a_line_for_every_form(capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    for name in registry.FORMATS:
        assert f"--to {name:<9}{registry.load(name, registry.FORMATS).about}\n" in said


# ---- images


def test_no_images_names_the_place_of_each_image(sets, exported, truth):
    out = exported("--to", "parquet", "--no-images")
    assert not (out / "images").exists()
    rows = pq.read_table(out / "samples.parquet").to_pylist()
    assert len(rows) == len(truth)
    for row in rows:
        with (sets / row["tar"]).open("rb") as tar:
            tar.seek(row["offset"])
            assert tar.read(row["bytes"]) == truth[row["key"]].image


def test_images_can_be_in_the_parquet_table(exported, truth):
    out = exported("--to", "parquet", "--embed-images")
    assert not (out / "images").exists()
    rows = pq.read_table(out / "samples.parquet").to_pylist()
    assert {row["key"]: row["image"] for row in rows} == {k: t.image for k, t in truth.items()}


def test_smaller_images_have_their_own_size_and_boxes(sets, exported, truth):
    import cv2

    out, side, boxes = exported("--to", "folder", "--side", "64"), 64, 0
    for key, old in truth.items():
        path = next(out.glob(f"*/{key}.jpg"))
        document = json.loads(path.with_suffix(".json").read_bytes())
        shape = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).shape
        pixels, before = document["pixels"], old.document["pixels"]
        assert shape == (pixels["height"], pixels["width"])
        assert min(shape) == side
        across, down = shape[1] / before["width"], shape[0] / before["height"]
        for box, was in zip(document["boxes"], old.document["boxes"], strict=True):
            assert box["x"] + box["w"] == pytest.approx((was["x"] + was["w"]) * across)
            assert box["y"] + box["h"] == pytest.approx((was["y"] + was["h"]) * down)
            boxes += 1
    assert boxes
    table = pq.read_table(out / "train/metadata.parquet")
    assert all(min(r["height"], r["width"]) == side for r in table.to_pylist())


def test_an_image_that_is_small_already_is_copied(built, run, read_sets, tmp_path):
    out = run(built / "shards/nih", tmp_path / "o", "--to", "folder", "--side", "4096")
    for key, each in read_sets(built / "shards").items():
        if key.startswith("nih-"):
            assert next(out.glob(f"*/{key}.jpg")).read_bytes() == each.image


# ---- damaged sets


@pytest.mark.parametrize("form", ["csv", "mds"])
def test_a_tar_that_changed_after_its_table_was_made_is_noticed(form, built, run, tmp_path):
    folder = shutil.copytree(built / "shards/nih", tmp_path / "set")
    run(folder, tmp_path / "o", "--to", form)  # the table is in the cache now
    path = next((folder / "train").glob("*.tar"))
    content = path.read_bytes()
    path.write_bytes(content[:512] + content[1024:] + bytes(512))
    with pytest.raises(DataError, match="run cxr-vlp verify"):
        run(folder, tmp_path / "o2", "--to", form)
    path.write_bytes(content[:5000])
    with pytest.raises(DataError, match="run cxr-vlp verify"):
        run(folder, tmp_path / "o3", "--to", form)
    path.unlink()
    with pytest.raises((DataError, FileNotFoundError)):
        run(folder, tmp_path / "o4", "--to", form)


# ---- the output folder


def test_a_folder_of_somebody_else_is_not_replaced(sets, run, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty and holds no export\.json"):
        run(sets, out, "--to", "csv")
    (out / "export.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not of cxr-vlp export"):
        run(sets, out, "--to", "csv")
    assert (out / "thesis.tex").read_text() == "mine"


def test_an_export_to_which_files_were_added_is_not_replaced(built, run, tmp_path):
    out = run(built / "shards/nih", tmp_path / "o", "--to", "csv")
    run(built / "shards/nih", out, "--to", "jsonl")
    assert not (out / "samples.csv").exists()
    (out / "images" / "checkpoint.pt").write_text("a week of work")
    with pytest.raises(ConfigError, match="files that cxr-vlp export did not write"):
        run(built / "shards/nih", out, "--to", "csv")
    assert (out / "images" / "checkpoint.pt").exists()


@pytest.mark.parametrize("place", ["nih", "nih/train", "nih/train/x", "."])
def test_an_export_into_a_set_or_around_it_is_refused(place, built, run, tmp_path):
    shutil.copytree(built / "shards/nih", tmp_path / "sets/nih")
    with pytest.raises(ConfigError):
        run(tmp_path / "sets/nih", tmp_path / "sets" / place, "--to", "csv")
    assert (tmp_path / "sets/nih/manifest.jsonl").is_file()


# ---- who may read it


FORMS = [*(("--to", form) for form in registry.FORMATS), ("--for", "chexzero"), ("--for", "xrv")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("header", [{"credentialed": True}, {"ids": "salted"}])
def test_one_private_set_makes_the_export_private(form, header, built, altered, run, tmp_path):
    altered(built / "shards/nih", tmp_path / "sets/nih", **header)
    shutil.copytree(built / "shards/openi", tmp_path / "sets/openi")
    out = run(tmp_path / "sets", tmp_path / "o", *form)
    for path in (out, *out.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path.name


def test_an_open_set_beside_a_private_one_does_not_become_private(built, altered, run, tmp_path):
    altered(built / "shards/nih", tmp_path / "sets/nih", credentialed=True)
    shutil.copytree(built / "shards/openi", tmp_path / "sets/openi")
    before = {p: p.stat().st_mode for p in (tmp_path / "sets/openi").rglob("*")}
    run(tmp_path / "sets", tmp_path / "o", "--to", "wids")
    assert before == {p: p.stat().st_mode for p in (tmp_path / "sets/openi").rglob("*")}


def test_the_terms_of_every_collection_go_with_the_export(built, altered, run, tmp_path):
    altered(built / "shards/nih", tmp_path / "sets/nih", credentialed=True, licence="Nobody's, 1.5")
    shutil.copytree(built / "shards/openi", tmp_path / "sets/openi")
    out = run(tmp_path / "sets", tmp_path / "o", "--to", "hf")
    terms = (out / "LICENCE.txt").read_text()
    assert "licence: Nobody's, 1.5" in terms
    assert terms.count("Only people who signed the agreement") == 1
    assert "(openi)" in terms
    assert "extra_gated_prompt" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("title", "licence"), [("Open-i", "cc-by-nc-nd-4.0"), ("Open-i (synthetic)", "apache-2.0")]
)
def test_the_licence_for_a_hub_is_that_of_the_card(title, licence, built, altered, run, tmp_path):
    made = altered(built / "shards/openi", tmp_path / "openi", title=title)
    out = run(made, tmp_path / "o", "--to", "hf")
    header = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert header["license"] == licence
    assert "license_name" not in header


def test_sets_of_several_licences_are_named_so_for_a_hub(built, altered, run, tmp_path):
    for name in ("openi", "nih"):
        altered(built / "shards" / name, tmp_path / "sets" / name, title=name)
    out = run(tmp_path / "sets", tmp_path / "o", "--to", "hf")
    header = yaml.safe_load((out / "README.md").read_text().split("---")[1])
    assert header["license"] == "other"
    assert header["license_name"] == "terms-of-each-collection"
    assert (out / header["license_link"]).is_file()
