"""Tars of other programs are read, or the message says what they are and what to do."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import webdataset as wds

import cxr_vlp
from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format import sizes
from cxr_vlp.pipelines.format.errors import FormatError

Change = Callable[[dict[str, Any]], dict[str, Any]]


def stored(folder: Path) -> list[tuple]:
    return [(s.key, s.image, s.caption, s.sample) for s in cxr_vlp.open_shards(folder)]


def rewritten(a_set: Path, out: Path, change: Change = dict, ending: str = ".tar") -> Path:
    """Write the samples of a set with webdataset's ShardWriter, without manifest and sizes."""
    for split in ("train", "validate", "test"):
        (out / split).mkdir(parents=True)
        paths = [str(path) for path in sorted((a_set / split).glob("*.tar"))]
        with wds.ShardWriter(f"{out / split}/part é-%03d{ending}", maxcount=5, verbose=0) as writer:
            for sample in wds.WebDataset(paths, shardshuffle=False) if paths else ():
                members = {k: v for k, v in sample.items() if k[:2] != "__"}
                writer.write({"__key__": sample["__key__"], **change(members)})
    return out


def decoded(members: dict[str, Any]) -> dict[str, Any]:
    return members | {"json": json.loads(members["json"]), "txt": members["txt"].decode()}


@pytest.fixture(scope="module")
def openi(built) -> Path:
    return built / "shards" / "openi"


@pytest.mark.parametrize("change", [dict, decoded], ids=["bytes", "decoded"])
def test_what_a_shard_writer_wrote_is_read_as_it_was(openi, tmp_path, change, capsys):
    folder = rewritten(openi, tmp_path / "lab", change)
    with pytest.raises(ValueError, match=r"no such file; .*format\.sizes"):
        list(cxr_vlp.open_shards(folder))
    assert sizes.main([str(folder)]) == 0
    assert stored(folder) == stored(openi)
    assert verify.main([str(folder)]) == 65
    said = capsys.readouterr().out
    assert f"{len(stored(openi)):,} samples that fit can read" in said
    assert said.endswith("NOT VALID\n")


def test_a_set_whose_tars_were_written_again_in_their_place_is_read(openi, tmp_path, capsys):
    folder = shutil.copytree(openi, tmp_path / "openi")
    for path in folder.glob("*/*.tar"):
        samples = list(wds.WebDataset(str(path), shardshuffle=False))
        with wds.TarWriter(str(path)) as writer:
            for sample in samples:
                writer.write({k: v for k, v in sample.items() if k == "__key__" or k[:2] != "__"})
    assert stored(folder) == stored(openi)
    assert verify.main([str(folder), "--json"]) == 65
    found = {breach["code"] for breach in json.loads(capsys.readouterr().out)["breaches"]}
    assert found == {"member.header", "shard.digest"}


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar"])
def test_a_folder_that_gnu_tar_packed_is_read(openi, tmp_path, form):
    for sample in cxr_vlp.open_shards(openi, "train"):
        for kind, data in (
            ("jpeg", sample.image),
            ("json", sample.sample.to_json()),
            ("txt", sample.caption.encode()),
        ):  # fmt: skip
            (tmp_path / "raw").mkdir(exist_ok=True)
            (tmp_path / "raw" / f"{sample.key}.{kind}").write_bytes(data)
    (tmp_path / "lab" / "train").mkdir(parents=True)
    out = tmp_path / "lab" / "train" / "a.tar"
    words = ["tar", f"--format={form}", "--sort=name", "-C", str(tmp_path / "raw"), "-cf", str(out)]
    subprocess.run([*words, "."], check=True)
    assert sizes.main([str(tmp_path / "lab")]) == 0
    by_key = sorted(cxr_vlp.open_shards(openi, "train"), key=lambda each: each.key)
    wanted = [(each.image, each.sample) for each in by_key]
    found = [(each.image, each.sample) for each in cxr_vlp.open_shards(tmp_path / "lab", "train")]
    assert found == wanted


def without(*kinds: str) -> Change:
    return lambda members: {k: v for k, v in members.items() if k not in kinds}


