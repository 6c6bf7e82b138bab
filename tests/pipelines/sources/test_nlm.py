"""Shenzhen and Montgomery: their forms and faults, by hand and whole runs on the look-alikes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joining import RULE_VALUES, Joined, join, lay
from stages import build, samples

from cxr_vlp.pipelines import scan_preview, verify
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.sources.ids import Ids
from cxr_vlp.pipelines.sources.leave_out import LeftOut
from cxr_vlp.pipelines.sources.nlm import Montgomery, Shenzhen
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.synthetic.layouts import nlm

TOP = "ChinaSet_AllFiles"
FILM, TEXT = f"{TOP}/CXR_png/CHNCXR_0001_0.png", f"{TOP}/ClinicalReadings/CHNCXR_0001_0.txt"
ILL, ILL_TEXT = FILM.replace("1_0", "2_1"), TEXT.replace("1_0", "2_1")


def scanned(root: Path, source=None) -> Joined:
    joined = join(source or Shenzhen(), root)
    assert joined.balanced()
    return joined


@pytest.mark.parametrize("top", ["ChinaSet_AllFiles", "Shenzhen-Hospital-CXR-Set", "x/y", "."])
def test_a_film_is_a_person_and_the_last_digit_is_the_label(tmp_path, top):
    lay(tmp_path, {
        f"{top}/CXR_png/CHNCXR_0001_0.png": b"1", f"{top}/CXR_png/CHNCXR_0002_1.png": b"2",
        f"{top}/ClinicalReadings/CHNCXR_0001_0.txt": "male 45yrs\nnormal",
        f"{top}/ClinicalReadings/CHNCXR_0002_1.txt": "female 30 yrs\nPTB in the right upper field",
    })  # fmt: skip
    studies = scanned(tmp_path).studies
    one, two = studies["chncxr_0001_0"], studies["chncxr_0002_1"]
    assert (one.labels, two.labels) == (
        {"Tuberculosis": 0, "No Finding": 1}, {"Tuberculosis": 1, "No Finding": 0},
    )  # fmt: skip
    assert (one.patient, two.patient) == ("chncxr_0001", "chncxr_0002")
    assert (one.sex, one.age, two.sex, two.age) == ("M", 45, "F", 30)
    assert (one.images[0].view, one.images[0].projection) == ("frontal", "PA")
    assert Shenzhen().report(tmp_path, two.report).report == {
        "impression": "PTB in the right upper field"
    }


@pytest.mark.parametrize(
    ("text", "who", "report"),
    [
        ("male 45yrs\nnormal", ("M", 45), "normal"),
        ("Female, 30 yrs \r\nPTB\r\n", ("F", 30), "PTB"),
        ("male45 years\nnormal", ("M", 45), "normal"),
        ("femal 45yrs\nnormal", ("F", 45), "normal"),
        ("45 yrs\nnormal", ("", 45), "normal"),
        ("45yrs\nnormal", ("", 45), "normal"),
        ("male\nnormal", ("M", None), "normal"),
        ("female\n8 months\nnormal", ("F", 0), "normal"),
        ("male 30\nnormal", ("M", 30), "normal"),
        ("Patient's Sex: M\nPatient's Age: 027Y\nnormal \n\n", ("M", 27), "normal"),
        ("Patient's Sex:\nPatient's Age: 027Y\nnormal", ("", 27), "normal"),
        ("Patient's Age: 027Y\nnormal", ("", 27), "normal"),
        ("normal", ("", None), "normal"),
        ("male 45yrs normal", ("M", 45), "normal"),
        ("male 45yrs\n1.secondary PTB ; 2.small tuberculoma", ("M", 45),
         "1.secondary PTB ; 2.small tuberculoma"),
        ("2 nodules", ("", None), "2 nodules"),
        ("malposition of a tube", ("", None), "malposition of a tube"),
        ("male 45yrs\nPTB\n\nfemale 30yrs", ("M", 45), "PTB female 30yrs"),
        ("male 45yrs", ("M", 45), ""),
        ("male 450yrs\nnormal", ("M", None), "normal"),
        ("45yrs male\nnormal", ("M", 45), "normal"),
        ("45-year-old female\nPTB", ("F", 45), "PTB"),
        ("male 45 years old, normal", ("M", 45), "normal"),
        ("M 45\nnormal", ("M", 45), "normal"),
        ("male, 30, normal", ("M", 30), "normal"),
        ("Sex: F Age: 034Y\nnormal", ("F", 34), "normal"),
        ("age 45\nmale\nnormal", ("M", 45), "normal"),
        ("0.5 yrs female\nnormal", ("F", 0), "normal"),
        ("male 6 yrs 4 months\nnormal", ("M", 6), "normal"),
        ("Patient's Sex: O\nPatient's Age: 027Y\nnormal", ("", 27), "normal"),
        ("F/U of PTB", ("", None), "F/U of PTB"),
        ("M. tuberculosis", ("", None), "M. tuberculosis"),
        ("female 2 nodules", ("F", None), "2 nodules"),
        ("male\n1.PTB; 2.effusion", ("M", None), "1.PTB; 2.effusion"),
        ("male 45yrs\nnan", ("M", 45), ""),
    ],
)  # fmt: skip
def test_readings_in_several_forms(tmp_path, text, who, report):
    joined = scanned(lay(tmp_path, {FILM: b"1", TEXT: text}))
    study = joined.studies["chncxr_0001_0"]
    assert (study.sex, study.age) == who
    found = Shenzhen().report(tmp_path, study.report)
    assert found.report == ({"impression": report} if report else {})
    assert found.sha256 == study.report.sha256
    assert joined.notes["age.bad_value"] == ("450" in text)


@pytest.mark.parametrize(
    ("name", "text", "labels", "notes"),
    [
        ("0001_0", "normal", {"Tuberculosis": 0, "No Finding": 1}, {}),
        ("0001_0", "normale", {"Tuberculosis": 0, "No Finding": 1}, {}),
        ("0001_0", "Normal.", {"Tuberculosis": 0, "No Finding": 1}, {}),
        ("0001_0", "old fracture", {"Tuberculosis": 0, "No Finding": 0}, {}),
        ("0001_0", "", {"Tuberculosis": 0}, {}),
        ("0001_1", "", {"Tuberculosis": 1, "No Finding": 0}, {}),
        ("0001_1", "STB", {"Tuberculosis": 1, "No Finding": 0}, {}),
        ("0001_1", "normal", {"Tuberculosis": 1}, {"label.reading": 1}),
    ],
)
def test_a_film_without_tuberculosis_is_normal_only_if_the_reading_says_so(
    tmp_path, name, text, labels, notes
):
    film, said = (path.replace("0001_0", name) for path in (FILM, TEXT))
    joined = scanned(lay(tmp_path, {film: b"1", said: f"male 45yrs\n{text}"}))
    assert joined.studies[f"chncxr_{name}"].labels == labels
    assert joined.notes == notes


def test_a_dry_run_shows_the_files_where_there_is_no_table(tmp_path):
    source, rule = Shenzhen(), PatientRule("shenzhen", *RULE_VALUES)
    root = RawTree(lay(tmp_path, {FILM: b"1", TEXT: "normal"}).resolve(), False)
    rest = Ids("shenzhen", "salt"), LeftOut(), ()
    assert scan_preview.of(source, root, rule, *rest).tables == {"files": 2}
    lay(tmp_path, {"shenzhen_metadata.csv": "study_id,findings\nCHNCXR_0001_0,normal\n"})
    assert scan_preview.of(source, root, rule, *rest).tables == {"shenzhen_metadata.csv": 1}


@pytest.mark.parametrize(
    "mask",
    ["MontgomerySet/ManualMask/leftMask/MCUCXR_0001_0.png", "masks/MCUCXR_0001_0.png",
     "lung-mask/MCUCXR_0001_0.png", "Annotations/MCUCXR_0001_0.png",
     "mask/mask/MCUCXR_0001_0_mask.png", "A/Annotations-2/masks/MCUCXR_0001_0_Cavity_1.png"],
)  # fmt: skip
def test_masks_are_never_films(tmp_path, mask):
    with pytest.raises(ConfigError, match=r"no CXR_png/MCUCXR_0001_0\.png"):
        Montgomery().tables(lay(tmp_path, {mask: b"m"}))
    # "masks-and-labels" is the name of Kaggle's copy, in which the films are
    film = "masks-and-labels/Lung Segmentation/CXR_png/MCUCXR_0001_0.png"
    joined = scanned(lay(tmp_path, {film: b"1"}), Montgomery())
    assert [i.path for i in joined.studies["mcucxr_0001_0"].images] == [film]
    assert joined.notes == {"report.missing": 1}


def test_other_files_and_the_other_set_are_not_read(tmp_path):
    lay(tmp_path, {FILM: b"1", TEXT: "male 45yrs\nnormal", f"{TOP}/CXR_png/Thumbs.db": b"x",
                   "CXR_png/MCUCXR_0001_0.png": b"m", f"{TOP}/NLM-ReadMe.docx": b"r"})  # fmt: skip
    joined = scanned(tmp_path)
    assert list(joined.studies) == ["chncxr_0001_0"]
    assert joined.notes == {}


def test_a_copy_of_a_film_is_counted_and_the_one_in_cxr_png_is_used(tmp_path):
    joined = scanned(lay(tmp_path, {"A/CHNCXR_0001_0.png": b"1", FILM: b"2", TEXT: "normal"}))
    assert [i.path for i in joined.studies["chncxr_0001_0"].images] == [FILM]
    assert joined.notes == {"image.duplicate_file": 1}


def test_a_reading_without_film_and_a_digit_that_is_no_label(tmp_path):
    lay(tmp_path, {FILM: b"1", TEXT: "normal", ILL_TEXT: "PTB", FILM.replace("1_0", "3_2"): b"3"})
    joined = scanned(tmp_path)
    assert joined.codes() == {"label.bad_value": 1}
    assert joined.notes == {"study.no_image": 1}
    assert list(joined.studies) == ["chncxr_0001_0"]


def test_a_reading_that_cannot_be_read_is_counted_and_the_film_is_kept(tmp_path):
    joined = scanned(lay(tmp_path, {FILM: b"1", TEXT: b"\xff\xd8\xff\xe0 a picture"}))
    study = joined.studies["chncxr_0001_0"]
    assert (study.labels, study.sex, study.report.sha256) == ({"Tuberculosis": 0}, "", "")
    assert joined.notes == {"report.not_text": 1}


def test_one_film_of_montgomery_is_not_posteroanterior(tmp_path):
    lay(tmp_path, {"CXR_png/MCUCXR_0251_1.png": b"1", "CXR_png/MCUCXR_0250_1.png": b"2"})
    studies = scanned(tmp_path, Montgomery()).studies
    assert studies["mcucxr_0251_1"].images[0].view == "other"
    assert studies["mcucxr_0250_1"].images[0].projection == "PA"


HEAD = "study_id,sex,age,findings\n"


def test_kaggles_table_stands_in_for_the_text_files(tmp_path):
    lay(tmp_path, {"images/images/CHNCXR_0001_0.png": b"1", "images/images/CHNCXR_0002_1.png": b"2",
                   "shenzhen_metadata.csv": HEAD + "CHNCXR_0001_0.png,Male,45.0,normal\n"
                   'CHNCXR_0002_1.png,,nan,"left PTB,left\n pleurisy"\n'})  # fmt: skip
    joined = scanned(tmp_path)
    one, two = joined.studies["chncxr_0001_0"], joined.studies["chncxr_0002_1"]
    assert (one.sex, one.age, two.sex, two.age) == ("M", 45, "", None)
    assert (one.labels["No Finding"], two.labels["No Finding"]) == (1, 0)
    found = Shenzhen().report(tmp_path, two.report)
    assert found.report == {"impression": "left PTB,left pleurisy"}
    assert found.sha256 == two.report.sha256
    assert joined.notes == {}


@pytest.mark.parametrize("cell", ["", "nan", "None"])
def test_a_cell_without_reading_is_no_reading(tmp_path, cell):
    table = f"study_id,sex,age,findings\nCHNCXR_0001_0.png,Male,45,{cell}\n"
    lay(tmp_path, {"images/CHNCXR_0001_0.png": b"1", "shenzhen_metadata.csv": table})
    study = scanned(tmp_path).studies["chncxr_0001_0"]
    assert study.labels == {"Tuberculosis": 0}  # it is not said to be other than normal
    assert Shenzhen().report(tmp_path, study.report).report == {}


def test_a_text_file_wins_over_the_table_and_bad_lines_are_counted(tmp_path):
    lay(tmp_path, {FILM: b"1", TEXT: "male 45yrs\nnormal", ILL: b"2",
                   "shenzhen_metadata.csv": HEAD + "CHNCXR_0001_0.png,Female,30,PTB\n"
                   "portrait.png,Male,45,normal\nCHNCXR_0002_1.png,Male,45,PTB\n"
                   "CHNCXR_0002_1.png,Male,46,PTB\n"})  # fmt: skip
    joined = scanned(tmp_path)
    assert (joined.studies["chncxr_0001_0"].sex, joined.notes["report.other_form"]) == ("M", 1)
    assert joined.codes() == {"csv.image": 0, "csv.conflict": 1}
    assert joined.notes["csv.image shenzhen_metadata.csv line 3"] == 1


@pytest.mark.parametrize(
    ("source", "form", "name"),
    [("shenzhen", "nlm", "shenzhen"), ("shenzhen", "kaggle", "tbset"),
     pytest.param("montgomery", "older", "montgomery", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_whole_run_on_the_look_alike(tmp_path, source, form, name, capfd):
    nlm.write(source, tmp_path, studies=12, seed=2, height=96, form=form)
    truth = [json.loads(line) for line in (tmp_path / f"{source}.truth.jsonl").open()]
    section = {"parts": {"train": 1, "validate": 1, "test": 1}, "preset": source}
    folder = build(tmp_path / source, name, tmp_path / "out", sources={name: section})
    assert verify.main([str(folder), "--deep"]) == 0
    found = {f"{row['study']}": row for _, row in samples(folder)}
    assert len(found) == len(truth) == 12
    for line in truth:
        row = found[line["study"].lower()]
        assert (row["labels"], row["labels_from"]) == (line["labels"], "nlm")
        assert (row["sex"], row["age"]) == (line["sex"], line["age"])
        assert (row["view"], row["projection"]) == ("frontal", "PA")
    assert "report.missing" not in capfd.readouterr().out
    inventory = b"".join(p.read_bytes() for p in (tmp_path / "out/scan").rglob("*.json*"))
    assert b"PTB" not in inventory  # a reading is first in `texts`
    assert any("PTB" in row["impression"] for row in found.values())
