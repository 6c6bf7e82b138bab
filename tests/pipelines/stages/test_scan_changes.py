"""An updated inventory has the bytes of a full scan, whatever changed in the tree."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import itertools
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import editing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stages import PARTS, params, run_scan, tree_bytes

from cxr_vlp.pipelines import scan
from cxr_vlp.pipelines.cache import file_index, folder_look, row_digest
from cxr_vlp.pipelines.errors import Stop
from cxr_vlp.pipelines.files import atomic_dir, jsonl
from cxr_vlp.pipelines.sources import base, mimic
from cxr_vlp.pipelines.stages import scan_changes, scan_join, scan_study, scan_update
from cxr_vlp.pipelines.synthetic import layouts

SALT = "a salt that nobody can guess"
_clock = itertools.count(1_600_000_000)


def age(tree: Path) -> None:
    """Give what is young an old time of its own, so that it counts as seen."""
    for path in editing.walk(tree):
        if path.lstat().st_mtime > 1_700_000_000:
            os.utime(path, (next(_clock),) * 2, follow_symlinks=False)


class Place:
    """A tree, its inventory that is updated, and a full scan to compare it with."""

    def __init__(self, raw: Path, folder: Path, source: str, **values) -> None:
        self.tree, self.source, self.folder = folder / "raw", source, folder
        shutil.copytree(raw, self.tree, symlinks=True)
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


def left_out(folder: Path) -> list[dict[str, str]]:
    """Write lists of a patient and of a study of the tree, and of nobody; return the entries."""
    studies = sorted({path.parent for path in (folder / "raw").rglob("*.dcm")})
    lists = {"patient": studies[0].parent.name, "study": studies[-1].name}
    for by, name in lists.items():
        (folder / f"{by}.csv").write_text(f"name\n{name}\n{name[0]}19999999\n")
    return [{"file": str(folder / f"{by}.csv"), "column": "name", "by": by} for by in lists]


VARIANTS = {
    "mimic": {},
    "mimic-salted": {"ids": "salted"},
    "mimic-official": {"digests": "official", "reader": {"images": "jpg"}},
    "mimic-missing": {"missing": "fail"},
    "chexpert": {},
    "nih": {},
    "openi": {},
    "mimic-list": {"leave_out": left_out},
    "mimic-layers": {
        "layers": lambda folder: {name: str(folder / name) for name in ("mscxr", "mscxrt")}
    },
    "chexpert-layers": {"layers": lambda folder: {"chexlocalize": str(folder / "chexlocalize")}},
    "shenzhen": {},
    "bimcv": {},
    "rexgradient": {},
    "padchest": {},
    "mimic-linked": {"links": True},
    "clinic": {"preset": "table"},
    "clinic-linked": {"preset": "table", "links": True},
    "filed": {
        "preset": "table",
        "reader": {
            "table": "films.csv", "report_file": "told", "study": "exam", "patient": "patient_id",
            "also": [{"table": "labels.csv", "study": "exam", "labels": ["Edema"]}],
        },
    },
}  # fmt: skip
QUICK = {"mimic", "clinic"}
TABLE = "image,patient_id,exam,view,report\n"


def clinic(folder: Path, *, filed: bool) -> None:
    """Write a hospital's folder and its table, in which or beside which the reports are."""
    rows, labels = [TABLE.replace("report", "told" if filed else "report")], ["exam,Edema\n"]
    for n in range(16):
        place = f"{'ab'[n % 2]}/{n // 4}/film{n}.png"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(b"png" * 9 + bytes([n]))
        told = f"./told//r{n // 2}.txt" if filed else f"FINDINGS: clear in {n // 2}."
        rows.append(f"{place},p{n // 4},e{n // 2},PA,{told}\n")
        if filed:
            (folder / "told").mkdir(exist_ok=True)
            (folder / f"told/r{n // 2}.txt").write_text("FINDINGS: the heart is large.")
            labels.append(f"e{n // 2},{n // 2 % 2}\n")
    (folder / "films.csv").write_text("".join(rows))
    if filed:
        (folder / "labels.csv").write_text("".join(labels))


@pytest.fixture(scope="module")
def trees(raw, tmp_path_factory) -> Path:
    """A folder with the trees of further collections and layers beside those of `raw`."""
    folder = tmp_path_factory.mktemp("trees")
    for path in raw.iterdir():
        (folder / path.name).symlink_to(path)
    for name in ("shenzhen", "bimcv", "rexgradient", "padchest"):
        layouts.writer(name)(folder, studies=14, seed=3, height=64)
    for layer, (_, source) in layouts.LAYERS.items():
        layouts.writer(layer)(folder)
        assert (folder / source).exists()
    for name in ("clinic", "filed"):
        clinic(folder / name, filed=name == "filed")
    return folder


