"""The reader as a whole: its options, its guesses, and a run from the table to verified shards."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from joining import join, lay
from stages import build, params, samples
from tables import csv, images, reader, scanned

from cxr_vlp.pipelines import scan, sources, verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.sources.table import guesses
from cxr_vlp.pipelines.sources.table.options import Options
from cxr_vlp.pipelines.synthetic.layouts import nih

FULL = {
    "table": {"train": "a.csv", "test": "b.csv"}, "image": ["Dicom", "p{A}/{B}.dcm"],
    "patient": {"column": "Path", "pattern": "(p\\d+)/"}, "splits": {"x": "train_val"},
    "labels": ["Mass", "Nodule"],
    "boxes": {"corners": list("abcd"), "name": "Mass", "frame": [1024, "H"]},
    "masks": {"column": "rle", "name": "Pneumothorax", "frame": [1024, 1024]},
    "readers": {"column": "rad", "merge": "any"}, "constants": {"view": "PA"},
    "also": [{"table": "c.csv", "study": "S", "labels": {"list": "L"}, "facts": {"sex": "G"}}],
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, FULL])
def test_the_options_of_an_inventory_make_the_same_reader(options):
    made = sources.reader("clinic", options, preset="table")
    recorded = json.loads(json.dumps(dataclasses.asdict(made)))
    again = sources.reader("clinic", recorded, preset="table")
    assert again == made
    assert again.name == "clinic"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imagee": "x"}, r"reader: unknown key 'imagee' \(did you mean image\?\)"),
        ({"image": 3}, r"reader\.image: expected a column, a pattern"),
        ({"image": {"column": "x"}}, r"reader\.image: expected the keys column and pattern"),
        ({"image": {"column": "x", "pattern": "("}}, r"reader\.image: the pattern is no regular"),
        ({"labels": {"family": "all"}}, r"labels\.family: expected one of positive, complete"),
        ({"labels": {"columnz": []}}, r"labels: unknown key 'columnz'"),
        ({"labels": "Mass"}, r"labels: expected keys and values, found \"Mass\""),
        ({"also": [{"tabel": "x"}]}, r"also\[0\]: unknown key 'tabel'"),
        ({"also": {"table": "x"}}, r"also: expected a list"),
        ({"table": {"traning": "x"}}, r"table: unknown split 'traning'"),
        ({"readers": {"merge": "most"}}, r"readers\.merge: expected one of any, majority"),
        ({"masks": {"column": "m", "name": "x"}}, r"masks: give frame, the width and height"),
        ({"masks": {"frame": [9, 9]}}, r"masks: give column and name"),
        ({"boxes": {"corners": ["a"], "name": "x"}}, r"boxes: give four columns, as corners or"),
        ({"boxes": {"sides": list("abcd")}}, r"boxes: give label or name"),
        ({"labels": {"family": "complete"}}, r"labels: give columns or list"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_options_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        sources.reader("clinic", options, preset="table")


HEADER = ["Image Index", "PatientID", "Accession Number", "Gender", "Mass", "Effusion", "Remark"]


def test_usual_columns_are_guessed_and_others_are_not_used():
    found = guesses.of(Options(), HEADER)
    assert dict(found.columns) == {
        "image": "Image Index", "patient": "PatientID", "study": "Accession Number",
        "sex": "Gender", "labels": "Mass, Effusion",
    }  # fmt: skip


def test_what_is_stated_is_not_guessed_again():
    found = guesses.of(Options(image="PatientID", constants={"sex": "F"}), HEADER)
    assert "patient" not in found.columns
    assert "sex" not in found.columns


def test_two_columns_of_one_meaning_are_not_guessed():
    found = guesses.of(Options(), ["file", "dicom_id", "age", "Patient Age"])
    assert found.columns == {}
    assert found.doubtful == {"image": "file and dicom_id", "age": "age and Patient Age"}


def test_nothing_is_guessed_where_it_is_not_wanted():
    assert guesses.of(Options(guess=False), HEADER).columns == {}


def test_a_table_whose_image_column_is_not_clear_stops_with_its_name(tmp_path):
    with pytest.raises(ConfigError, match=r"t\.csv.*both file and dicom_id may name the images"):
        scanned(tmp_path, {"t.csv": csv("file,dicom_id", "a,b")}, table="t.csv", guess=True)


def test_the_only_table_of_images_is_found(tmp_path):
    files = {"films.csv": csv("image", "a.png"), "notes.csv": csv("who,what", "a,b")}
    joined = scanned(tmp_path, {**files, **images("a.png")}, guess=True)
    assert list(joined.studies) == ["a"]


def test_the_only_table_with_the_named_column_of_images_is_found(tmp_path):
    files = {"films.csv": csv("Bild", "a.png"), "notes.csv": csv("image", "a.png")}
    joined = scanned(tmp_path, {**files, **images("a.png")}, image="Bild")
    assert list(joined.studies) == ["a"]


def test_two_tables_of_images_stop_with_their_names(tmp_path):
    files = {"a.csv": csv("image", "a.png"), "b.csv": csv("image", "a.png")}
    with pytest.raises(ConfigError, match=r"several tables may list the images \(a\.csv, b\.csv\)"):
        scanned(tmp_path, files, guess=True)


def test_a_folder_without_a_table_stops(tmp_path):
    with pytest.raises(ConfigError, match=r"no table that lists images was found.*it has no table"):
        scanned(tmp_path, dict(images("a.png")), guess=True)


def test_a_folder_without_a_table_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match=r"docs/own-data\.md, Images without a table"):
        scanned(tmp_path, {**images("p1/a.png"), "p1/report.txt": "findings, clear"}, guess=True)
    page = (Path(__file__).parents[4] / "docs" / "own-data.md").read_text(encoding="utf-8")
    assert "\n### Images without a table\n" in page


def test_the_only_table_is_found_by_the_image_column_that_is_given(tmp_path):
    files = {"liste.csv": csv("Datei", "a.png"), "mehr.csv": csv("Alter", "40")}
    joined = scanned(tmp_path, {**files, **images("a.png")}, guess=True, image="Datei")
    assert list(joined.studies) == ["a"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"has the columns Datei, Alter: none is known .* write it as reader\.image"),
        ({"image": "File"}, r"None has the columns of reader\.image: liste\.csv .* Datei, Alter"),
    ],
)
def test_a_table_that_is_not_understood_stops_with_its_columns(tmp_path, options, said):
    files = {"liste.csv": csv("Datei,Alter", "a.png,40")}
    with pytest.raises(ConfigError, match=said):
        scanned(tmp_path, {**files, **images("a.png")}, guess=True, **options)


@pytest.mark.parametrize("row", ["a.png,40", f"a.png,{'said ' * 13}"])
@pytest.mark.parametrize(
    "options", [{}, {"table": "liste.csv"}, {"table": "liste.csv", "image": "File"}]
)
def test_a_table_without_a_header_stops_and_its_row_is_not_shown(tmp_path, row, options):
    files = {"liste.csv": csv(row, "b.png,50")}
    said = r"the first line of liste\.csv is no header"
    with pytest.raises((ConfigError, DataError), match=said) as stop:
        scanned(tmp_path, {**files, **images("a.png")}, guess=True, **options)
    assert "a.png" not in str(stop.value)


def test_a_column_of_a_pattern_is_still_guessed(tmp_path):
    """Else a patient is in two splits: every study would be a patient of its own."""
    table = csv("path,patient,study", "x/a.png,p1,s1", "x/b.png,p1,s2")
    files = {"t.csv": table, **images("x/a.png", "x/b.png"), "r/p1-s1.txt": "Clear."}
    joined = scanned(tmp_path, files, guess=True, report_file="r/{patient}-{study}.txt")
    assert {key: study.patient for key, study in joined.studies.items()} == {"s1": "p1", "s2": "p1"}
    part = {"column": "path", "pattern": "(.)/"}
    joined = scanned(tmp_path, files, guess=True, patient=part)
    assert {study.patient for study in joined.studies.values()} == {"x"}


def test_a_table_without_rows_stops(tmp_path):
    with pytest.raises(DataError, match=r"csv\.no_row: t\.csv"):
        scanned(tmp_path, {"t.csv": "image\n"}, table="t.csv", image="image")


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet"])
def test_a_table_of_another_form_stops_with_the_remedy(tmp_path, name):
    with pytest.raises(DataError, match=r"csv\.[a-z]+: t\..*save it as CSV"):
        scanned(tmp_path, {name: b"PK\3\4 no table"}, table=name, image="image")


# ---- whole runs

SIDE = 160
ROWS = 9
HEAD = "file,person,exam,set,pos,sex,age,who,Mass,Pleural_Effusion,x,y,w,h,rle,report"


def film(number: int) -> bytes:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    noise = np.random.default_rng(number).normal(0, 10, x.shape)
    grey = 120 + 80 * np.sin(x / (9 + number)) * np.cos(y / 11) + noise
    return bytes(cv2.imencode(".png", grey.clip(0, 255).astype("uint8"))[1].tobytes())


def collection() -> dict[str, str | bytes]:
    """Nine films of three patients, each read by two readers; one film is missing."""
    rows, files = [], {}
    for n in range(ROWS):
        files[f"films/{n % 2}/IMG_{n}.png"] = film(n)
        split = ("train", "dev", "test")[n // 3]
        for who in "ab":
            mass = int(n % 2 == 0 or who == "a")  # the readers differ where n is odd
            mask = f"{n} 5" if n % 3 == 0 else "-1"
            rows.append(
                f"IMG_{n}.jpg,P{n // 3},E{n},{split},{'Lateral' if n % 3 == 2 else 'PA erect'},"
                f"female,{40 + n // 3}.0,{who},{mass},,0.25,0.5,0.5,0.25,{mask},"
                f'"FINDINGS: Lungs are clear.\nIMPRESSION: Film {n}, no acute disease."'
            )
    del files["films/0/IMG_4.png"]
    return {"films.csv": csv(HEAD, *rows), **files}


OPTIONS = {
    "table": "films.csv", "image": "file", "patient": "person", "study": "exam", "split": "set",
    "view": "pos", "sex": "sex", "age": "age", "text": "report",
    "labels": ["Mass", "Pleural_Effusion"], "readers": {"column": "who", "merge": "unanimous"},
    "boxes": {"sides": list("xywh"), "name": "Mass", "unit": "fraction"},
    "masks": {"column": "rle", "name": "Pneumothorax", "frame": [SIDE, SIDE]},
    "title": "Clinic", "licence": "our own", "credentialed": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """The collection on disk."""
    return lay(tmp_path_factory.mktemp("clinic"), collection())


def sections(**more):
    parts = {"train": 1, "validate": 1, "test": 1}
    return {"clinic": {"preset": "table", "parts": parts, "reader": OPTIONS, **more}}


def test_a_table_becomes_verified_shards(clinic, tmp_path):
    folder = build(clinic, "clinic", tmp_path, sources=sections())
    made = dict(samples(folder))
    assert len(made) == ROWS - 1
    for sample in made.values():
        number = int(sample["study"][1:2]) if sample["study"][0] == "e" else None
        assert number is not None
        assert sample["split"] == ("train", "validate", "test")[number // 3]
        assert sample["view"] == ("lateral" if number % 3 == 2 else "frontal")
        assert (sample["sex"], sample["age"]) == ("F", 40 + number // 3)
        assert sample["labels"]["Mass"] == (1 if number % 2 == 0 else -1)
        assert sample["labels"]["Pneumothorax"] == int(number % 3 == 0)
        assert f"Film {number}" in sample["impression"]
        [box] = [each for each in sample["boxes"] if each["label"] == "Mass"]
        side = sample["pixels"]["width"]
        assert [box[k] / side for k in "xywh"] == [0.25, 0.5, 0.5, 0.25]
    assert verify.main([str(folder), "--deep"]) == 0
    flags = ["--root", str(clinic), "--scan", str(tmp_path / "scan"), "--texts"]
    assert (
        verify.main([str(folder.parent), "--rederive", "5", *flags, str(tmp_path / "texts")]) == 0
    )


def test_an_image_with_a_box_of_a_larger_image_is_rejected(tmp_path):
    rows = ["a.png,PA,1,2,30,40,Clear lungs.", f"b.png,PA,1,2,{3 * SIDE},40,Clear lungs."]
    files = {"t.csv": csv("image,view,x,y,X,Y,report", *rows)}
    raw = lay(tmp_path / "raw", {**files, "a.png": film(1), "b.png": film(2)})
    options = {"boxes": {"corners": list("xyXY"), "name": "Mass"}, "credentialed": False}
    made = sections(reader=options, max_rejects=0.5)
    folder = build(raw, "clinic", tmp_path, sources=made)
    assert [each["study"] for _, each in samples(folder)] == ["a"]
    assert "box.outside" in (folder / "rejects.jsonl").read_text()
    assert verify.main([str(folder), "--deep"]) == 0


def test_salted_ids_hide_the_ids_of_the_table(clinic, tmp_path):
    salted = {"sources": sections(ids="salted"), "scan": {"salt": "a secret of many letters"}}
    folder = build(clinic, "clinic", tmp_path, **salted)
    made = dict(samples(folder))
    assert len(made) == ROWS - 1
    assert not any("E1" in key or sample["patient"].startswith("P") for key, sample in made.items())


def test_a_dry_run_names_the_rows_that_will_be_rejected(clinic, tmp_path, capsys):
    path = params(tmp_path, sources=sections())
    assert scan.main(["clinic", "--root", str(clinic), "--params", str(path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "image.missing: an image that is listed and not on disk" in said
    assert "(films.csv line 18, films.csv line 20)" in said
    assert "P1" not in said
    assert "Film" not in said
    assert sorted(each.name for each in tmp_path.iterdir()) == ["params.yaml"]


def test_a_dry_run_stops_where_the_scan_would(tmp_path, capsys):
    from joining import lay

    root = lay(tmp_path / "raw", {"t.csv": csv("image,p,split", "a.png,1,train", "b.png,1,test"),
                                  **images("a.png", "b.png")})  # fmt: skip
    options = {"table": "t.csv", "image": "image", "patient": "p"}
    path = params(tmp_path, sources={"clinic": {"preset": "table", "reader": options}})
    with pytest.raises(DataError, match=r"split\.two: 1 studies"):
        scan.main(["clinic", "--root", str(root), "--params", str(path), "--dry-run"])
    assert "what a scan would find" in capsys.readouterr().out


def test_a_dry_run_of_another_collection(tmp_path, capsys):
    nih.write(tmp_path, studies=6, height=96)
    path = params(tmp_path)
    command = ["nih", "--root", str(tmp_path / "nih"), "--params", str(path), "--dry-run"]
    assert scan.main(command) == 0
    assert "Data_Entry_2017" in capsys.readouterr().out


def test_the_reader_s_own_name_is_that_of_the_collection():
    assert reader().name == "clinic"
    assert sources.reader("table", {}).name == "table"


@pytest.mark.slow
def test_the_columns_of_a_real_table_are_guessed(shared):
    """NIH's table of 112,120 films, of which 105 files are there: one of them at two sizes."""
    joined = join(reader(guess=True, table="Data_Entry_2017_v2020.csv"), shared / "data/nih")
    assert joined.balanced()
    assert joined.listed == 112_120
    assert joined.codes() == {"image.missing": 112_016, "image.ambiguous": 1}
    assert {study.labels_from for study in joined.studies.values()} == {"clinic"}
    assert all(study.images[0].view == "frontal" for study in joined.studies.values())
