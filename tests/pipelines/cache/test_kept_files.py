"""Kept tars are neither opened nor copied, and no part is read that did not change."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stages import build, params, tree_bytes
from test_incremental import work_of

from cxr_vlp.pipelines import shards, verify
from cxr_vlp.pipelines.cache import identity, row_digest
from cxr_vlp.pipelines.cache.dvc_cache import DvcCache, of_project
from cxr_vlp.pipelines.cache.entries import Entries, Entry, SampleDigests
from cxr_vlp.pipelines.cache.image_index import ImageIndex
from cxr_vlp.pipelines.cache.store import Store
from cxr_vlp.pipelines.errors import ConfigError

OPENED: list[str] | None = None  # the files that this process opens, while it is a list


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and OPENED is not None and isinstance(arguments[0], str | os.PathLike):
        OPENED.append(os.fspath(arguments[0]))


sys.addaudithook(_note)  # sees every way to open a file, and cannot be removed


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The paths of all files that this process opens."""
    global OPENED
    OPENED = found = []
    yield found
    OPENED = None


@pytest.fixture(scope="module")
def base(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of one collection."""
    folder = tmp_path_factory.mktemp("kept")
    build(raw / "nih", "nih", folder)
    return folder


@pytest.fixture
def place(base: Path, tmp_path: Path) -> Path:
    """The build in a folder of its own, with files that are trusted there."""
    for name in ("scan", "texts", "shards", ".cxr"):
        shutil.copytree(base / name, tmp_path / name, copy_function=shutil.copy2)
    shutil.rmtree(tmp_path / ".cxr/stock")
    return tmp_path


def again(base: Path, place: Path, raw: Path) -> Path:
    """Run the stage `shards` only."""
    common = ["nih", "--root", str(raw / "nih"), "--params", str(params(place))]
    folders = {"--scan": "scan/nih", "--texts": "texts/nih", "--out": "shards/nih"}
    flags = [word for name, at in folders.items() for word in (name, str(place / at))]
    assert shards.main([*common, "--state", str(place / ".cxr"), *flags]) == 0
    return place / "shards/nih"


def trusted(base: Path, place: Path, raw: Path) -> Path:
    """Hash the copies once, so that they are known."""
    return again(base, place, raw)


def as_dvc_commits(place: Path) -> Path:
    """Move the tars into a cache of hard links, and the output away, as DVC does."""
    (place / ".dvc").mkdir()
    (place / ".dvc/config").write_text("[cache]\n    type = hardlink,copy\n")
    for entry in (place / ".cxr/receipts/shards").rglob("*.json"):
        row = row_digest.read(entry)
        if row["bytes"]:
            cached = place / ".dvc/cache/files/md5" / row["md5"][:2] / row["md5"][2:]
            cached.parent.mkdir(parents=True, exist_ok=True)
            os.link(place / "shards/nih" / row["file"], cached)
            cached.chmod(0o444)
    shutil.rmtree(place / "shards/nih")
    shutil.rmtree(place / ".cxr/stock")
    return place / ".dvc/cache"


def test_nothing_of_a_kept_tar_is_opened_and_no_part_is_read(base, place, raw, opened):
    out = trusted(base, place, raw)
    before = {path: path.stat().st_ino for path in out.glob("*/*.tar")}
    opened.clear()
    again(base, place, raw)
    assert opened
    assert not [path for path in opened if ".tar" in Path(path).name]
    parts = [path for path in opened if Path(path).name.startswith("nih-")]
    assert not [path for path in parts if path.endswith(".jsonl")]
    assert {path: path.stat().st_ino for path in out.glob("*/*.tar")} == before
    assert work_of(place, "nih")["kept"] == 4


def test_with_hard_links_a_kept_tar_is_the_file_of_dvcs_cache(
    base, place, raw, opened, monkeypatch
):
    out = trusted(base, place, raw)
    expected = tree_bytes(out)
    cache = as_dvc_commits(place)
    cached = {path.stat().st_ino for path in cache.rglob("*") if path.is_file()}
    monkeypatch.setenv("DVC_STAGE", "shards@nih")
    opened.clear()
    again(base, place, raw)
    assert not [path for path in opened if ".tar" in path or "files/md5" in path]
    assert {path.stat().st_ino for path in out.glob("*/*.tar")} == cached
    assert tree_bytes(out) == expected


def test_a_damaged_file_of_dvcs_cache_is_removed(base, place, raw, monkeypatch):
    """DVC does not hash a file of its cache, and would take it in the place of the new tar."""
    expected = tree_bytes(trusted(base, place, raw))
    cache = as_dvc_commits(place)
    rotten = max(cache.rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(rotten.read_bytes())
    data[len(data) // 2] ^= 1
    rotten.chmod(0o644)
    rotten.write_bytes(data)
    monkeypatch.setenv("DVC_STAGE", "shards@nih")
    assert tree_bytes(again(base, place, raw)) == expected
    assert not rotten.exists()
    assert work_of(place, "nih")["kept"] == 3


def swap(tar: Path) -> None:
    """Put another file of the same size and time in the place of a tar."""
    data, old = bytearray(tar.read_bytes()), tar.stat()
    data[len(data) // 2] ^= 1
    other = tar.with_name("other")
    other.write_bytes(data)
    os.utime(other, ns=(old.st_atime_ns, old.st_mtime_ns))
    other.replace(tar)


def test_a_tar_swapped_for_one_of_the_same_size_and_time_is_hashed(base, place, raw):
    out = trusted(base, place, raw)
    expected = tree_bytes(out)
    shutil.rmtree(place / ".cxr/stock")
    swap(max(out.glob("*/*.tar"), key=lambda path: path.stat().st_size))
    assert tree_bytes(again(base, place, raw)) == expected
    assert work_of(place, "nih")["kept"] == 3


def test_a_tar_changed_in_place_with_its_time_set_back_is_found_by_verify(base, place, raw):
    out = trusted(base, place, raw)
    tar = max(out.glob("*/*.tar"), key=lambda path: path.stat().st_size)
    data, old = bytearray(tar.read_bytes()), tar.stat()
    data[len(data) // 2] ^= 1
    tar.write_bytes(data)
    os.utime(tar, ns=(old.st_atime_ns, old.st_mtime_ns))
    again(base, place, raw)
    assert work_of(place, "nih")["kept"] == 4
    assert verify.main([str(out)]) != 0


def test_a_touched_part_is_hashed_and_its_tar_kept_without_a_worker(
    base, place, raw, monkeypatch, opened
):
    trusted(base, place, raw)
    touched = place / "texts/nih/nih-train-00000.jsonl"
    touched.touch()
    monkeypatch.setattr(shards.driver, "results", None)
    opened.clear()
    again(base, place, raw)
    assert [path for path in opened if path.endswith("train-00000.jsonl")] == [str(touched)]


def rewritten(place: Path, part: str, change: Callable[[str], str]) -> None:
    """Change a part of the texts, and the header with it, as another version of `texts` might."""
    path, header = place / f"texts/nih/{part}.jsonl", place / "texts/nih/texts.json"
    path.write_text(change(path.read_text()))
    values = json.loads(header.read_text())
    values["part_files"][part] = identity.read(path)[1]
    header.write_text(json.dumps(values))


def test_a_part_of_the_same_samples_in_other_bytes_keeps_its_tar(base, place, raw):
    out = trusted(base, place, raw)
    expected = tree_bytes(out)
    rewritten(place, "nih-train-00000", lambda text: text.replace('","', '", "'))
    assert tree_bytes(again(base, place, raw)) == expected
    assert work_of(place, "nih")["kept"] == 4
    swap(out / "train/nih-train-00000.tar")
    shutil.rmtree(place / ".cxr/stock")
    rewritten(place, "nih-train-00000", lambda text: text.replace('", "', '","'))
    entries = Entries.of_stage(place / ".cxr", "shards")
    entry = entries.newest("nih-train-00000")
    entries.write(
        dataclasses.replace(entry, inputs=())
    )  # only a worker can say that it is the same
    assert tree_bytes(again(base, place, raw)) == expected


def test_a_text_edited_by_hand_is_refused(base, place, raw):
    trusted(base, place, raw)
    part = place / "texts/nih/nih-train-00000.jsonl"
    part.write_text(part.read_text().replace('"prompt":"', '"prompt":"edited ', 1))
    with pytest.raises(ConfigError, match=r"is not the file that `texts` wrote"):
        again(base, place, raw)


def test_an_inventory_edited_by_hand_is_refused(base, place, raw):
    trusted(base, place, raw)
    part = place / "scan/nih/nih-train-00000.jsonl"
    part.write_text(part.read_text().replace('"AP"', '"PA"', 1) + "")
    part.write_text(part.read_text().replace("frontal", "lateral", 1))
    with pytest.raises(ConfigError, match="another inventory"):
        again(base, place, raw)


def test_entries_of_0_8_keep_their_tars(base, place, raw):
    entries = Entries.of_stage(place / ".cxr", "shards")
    for path in (place / ".cxr/receipts/shards").rglob("*.json"):
        entry = entries.of(path.parent.name, path.stem)
        row = row_digest.read(path)
        samples = [list(vars(sample).values()) for sample in entries.samples(entry)]
        for name in ("listed", "written", "inputs", "images", "seen"):
            del row[name]
        row_digest.write(path, {**row, "samples": samples})
        path.with_suffix(".samples").unlink(missing_ok=True)
    again(base, place, raw)
    assert work_of(place, "nih")["kept"] == 4
    newest = entries.newest("nih-train-00000")
    assert newest.inputs
    assert newest.seen
    assert len(entries.samples(newest)) == newest.listed > 0


def entry_of(part: str, fingerprint: str) -> Entry:
    return Entry(part, fingerprint, f"{part}.tar", "d" * 64, "e" * 32, 9, True, {})


def test_the_image_index_reads_only_tars_that_are_new(tmp_path, monkeypatch):
    entries = Entries(str(tmp_path))
    for number in range(5):
        part = f"x-train-{number:05d}"
        sample = SampleDigests(f"k{number}", "a" * 16, f"{number:016x}", "c" * 16)
        entries.write(entry_of(part, "f1"), [sample])
    index = ImageIndex.of_source(entries, "x")
    index.refresh(entries, "x")
    assert index.find(f"{3:016x}" + "0" * 48) == [("x-train-00003", "f1", "k3")]
    read = []
    samples = Entries.samples
    monkeypatch.setattr(
        Entries, "samples", lambda self, entry: read.append(entry.part) or samples(self, entry)
    )
    index.refresh(entries, "x")
    assert read == []
    entries.write(entry_of("x-train-00001", "f2"), [SampleDigests("n", "a", "9" * 16, "c")])
    index.refresh(entries, "x")
    assert read == ["x-train-00001"]
    assert index.find(f"{1:016x}") == []
    assert index.find("9" * 16) == [("x-train-00001", "f2", "n")]


def test_a_damaged_image_index_is_made_again(tmp_path):
    entries = Entries(str(tmp_path))
    entries.write(entry_of("x-train-00000", "f"), [SampleDigests("k", "a", "9" * 16, "c")])
    index = ImageIndex.of_source(entries, "x")
    Path(index.path).write_bytes(b"no database" * 999)
    assert index.find("9" * 16) == []
    index.refresh(entries, "x")
    assert index.find("9" * 16) == [("x-train-00000", "f", "k")]


def test_a_file_is_hashed_once_until_it_changes(tmp_path, opened):
    path = tmp_path / "x-train-00000.jsonl"
    path.write_text("1\n")

    def digest() -> str:
        known = identity.FileDigests.of_source(tmp_path, "x")
        found = known.of_parts(tmp_path, ["x-train-00000"], {"x-train-00000": "header"}, "texts")
        known.save()
        return found["x-train-00000"]

    first = digest()
    opened.clear()
    assert digest() == first
    assert str(path) not in opened
    path.write_text("2\n")
    assert digest() != first


def test_a_part_without_a_file_names_the_stage_to_run(tmp_path):
    known = identity.FileDigests.of_source(tmp_path, "x")
    with pytest.raises(ConfigError, match=r"no x-train-00000\.jsonl .*run `cxr-vlp texts`"):
        known.of_parts(tmp_path, ["x-train-00000"], {}, "texts")


@pytest.mark.parametrize(("links", "linked"), [
    ("", False), ("reflink,copy", False), ("copy", False),
    ("hardlink,copy", True), ('"reflink,hardlink,copy"', True), ("symlink", True),
])  # fmt: skip
def test_dvcs_file_is_linked_only_where_dvc_would_link_it(tmp_path, links, linked):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(f"[cache]\n    type = {links}\n" if links else "")
    cache = of_project(tmp_path / "data")
    assert cache.folder == str(tmp_path / ".dvc/cache")
    entry = Entry("p", "f", "p.tar", "", "ab" * 16, 1, True, {})
    path = cache.path(entry.md5)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    path.chmod(0o444)
    entry = Entry("p", "f", "p.tar", identity.read(path)[1], "ab" * 16, 1, True, {})
    found = Store((), cache).restore(entry, tmp_path / "out/p.tar")
    assert found is not None
    assert (tmp_path / "out/p.tar").samefile(path) == linked
    assert identity.of(tmp_path / "out/p.tar") in found[0].seen


def test_the_cache_of_another_folder_is_found_in_dvcs_config(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[cache]\n    dir = ../elsewhere\n")
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    type = hardlink\n")
    assert of_project(tmp_path) == DvcCache(str(tmp_path / "elsewhere"), ("hardlink",))
    assert of_project(tmp_path.parent) == DvcCache()
