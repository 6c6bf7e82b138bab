"""Changed rows of the state folder are reported, discarded and made again."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stages import build, tree_bytes
from test_incremental import work_of

from cxr_vlp.pipelines.cache import entries, file_index, row_digest, scan_index
from cxr_vlp.pipelines.files import jsonl

OLD = 1_600_000_000


@pytest.fixture(scope="module")
def base(raw, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    shutil.copytree(raw / "mimic", folder / "raw")
    for path in (folder / "raw").rglob("*"):
        os.utime(path, (OLD, OLD))
    build(folder / "raw", "mimic", folder)
    return folder


@pytest.fixture
def place(base, tmp_path) -> Path:
    """A copy with the same raw tree: the index compares inodes."""
    for name in ("scan", "texts", "shards", ".cxr"):
        shutil.copytree(base / name, tmp_path / name, copy_function=shutil.copy2)
    shutil.rmtree(tmp_path / ".cxr/stock")
    row_digest.DISCARDED.take()  # what another test of this process has left uncounted
    return tmp_path


def again(base: Path, place: Path, capsys) -> str:
    """Build again, and check that the output is the same; return what was printed."""
    capsys.readouterr()
    build(base / "raw", "mimic", place)
    for stage in ("scan", "texts", "shards"):
        assert tree_bytes(place / stage) == tree_bytes(base / stage), stage
    return capsys.readouterr().err


def base_of(place: Path) -> sqlite3.Connection:
    return sqlite3.connect(place / "scan/mimic/index.sqlite")


def touch_first(base: Path) -> bytes:
    """Give the first image another time, so that its patient is read again; return its name."""
    path = min((base / "raw").rglob("*.dcm"))
    os.utime(path, (OLD, path.stat().st_mtime + 1))
    return bytes(path.relative_to(base / "raw"))


def test_a_digest_changed_in_the_index_is_discarded(base, place, capsys):
    name = touch_first(base)
    with base_of(place) as rows:
        changed = rows.execute(
            """UPDATE files SET facts = replace(facts, '"sha256": "', '"sha256": "0')
            WHERE name = ?""", (name,)
        ).rowcount  # fmt: skip
    assert changed == 1
    assert "state: 1 row did not match" in again(base, place, capsys)
    touch_first(base)
    assert "state:" not in again(base, place, capsys)  # it was read again, and is right now


@pytest.mark.parametrize("sql", [
    "UPDATE studies SET made = made || ' '",
    "UPDATE studies SET patient = 'p'",
    "UPDATE owners SET study = 's'",
    "UPDATE lines SET patient = 'p'",
    "UPDATE patients SET made = made || ' '",
    "UPDATE folders SET text = text || ' '",
    "UPDATE facts SET value = value || ' '",
])  # fmt: skip
def test_a_changed_row_of_the_index_has_the_tree_listed_anew(base, place, capsys, sql):
    touch_first(base)
    with base_of(place) as rows:
        assert rows.execute(sql).rowcount
    assert "did not match" in again(base, place, capsys)


def test_a_line_that_is_missing_in_the_index_has_the_tree_listed_anew(base, place, capsys):
    """Of each part the first line: it would be taken for another study's."""
    name = touch_first(base).decode()
    path = base / "raw" / name
    path.write_bytes(path.read_bytes() + b"\0")
    with base_of(place) as rows:
        rows.execute("DELETE FROM lines WHERE key IN (SELECT MIN(key) FROM lines GROUP BY part)")
    build(base / "raw", "mimic", base)
    assert "did not match" in again(base, place, capsys)


def test_shards_also_discards_a_changed_row_of_the_index(base, place, capsys):
    """It does not hash a file that is unchanged by the index."""
    with base_of(place) as rows:
        rows.execute("UPDATE files SET size = size + 1, facts = replace(facts, 'true', 'false')")
    shutil.rmtree(place / ".cxr/receipts/shards")
    shutil.rmtree(place / "shards")
    assert "rows did not match" in again(base, place, capsys)