@pytest.mark.parametrize("name", [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS
])  # fmt: skip
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    chosen=st.lists(
        st.lists(st.sampled_from(sorted(editing.EDITS)), min_size=1, max_size=3),
        min_size=1, max_size=3,
    ),
)  # fmt: skip
def test_an_update_has_the_bytes_of_a_full_scan(trees, tmp_path_factory, name, seed, chosen):
    source = name.partition("-")[0]
    folder = tmp_path_factory.mktemp("edited")
    place = Place(trees / source, folder, source)
    for layer in layouts.LAYERS:
        shutil.copytree(trees / layer, folder / layer)
    for key, value in VARIANTS[name].items():
        place.values[key] = value(folder) if callable(value) else value
    rng = random.Random(seed)
    if name.endswith("linked"):
        editing.folder_out(place.tree, rng)
        editing.link_folder(place.tree, rng)
    place.check()
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


@pytest.mark.parametrize("what", ["parts", "salt", "tables"])
def test_what_concerns_all_studies_is_scanned_anew(place, ways, what):
    if what == "parts":
        place.values["parts"] = {**PARTS, "train": 3}
    elif what == "salt":
        place.values["ids"] = "salted"
    else:
        path = min(place.tree.rglob("*metadata.csv.gz"))
        path.rename(path.with_suffix(""))
    place.check()
    assert ways == ["full", "full"]


def studies_assembled(monkeypatch) -> list[str]:
    """Return the list of the studies that are assembled from now on."""
    seen: list[str] = []
    assembled = base.assembled

    def noted(source, study, rows, rule):
        seen.append(study)
        return assembled(source, study, rows, rule)

    monkeypatch.setattr(base, "assembled", noted)
    return seen


@pytest.mark.parametrize("edit", ["touch", "change", "remove"])
def test_a_row_of_a_table_concerns_its_patient_only(place, ways, monkeypatch, edit):
    path = min(place.tree.rglob("*metadata.csv.gz"))
    lines = editing.unpacked(path)
    if edit == "touch":
        os.utime(path, (1, 1))
    else:
        lines[3:4] = [] if edit == "remove" else [lines[3].replace(",PA,", ",AP,")]
        editing.write(path, lines)
    seen = studies_assembled(monkeypatch)
    assert place.scan("kept") == ""
    assert (ways, len(seen) < 5) == (["changed"], True)
    place.check()


def test_most_rows_of_a_table_are_joined_anew(place, ways):
    path = min(place.tree.rglob("*metadata.csv.gz"))
    header, *lines = editing.unpacked(path)
    editing.write(path, [header, *(line.replace(",PA,", ",AP,") for line in lines)])
    place.check()
    assert ways == ["full", "full"]
    assert not [*(place.folder / "kept/.cxr/scan").glob("*.rows")]


def test_an_image_that_was_moved_out_and_linked_is_refused(place, ways):
    """The link leads to a file of the same size, time and inode, which may not be opened."""
    path = image_of(place)
    before = file_index.state(path.stat())
    path.symlink_to(path.rename(place.folder / path.name))
    assert file_index.state(path.stat()) == before
    place.check()
    assert b"path.escape" in place.bytes("kept")["mimic/rejects.jsonl"]


def test_a_link_that_leads_to_another_folder_of_the_tree_is_not_missed(tmp_path, ways):
    """Both folders are in the listing under their own names, which do not change."""
    folder = tmp_path / "own"
    for year in ("2023", "2024"):
        (folder / year).mkdir(parents=True)
        for n in range(4):
            (folder / year / f"r{n}.txt").write_text(f"FINDINGS: clear in {year}.")
            (folder / f"film{n}.png").write_bytes(b"png" * 9 + bytes([n]))
    rows = [f"film{n}.png,p{n},PA,now/r{n}.txt" for n in range(4)]
    (folder / "films.csv").write_text("image,patient_id,view,told\n" + "\n".join(rows) + "\n")
    (folder / "now").symlink_to("2023")
    place = Place(folder, tmp_path, "clinic", preset="table", reader={"report_file": "told"})
    place.check()
    (place.tree / "now").unlink()
    (place.tree / "now").symlink_to("2024")
    place.check()
    ways.clear()
    (place.tree / "2024/r2.txt").write_text("FINDINGS: a nodule.")
    place.check()
    assert ways == ["changed", "full"]