@pytest.mark.parametrize(
    ("change", "code", "refusal"),
    [
        pytest.param(without("json"), "sample.no_json", "lacks a member", id="image-and-text"),
        pytest.param(without("txt"), "sample.members", "lacks a member", id="no-text"),
        pytest.param(
            lambda m: m | {"cls": 3}, "sample.members", "write the tar without it", id="cls"
        ),
        pytest.param(
            lambda m: m | {"json": {"url": "u", "status": "success"}},
            "json.foreign",
            "a JSON of another program is not read",
            id="img2dataset",
        ),
        pytest.param(lambda m: m | {"pyd": {}}, "member.runnable", "none of jpg", id="a-pickle"),
    ],
)
def test_samples_of_another_program_are_refused_with_a_remedy(
    openi, tmp_path, capsys, change, code, refusal
):
    folder = rewritten(openi, tmp_path / "lab", change)
    assert sizes.main([str(folder)]) == 0
    capsys.readouterr()
    with pytest.raises(ValueError, match=f"{refusal}.*docs/reuse.md|{refusal}.*reuse"):
        list(cxr_vlp.open_shards(folder))
    assert verify.main([str(folder)]) == 65
    said = capsys.readouterr()
    assert f"{code}: lab: tar 1 sample 0" in said.out
    assert "fit can read" not in said.out
    assert not any(key in said.out + said.err for key, *_ in stored(openi))


def test_compressed_tars_are_named_and_not_passed_over(openi, tmp_path, capsys):
    folder = rewritten(openi, tmp_path / "lab", ending=".tar.gz")
    with pytest.raises(ValueError, match=r"compressed tars .* unpack them"):
        list(cxr_vlp.open_shards(folder))
    assert verify.main([str(folder)]) == 65
    assert "shard.no_tar: lab: tar 1: is no tar: it is gzip-compressed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "refusal"),
    [
        pytest.param(lambda data: gzip.compress(data, 1), "it is gzip-compressed", id="gzip"),
        pytest.param(
            lambda _: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", id="lfs"
        ),
        pytest.param(lambda _: b"", "cut off before member 1", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], "cut off", id="half"),
    ],
)
def test_files_that_are_no_tar_are_named(openi, tmp_path, make, refusal):
    folder = shutil.copytree(openi, tmp_path / "openi")
    path = next(folder.glob("train/*.tar"))
    path.write_bytes(make(path.read_bytes()))
    with pytest.raises(ValueError, match=refusal):
        list(cxr_vlp.open_shards(folder))


def test_verify_sees_tars_beside_the_sets(built, tmp_path, capsys):
    shutil.copytree(built / "shards" / "nih", tmp_path / "sets" / "nih")
    assert verify.main([str(tmp_path / "sets")]) == 0
    rewritten(built / "shards" / "openi", tmp_path / "sets" / "lab", without("json"))
    assert verify.main([str(tmp_path / "sets")]) == 65
    assert "manifest.missing: lab: " in capsys.readouterr().out


def test_a_wrong_folder_is_named_with_the_right_one(built, tmp_path, openi):
    with pytest.raises(ConfigError, match=r"part of a set, give .*nih"):
        verify.main([str(built / "shards" / "nih" / "train")])
    with pytest.raises(ValueError, match="part of a set, name the set"):
        list(cxr_vlp.open_shards(openi / "train"))
    loose = tmp_path / "loose"
    loose.mkdir()
    shutil.copy(next(openi.glob("train/*.tar")), loose)
    with pytest.raises(ValueError, match="must lie in folders named train"):
        list(cxr_vlp.open_shards(loose))


def test_counting_replaces_nothing_and_refuses_what_it_cannot_count(openi, tmp_path, capsys):
    folder = shutil.copytree(openi, tmp_path / "openi")
    assert sizes.main([str(folder)]) == 2
    assert "not replaced" in capsys.readouterr().err
    lab = tmp_path / "lab"
    (lab / "train").mkdir(parents=True)
    assert sizes.main([str(lab)]) == 2
    data = next(openi.glob("train/*.tar")).read_bytes()
    (lab / "train" / "a.tar").write_bytes(data + data)
    assert sizes.main([str(lab)]) == 65
    assert "bytes behind its end" in capsys.readouterr().err
    assert not (lab / "train" / "sizes.json").exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda m: m | {"txt": "é".encode("utf-16")}, "caption.encoding", id="utf-16"),
        pytest.param(lambda m: m | {"jpg": b"a page of HTML"}, "image.unreadable", id="html"),
    ],
)
def test_verify_does_not_call_readable_what_fit_refuses(openi, tmp_path, capsys, change, code):
    folder = rewritten(openi, tmp_path / "lab", change)
    assert verify.main([str(folder)]) == 65
    said = capsys.readouterr().out
    assert f"{code}: lab: tar 1 sample 0" in said
    assert "fit can read" not in said


