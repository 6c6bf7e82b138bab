"""The cost of a rebuild: which tars are written again, which images are decoded again.

After every change the set must have the same bytes as a clean build of the changed tree.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from stages import build, run_scan, tree_bytes

from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.cache.store import Store

Change = Callable[[Path], dict[str, Any] | None]  # changes the tree, or returns other parameters


@pytest.fixture(scope="module")
def bases(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished builds of copies of the trees, with their state; tests copy them."""
    made = {}
    for source in ("mimic", "nih"):
        folder = tmp_path_factory.mktemp(f"base-{source}")
        shutil.copytree(raw / source, folder / "raw" / source)
        _wait_out_the_clock(folder / "raw")
        build(folder / "raw" / source, source, folder)
        made[source] = folder
    return made


def _wait_out_the_clock(tree: Path) -> None:
    """Make the files older than the resolution of the clock, as after a download."""
    for path in tree.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))


def work_of(folder: Path, source: str, stage: str = "shards") -> dict[str, int]:
    """Return the outcomes of the last run from its log: tars by outcome, images by origin."""
    parts = 4
    lines = (folder / ".cxr/logs" / f"{stage}-{source}.log").read_text().splitlines()[-parts:]
    counts = {"kept": 0, "rewritten": 0, "built": 0, "decoded": 0, "copied": 0}
    for line in lines:
        _, _, how, decoded, copied, _ = line.split()
        counts[how] += 1
        counts["decoded"] += int(decoded.partition("=")[2])
        counts["copied"] += int(copied.partition("=")[2])
    return counts


def nothing(_: Path) -> None:
    """Change nothing."""


def touch(tree: Path) -> None:
    for path in tree.rglob("*"):
        if path.is_file():
            path.touch()


