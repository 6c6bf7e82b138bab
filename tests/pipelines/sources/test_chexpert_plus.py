"""CheXpert Plus: files in another form than stated, reports that differ by row, label files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from joining import Joined, join, lay
from whole_runs import boxes_agree, views_agree, whole_run

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.synthetic.layouts import chexpert_plus

TABLE = "df_chexpert_plus_240401.csv"
COLUMNS = (
    "path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id",
    "patient_report_date_order", "report", "section_narrative", "section_clinical_history",
    "section_history", "section_comparison", "section_technique", "section_procedure_comments",
    "section_findings", "section_impression", "section_end_of_impression", "section_summary",
    "section_accession_number", "age", "sex", "race", "ethnicity", "interpreter_needed",
    "insurance_type", "recent_bmi", "deceased", "split",
)  # fmt: skip
FRONTAL, LATERAL = "view1_frontal", "view2_lateral"
KEY = "patient00001-study1"


def row(name: str = FRONTAL, study: str = "patient00001/study1", **values: str) -> dict[str, str]:
    split = values.get("split", "train")
    lateral = name.endswith("lateral")
    return {
        "path_to_image": f"{split}/{study}/{name}.jpg",
        "path_to_dcm": f"{split}/{study}/{name}.dcm",
        "frontal_lateral": "Lateral" if lateral else "Frontal",
        "ap_pa": "" if lateral else "AP",
        "deid_patient_id": study.split("/")[0],
        "patient_report_date_order": "1",
        "report": "\nNARRATIVE:\nCHEST 1/2/2003\n\nIMPRESSION:\nNo acute disease.\n",
        "section_impression": "\nNo acute disease.",
        "age": "68.0",
        "sex": "Female",
        "race": "White",
        "split": split,
    } | values


def table(*rows: dict[str, str], index: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ("", *COLUMNS) if index else COLUMNS, restval="")
    writer.writeheader()
    writer.writerows({"": str(n), **each} if index else each for n, each in enumerate(rows))
    return text.getvalue()


def label_line(name: str = FRONTAL, study: str = "patient00001/study1", **values: Any) -> str:
    found = {label: values.get(label.replace(" ", "_")) for label in CHEXPERT14}
    return json.dumps({"path_to_image": f"train/{study}/{name}.jpg", **found}) + "\n"


def file(name: str = FRONTAL, folder: str = "PNG/PNG", suffix: str = ".png") -> str:
    return f"{folder}/train/patient00001/study1/{name}{suffix}"


def laid(root: Path, *rows: dict[str, str], labels: str = "", **files: Any) -> Path:
    labels = labels or label_line(Edema=0)
    stated = {TABLE: table(*rows), "chexbert_labels/report_fixed.json": labels}
    return lay(root, stated | files)


def scanned(root: Path, **options: Any) -> Joined:
    joined = join(sources.reader("chexpertplus", options), root)
    assert joined.balanced()
    return joined


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [("PNG/PNG", ".png"), ("PNG", ".png"), ("PNG/png_chexpert_plus_chunk_0", ".png"),
     ("DICOM/Uncompressed", ".dcm"), ("DICOM/Compressed", ".dcm"), ("CheXpert-v1.0", ".jpg")],
)  # fmt: skip
@pytest.mark.parametrize("index", [False, True])
def test_images_are_found_in_the_form_and_folder_they_have(tmp_path, folder, suffix, index):
    paths = [file(name, folder, suffix) for name in (FRONTAL, LATERAL)]
    root = laid(tmp_path, **dict.fromkeys(paths, b"1"))
    lay(root, {TABLE: table(row(), row(LATERAL), index=index)})
    joined = scanned(root)
    study = joined.studies[KEY]
    assert joined.codes() == joined.notes == {}
    assert [(i.path, i.view, i.projection) for i in study.images] == [
        (paths[0], "frontal", "AP"), (paths[1], "lateral", "LATERAL"),
    ]  # fmt: skip
    assert (study.patient, study.split, study.sex, study.age) == ("patient00001", "train", "F", 68)


@pytest.mark.parametrize(("prefer", "suffix"), [("dicom", ".dcm"), ("picture", ".png")])
def test_of_both_forms_the_preferred_one_is_used(tmp_path, prefer, suffix):
    both = {file(): b"1", file(folder="DICOM/Uncompressed", suffix=".dcm"): b"2"}
    joined = scanned(laid(tmp_path, row(), **both), prefer=prefer)
    [image] = joined.studies[KEY].images
    assert image.path.endswith(suffix)
    assert joined.notes == {"image.duplicate_file": 1}


def test_two_dicom_files_of_an_image_are_not_guessed_from(tmp_path):
    files = {file(folder=f"DICOM/{form}", suffix=".dcm"): b"1" for form in ("C", "Uncompressed")}
    root = laid(tmp_path, row(), **files)
    assert scanned(root).codes() == {"image.ambiguous": 1}
    chosen = scanned(root, files=["Uncompressed/*"]).studies[KEY]
    assert chosen.images[0].path == file(folder="DICOM/Uncompressed", suffix=".dcm")


def test_what_a_stopped_download_left_is_no_image(tmp_path):
    left = file(".azDownload-0a1b2c-view1_frontal", "DICOM/Uncompressed", ".dcm")
    whole = file(folder="DICOM/Uncompressed", suffix=".dcm")
    joined = scanned(laid(tmp_path, row(), **{left: b"1", whole: b"2"}))
    assert joined.studies[KEY].images[0].path == whole
    assert joined.notes == {}
    (tmp_path / whole).unlink()
    assert scanned(tmp_path).codes() == {"image.missing": 1}


def read(root: Path, **options: Any) -> Any:
    reader = sources.reader("chexpertplus", options)
    [study] = join(reader, root).studies.values()
    return study.report and reader.report(root.resolve(), study.report).report


def test_the_row_of_the_lowest_view_gives_the_report_and_the_labels(tmp_path):
    names = ("view10_frontal", LATERAL, "view1_frontal")
    rows = [row(name, section_impression=f"\nSeen on {name}.") for name in names]
    labels = "".join(label_line(n, Edema=1 if n == FRONTAL else -1) for n in names)
    root = laid(tmp_path, *rows, labels=labels, **{file(name): b"1" for name in names})
    joined = scanned(root)
    assert joined.notes == {"label.differs": 1}
    assert joined.studies[KEY].labels == {"Edema": 1}
    assert read(root) == {"impression": "Seen on view1_frontal."}


def test_a_lost_image_still_gives_its_studys_report(tmp_path):
    rows = [row(section_impression="Of view 1."), row(LATERAL, section_impression="Of view 2.")]
    root = laid(tmp_path, *rows, **{file(LATERAL): b"1"})
    assert scanned(root).codes() == {"image.missing": 1}
    assert read(root) == {"impression": "Of view 1."}


SECTIONS = {
    "section_narrative": "\nCHEST 1/2/2003", "section_clinical_history": "\nCough.",
    "section_history": "\nSmoker.", "section_comparison": "\nNone.",
    "section_procedure_comments": "\nTwo views.", "section_findings": "\nClear lungs.",
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "report"),
    [
        (SECTIONS, {
            "examination": "CHEST 1/2/2003", "indication": "Cough.", "history": "Smoker.",
            "comparison": "None.", "technique": "Two views.", "findings": "Clear lungs.",
            "impression": "No acute disease.",
        }),
        ({"section_findings": "\nClear.", "section_impression": "nan"}, {"findings": "Clear."}),
        ({"section_technique": "\nPA.", "section_procedure_comments": "\nTwo views."},
         {"technique": "PA.", "impression": "No acute disease."}),
        ({"section_impression": "", "section_clinical_history": "\nCough.", "report": "\nClear."},
         "\nClear."),
        ({"section_impression": "", "section_clinical_history": "\nCough.", "report": ""},
         {"indication": "Cough."}),
        ({"section_impression": "", "report": "nan"}, None),
    ],
    ids=["all", "findings-only", "technique", "not-divided", "no-finding-anywhere", "no-text"],
)  # fmt: skip
def test_which_text_is_read(tmp_path, values, report):
    root = laid(tmp_path, row(**values), **{file(): b"1"})
    assert read(root) == report
    assert scanned(root).notes == ({} if report else {"report.missing": 1})


def test_labels_are_those_of_the_file_that_is_named(tmp_path):
    labels = label_line(Edema=-1, Fracture=0, Pneumothorax=1.0)
    files = {file(): b"1", "chexbert_labels/impression_fixed.json": label_line(Edema=1)}
    root = laid(tmp_path, row(), labels=labels, **files)
    study = scanned(root).studies[KEY]
    assert study.labels == {"Edema": -1, "Fracture": 0, "Pneumothorax": 1}
    assert study.labels_from == "chexbert"
    other = {"table": "impression_fixed.json", "image": "path_to_image", "labels": "chexpert14"}
    assert scanned(root, also=[other]).studies[KEY].labels == {"Edema": 1}
    assert scanned(root, also=[]).studies[KEY].labels == {}


def test_without_the_label_file_the_message_names_it(tmp_path):
    root = lay(tmp_path, {TABLE: table(row()), file(): b"1"})
    with pytest.raises(ConfigError, match=r"also\[0\]\.table: no file report_fixed\.json"):
        scanned(root)
    assert len(scanned(root, also=[]).studies) == 1


def test_the_order_of_studies_is_that_of_numbers(tmp_path):
    numbers = {"study9": "2", "study1": "10"}
    rows = [
        row(study=f"patient00001/{study}", patient_report_date_order=number)
        for study, number in numbers.items()
    ]
    files = {file().replace("study1", study): b"1" for study in numbers}
    studies = scanned(laid(tmp_path, *rows, **files)).studies
    assert studies["patient00001-study9"].when < studies[KEY].when


@pytest.mark.parametrize(
    ("values", "sex", "age"),
    [({"sex": "Male", "age": "90.0"}, "M", 90), ({"sex": "Unknown", "age": ""}, "", None)],
)
def test_sex_in_words_and_ages_as_fractions(tmp_path, values, sex, age):
    study = scanned(laid(tmp_path, row(**values), **{file(): b"1"})).studies[KEY]
    assert (study.sex, study.age) == (sex, age)


def test_valid_is_validate_and_race_or_insurance_are_nowhere(tmp_path):
    path = file().replace("train", "valid")
    root = lay(tmp_path, {TABLE: table(row(split="valid", race="Some race")), path: b"1"})
    study = scanned(root, also=[]).studies[KEY]
    assert study.split == "validate"
    assert "Some race" not in repr(study)


def test_a_row_without_a_study_in_its_path_is_lost_alone(tmp_path):
    bad = row() | {"path_to_image": "train/portrait.jpg"}
    joined = scanned(laid(tmp_path, bad, row(), **{file(): b"1"}))
    assert joined.codes() == {"csv.id": 1}
    assert list(joined.studies) == [KEY]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return whole_run(tmp_path_factory.mktemp("plus"), "chexpertplus", chexpert_plus.write)


def test_the_look_alike_the_whole_way(run):
    pairs = run.pairs()
    assert {sample["split"] for _, _, sample in pairs} == {"train", "validate"}
    for line, image, sample in pairs:
        assert sample["patient"] == line["patient"]
        assert sample["split"] == {"valid": "validate"}.get(line["split"], line["split"])
        assert views_agree(image, sample)
        assert sample["labels"] == line["labels"]
        assert boxes_agree({"boxes": ()}, sample)
        text = " ".join(f"{sample['findings']} {sample['impression']}".split())
        assert all(sentence["text"] in text for sentence in line["sentences"])


def test_every_file_without_high_bit_is_read_and_every_polarity_is_right(run, tmp_path):
    raw = run.folder.parents[2] / "raw/chexpertplus"
    lacking = 0
    for path, sample in run.samples.items():
        header = pydicom.dcmread(raw / path, stop_before_pixels=True)
        lacking += "HighBit" not in header
        twin = path.replace("DICOM/Uncompressed", "PNG/PNG").replace(".dcm", ".png")
        drawn = cv2.imread(str(raw / twin), cv2.IMREAD_GRAYSCALE)
        assert _likeness(run.picture(sample), drawn) > 0.9
    assert lacking >= 1
    forms = {sample["pixels"]["photometric"] for sample in run.samples.values()}
    assert forms == {"MONOCHROME1", "MONOCHROME2"}


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    other = cv2.resize(other, one.shape[::-1], interpolation=cv2.INTER_AREA)
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_pictures_alone_are_enough(tmp_path):
    run = whole_run(
        tmp_path, "chexpertplus", chexpert_plus.write, images="png", index=True, studies=5
    )
    assert all(sample["pixels"]["photometric"] == "" for _, _, sample in run.pairs())