def test_a_changed_image_below_a_linked_folder_concerns_its_patient_only(place, ways, monkeypatch):
    """Also one that the collection lists under a folder that leads out of the root."""
    place.values["links"] = True
    folder = image_of(place).parents[2]
    folder.symlink_to(folder.rename(place.folder / "moved"))
    place.check()
    ways.clear()
    path = next((place.folder / "moved").rglob("*.dcm"))
    path.write_bytes(path.read_bytes() + b"\0")
    seen = studies_assembled(monkeypatch)
    assert place.scan("kept") == ""
    assert (ways, len(seen) < 5) == (["changed"], True)
    place.check()


def test_a_table_whose_path_has_two_slashes_is_not_missed(trees, tmp_path, ways):
    place = Place(trees / "clinic", tmp_path, "clinic", preset="table")
    (place.tree / "lists").mkdir()
    table = (place.tree / "films.csv").rename(place.tree / "lists/films.csv")
    place.values["reader"] = {"table": "lists//films.csv"}
    place.check()
    ways.clear()
    table.write_text(table.read_text().replace(",PA,", ",AP,", 1))
    place.check()
    assert ways == ["changed", "full"]


def test_a_row_between_others_concerns_its_study_only(trees, tmp_path, ways, monkeypatch):
    """The numbers of the rows after it change, and nothing else of them."""
    place = Place(trees / "filed", tmp_path, "clinic", **VARIANTS["filed"])
    place.check()
    ways.clear()
    table = place.tree / "films.csv"
    header, *lines = editing.unpacked(table)
    editing.write(table, [header, *lines[:3], *lines[4:]])
    seen = studies_assembled(monkeypatch)
    assert place.scan("kept") == ""
    assert (ways, len(seen) < 5) == (["changed"], True)
    place.check()


def test_a_report_in_a_table_that_no_row_tells_of_is_not_missed(place, ways, monkeypatch):
    """A reader need not give the digest of a report; then a changed table is read as a whole."""
    unseen = scan_join.Joining.unseen
    asked = []
    monkeypatch.setattr(
        scan_join.Joining, "unseen", lambda self, *of: asked.append(unseen(self, *of)) or "t.csv"
    )
    (place.tree / "t.csv").write_text("a\n")
    (place.folder / "kept/scan/mimic/index.sqlite").unlink()
    place.check()
    ways.clear()
    (place.tree / "t.csv").write_text("b\n")
    place.check()
    assert ways == ["full", "full"]
    assert set(asked) == {""}


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


def test_several_processes_that_look_give_the_same_update(place, ways, monkeypatch):
    monkeypatch.setattr(folder_look, "SHARE", 2)
    for number in (0, -1):
        path = image_of(place, number)
        path.write_bytes(path.read_bytes() + b"\0")
    age(place.tree)
    place.check()
    place.check()
    assert ways == ["changed", "full", "full"]


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
    (place.tree / "film9.png").write_bytes(b"new")  # no row names it: it is counted
    place.check()
    with (place.tree / "films.csv").open("a") as table:
        table.write("film9.png,p9,PA,FINDINGS: clear.\n")
    place.check()
    (place.tree / "film5.png").unlink()
    place.check()
    (place.tree / "films.csv").rename(place.tree / "other.csv")
    place.check()
    assert ways == ["changed", "full"] * 4 + ["full"] * 2


def test_a_table_that_is_also_seen_through_a_link_is_not_missed(place, ways):
    """The reader names it by the link, which is nearer to the root; the listing by its folder."""
    table = min(place.tree.rglob("*metadata.csv.gz"))
    (place.tree / "a/deep/real").mkdir(parents=True)
    table = table.rename(place.tree / "a/deep/real" / table.name)
    (place.tree / "z").symlink_to("a/deep/real")
    place.check()
    lines = gzip.decompress(table.read_bytes()).splitlines(keepends=True)
    table.write_bytes(gzip.compress(b"".join(lines[:-2])))
    place.check()
    assert ways == ["full", "full", "changed", "full"]


def test_a_report_that_a_table_names_in_another_way_is_not_missed(tmp_path, ways):
    folder = tmp_path / "own"
    (folder / "reports").mkdir(parents=True)
    rows = [f"film{n}.png,p{n},PA,./reports//r{n}.txt" for n in range(4)]
    (folder / "films.csv").write_text("image,patient_id,view,told\n" + "\n".join(rows) + "\n")
    for n in range(4):
        (folder / f"film{n}.png").write_bytes(b"png" * 9 + bytes([n]))
        (folder / f"reports/r{n}.txt").write_text("FINDINGS: clear.")
    place = Place(folder, tmp_path, "clinic", preset="table", reader={"report_file": "told"})
    place.check()
    ways.clear()
    (place.tree / "reports/r2.txt").write_text("FINDINGS: a nodule.")
    place.check()
    assert ways == ["changed", "full"]


