"""A second scan reads only changed files, and no file whose digest is official."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from stages import build, params, run_scan, tree_bytes

from cxr_vlp.pipelines.cache import checksums, file_index
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.stages import scan_study

OLD = 1_600_000_000  # a time stamp that is no longer fresh


@pytest.fixture
def tree(raw, tmp_path) -> Path:
    """A copy of the synthetic MIMIC tree with old time stamps."""
    shutil.copytree(raw / "mimic", tmp_path / "raw")
    age(tmp_path / "raw")
    return tmp_path / "raw"


def age(tree: Path) -> None:
    for path in tree.rglob("*"):
        os.utime(path, (OLD, OLD))


def common(tree: Path, out: Path, **values) -> list[str]:
    sources = {"mimic": {"parts": {"train": 2, "validate": 1, "test": 1}, **values}}
    return ["--root", str(tree), "--params", str(params(out, sources=sources))]


def reads(monkeypatch) -> list[str]:
    """Return a list of the images that are read from now on."""
    seen: list[str] = []
    facts = scan_study._facts

    def noted(path, image, reader):
        found = facts(path, image, reader)
        if found["read"]:
            seen.append(image.path)
        return found

    monkeypatch.setattr(scan_study, "_facts", noted)
    return seen


def test_only_changed_files_are_read_again(tree, tmp_path, monkeypatch):
    seen = reads(monkeypatch)
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    images = len(seen)
    assert images > 10
    seen.clear()
    one = next(tree.rglob("*.dcm"))
    one.write_bytes(one.read_bytes() + b"\0")
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    assert [tree / path for path in seen] == [one]
    again = tree_bytes(tmp_path / "scan")
    run_scan("mimic", common(tree, tmp_path / "clean"), tmp_path / "clean")
    assert again == tree_bytes(tmp_path / "clean/scan")


@pytest.mark.slow
def test_other_parameters_read_nothing_again(tree, tmp_path, monkeypatch):
    seen = reads(monkeypatch)
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    seen.clear()
    run_scan(
        "mimic", common(tree, tmp_path, parts={"train": 3, "validate": 1, "test": 1}), tmp_path
    )
    assert seen == []


def test_a_file_as_young_as_the_resolution_of_the_clock_is_read_again(tmp_path):
    known = file_index.FileIndex()
    young = tmp_path / "young"
    young.write_bytes(b"x")
    known.store("young", young.stat(), {"sha256": "0"})
    assert known.get("young", young.stat()) is None
    os.utime(young, (OLD, OLD))
    known.store("young", young.stat(), {"sha256": "0"})
    assert known.get("young", young.stat()) == {"sha256": "0"}
    os.utime(young, (OLD, OLD + 1))
    assert known.get("young", young.stat()) is None


def test_digests_outlive_the_inventory(tree, tmp_path, monkeypatch):
    """The state folder has a second name of the index."""
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    before = tree_bytes(tmp_path / "scan")
    shutil.rmtree(tmp_path / "scan")
    seen = reads(monkeypatch)
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    assert (seen, tree_bytes(tmp_path / "scan")) == ([], before)


def test_the_state_folder_may_be_removed(tree, tmp_path, monkeypatch):
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    shutil.rmtree(tmp_path / ".cxr")
    seen = reads(monkeypatch)
    run_scan(
        "mimic", common(tree, tmp_path, parts={"train": 3, "validate": 1, "test": 1}), tmp_path
    )
    assert seen == []


def test_a_scan_that_fails_keeps_what_it_has_read(tree, tmp_path, monkeypatch):
    seen = reads(monkeypatch)
    with pytest.raises(DataError, match="missing: "):
        run_scan("mimic", common(tree, tmp_path, missing="fail"), tmp_path)
    assert len(seen) > 10
    assert not (tmp_path / "scan/mimic").exists()
    seen.clear()
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    assert seen == []


def test_a_damaged_memory_of_a_failed_scan_is_not_used(tree, tmp_path):
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    before = tree_bytes(tmp_path / "scan")
    (kept,) = (tmp_path / ".cxr/scan").glob("*.sqlite")
    kept.with_suffix(".part").write_bytes(b"no base, but as long as a header is " * 9)
    shutil.rmtree(tmp_path / "scan")
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    assert tree_bytes(tmp_path / "scan") == before


@pytest.mark.slow
def test_official_digests_are_used_until_the_image_is_read(tree, tmp_path, monkeypatch):
    plain = build(tree, "mimic", tmp_path / "read")
    seen = reads(monkeypatch)
    parts = {"train": 2, "validate": 1, "test": 1}
    chosen = {"mimic": {"parts": parts, "digests": "official", "reader": {"images": "jpg"}}}
    jpgs = sorted(tree.rglob("*.jpg"))
    sound = jpgs[0].read_bytes()
    jpgs[0].write_bytes(sound[:-9])
    found = build(tree, "mimic", tmp_path / "x", sources=chosen)
    assert seen == []  # the synthetic tree lists all its JPGs
    header, _ = manifest.read(found)
    assert header["dropped"]["shards image.digest"] == 1
    # repaired, and scanned again: the file has the digest of the list
    jpgs[0].write_bytes(sound)
    found = build(tree, "mimic", tmp_path / "x", sources=chosen)
    assert "shards image.digest" not in manifest.read(found)[0]["dropped"]
    assert plain.exists()


def test_official_digests_without_a_list_are_refused(raw, tmp_path):
    sources = {"nih": {"parts": {"train": 2, "validate": 1, "test": 1}, "digests": "official"}}
    arguments = ["--root", str(raw / "nih"), "--params", str(params(tmp_path, sources=sources))]
    with pytest.raises(ConfigError, match=r"no SHA256SUMS\.txt .* set digests: read"):
        run_scan("nih", arguments, tmp_path)


def test_a_malformed_line_is_skipped_and_a_malformed_list_stops(tmp_path):
    path = tmp_path / checksums.NAME
    path.write_text(f"{'a' * 64}  ./files/one.jpg\nthree\n{'b' * 64} *two.jpg\n")
    found = [("files/one.jpg", "a" * 64), ("two.jpg", "b" * 64)]
    assert list(checksums.rows(path, tmp_path)) == found
    path.write_text(f"{'a' * 64}  ./files/one.jpg\nthree\nfour\n")
    with pytest.raises(DataError, match="line 2"):
        list(checksums.rows(path, tmp_path))


def test_inventories_hold_no_time(tree, tmp_path):
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    before = tree_bytes(tmp_path / "scan")
    for path in tree.rglob("*"):
        path.touch()
    run_scan("mimic", common(tree, tmp_path), tmp_path)
    assert tree_bytes(tmp_path / "scan") == before
    rows = [r for p in (tmp_path / "scan/mimic").glob("mimic-*") for r in jsonl.read_records(p)]
    assert all(image["sha256"] for row in rows for image in row["images"])


def test_a_fifo_instead_of_the_list_of_digests_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "SHA256SUMS.txt")
    with pytest.raises(ConfigError, match="set digests: read"):
        list(checksums.of(tmp_path))
