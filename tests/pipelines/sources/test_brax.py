"""BRAX: a DICOM file and a PNG of each image, ages in groups, words of machines for views."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joining import Joined, join, lay
from pydicom.uid import ExplicitVRLittleEndian
from whole_runs import views_agree, whole_run

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.synthetic.layouts import brax
from cxr_vlp.pipelines.synthetic.writing import dicom_files

COLUMNS = (
    "DicomPath", "PngPath", "PatientID", "PatientSex", "PatientAge", "AccessionNumber", "StudyDate",
    *CHEXPERT14, "ViewPosition", "Rows", "Columns", "Manufacturer",
)  # fmt: skip
UPDATE = "master_spreadsheet_update.csv"


def stem(image: str, patient: str = "id_a1") -> str:
    return f"{patient}/Study_1.2/Series_1.3/image-{image}"


def dicom(image: str, patient: str = "id_a1") -> str:
    return f"Anonymized_DICOMs/{stem(image, patient)}.dcm"


def png(image: str, patient: str = "id_a1") -> str:
    return f"images/{stem(image, patient)}.png"


def row(image: str = "1-1", patient: str = "id_a1", **values: str) -> dict[str, str]:
    return {
        "DicomPath": dicom(image, patient),
        "PngPath": png(image, patient),
        "PatientID": patient,
        "PatientSex": "F",
        "PatientAge": "40",
        "AccessionNumber": "77",
        "StudyDate": "20100102",
        "No Finding": "1.0",
        "ViewPosition": "PA",
        "Rows": "10",
    } | values


def table(*rows: dict[str, str], index: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("", *COLUMNS) if index else COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def scanned(root: Path, **options: Any) -> Joined:
    joined = join(sources.reader("brax", options), root)
    assert joined.balanced()
    return joined


def one(root: Path, **values: str) -> Any:
    """Return the joined study of one row with an image, and the notes."""
    joined = scanned(lay(root, {UPDATE: table(row(**values)), png("1-1"): b"1"}))
    assert joined.codes() == {}
    [study] = joined.studies.values()
    return study, joined.notes


@pytest.mark.parametrize("name", ["master_spreadsheet.csv", UPDATE])
@pytest.mark.parametrize("index", [False, True])
def test_the_spreadsheet_of_each_release(tmp_path, name, index):
    lay(tmp_path, {f"brax/1.1.0/{name}": table(row(), row("1-2", ViewPosition="RL"), index=index),
                   "brax/1.1.0/" + dicom("1-1"): b"1",
                   "brax/1.1.0/" + dicom("1-2"): b"2"})  # fmt: skip
    joined = scanned(tmp_path)
    [study] = joined.studies.values()
    assert joined.codes() == joined.notes == {}
    assert [(i.view, i.projection) for i in study.images] == [("frontal", "PA"), ("lateral", "RL")]
    assert (study.patient, study.sex, study.age, study.when[:8]) == ("id_a1", "F", 40, "20100102")
    assert study.split in ("train", "validate", "test")


def test_of_both_spreadsheets_the_update_alone_is_read(tmp_path):
    old, new = row(**{"No Finding": "", "Edema": "1.0"}), row(PatientAge="45")
    lay(tmp_path, {"master_spreadsheet.csv": table(old), UPDATE: table(new), dicom("1-1"): b"1"})
    joined = scanned(tmp_path)
    [study] = joined.studies.values()
    assert (study.labels, study.age, joined.notes) == ({"No Finding": 1}, 45, {})


def test_without_a_spreadsheet_both_names_are_told(tmp_path):
    with pytest.raises(ConfigError, match=r"_update\.csv or master_spreadsheet\.csv below"):
        scanned(lay(tmp_path, {dicom("1-1"): b"1"}))


@pytest.mark.parametrize(("prefer", "folder"), [("dicom", "Anonymized"), ("picture", "images")])
def test_of_the_twins_the_preferred_one_is_used(tmp_path, prefer, folder):
    lay(tmp_path, {UPDATE: table(row()), dicom("1-1"): b"1", png("1-1"): b"2"})
    joined = scanned(tmp_path, prefer=prefer)
    [study] = joined.studies.values()
    assert study.images[0].path.startswith(folder)
    assert joined.notes == {"image.duplicate_file": 1}


@pytest.mark.parametrize("only", [dicom, png])
def test_one_of_the_twins_is_enough(tmp_path, only):
    joined = scanned(lay(tmp_path, {UPDATE: table(row()), only("1-1"): b"1"}))
    assert joined.codes() == joined.notes == {}
    blank = {"DicomPath": ""} if only is png else {"PngPath": ""}
    lay(tmp_path, {UPDATE: table(row(**blank))})
    assert scanned(tmp_path).codes() == {}


def test_files_of_one_name_under_two_patients_stay_apart(tmp_path):
    rows = [row(patient=name) for name in ("id_a1", "id_b2")]
    files = {dicom("1-1", "id_a1"): b"1", png("1-1", "id_b2"): b"2"}
    joined = scanned(lay(tmp_path, {UPDATE: table(*rows), **files}))
    found = {study.patient: study.images[0].path for study in joined.studies.values()}
    # both have the accession number 77
    assert found == {"id_a1": dicom("1-1", "id_a1"), "id_b2": png("1-1", "id_b2")}


@pytest.mark.parametrize(
    ("age", "years", "notes"),
    [("85 or more", 85, {}), ("80", 80, {}), ("0", 0, {}), ("", None, {}),
     ("unknown", None, {"age.bad_value": 1}), ("or more", None, {"age.bad_value": 1})],
)  # fmt: skip
def test_an_age_is_the_lowest_of_its_group(tmp_path, age, years, notes):
    study, noted = one(tmp_path, PatientAge=age)
    assert study.age == years
    assert noted == notes


@pytest.mark.parametrize(
    ("word", "view"),
    [("AP", "frontal"), ("L", "lateral"), ("RL", "lateral"), ("LL", "lateral"), ("AP LLD", "other"),
     ("LT-DECUB", "other"), ("RLO", "other"), ("LLO", "other"), ("", "unknown"), ("?", "unknown")],
)  # fmt: skip
def test_words_for_views(tmp_path, word, view):
    study, notes = one(tmp_path, ViewPosition=word)
    assert study.images[0].view == view
    assert notes == ({"view.unknown": 1} if view == "unknown" else {})


def test_the_header_gives_a_view_that_the_spreadsheet_lacks(tmp_path):
    content = dicom_files.file_bytes(
        np.zeros((8, 8), np.uint16), bits=12, photometric="MONOCHROME2",
        syntax=ExplicitVRLittleEndian, header=dicom_files.Header("p", "s", "i", view="AP"),
    )  # fmt: skip
    lay(tmp_path, {UPDATE: table(row(ViewPosition="")), dicom("1-1"): content})
    [study] = scanned(tmp_path).studies.values()
    assert study.images[0].projection == "AP"


def test_labels_of_a_study_are_those_that_its_rows_share(tmp_path):
    study, _ = one(tmp_path, **{"Edema": "-1.0", "Fracture": "0.0", "No Finding": ""})
    assert study.labels == {"Edema": -1, "Fracture": 0}
    assert study.labels_from == "chexpert"
    lay(tmp_path, {UPDATE: table(row(Edema="1.0"), row("1-2", Edema="0.0")), png("1-2"): b"2"})
    assert scanned(tmp_path).codes() == {"csv.conflict": 2}


def test_the_study_is_of_its_patient_and_the_date_orders_it(tmp_path):
    rows = [row(), row("1-2", AccessionNumber="78", StudyDate="20090101")]
    lay(tmp_path, {UPDATE: table(*rows), png("1-1"): b"1", png("1-2"): b"2"})
    studies = sorted(scanned(tmp_path).studies.values(), key=lambda study: study.when)
    assert [study.key for study in studies] == ["id_a1-78", "id_a1-77"]


@pytest.mark.slow
def test_the_look_alike_the_whole_way(tmp_path):
    run = whole_run(tmp_path, "brax", brax.write)
    pairs = run.pairs()
    assert {85} < {sample["age"] for _, _, sample in pairs}
    assert {"other", "unknown"} < {sample["view"] for _, _, sample in pairs}
    splits: dict[str, set[str]] = {}
    for line, image, sample in pairs:
        splits.setdefault(sample["patient"], set()).add(sample["split"])
        assert sample["patient"] == line["patient"]
        assert sample["labels"] == line["labels"]
        assert views_agree(image, sample)
        assert not sample["sentences"]
        assert sample["caption"] in sample["prompts"] or sample["caption"] == sample["prompt"]
        assert sample["age"] % 5 == 0
    assert all(len(found) == 1 for found in splits.values())


def test_pictures_alone_give_the_same_samples(tmp_path):
    run = whole_run(tmp_path, "brax", brax.write, images="png", studies=5)
    assert {sample["pixels"]["bits"] for _, _, sample in run.pairs()} == {8}