def test_terms_that_changed_are_written_though_the_tree_is_as_it_was(place, monkeypatch):
    monkeypatch.setattr(mimic.Mimic, "title", "another title")
    place.check()
    assert b"another title" in place.bytes("kept")["mimic/inventory.json"]


def test_a_study_of_which_nothing_is_left_is_not_assembled(place, ways, monkeypatch):
    assembled = base.assembled

    def checked(source, study, rows, rule):
        assert any(rows.values())
        return assembled(source, study, rows, rule)

    monkeypatch.setattr(base, "assembled", checked)
    folder = image_of(place).parent
    shutil.copytree(folder, folder.with_name("s59999999"))
    place.check()
    shutil.rmtree(folder.with_name("s59999999"))
    place.check()
    assert ways == ["changed", "full"] * 2


def test_files_of_another_root_are_read_though_they_look_the_same(place, monkeypatch):
    """Another disk may have other bytes under the same inode, time and size."""
    read = []
    facts = scan_study._facts
    monkeypatch.setattr(
        scan_study, "_facts", lambda path, *rest: read.append(path) or facts(path, *rest)
    )
    images = len(list(place.tree.rglob("*.dcm")))
    place.tree = place.tree.rename(place.folder / "other")
    assert place.scan("kept") == ""
    assert len(read) >= images


def test_a_reader_of_another_package_is_known_by_its_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_readers").mkdir()
    (tmp_path / "own_readers/__init__.py").write_text("")
    module = tmp_path / "own_readers/clinic.py"
    module.write_text("class Clinic: pass\n")
    clinic = importlib.import_module("own_readers.clinic").Clinic()
    before = scan_changes.own_code(clinic)
    assert before == scan_changes.own_code(clinic)
    (tmp_path / "own_readers/words.py").write_text("WORDS = 1\n")
    assert scan_changes.own_code(clinic) != before
    assert scan_changes.own_code(mimic.Mimic()) == ""


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_an_index_with_flipped_bits_gives_no_other_inventory(place, seed, capsys):
    rng = random.Random(seed)
    index = place.folder / "kept/scan/mimic/index.sqlite"
    for _ in range(4):
        editing.change(place.tree, rng)
        editing.remove(place.tree, rng)
        age(place.tree)
        data = bytearray(index.read_bytes())
        for _ in range(rng.choice((1, 20))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        index.write_bytes(data)
        place.check()


@pytest.mark.parametrize("table", ["studies", "lines"])
def test_a_row_that_the_index_does_not_find_any_more_is_not_lost(place, table, ways):
    """As if a page of the index of patients were damaged: the row is there, and is not found."""
    index = place.folder / "kept/scan/mimic/index.sqlite"
    folder = sorted({path.parents[1] for path in place.tree.rglob("*.dcm")})[0]
    with contextlib.closing(sqlite3.connect(index)) as rows, rows:
        rows.execute("PRAGMA writable_schema = ON")
        (page,) = rows.execute(
            "SELECT rootpage FROM sqlite_master WHERE tbl_name = ? AND type = 'index' "
            "AND name IN ('of_patient', 'lines_of_patient')", (table,)
        ).fetchone()  # fmt: skip
    data = bytearray(index.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    data[(page - 1) * size + 3 : (page - 1) * size + 5] = b"\0\0"  # a page without entries
    index.write_bytes(data)
    shutil.rmtree(folder)
    place.check()
    assert ways[0] in ("changed", "full")


def test_the_index_of_a_private_collection_is_for_its_owner_alone(place):
    before = os.umask(0o022)
    try:
        place.values["ids"] = "salted"
        image = image_of(place)
        for change in (lambda: None, lambda: image.write_bytes(b"x"), image.touch):
            change()
            age(place.tree)
            assert place.scan("private") == ""
            found = [*(place.folder / "private").rglob("*.sqlite")]
            assert len(found) == 2
            assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in found)
    finally:
        os.umask(before)


def test_the_index_of_an_open_collection_has_the_rights_of_its_inventory(place):
    found = place.folder / "kept/scan/mimic"
    assert (found / "index.sqlite").stat().st_mode == (found / "inventory.json").stat().st_mode
