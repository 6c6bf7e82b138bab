"""Stages whose folders are in a store: the bytes are those of a disk, and kept parts stay."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from pathlib import Path

import buckets
import pytest
from stages import build, params, tree_bytes

from cxr_vlp.pipelines import cli, scan, shards, texts
from cxr_vlp.pipelines.cache import scan_index
from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.cache.store import Store
from cxr_vlp.pipelines.files import jsonl, privacy
from cxr_vlp.pipelines.files.privacy import Protection
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.storage import objects, publication
from cxr_vlp.pipelines.storage.place import place
from cxr_vlp.pipelines.synthetic.layouts import mimic

OWNERS = {"scan": "inventory.json", "texts": "texts.json", "shards": manifest.NAME}


def published(base: str, stage: str) -> Path:
    return publication.folder_of(place(f"{base}/{stage}"), OWNERS[stage])


def stored_bytes(folder: Path) -> dict[str, bytes]:
    return {each.name: (folder / each.name).read_bytes() for each in objects.listing(folder)}


def run_stages(raw: str, base: str, folder: Path, workers: str = "1") -> None:
    common = ["mimic", "--root", raw, "--params", str(params(folder))]
    common += ["--state", f"{base}/.cxr", "--workers", workers]
    assert scan.main([*common, "--out", f"{base}/scan"]) == 0
    common += ["--scan", f"{base}/scan"]
    assert texts.main([*common, "--out", f"{base}/texts"]) == 0
    read = ["--texts", f"{base}/texts"]
    assert shards.main([*common, *read, "--out", f"{base}/shards"]) == 0


def test_the_bytes_of_a_disk_and_kept_parts(s3, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mimic.write(tmp_path / "raw", studies=6, seed=3, height=96)
    raw = tmp_path / "raw" / "mimic"
    local = build(raw, "mimic", tmp_path)
    buckets.put(buckets.server(), raw, "raw", s3.removeprefix("s3://"))
    run_stages(f"{s3}/raw", s3, tmp_path, workers="2")
    assert stored_bytes(published(s3, "shards")) == tree_bytes(local)
    assert stored_bytes(published(s3, "texts")) == tree_bytes(tmp_path / "texts" / "mimic")
    inventory = stored_bytes(published(s3, "scan"))
    assert inventory.pop(scan_index.NAME)
    assert inventory == tree_bytes(tmp_path / "scan" / "mimic")
    said = capsys.readouterr()
    assert "who may read that bucket is not checked" in said.err  # the collection is credentialed
    assert not (tmp_path / "s3:").exists()

    run_stages(f"{s3}/raw", s3, tmp_path)
    said = capsys.readouterr().out
    assert "tars kept" in said
    assert "tars built" not in said
    tar = next(published(s3, "shards").glob("train/*.tar"))
    data = tar.read_bytes()
    with jsonl.replacing(tar) as stream:
        stream.write(data[:-1] + b"x")  # of the same size
    run_stages(f"{s3}/raw", s3, tmp_path)
    assert stored_bytes(published(s3, "shards")) == tree_bytes(local)
    shown = capsys.readouterr().out.split("\n")
    assert [line.split()[-1] for line in shown if line.startswith("tars built")] == ["1"]


ENTRY = Entry(
    part="x-train-00000",
    fingerprint="f" * 64,
    file="train/x-train-00000.tar",
    sha256="",
    md5="",
    bytes=0,
    lasting=True,
    result={"line": {}},
)


def test_entries_in_a_store(stores):
    entries = Entries.of_stage(stores, "shards")
    assert entries.newest(ENTRY.part) is None
    entries.write(ENTRY)
    entries.write(dataclasses.replace(ENTRY, fingerprint="0" * 64))
    assert entries.of(ENTRY.part, "f" * 64) == ENTRY
    assert len(list(entries.newest_first(ENTRY.part))) == 2
    assert entries.parts("x") == [ENTRY.part]
    entries.mark_newest(ENTRY, ENTRY)
    assert entries.of(ENTRY.part, "f" * 64) == ENTRY
    entries.discard(ENTRY)
    assert entries.of(ENTRY.part, "f" * 64) is None


def test_a_damaged_entry_in_a_store_is_removed(stores):
    entries = Entries.of_stage(stores, "shards")
    entries.write(ENTRY)
    path = next(stores.glob("receipts/shards/*/*.json"))
    with jsonl.replacing(path) as stream:
        stream.write(b"{")
    assert entries.of(ENTRY.part, ENTRY.fingerprint) is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("data", "found"), [(b"tar", True), (b"tAr", False), (b"tar ", False), (None, False)]
)
def test_only_a_file_with_the_bytes_of_its_entry_is_kept(s3, data, found):
    folder = place(f"{s3}/set")
    md5 = hashlib.md5(b"tar", usedforsecurity=False).hexdigest()
    sha256 = hashlib.sha256(b"tar").hexdigest()
    entry = dataclasses.replace(ENTRY, sha256=sha256, md5=md5, bytes=3)
    if data is not None:
        with jsonl.replacing(folder / entry.file) as stream:
            stream.write(data)
    store = Store((f"{s3}/set/.staging", str(folder)))
    assert (store.find(entry) is not None) == found
    assert (store.restore(entry, folder / ".staging" / entry.file) is not None) == found
    # where the store says nothing of the bytes (an encrypted object), they are read
    assert (store.find(dataclasses.replace(entry, md5="0" * 32)) is not None) == found


@pytest.mark.parametrize("text", ["s3://bucket/x", "gs://bucket/x", "file:///x", "ftp://h/x"])
def test_other_commands_refuse_addresses(text):
    with pytest.raises(argparse.ArgumentTypeError, match="a path of this machine is needed"):
        cli.folder(text)


def test_a_stage_takes_an_address_or_a_path(tmp_path):
    assert str(cli.stored("s3://bucket/x")) == "s3://bucket/x"
    assert cli.stored(str(tmp_path)) == tmp_path
    with pytest.raises(argparse.ArgumentTypeError, match="a path of this machine is needed"):
        cli.stored("file:///x")


def test_what_of_a_state_folder_stays_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.local_state(tmp_path / "mine") == tmp_path / "mine"
    assert cli.local_state(place("s3://bucket/state")) == tmp_path / ".cxr"


@pytest.mark.parametrize("private", [False, True])
def test_a_private_collection_in_a_bucket_gives_one_warning(private, capsys):
    out, state = place("s3://bucket/p10000032"), place("s3://bucket/.cxr")
    with privacy.protecting(Protection("mimic", "a licence", credentialed=private), out, state):
        pass
    said = capsys.readouterr().err
    assert said.count("warning:") == private
    assert "p10000032" not in said