def one_image(tree: Path) -> None:
    path = sorted((tree / "images").glob("*.png"))[0]
    cv2.imwrite(str(path), 255 - cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def one_image_less(tree: Path) -> None:
    sorted((tree / "images").glob("*.png"))[0].unlink()


def one_report(tree: Path) -> None:
    report = sorted(tree.rglob("s5*.txt"))[0]
    report.write_text(report.read_text() + "\n There is a small left pleural effusion.\n")


def another_split(tree: Path) -> None:
    path = next(tree.rglob("mimic-cxr-2.0.0-split.csv*"))
    rows = list(csv.DictReader(io.StringIO(_text(path))))
    studies: dict[str, set[str]] = {}
    for row in rows:
        studies.setdefault(row["subject_id"], set()).add(row["study_id"])
    trained = {row["subject_id"] for row in rows if row["split"] == "train"}
    patient = min(p for p in trained if len(studies[p]) == 1)
    for row in rows:
        if row["subject_id"] == patient:
            row["split"] = "test"
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    path.unlink()
    path.with_suffix("" if path.suffix == ".gz" else ".csv").write_text(stream.getvalue())


def _text(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def prompts(_: Path) -> dict[str, Any]:
    return {"texts": {"prompts": 2}}


def caption(_: Path) -> dict[str, Any]:
    return {"shards": {"caption": ["prompt"]}}


def quality(_: Path) -> dict[str, Any]:
    return {"shards": {"quality": 80}}


def other_parts(_: Path) -> dict[str, Any]:
    # four parts again, but each study falls elsewhere
    return {"sources": {"mimic": {"parts": {"train": 1, "validate": 2, "test": 1}}}}


ALL = -1  # every tar or image of the set
CASES = [
    # change, source, tars written again, images decoded
    (nothing, "mimic", 0, 0),
    (touch, "mimic", 0, 0),
    (one_image, "nih", 1, 1),
    (one_image_less, "nih", 1, 0),
    (one_report, "mimic", 1, 0),
    (another_split, "mimic", 2, 0),
    (prompts, "mimic", ALL, 0),
    (caption, "nih", ALL, 0),
    (quality, "nih", ALL, ALL),
    (other_parts, "mimic", 4, 0),
]


SLOW = (touch, one_image_less, another_split, prompts, caption, quality)


@pytest.mark.parametrize(
    ("change", "source", "again", "decoded"),
    [
        pytest.param(*case, id=case[0].__name__, marks=[pytest.mark.slow] * (case[0] in SLOW))
        for case in CASES
    ],
)
def test_a_rebuild_costs_what_changed(bases, tmp_path, change, source, again, decoded):
    shutil.copytree(bases[source], tmp_path / "x", copy_function=shutil.copy2)
    tree = tmp_path / "x" / "raw" / source
    other = change(tree) or {}
    found = build(tree, source, tmp_path / "x", **other)
    did = work_of(tmp_path / "x", source)
    images = did["decoded"] + did["copied"]
    tars = len(list(found.glob("*/*.tar")))
    assert did["rewritten"] + did["built"] == (tars if again == ALL else again)
    assert did["decoded"] == (images if decoded == ALL else decoded)
    clean = build(tree, source, tmp_path / "clean", **other)
    assert tree_bytes(found) == tree_bytes(clean)
    assert tree_bytes(tmp_path / "x/texts" / source) == tree_bytes(
        tmp_path / "clean/texts" / source
    )


def test_only_a_new_image_is_decoded(bases, tmp_path):
    shutil.copytree(bases["nih"], tmp_path / "x")
    tree = tmp_path / "x/raw/nih"
    image = sorted((tree / "images").glob("*.png"))[0]
    data = image.read_bytes()
    image.unlink()
    build(tree, "nih", tmp_path / "x")
    image.write_bytes(data)
    found = build(tree, "nih", tmp_path / "x")
    did = work_of(tmp_path / "x", "nih")
    assert (did["rewritten"] + did["built"], did["decoded"]) == (1, 1)
    assert tree_bytes(found) == tree_bytes(bases["nih"] / "shards/nih")


def test_texts_of_parts_that_did_not_change_are_kept(bases, tmp_path):
    shutil.copytree(bases["mimic"], tmp_path / "x")
    tree = tmp_path / "x/raw/mimic"
    one_report(tree)
    build(tree, "mimic", tmp_path / "x")
    assert work_of(tmp_path / "x", "mimic", "texts")["kept"] == 3


def test_a_damaged_tar_is_not_reused(bases, tmp_path):
    shutil.copytree(bases["nih"], tmp_path / "x")
    tar = max((tmp_path / "x/shards/nih").glob("*/*.tar"), key=lambda p: p.stat().st_size)
    sound = tar.read_bytes()
    rotten = bytearray(sound)
    rotten[len(rotten) // 2] ^= 1
    tar.write_bytes(rotten)
    shutil.rmtree(tmp_path / "x/.cxr/stock")  # a hard link is damaged with it; a copy is not
    build(tmp_path / "x/raw/nih", "nih", tmp_path / "x")
    did = work_of(tmp_path / "x", "nih")
    assert (did["kept"], did["built"], did["copied"]) == (3, 1, 0)
    assert tar.read_bytes() == sound


def test_without_the_state_everything_is_built_again_with_the_same_bytes(bases, tmp_path):
    shutil.copytree(bases["nih"], tmp_path / "x")
    shutil.rmtree(tmp_path / "x/.cxr")
    before = tree_bytes(tmp_path / "x/shards/nih")
    build(tmp_path / "x/raw/nih", "nih", tmp_path / "x")
    assert work_of(tmp_path / "x", "nih")["built"] == 4
    assert tree_bytes(tmp_path / "x/shards/nih") == before


def test_finished_parts_of_a_killed_run_are_reused(bases, tmp_path):
    shutil.copytree(bases["nih"], tmp_path / "x")
    before = tree_bytes(tmp_path / "x/shards/nih")
    out = tmp_path / "x/shards/nih"
    staging = out.with_name(".nih.staging")
    out.rename(staging)  # all tars are complete and not published
    (staging / "manifest.jsonl").unlink()
    (staging / "train" / ".nih-train-00000.tar.99.tmp").write_bytes(b"half")
    (staging / "train" / "nih-train-00777.tar").write_bytes(b"of another number of parts")
    build(tmp_path / "x/raw/nih", "nih", tmp_path / "x")
    assert work_of(tmp_path / "x", "nih")["kept"] == 4
    assert tree_bytes(out) == before
    assert not staging.exists()


def test_entries_of_another_version_are_ignored(bases, tmp_path):
    shutil.copytree(bases["nih"], tmp_path / "x")
    for path in (tmp_path / "x/.cxr/receipts").rglob("*.json"):
        path.write_text(path.read_text().replace('"md5"', '"digest"'))
    build(tmp_path / "x/raw/nih", "nih", tmp_path / "x")
    assert work_of(tmp_path / "x", "nih")["built"] == 4


def test_a_tar_in_dvcs_cache_is_found_by_its_md5(bases, tmp_path):
    shutil.copytree(bases["nih"], tmp_path / "x")
    (tmp_path / "x/.dvc").mkdir()
    out = tmp_path / "x/shards/nih"
    before = tree_bytes(out)
    for entry in (tmp_path / "x/.cxr/receipts/shards").rglob("*.json"):
        row = row_digest.read(entry)
        if row["bytes"]:
            place = tmp_path / "x/.dvc/cache/files/md5" / row["md5"][:2] / row["md5"][2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(out / row["file"], place)
            place.chmod(0o444)
    shutil.rmtree(out)  # as DVC does before it runs a stage
    shutil.rmtree(tmp_path / "x/.cxr/stock")
    build(tmp_path / "x/raw/nih", "nih", tmp_path / "x")
    assert work_of(tmp_path / "x", "nih")["kept"] == 4
    assert tree_bytes(out) == before


def hard_links(folder: Path, stage: str = "shards") -> dict[str, os.stat_result]:
    return {path.name: path.stat() for path in (folder / ".cxr/stock" / stage).glob("*/*")}


@pytest.mark.slow
def test_an_output_that_dvc_deleted_is_restored_from_its_hard_links(raw, tmp_path):
    build(raw / "mimic", "mimic", tmp_path)
    before = {stage: tree_bytes(tmp_path / stage) for stage in ("texts", "shards")}
    for stage in before:
        shutil.rmtree(tmp_path / stage)
    build(raw / "mimic", "mimic", tmp_path)
    for stage, found in before.items():
        assert work_of(tmp_path, "mimic", stage)["kept"] == 4
        assert tree_bytes(tmp_path / stage) == found


@pytest.mark.slow
def test_hard_links_need_no_space_and_are_those_of_the_latest_set(raw, tmp_path):
    for sections in ({}, {"shards": {"side": 96}}, {}):
        out = build(raw / "nih", "nih", tmp_path, **sections)
        files = {path.stat().st_ino for path in out.glob("*/*.tar")}
        names = hard_links(tmp_path)
        assert {found.st_ino for found in names.values()} == files
        assert all(found.st_nlink == 2 for found in names.values())


def test_a_damaged_hard_link_is_not_reused(raw, tmp_path):
    out = build(raw / "nih", "nih", tmp_path)
    before = tree_bytes(out)
    shutil.rmtree(out)
    rotten = max((tmp_path / ".cxr/stock/shards/nih").iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(rotten.read_bytes())
    data[len(data) // 2] ^= 1
    rotten.write_bytes(data)
    build(raw / "nih", "nih", tmp_path)
    assert work_of(tmp_path, "nih")["kept"] == 3
    assert tree_bytes(out) == before
    assert all(found.st_nlink == 2 for found in hard_links(tmp_path).values())


@pytest.mark.slow
def test_a_file_that_dvc_protects_is_copied_and_never_linked(raw, tmp_path):
    """Its inode may be that of DVC's cache: a link would let us change a file that DVC trusts."""
    out = build(raw / "nih", "nih", tmp_path)
    before = tree_bytes(out)
    for path in out.glob("*/*.tar"):
        path.chmod(0o444)
    with contextlib.ExitStack() as kept:
        # open, because the file system gives the number of a deleted file to a new one
        old = [kept.enter_context(path.open("rb")) for path in out.glob("*/*.tar")]
        inodes = {os.fstat(file.fileno()).st_ino for file in old}
        shutil.rmtree(out)
        build(raw / "nih", "nih", tmp_path)
        assert work_of(tmp_path, "nih")["kept"] == 4
        assert tree_bytes(out) == before
        assert not inodes & {path.stat().st_ino for path in out.glob("*/*.tar")}
    assert all(found.st_nlink == 2 for found in hard_links(tmp_path).values())


def test_a_file_system_without_hard_links_is_no_error(raw, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    store = Store((), links=str(tmp_path / "second"))
    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "x.tar").write_bytes(b"x")
    store.link(tmp_path / "x.tar", "0" * 64)
    store.prune(set())
    assert not list((tmp_path / "second").glob("*"))


def test_under_dvc_no_hard_link_is_made(raw, tmp_path, monkeypatch):
    """DVC moves the output into its cache, and puts its own copy in the output's place."""
    build(raw / "nih", "nih", tmp_path)
    assert hard_links(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "shards@nih")
    build(raw / "nih", "nih", tmp_path)
    assert not hard_links(tmp_path)


def test_hard_links_are_removed_if_only_dvcs_cache_has_the_file(raw, tmp_path):
    """The state after a run without DVC and `dvc commit`."""
    out = build(raw / "nih", "nih", tmp_path)
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True
    )
    for entry in (tmp_path / ".cxr/receipts/shards").rglob("*.json"):
        row = row_digest.read(entry)
        place = tmp_path / ".dvc/cache/files/md5" / row["md5"][:2] / row["md5"][2:]
        if row["bytes"]:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(out / row["file"], place)
    gone, *kept = sorted(out.glob("*/*.tar"))
    names = hard_links(tmp_path)
    Path(shutil.copy(gone, tmp_path / "copy")).replace(gone)
    run_scan(
        "nih", ["--root", str(raw / "nih"), "--params", str(tmp_path / "params.yaml")], tmp_path
    )
    left = hard_links(tmp_path)
    assert len(left) == len(names) - 1 == len(kept)
    assert {found.st_ino for found in left.values()} == {path.stat().st_ino for path in kept}
