"""CheXpert's layouts and traps, on trees written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from joining import Joined, join, lay

from nlp.labels import CHEXPERT14
from pipelines.faults import ConfigError, DataError
from pipelines.sources import Chexpert

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
def test_images_are_found_whatever_root_the_paths_carry(tmp_path, stated, train, valid):
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


def test_views_of_a_study_that_disagree_on_a_label_stop(tmp_path):
    stated = f"CheXpert-v1.0/train/{P1}"
    rows = (row(f"{stated}/{FRONTAL}", Edema="1.0"), row(f"{stated}/{LATERAL}", Edema="0.0"))
    lay(tmp_path, {"train.csv": table(*rows)})
    with pytest.raises(DataError, match=r"csv\.conflict"):
        join(Chexpert(), tmp_path)


def test_another_folder_is_no_chexpert(tmp_path):
    with pytest.raises(ConfigError, match="no CheXpert tree"):
        Chexpert().tables(tmp_path)
