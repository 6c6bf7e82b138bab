"""CheXpert's layouts and faults, on trees written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from joining import Joined, join, lay

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.sources.chexpert import Chexpert

HEAD = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT14])


def row(path: str, who: str = "Female,68", view: str = "Frontal,AP", **values: str) -> str:
    cells = ",".join(values.get(name.replace(" ", "_"), "") for name in CHEXPERT14)
    return f"{path},{who},{view},{cells}"


def table(*rows: str) -> str:
    return "\n".join([HEAD, *rows]) + "\n"


def scanned(root: Path) -> Joined:
    joined = join(Chexpert(), root)
    assert joined.balanced()
    return joined


P1, P2 = "patient00001/study1", "patient64541/study1"
FRONTAL, LATERAL = "view1_frontal.jpg", "view2_lateral.jpg"


@pytest.mark.parametrize(
    ("stated", "train", "valid"),
    [
        ("CheXpert-v1.0", "CheXpert-v1.0/train", "CheXpert-v1.0/valid"),
        ("CheXpert-v1.0-small", "CheXpert-v1.0-small/train", "CheXpert-v1.0-small/valid"),
        ("CheXpert-v1.0", "CheXpert-v1.0 batch 2 (train 1)/train",
         "CheXpert-v1.0 batch 1 (validate & csv)/valid"),
        ("CheXpert-v1.0", "CheXpert-v1.0 batch 2 (train 1)",
         "CheXpert-v1.0 batch 1 (validate & csv)/valid"),
    ],
    ids=["v1.0", "small", "batches", "batch-without-train-folder"],
)  # fmt: skip
def test_images_are_found_under_any_root_in_the_paths(tmp_path, stated, train, valid):
    tables = str(Path(valid).parent)
    lay(tmp_path, {
        f"{tables}/train.csv": table(
            row(f"{stated}/train/{P1}/{FRONTAL}", Edema="-1.0"),
            row(f"{stated}/train/{P1}/{LATERAL}", view="Lateral,", Edema="-1.0")),
        f"{tables}/valid.csv": table(row(f"{stated}/valid/{P2}/{FRONTAL}", Edema="1.0")),
        f"{train}/{P1}/{FRONTAL}": b"1", f"{train}/{P1}/{LATERAL}": b"2",
        f"{valid}/{P2}/{FRONTAL}": b"3",
    })  # fmt: skip
    studies = scanned(tmp_path).studies
    first, second = studies["patient00001-study1"], studies["patient64541-study1"]
    assert (first.split, second.split) == ("train", "validate")
    assert [(i.key, i.view, i.projection) for i in first.images] == [
        ("view1_frontal", "frontal", "AP"),
        ("view2_lateral", "lateral", ""),
    ]
    assert (first.labels, second.labels) == ({"Edema": -1}, {"Edema": 1})
    assert (first.labels_from, second.labels_from) == ("chexpert", "radiologists")


@pytest.mark.parametrize(
    ("who", "sex", "age"),
    [("Male,90", "M", 90), ("Female,0", "F", None), ("Unknown,54", "", 54)],
    ids=["plain", "age-0-is-unknown", "sex-unknown"],
)
def test_sex_and_age(tmp_path, who, sex, age):
    path = f"train/{P1}/{FRONTAL}"
    lay(tmp_path, {"train.csv": table(row(f"CheXpert-v1.0/{path}", who)), path: b"1"})
    study = scanned(tmp_path).studies["patient00001-study1"]
    assert (study.sex, study.age) == (sex, age)


def test_a_test_table_may_hold_path_and_labels_only(tmp_path):
    labels = "Path," + ",".join(CHEXPERT14) + f"\nCheXpert-v1.0/test/{P2}/{FRONTAL},"
    lay(tmp_path, {
        "train.csv": table(row(f"CheXpert-v1.0/train/{P1}/{FRONTAL}")),
        "groundtruth.csv": labels + ",".join(["1.0"] + ["0.0"] * 13) + "\n",
        f"train/{P1}/{FRONTAL}": b"1", f"test/{P2}/{FRONTAL}": b"2",
    })  # fmt: skip
    study = scanned(tmp_path).studies["patient64541-study1"]
    assert study.split == "test"
    assert len(study.labels) == 14
    assert study.images[0].view == "frontal"  # by the file's name


def test_missing_unlisted_and_repeated(tmp_path):
    stated = f"CheXpert-v1.0/train/{P1}"
    lay(tmp_path, {
        "train.csv": table(row(f"{stated}/{FRONTAL}"), row(f"{stated}/{FRONTAL}"),
                           row(f"{stated}/{LATERAL}")),
        f"train/{P1}/{FRONTAL}": b"1", f"train/{P1}/view3_frontal.jpg": b"2",
        "train/patient00009/study1/view1_frontal.jpg": b"3",
    })  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.codes() == {"image.missing": 1}
    assert joined.notes == {"image.unlisted": 2, "csv.repeated_row": 1}


GOOD = {
    "train.csv": table(row(f"train/{P1}/{FRONTAL}"), row(f"train/{P2}/{FRONTAL}")),
    f"train/{P1}/{FRONTAL}": b"1",
    f"train/{P1}/{LATERAL}": b"2",
    f"train/{P2}/{FRONTAL}": b"3",
    f"train/{P2}/{LATERAL}": b"4",
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (row(f"train/{P1}/{FRONTAL}", Edema="1.0"), row(f"train/{P1}/{LATERAL}", Edema="0.0")),
        (row(f"train/{P1}/{FRONTAL}", Edema="1.0"), row(f"train/{P1}/{FRONTAL}", Edema="0.0")),
        (row(f"train/{P1}/{FRONTAL}", Edema="1.0"), row(f"train/{P1}/{FRONTAL}")),
    ],
    ids=["two-views", "one-view-twice", "one-view-twice-and-blank"],
)
def test_contradicting_rows_reject_only_their_study(tmp_path, first, second):
    rows = (first, second, row(f"train/{P2}/{FRONTAL}", Edema="1"))
    joined = scanned(lay(tmp_path, GOOD | {"train.csv": table(*rows)}))
    assert set(joined.codes()) == {"csv.conflict"}
    assert list(joined.studies) == ["patient64541-study1"]


@pytest.mark.parametrize("value", ["1", "1.0", " 1.0 "])
def test_rows_with_the_same_values_in_other_spellings_agree(tmp_path, value):
    rows = (row(f"train/{P1}/{FRONTAL}", Edema="1.0", Fracture="nan"),
            row(f"train/{P1}/{LATERAL}", view="Lateral,nan", Edema=value))  # fmt: skip
    study = scanned(lay(tmp_path, GOOD | {"train.csv": table(*rows)})).studies[
        "patient00001-study1"
    ]
    assert study.labels == {"Edema": 1}
    assert [image.projection for image in study.images] == ["AP", ""]


@pytest.mark.parametrize(
    ("path", "codes", "kept"),
    [
        (f"train/{P1}/", {"csv.path": 2}, ["patient64541-study1"]),
        (f"train/{P1}", {"csv.path": 2}, ["patient64541-study1"]),
        ("train/somebody.jpg", {"csv.path": 1}, ["patient00001-study1", "patient64541-study1"]),
        ("nan", {"csv.path": 1}, ["patient00001-study1", "patient64541-study1"]),
    ],
    ids=["study-without-view", "study-alone", "no-study", "nan"],
)
def test_a_path_without_a_view_rejects_the_study_that_it_names(tmp_path, path, codes, kept):
    joined = scanned(lay(tmp_path, GOOD | {
        "train.csv": GOOD["train.csv"] + row(path) + "\n"}))  # fmt: skip
    assert joined.codes() == codes
    assert sorted(joined.studies) == kept


@pytest.mark.parametrize(
    "path",
    [f"CheXpert-v1.0\\train\\{P1.replace('/', chr(92))}\\{FRONTAL}",
     f" CheXpert-v1.0/train/{P1}/{FRONTAL} ", f"train/{P1}/VIEW1_FRONTAL.JPG",
     f"train/patient1/study1/{FRONTAL}", f"train/{P1}/view1_frontal.png"],
    ids=["backslashes", "blanks", "capitals", "lost-zeros", "png"],
)  # fmt: skip
def test_a_path_in_another_spelling_is_read(tmp_path, path):
    lay(tmp_path, {"train.csv": table(row(path)), f"train/{P1}/{FRONTAL}": b"1"})
    assert list(scanned(tmp_path).studies) == ["patient00001-study1"]


@pytest.mark.parametrize(
    "file",
    ["train/patient00001/study1/view1_frontal.JPG", "train/patient00001/study1/view1_frontal.png",
     "deep/er/PNG/train/patient00001/study1/view1_frontal.PNG",
     "resized/patient00001_study1_view1_frontal.jpeg"],
)  # fmt: skip
def test_images_are_found_in_another_form_or_folder(tmp_path, file):
    lay(tmp_path, {"train.csv": table(row(f"CheXpert-v1.0/train/{P1}/{FRONTAL}")), file: b"1"})
    assert scanned(tmp_path).codes() == {}


def test_a_test_table_without_labels_is_accepted(tmp_path):
    lay(tmp_path, GOOD | {
        "test.csv": f"Path\nCheXpert-v1.0/test/patient70000/study1/{FRONTAL}\n",
        f"test/patient70000/study1/{FRONTAL}": b"5",
    })  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.studies["patient70000-study1"].labels == {}
    assert joined.studies["patient70000-study1"].split == "test"
    assert joined.notes["label.missing"] == 1


def test_of_two_test_tables_the_one_with_labels_is_read(tmp_path):
    head = "Path," + ",".join(CHEXPERT14)
    path = f"test/patient70000/study1/{FRONTAL}"
    lay(tmp_path, GOOD | {
        "test.csv": f"Path\n{path}\n", "groundtruth.csv": f"{head}\n{path}{',1' * 14}\n",
        path: b"5",
    })  # fmt: skip
    assert len(scanned(tmp_path).studies["patient70000-study1"].labels) == 14


def test_a_study_in_the_tables_of_two_splits_is_refused(tmp_path):
    lay(tmp_path, GOOD | {"valid.csv": table(row(f"valid/{P1}/{FRONTAL}"))})
    joined = scanned(tmp_path)
    assert joined.codes() == {"split.conflict": 1}
    assert list(joined.studies) == ["patient64541-study1"]


def test_only_a_ragged_row_is_lost_and_its_line_is_named(tmp_path):
    lines = GOOD["train.csv"].splitlines()
    lay(tmp_path, GOOD | {"train.csv": "\n".join([*lines[:2], lines[1] + ",9", *lines[2:]]) + "\n"})
    joined = scanned(tmp_path)
    assert joined.codes() == {"csv.ragged": 1}
    assert joined.notes["csv.ragged train.csv line 3"] == 1
    assert len(joined.studies) == 2


def test_another_folder_is_not_accepted_as_chexpert(tmp_path):
    with pytest.raises(ConfigError, match="no CheXpert tree"):
        Chexpert().tables(tmp_path)


def test_a_table_with_only_a_header_stops(tmp_path):
    lay(tmp_path, {"train.csv": HEAD + "\n", "valid.csv": table(row(f"valid/{P2}/{FRONTAL}")),
                   f"train/{P1}/{FRONTAL}": b"1", f"valid/{P2}/{FRONTAL}": b"2"})  # fmt: skip
    with pytest.raises(DataError, match=r"csv\.no_row: train\.csv"):
        scanned(tmp_path)


def test_a_header_in_capitals_loses_no_column(tmp_path):
    text = table(row(f"train/{P1}/{FRONTAL}", Edema="1.0", Fracture="0.0"))
    lay(tmp_path, {"train.csv": text.replace(HEAD, HEAD.upper()), f"train/{P1}/{FRONTAL}": b"1"})
    study = scanned(tmp_path).studies["patient00001-study1"]
    assert study.labels == {"Edema": 1, "Fracture": 0}
    assert (study.sex, study.age, study.images[0].projection) == ("F", 68, "AP")