CHANGES = {
    "samples": ('"samples":', '"samples":1'),
    "rejects": ('"rejects":[', '"rejects":[{},'),
    "studies": ('"studies":', '"studies":1'),
    "digest": ('"sha256":"', '"sha256":"0'),
    "cut": ("}", ""),
    "lasting": ('"lasting":true', '"lasting":false'),
}
FEW = {("texts", "studies"), ("shards", "samples"), ("shards", "digest")}


@pytest.mark.parametrize(("stage", "change"), [
    pytest.param(stage, change, id=f"{stage}-{name}",
                 marks=() if (stage, name) in FEW else pytest.mark.slow)
    for stage in ("texts", "shards") for name, change in CHANGES.items()
])  # fmt: skip
def test_an_entry_with_a_changed_number_is_discarded(base, place, capsys, stage, change):
    changed = []  # a part may have several entries: tests before this one changed the tree
    for path in (place / ".cxr/receipts" / stage).rglob("*.json"):
        text = path.read_text()
        path.write_text(text.replace(*change, 1))
        changed += [path.parent.name] if path.read_text() != text else []
    said = again(base, place, capsys)
    assert f"state: {len(changed)} rows did not match" in said or not changed
    assert work_of(place, "mimic", stage)["kept"] == 4 - len(set(changed))


@pytest.mark.parametrize("value", ["samples", "rejects", "studies"])
def test_an_entry_whose_numbers_contradict_each_other_is_discarded(base, place, capsys, value):
    """A bug could write it: its digest is valid."""
    stage = "texts" if value == "studies" else "shards"
    for path in (place / ".cxr/receipts" / stage).rglob("*.json"):
        row = row_digest.read(path)
        if value == "samples":
            row["result"]["line"]["samples"] += 1
        elif value == "studies":
            row["result"]["counts"]["studies"] = row["result"]["counts"].get("studies", 0) + 1
        else:
            row["result"]["rejects"].append({"code": "image.io", "images": 1})
        row_digest.write(path, row)
    assert "state: 4 rows did not match" in again(base, place, capsys)
    assert work_of(place, "mimic", stage)["kept"] == 0


@pytest.mark.slow
def test_rows_of_another_release_are_removed_silently(base, place, capsys):
    for path in (place / ".cxr/receipts").rglob("*.json"):
        path.write_text(json.dumps(row_digest.read(path)) + "\n")  # as 0.2 wrote them
    assert "state:" not in again(base, place, capsys)
    assert work_of(place, "mimic")["kept"] == 0


@pytest.mark.parametrize("first", [0, 4096], ids=["no-database", "pages"])
def test_a_damaged_index_is_made_again(base, place, capsys, first):
    path = place / "scan/mimic/index.sqlite"
    data = bytearray(path.read_bytes())
    data[first:] = b"\x5a" * (len(data) - first)
    path.write_bytes(data)
    touch_first(base)
    assert "did not match" in again(base, place, capsys)
    with base_of(place) as rows:
        assert rows.execute("SELECT COUNT(*) FROM files").fetchone()[0] > 20


def test_an_inode_of_64_bits_is_stored(tmp_path):
    state = SimpleNamespace(st_size=9, st_mtime_ns=OLD * 10**9, st_ino=2**64 - 1)
    index = scan_index.ScanIndex.new(tmp_path / "i.sqlite")
    index.set_facts([("image", file_index.state(state), {"sha256": "0"})])
    index.close()
    assert file_index.facts(tmp_path / "i.sqlite", "image", state) == {"sha256": "0"}


@given(st.data())
def test_an_entry_with_a_flipped_bit_is_discarded(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("r")
    made = entries.Entries(str(folder))
    kept = entries.Entry("p", "f", "p.tar", "d" * 64, "e" * 32, 9, True, {"n": 1}, inputs=("i",))
    made.write(kept)
    path = folder / "p/f.json"
    flipped = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(flipped) - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    path.write_bytes(flipped)
    assert made.of("p", "f") in (None, kept)
    shutil.rmtree(folder)


def test_an_unreadable_row_file_gives_no_row(tmp_path):
    assert row_digest.read(tmp_path / "absent") is None
    jsonl.write_lines(tmp_path / "x", ["[" * 100_000])
    assert row_digest.read(tmp_path / "x") is None
    assert not (tmp_path / "x").exists()
