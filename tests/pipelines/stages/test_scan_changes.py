"""An updated inventory has the bytes of a full scan, whatever changed in the tree."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import editing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stages import PARTS, params, run_scan, tree_bytes

from cxr_vlp.pipelines import scan
from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.errors import Stop
from cxr_vlp.pipelines.files import atomic_dir, jsonl
from cxr_vlp.pipelines.stages import scan_study, scan_update

SALT = "a salt that nobody can guess"
_clock = itertools.count(1_600_000_000)


def age(tree: Path) -> None:
    """Give what is young an old time of its own, so that it counts as seen."""
    for path in (tree, *tree.rglob("*")):
        if path.lstat().st_mtime > 1_700_000_000:
            os.utime(path, (next(_clock),) * 2, follow_symlinks=False)


class Place:
    """A tree, its inventory that is updated, and a full scan to compare it with."""

    def __init__(self, raw: Path, folder: Path, source: str, **values) -> None:
        self.tree, self.source, self.folder = folder / "raw", source, folder
        shutil.copytree(raw, self.tree)
        age(self.tree)
        self.values = {"parts": PARTS, "max_rejects": 1.0, **values}

    def scan(self, name: str) -> str:
        """Scan into a folder of its own; return why the scan stopped."""
        out = self.folder / name
        given = params(out, sources={self.source: self.values}, scan={"salt": SALT})
        common = ["--root", str(self.tree), "--params", str(given), "--shrink"]
        try:
            run_scan(self.source, common, out)
        except Stop as stop:
            return f"{type(stop).__name__}: {stop}"
        return ""

    def check(self) -> None:
        """Update the inventory, and compare it with a full scan of the same tree."""
        before = self.bytes("kept")
        said = self.scan("kept")
        shutil.rmtree(self.folder / "clean", ignore_errors=True)
        assert said == self.scan("clean")
        assert self.bytes("kept") == (before if said else self.bytes("clean"))

    def bytes(self, name: str) -> dict[str, bytes]:
        return tree_bytes(self.folder / name / "scan")


@pytest.fixture
def ways(monkeypatch) -> list[str]:
    """How each scan from now on was made: "full" or "changed"; nothing for an unchanged tree."""
    seen: list[str] = []
    for name in ("full", "changed"):
        made = getattr(scan_update, name)

        def noted(*given, made=made, name=name):
            seen.append(name)
            return made(*given)

        monkeypatch.setattr(scan_update, name, noted)
    return seen


VARIANTS = {
    "mimic": {},
    "mimic-salted": {"ids": "salted"},
    "mimic-official": {"digests": "official", "reader": {"images": "jpg"}},
    "mimic-missing": {"missing": "fail"},
    "chexpert": {},
    "nih": {},
    "openi": {},
}
MANY = {"mimic"}


@pytest.mark.parametrize("name", [
    name if name in MANY else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS
])  # fmt: skip
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    chosen=st.lists(
        st.lists(st.sampled_from(sorted(editing.EDITS)), min_size=1, max_size=3),
        min_size=1, max_size=3,
    ),
)  # fmt: skip
def test_an_update_has_the_bytes_of_a_full_scan(raw, tmp_path_factory, name, seed, chosen):
    source = name.partition("-")[0]
    folder = tmp_path_factory.mktemp("edited")
    place = Place(raw / source, folder, source, **VARIANTS[name])
    place.check()
    rng = random.Random(seed)
    for edits in chosen:
        for edit in edits:
            if len(editing.images(place.tree)) > 3:
                editing.EDITS[edit](place.tree, rng)
        if rng.random() < 0.7:  # else what was written is as young as the last scan
            age(place.tree)
        place.check()
    shutil.rmtree(folder)


def image_of(place: Place, number: int = 0) -> Path:
    return sorted(place.tree.rglob("*.dcm"))[number]


@pytest.fixture
def place(raw, tmp_path) -> Place:
    made = Place(raw / "mimic", tmp_path, "mimic")
    made.scan("kept")
    return made


def test_a_changed_image_reads_the_files_of_no_other_patient(place, ways, monkeypatch):
    studies = []
    read = scan_study.read_files
    monkeypatch.setattr(
        scan_study, "read_files", lambda study, *given: studies.append(study) or read(study, *given)
    )
    path = image_of(place)
    path.write_bytes(path.read_bytes() + b"\0")
    assert place.scan("kept") == ""
    assert ways == ["changed"]
    assert len({study.patient for study in studies}) == 1
    assert len(studies) < 5


def test_an_image_that_was_only_touched_changes_nothing(place, ways, capsys):
    out = place.folder / "kept/scan/mimic"
    before = {path.name: path.stat() for path in out.iterdir() if path.suffix != ".sqlite"}
    image_of(place).touch()
    age(place.tree)
    assert place.scan("kept") == ""
    assert ways == ["changed"]
    assert {path.name: path.stat() for path in out.iterdir() if path.suffix != ".sqlite"} == before
    assert "14 studies, unchanged" in capsys.readouterr().out
    assert place.scan("kept") == ""
    assert ways == ["changed"]  # the index knows the new time


@pytest.mark.parametrize("what", ["parts", "salt", "table"])
def test_what_concerns_all_studies_is_scanned_anew(place, ways, what):
    if what == "parts":
        place.values["parts"] = {**PARTS, "train": 3}
    elif what == "salt":
        place.values["ids"] = "salted"
    else:
        path = min(place.tree.rglob("*metadata.csv.gz"))
        os.utime(path, (1, 1))
    place.check()
    assert ways == ["full", "full"]


def test_the_parts_of_other_patients_are_not_written_again(place):
    out = place.folder / "kept/scan/mimic"
    before = {path.name: path.stat().st_ino for path in out.glob("mimic-*.jsonl")}
    path = image_of(place)
    path.write_bytes(path.read_bytes() + b"\0")
    place.scan("kept")
    after = {path.name: path.stat().st_ino for path in out.glob("mimic-*.jsonl")}
    assert sum(after[name] != inode for name, inode in before.items()) == 1


def test_a_part_that_somebody_changed_is_made_again(place, ways):
    part = next((place.folder / "kept/scan/mimic").glob("mimic-train-*.jsonl"))
    part.write_text(part.read_text() + "\n")
    place.check()
    assert ways[0] == "full"


def test_an_unchanged_tree_imports_no_beam(place):
    out = place.folder / "kept"
    flags = ["mimic", "--root", str(place.tree), "--params", str(out / "params.yaml"),
             "--state", str(out / ".cxr"), "--out", str(out / "scan/mimic")]  # fmt: skip
    code = (
        "import sys; from cxr_vlp.pipelines import scan; scan.main(sys.argv[1:]); "
        "sys.exit('apache_beam' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *flags], capture_output=True, text=True)
    assert (done.returncode, "unchanged" in done.stdout) == (0, True), done.stderr


def test_a_stopped_update_leaves_the_old_inventory_and_its_index(place, monkeypatch):
    before = place.bytes("kept")
    path = image_of(place)
    path.write_bytes(path.read_bytes() + b"\0")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jsonl, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            scan_only(place)
    assert place.bytes("kept") == before
    place.check()


def scan_only(place: Place) -> None:
    out = place.folder / "kept"
    common = ["--root", str(place.tree), "--params", str(out / "params.yaml")]
    run_scan("mimic", common, out)


def test_an_index_that_another_run_replaced_is_not_updated(place, monkeypatch):
    path = image_of(place)
    path.write_bytes(path.read_bytes() + b"\0")
    publishing = atomic_dir.publishing

    def late(out, owner):
        index = out / "index.sqlite"
        shutil.copy2(index, out / "other")
        (out / "other").replace(index)
        return publishing(out, owner)

    monkeypatch.setattr(scan.atomic_dir, "publishing", late)
    assert place.scan("kept").startswith("LockedError")


def test_more_threads_give_the_same_bytes(place, ways):
    out = place.folder / "other"
    given = params(out, sources={"mimic": place.values}, scan={"salt": SALT})
    common = ["--root", str(place.tree), "--params", str(given), "--workers", "3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_update, "CHUNK", 2)
        run_scan("mimic", common, out)
    assert place.bytes("other") == place.bytes("kept")


def test_damaged_rows_are_not_counted_where_none_is(place, capsys):
    row_digest.DISCARDED.take()
    image_of(place).touch()
    capsys.readouterr()
    place.check()
    assert "state:" not in capsys.readouterr().err


def test_a_closed_table_of_ones_own_is_updated_where_an_image_changed(tmp_path, ways):
    folder = tmp_path / "own"
    folder.mkdir()
    rows = [f"film{n}.png,p{n // 2},PA,FINDINGS: clear." for n in range(8)]
    (folder / "films.csv").write_text("image,patient_id,view,report\n" + "\n".join(rows) + "\n")
    for n in range(8):
        (folder / f"film{n}.png").write_bytes(b"png" * 9 + bytes([n]))
    place = Place(folder, tmp_path, "clinic", preset="table")
    place.check()
    ways.clear()
    (place.tree / "film3.png").write_bytes(b"other")
    place.check()
    assert ways == ["changed", "full"]
    (place.tree / "film9.png").write_bytes(b"new")  # a name may concern every row of the table
    place.check()
    assert ways == ["changed", "full", "full", "full"]