def packed(openi: Path, path: Path, rename: Callable[[str, str], list[str]]) -> None:
    """Write the test samples of a set with tarfile, each member under the names of `rename`."""
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as tar:
        for sample in cxr_vlp.open_shards(openi, "test"):
            parts = {"jpg": sample.image, "json": sample.sample.to_json(), "txt": b"a text"}
            for kind, data in parts.items():
                for name in rename(sample.key, kind):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("rename", "why"),
    [
        pytest.param(lambda k, e: [f"./._{k}.{e}", f"./{k}.{e}"], "COPYFILE_DISABLE", id="macos"),
        pytest.param(lambda k, e: [f"1.2.840.{k}.{e}"], "two dots", id="an-uid-as-name"),
        pytest.param(lambda k, e: [f"{k}.image.{e}"], "two dots", id="a-part-before-the-ending"),
    ],
)
def test_names_that_readers_cut_elsewhere_are_explained(openi, tmp_path, capsys, rename, why):
    packed(openi, tmp_path / "lab" / "train" / "a.tar", rename)
    assert verify.main([str(tmp_path / "lab")]) == 65
    said = capsys.readouterr().out
    assert f"member.unknown: lab: tar 1: {'a hidden' if 'COPY' in why else 'a name'}" in said
    assert "sample.apart" not in said
    assert sizes.main([str(tmp_path / "lab")]) == 65
    assert why in capsys.readouterr().err
    (tmp_path / "lab" / "train" / "sizes.json").write_text('{"a.tar": 1}')
    with pytest.raises(ValueError, match=why):
        list(cxr_vlp.open_shards(tmp_path / "lab", "train"))


@pytest.mark.parametrize("text", ['{"a.tar": 7}', '{"a.tar": "1"}', "", '{"other.tar": 1}'])
def test_a_sizes_json_that_does_not_fit_is_named_by_verify_and_fit(openi, tmp_path, capsys, text):
    packed(openi, tmp_path / "lab" / "train" / "a.tar", lambda key, kind: [f"{key}.{kind}"])
    (tmp_path / "lab" / "train" / "sizes.json").write_text(text)
    assert verify.main([str(tmp_path / "lab")]) == 65
    said = capsys.readouterr().out
    assert "sizes.differ: lab: train: remove it, and count with" in said
    assert "fit can read" not in said
    with pytest.raises(ValueError, match="remove"):
        list(cxr_vlp.open_shards(tmp_path / "lab", "train"))


def test_a_patient_in_two_splits_of_such_a_set_is_found(openi, tmp_path, capsys):
    for split in ("train", "test"):
        packed(openi, tmp_path / "lab" / split / "a.tar", lambda key, kind: [f"{key}.{kind}"])
    assert verify.main([str(tmp_path / "lab")]) == 65
    assert "patient.two_splits" in capsys.readouterr().out


def test_two_tars_joined_to_one_file_are_not_read_in_part(openi, tmp_path, capsys):
    packed(openi, tmp_path / "lab" / "train" / "a.tar", lambda key, kind: [f"{key}.{kind}"])
    path = tmp_path / "lab" / "train" / "a.tar"
    path.write_bytes(path.read_bytes() * 2)
    assert verify.main([str(tmp_path / "lab")]) == 65
    assert "shard.end: lab: tar 1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["val", "valid", "Validation", "dev", "VAL"])
def test_validation_tars_under_another_name_are_not_passed_over(openi, tmp_path, capsys, name):
    folder = rewritten(openi, tmp_path / "lab")
    (folder / "validate").rename(folder / name)
    assert verify.main([str(folder)]) == 65
    assert "if their folders are named train, validate, test" in capsys.readouterr().out
    with pytest.raises(ValueError, match=f"{name}: rename this folder to validate"):
        list(cxr_vlp.open_shards(folder, "validate"))


def test_a_set_that_lies_deeper_is_named(openi, tmp_path):
    shutil.copytree(openi, tmp_path / "top" / "of" / "all")
    with pytest.raises(ValueError, match=r"name the folder of the set, such as .*of/all"):
        list(cxr_vlp.open_shards(tmp_path / "top"))


def test_a_tar_of_the_old_form_is_named(openi, tmp_path):
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "lab" / "train").mkdir(parents=True)
    out = tmp_path / "lab" / "train" / "a.tar"
    subprocess.run(
        ["tar", "--format=v7", "-C", str(tmp_path), "-cf", str(out), "a.txt"], check=True
    )
    with pytest.raises(FormatError, match="--format=ustar"):
        sizes.count(out)
