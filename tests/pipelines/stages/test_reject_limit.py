"""The share of rejects at which a stage stops, and which set may replace which."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stages import build, params, tree_bytes

from cxr_vlp.pipelines import scan, shards, texts
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.stages import reject_limit

PARTS = {"train": 2, "validate": 1, "test": 1}


def sources(**values) -> dict:
    return {name: {"parts": PARTS, **values} for name in ("nih", "mimic")}


@pytest.fixture
def tree(raw, tmp_path) -> Path:
    shutil.copytree(raw / "nih", tmp_path / "raw")
    return tmp_path / "raw"


def images(tree: Path) -> list[Path]:
    return sorted((tree / "images").glob("*.png"))


def rot(paths: list[Path]) -> None:
    for path in paths:
        path.write_bytes(b"no image")


def test_a_run_without_usable_images_stops_and_keeps_the_old_set(tree, tmp_path):
    out = build(tree, "nih", tmp_path)
    before = tree_bytes(out)
    rot(images(tree))
    with pytest.raises(DataError, match=r"no image left of 14 .*image\.unreadable 14.* stays"):
        build(tree, "nih", tmp_path, sources=sources(max_rejects=1.0))
    assert tree_bytes(out) == before


def test_a_stage_that_loses_all_says_the_remedy_of_the_most_frequent_code():
    lost = {"texts text.none": 9, "texts report.language": 1}
    with pytest.raises(DataError, match=r"text\.none 9\).*name the columns of reports or labels.*"):
        reject_limit.check("texts", {}, 10, lost, 0)
    with pytest.raises(DataError, match=r"none lost\).* collection\? nothing was published"):
        reject_limit.check("texts", {}, 0, {}, 0)


def test_a_stage_stops_above_its_reject_limit_but_not_at_it(tree, tmp_path):
    listed = images(tree)
    rot(listed[:3])
    assert len(listed) == 14
    with pytest.raises(DataError, match=r"shards rejected 3 of 14 images .*sources\.nih\.max_rej"):
        build(tree, "nih", tmp_path / "x", sources=sources(max_rejects=0.2))
    out = build(tree, "nih", tmp_path / "y", sources=sources(max_rejects=3 / 14))
    assert jsonl.glimpse(out / "manifest.jsonl")["written"] == 11


def test_scan_has_the_same_reject_limit(raw, tmp_path):
    shutil.copytree(raw / "mimic", tmp_path / "raw")
    (tmp_path / "secret").write_bytes(b"elsewhere")
    for path in sorted((tmp_path / "raw").rglob("*.jpg")) + sorted(
        (tmp_path / "raw").rglob("*.dcm")
    ):
        path.unlink()
        path.symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match=r"no image of \d+ listed can be used \(.*escape"):
        build(tmp_path / "raw", "mimic", tmp_path / "x")


def test_a_partial_download_does_not_count_towards_the_limit(tree, tmp_path):
    for path in images(tree)[:10]:
        path.unlink()
    out = build(tree, "nih", tmp_path / "x", sources=sources(max_rejects=0.0))
    assert jsonl.glimpse(out / "manifest.jsonl")["dropped"] == {"scan image.missing": 10}
    rot(images(tree)[:2])  # 2 of 4 at hand, and 2 of 14 listed
    with pytest.raises(DataError, match="rejected 2 of 4 images"):
        build(tree, "nih", tmp_path / "y")


def test_an_unmounted_disk_does_not_empty_a_set(tree, tmp_path):
    build(tree, "nih", tmp_path)
    before = tree_bytes(tmp_path / "scan/nih")
    for path in images(tree)[:8]:
        path.unlink()
    with pytest.raises(DataError, match=r"6 images, .* replace has 14: is a disk not mounted"):
        build(tree, "nih", tmp_path)
    assert tree_bytes(tmp_path / "scan/nih") == before
    common = ["nih", "--root", str(tree), "--params", str(params(tmp_path))]
    state = ["--state", str(tmp_path / ".cxr"), "--shrink"]
    assert scan.main([*common, *state, "--out", str(tmp_path / "scan/nih")]) == 0
    read = ["--scan", str(tmp_path / "scan/nih")]
    # the same for every stage
    for stage, more in ((texts, []), (shards, ["--texts", str(tmp_path / "texts/nih")])):
        name = stage.__name__.rpartition(".")[2]
        arguments = [*common, *read, *more, "--out", str(tmp_path / name / "nih")]
        with pytest.raises(DataError, match="run the command once with --shrink"):
            stage.main([*arguments, *state[:2]])
        assert stage.main([*arguments, *state]) == 0


def test_texts_stops_if_every_report_is_unreadable(raw, tmp_path):
    shutil.copytree(raw / "mimic", tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("s5*.txt"):
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataError, match=r"no report could be read \(report\.lfs_pointer \d+"):
        build(tmp_path / "raw", "mimic", tmp_path / "x")
    assert not (tmp_path / "x/texts/mimic").exists()


@given(
    st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.floats(0, 1), st.booleans()
)
def test_the_reject_limit_is_a_share_of_the_available_images(absent, bad, left, ceiling, skip):
    lost = {"scan image.missing": absent, "scan image.unreadable": bad, "texts text.none": 99}
    inventory = {
        "missing": "skip" if skip else "fail", "max_rejects": ceiling, "source": "x",
    }  # fmt: skip
    rejected, at_hand = (bad, bad + left) if skip else (bad + absent, absent + bad + left)
    try:
        reject_limit.check("scan", inventory, absent + bad + left, lost, left)
    except DataError:
        assert left == 0 or rejected > ceiling * at_hand
    else:
        assert left
        assert rejected <= ceiling * at_hand


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_set_may_lose_half_and_no_more(before, now):
    try:
        reject_limit.shrunk(before, now, "samples", allowed=False)
    except DataError:
        assert 2 * now < before
    else:
        assert 2 * now >= before
    reject_limit.shrunk(before, now, "samples", allowed=True)


@pytest.mark.parametrize("unread", [0, 19, 20])
def test_reports_in_another_language_were_read(unread):
    reject_limit.reports({"report.language": 20, "report.unreadable": unread}, 0)


def test_more_unreadable_reports_than_read_ones_stop():
    with pytest.raises(DataError, match=r"report\.unreadable 21"):
        reject_limit.reports({"report.language": 20, "report.unreadable": 21}, 0)
