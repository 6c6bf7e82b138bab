"""`scan` on trees with faults: they are counted, and messages explain missing files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from joining import lay
from stages import PARTS, build, params, run_scan, samples

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines import scan
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.imaging import dicom_file, dicom_header
from cxr_vlp.pipelines.records import StudyHeader
from cxr_vlp.pipelines.stages import scan_study
from cxr_vlp.pipelines.synthetic.layouts import chexpert

HEAD = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT14])
STUDIES = range(1, 31)


def path_of(n: int) -> str:
    return f"train/patient{n:05}/study1/view1_frontal.jpg"


def row(n: int, path: str = "") -> str:
    return f"{path or path_of(n)},Female,{40 + n},Frontal,AP,{'1.0,' * 13}1.0"


def table(rows: dict[int, str]) -> str:
    return "\n".join([HEAD, *(rows.get(n, row(n)) for n in STUDIES)]) + "\n"


def tree(folder: Path, rows: dict[int, str] | None = None) -> Path:
    images = {path_of(n): str(n) for n in STUDIES}
    return lay(folder / "raw", {"train.csv": table(rows or {}), **images})


def scanned(raw: Path, out: Path, **values) -> dict:
    """Scan a CheXpert tree; return its header, whose flow balances or scan would have stopped."""
    settings = params(out, sources={"chexpert": {"parts": PARTS, **values}})
    run_scan("chexpert", ["--root", str(raw), "--params", str(settings)], out)
    return jsonl.read_header(out / "scan/chexpert", "inventory.json", "scan")


def stopped(raw: Path, out: Path, kind: type[Exception] = DataError, **values) -> str:
    with pytest.raises(kind) as error:
        scanned(raw, out, **values)
    return str(error.value)


def test_each_fault_gives_a_code_and_all_other_rows_are_kept(tmp_path):
    raw = tree(tmp_path, {
        2: row(2) + "\n" + row(2).replace("1.0,1.0", "0.0,1.0", 1),
        3: row(3, "train/patient00003/study1/"),
        4: row(4) + ",9",
        5: row(5, path_of(5).replace("/", "\\")),
        6: row(6).replace("Female", "nan").replace("46", "old"),
        7: f'"{row(7)}',
    })  # fmt: skip
    (raw / path_of(8)).unlink()
    (raw / path_of(8)).symlink_to("/nowhere/.git/annex/objects/x")
    (raw / path_of(9)).unlink()
    os.mkfifo(raw / path_of(9))
    (raw / path_of(10)).unlink()
    header = scanned(raw, tmp_path, max_rejects=1.0)
    assert header["listed"] == 30
    assert header["dropped"] == {
        "scan csv.conflict": 1, "scan csv.path": 1, "scan csv.quote": 1, "scan csv.ragged": 1,
        "scan image.missing": 1, "scan image.not_file": 1, "scan path.escape": 1,
    }  # fmt: skip
    assert header["images"] == 30 - 7
    assert header["notes"]["csv.ragged train.csv line 6"] == 1
    assert header["notes"]["id.normalised"] == 1


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_in_latin_1_or_with_line_ends_give_codes(tmp_path):
    raw = tree(tmp_path)
    folder = raw / path_of(3)
    shutil.rmtree(folder.parent.parent)
    odd = os.fsencode(raw) + b"/sch\xf6n/patient00003/study1"
    Path(os.fsdecode(odd)).mkdir(parents=True)
    Path(os.fsdecode(odd), "view1_frontal.jpg").write_text("x")
    line = raw / "a\nb" / path_of(4)
    line.parent.mkdir(parents=True)
    (raw / path_of(4)).rename(line)
    (raw / "train/view1_frontal.jpg\n").write_text("x")
    header = scanned(raw, tmp_path)
    assert header["dropped"] == {"scan path.encoding": 1}
    assert header["images"] == 29


@pytest.mark.parametrize("where", ["store", "raw/store"])
@pytest.mark.parametrize("links", [False, True])
def test_links_out_of_the_root_need_the_option_and_the_message_names_it(tmp_path, where, links):
    raw = tree(tmp_path)
    (tmp_path / where).mkdir()
    (raw / "train").rename(tmp_path / where / "train")
    (raw / "train").symlink_to(tmp_path / where / "train")
    if links or where != "store":
        assert scanned(raw, tmp_path, links=links)["images"] == 30
    else:
        said = stopped(raw, tmp_path)
        assert "no image of 30 listed" in said
        assert "1 links that lead out of it" in said
        assert "links: true" in said


def test_a_single_folder_that_leads_out_is_reported(tmp_path, capsys):
    raw = tree(tmp_path)
    (tmp_path / "store").mkdir()
    for n in (1, 2, 3):
        (raw / f"train/patient{n:05}").rename(tmp_path / f"store/{n}")
        (raw / f"train/patient{n:05}").symlink_to(tmp_path / f"store/{n}")
    header = scanned(raw, tmp_path)
    assert header["images"] == 27
    assert header["notes"]["path.escape"] == 3
    assert "links: true" in capsys.readouterr().out
    assert "path.escape" not in scanned(raw, tmp_path / "again", links=True)["notes"]


@pytest.mark.slow
def test_links_are_followed_through_all_stages(tmp_path):
    chexpert.write(tmp_path / "far", studies=12, seed=3, height=96)
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in (tmp_path / "far/chexpert").iterdir():
        (raw / path.name).symlink_to(path)
    values = {"chexpert": {"parts": PARTS, "links": True}}
    linked = dict(samples(build(raw, "chexpert", tmp_path / "a", sources=values)))
    plain = dict(samples(build(tmp_path / "far/chexpert", "chexpert", tmp_path / "b")))
    assert linked.keys() == plain.keys()
    assert len(linked) > 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": ".tgz"}, ["1 .tgz", "unpack the 1 .tgz"]),
        ({"train": ".txt"}, ["1 .txt", "point --root"]),
    ],
)
def test_without_usable_images_the_message_lists_the_files_found(tmp_path, change, words):
    raw = tree(tmp_path)
    shutil.rmtree(raw / "train")
    for name, suffix in change.items():
        (raw / f"{name}{suffix}").write_text("x")
    said = stopped(raw, tmp_path)
    for word in ["no image of 30 listed", "30 scan image.missing", "1 .csv", *words]:
        assert word in said


def test_if_every_row_is_refused_the_remedy_names_the_table(tmp_path):
    twice = {n: row(n) + "\n" + row(n).replace("1.0,1.0", "0.0,1.0", 1) for n in STUDIES}
    said = stopped(tree(tmp_path, twice), tmp_path)
    assert "no image of 30 listed can be used (30 scan csv.conflict)" in said
    assert "correct the table" in said
    assert "--root" not in said


def test_without_a_table_the_message_lists_the_files_found(tmp_path):
    raw = lay(tmp_path / "raw", {path_of(n).upper(): "x" for n in range(19)})
    said = stopped(raw, tmp_path, ConfigError)
    assert "below the root there are 19 .JPG" in said


def test_codes_are_explained_after_a_scan(tmp_path, capsys):
    scanned(
        tree(tmp_path, {4: row(4) + ",9", 5: row(5).replace("Frontal,AP", "nan,nan")}), tmp_path
    )
    said = capsys.readouterr().out
    assert "csv.ragged: a row with more or fewer fields than the header; correct the line" in said


def test_images_of_unknown_view_are_counted_and_the_file_with_views_is_named(tmp_path, capsys):
    page = '<eCitation><uId id="CXR7"/><parentImage id="CXR7_IM-0003-1001"/></eCitation>'
    raw = lay(tmp_path / "raw", {
        "ecgen-radiology/7.xml": page, "png/CXR7_IM-0003-1001.png": b"1"})  # fmt: skip
    run_scan("openi", ["--root", str(raw), "--params", str(params(tmp_path))], tmp_path)
    said = capsys.readouterr().out
    assert "note: view.unknown" in said
    assert "indiana_projections.csv" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_an_unreadable_folder_gives_a_code(tmp_path):
    raw = tree(tmp_path)
    folder = raw / "train/patient00003"
    folder.chmod(0)
    try:
        header = scanned(raw, tmp_path)
    finally:
        folder.chmod(0o755)
    assert header["dropped"] == {"scan folder.unreadable": 0, "scan image.missing": 1}


def test_a_file_that_vanishes_during_the_walk_is_missing(tmp_path, monkeypatch):
    raw = tree(tmp_path)
    shutil.rmtree(raw / "train/patient00003")
    gone = raw / "gone"
    from cxr_vlp.pipelines.files import paths

    walk = paths.walk

    def listing(root, *rest, **options):
        yield from walk(root, *rest, **options)
        yield path_of(3)

    monkeypatch.setattr(paths, "walk", listing)
    assert scanned(raw, tmp_path)["dropped"] == {"scan image.missing": 1}
    assert not gone.exists()


def test_a_patient_in_two_official_splits_stops_with_a_remedy(tmp_path):
    other = path_of(3).replace("study1", "study2").replace("train/", "valid/")
    raw = lay(tree(tmp_path), {"valid.csv": "\n".join([HEAD, row(3, other)]) + "\n", other: "x"})
    said = stopped(raw, tmp_path)
    assert said.startswith("split.two")
    assert "correct the list" in said
    assert scan.HEADER


def test_a_bug_in_reading_a_header_is_raised(monkeypatch):
    assert scan_study._peek(b"no DICOM file") == StudyHeader()

    def broken(dataset):
        raise TypeError

    monkeypatch.setattr(dicom_file, "parse", lambda data, pixels: None)
    monkeypatch.setattr(dicom_header, "study_header", broken)
    with pytest.raises(TypeError):
        scan_study._peek(b"a DICOM file")
