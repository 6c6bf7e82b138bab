"""CheXpert's layouts and faults, on trees written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joining import Joined, join, lay
from stages import build, samples

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.sources.chexpert import Chexpert
from cxr_vlp.pipelines.synthetic.layouts import chexpert as chexpert_layout

HEAD = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT14])


def row(path: str, who: str = "Female,68", view: str = "Frontal,AP", **values: str) -> str:
    cells = ",".join(values.get(name.replace(" ", "_"), "") for name in CHEXPERT14)
    return f"{path},{who},{view},{cells}"


def table(*rows: str) -> str:
    return "\n".join([HEAD, *rows]) + "\n"


def scanned(root: Path, **options: str) -> Joined:
    joined = join(Chexpert(**options), root)
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


def test_the_test_set_alone_is_enough(tmp_path):
    path = f"test/{P1}/{FRONTAL}"
    joined = scanned(lay(tmp_path, {"groundtruth.csv": table(row(path)), path: b"1"}))
    assert [study.split for study in joined.studies.values()] == ["test"]


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


LABELERS = {"chexbert": "train_cheXbert.csv", "visualchexbert": "train_visualCheXbert.csv"}


@pytest.mark.parametrize("labels", LABELERS)
@pytest.mark.parametrize("folder", ["", "CheXpert-v1.0/"])
def test_the_labels_of_another_labeler(tmp_path, labels, folder):
    other = table(row(f"CheXpert-v1.0/train/{P1}/{FRONTAL}", Edema="0.0", Fracture="-1.0"),
                  row("train/patient00003/study1/view1_frontal.jpg"))  # fmt: skip
    lay(tmp_path, GOOD | {
        "train.csv": table(row(f"train/{P1}/{FRONTAL}", Edema="1.0"),
                           row(f"train/{P2}/{FRONTAL}", Edema="1.0")),
        folder + LABELERS[labels]: other,
    })  # fmt: skip
    own = scanned(tmp_path).studies["patient00001-study1"]
    assert (own.labels, own.labels_from) == ({"Edema": 1}, "chexpert")
    joined = scanned(tmp_path, labels=labels)
    study = joined.studies["patient00001-study1"]
    assert (study.labels, study.labels_from) == ({"Edema": 0, "Fracture": -1}, labels)
    assert (study.sex, study.age) == ("F", 68)  # of train.csv
    # a study that the labeler's table leaves out has no label, not those of another labeler
    left = joined.studies["patient64541-study1"]
    assert (left.labels, left.labels_from) == ({}, "")
    assert joined.notes["label.missing"] == 1
    assert (joined.listed, joined.codes()) == (2, {})


def test_the_table_of_another_labeler_stands_in_for_a_missing_train_table(tmp_path):
    files = {name: data for name, data in GOOD.items() if name != "train.csv"}
    text = table(row(f"train/{P1}/{FRONTAL}", Edema="1.0"))
    lay(tmp_path, files | {"train_cheXbert.csv": text})
    study = scanned(tmp_path, labels="chexbert").studies["patient00001-study1"]
    assert (study.labels, study.labels_from, study.sex) == ({"Edema": 1}, "chexbert", "F")


def test_labels_whose_file_is_missing_stop_with_the_remedy(tmp_path):
    lay(tmp_path, GOOD)
    with pytest.raises(ConfigError, match=r"needs train_visualCheXbert\.csv.*labels: chexpert"):
        Chexpert(labels="visualchexbert").tables(tmp_path)


@pytest.mark.parametrize(
    ("path", "code"), [(f"{P1}/{LATERAL}", "csv.conflict"), (f"{P1}/", "csv.path")]
)
def test_a_bad_row_of_another_labeler_rejects_only_its_study(tmp_path, path, code):
    lay(tmp_path, GOOD | {"train_cheXbert.csv": table(
        row(f"train/{P1}/{FRONTAL}", Edema="1.0"), row(f"train/{path}", Edema="0.0"),
        row(f"train/{P2}/{FRONTAL}", Edema="1.0"))})  # fmt: skip
    joined = scanned(tmp_path, labels="chexbert")
    assert joined.codes() == {code: 1}
    assert list(joined.studies) == ["patient64541-study1"]


def test_radiologists_labels_stay_with_another_labeler(tmp_path):
    path = f"valid/patient64600/study1/{FRONTAL}"
    lay(tmp_path, GOOD | {"valid.csv": table(row(path, Edema="1.0")), path: b"9",
                          "train_cheXbert.csv": GOOD["train.csv"]})  # fmt: skip
    study = scanned(tmp_path, labels="chexbert").studies["patient64600-study1"]
    assert (study.labels, study.labels_from) == ({"Edema": 1}, "radiologists")


@pytest.mark.parametrize("name", ["test.csv", "test_labels.csv", "groundtruth.csv"])
@pytest.mark.parametrize("top", ["", "test/", "CheXpert-v1.0/test/", "CheXpert-test/test/"])
def test_published_spellings_of_the_test_table(tmp_path, name, top):
    people = [f"patient{number}/study1" for number in (64743, 64741, 64742)]  # in no order
    marks = ",".join({"Lung Opacity": "1.0"}.get(label, "0.0") for label in CHEXPERT14)
    head = "Path," + ",".join(CHEXPERT14).replace("Lung Opacity", "Airspace Opacity")
    lines = [f"{top}{who}/{FRONTAL},{marks}" for who in people]
    lay(tmp_path, GOOD | {name: "\n".join([head, *lines]) + "\n"}
        | {f"test/{who}/{FRONTAL}": who.encode() for who in people})  # fmt: skip
    joined = scanned(tmp_path)
    for who in people:
        study = joined.studies[who.replace("/", "-")]
        assert (study.split, study.labels["Lung Opacity"], len(study.labels)) == ("test", 1, 14)
        assert study.labels_from == "radiologists"
    assert joined.codes() == {}


def test_a_test_table_with_some_labels_wins_over_one_without(tmp_path):
    path = f"test/patient70000/study1/{FRONTAL}"
    lay(tmp_path, GOOD | {"test.csv": f"Path\n{path}\n", path: b"5",
                          "test_labels.csv": f"Path,Atelectasis\n{path},1\n"})  # fmt: skip
    assert scanned(tmp_path).studies["patient70000-study1"].labels == {"Atelectasis": 1}


@pytest.mark.parametrize(
    "labels", [pytest.param("chexbert", marks=pytest.mark.slow), "visualchexbert"]
)
def test_a_whole_run_with_the_labels_of_another_labeler(tmp_path, labels):
    chexpert_layout.write(tmp_path, studies=12, seed=6, height=96, labelers=True)
    truth = [json.loads(line) for line in (tmp_path / "chexpert.truth.jsonl").open()]
    parts = {"train": 1, "validate": 1, "test": 1}
    chosen = {"chexpert": {"parts": parts, "reader": {"labels": labels}}}
    folder = build(tmp_path / "chexpert", "chexpert", tmp_path / "out", sources=chosen)
    assert verify.main([str(folder), "--deep"]) == 0
    found = {row["study"]: row for _, row in samples(folder)}
    seen = set()
    for line in truth:
        row = found[line["study"].replace("/", "-")]
        wanted = line["labels_of"][labels] if line["split"] == "train" else line["labels"]
        by = labels if line["split"] == "train" else "radiologists"
        assert row["labels"] == wanted
        assert row["labels_from"] == (by if wanted else "")
        seen.add(row["split"])
    assert seen == {"train", "validate", "test"}
    assert any(
        line.get("labels_of", {}).get(labels) not in (None, line["labels"]) for line in truth
    )
