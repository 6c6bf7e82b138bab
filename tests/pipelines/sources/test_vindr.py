"""VinDr-CXR, VinBigData and VinDr-PCXR: readers who contradict each other, corners, odd names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from joining import lay
from kaggle import boxes, breaches, built, by_path, first_line, lost, named, rows, scanned, truth
from stages import samples

from cxr_vlp.nlp.labels import VINDR, canonical
from cxr_vlp.nlp.layout.sentences import split
from cxr_vlp.nlp.wording.bank import own_bank
from cxr_vlp.nlp.wording.prompts import report_prompts, texts
from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.sources.table.label_cells import label_of
from cxr_vlp.pipelines.synthetic import layouts

SMALL = {"studies": 12, "seed": 5, "height": 128}
LABELS = (
    "Aortic enlargement,Atelectasis,Calcification,Cardiomegaly,Clavicle fracture,Consolidation,"
    "Edema,Emphysema,Enlarged PA,ILD,Infiltration,Lung Opacity,Lung cavity,Lung cyst,"
    "Mediastinal shift,Nodule/Mass,Pleural effusion,Pleural thickening,Pneumothorax,"
    "Pulmonary fibrosis,Rib fracture,Other lesion,COPD,Lung tumor,Pneumonia,Tuberculosis"
)
TRAIN = f"image_id,rad_id,{LABELS},Other diseases,No finding"
TEST = f"image_id,{LABELS},Other disease,No finding"
BOXES = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("vindr")
    for name in ("vindr", "vinbigdata", "vindrpcxr"):
        layouts.writer(name)(folder, **SMALL)
    return folder


def row(image: str, reader: str, *found: str, none: int | None = None) -> str:
    """Return a row of image_labels_train.csv."""
    cells = [str(int(name in found)) for name in (*LABELS.split(","), "Other diseases")]
    return ",".join([image, reader, *cells, str(int(not found) if none is None else none)])


def tree(folder: Path, *labels: str, marks: tuple[str, ...] = ()) -> Path:
    """Write a tree of one film, with rows of its readers."""
    a = "a" * 32
    return lay(folder, {
        "annotations/image_labels_train.csv": "\n".join([TRAIN, *labels]) + "\n",
        "annotations/image_labels_test.csv": TEST + "\n" + ",".join(["b" * 32, *["0"] * 27, "1"]),
        "annotations/annotations_train.csv": "\n".join([BOXES, *marks]) + "\n",
        "annotations/annotations_test.csv": BOXES.replace("rad_id,", "") + "\n",
        f"train/{a}.dicom": b"1", f"test/{'b' * 32}.dicom": b"2",
    })  # fmt: skip


A = "a" * 32


# the look-alikes


def test_the_tables_are_spelt_as_the_publisher_has_them(out):
    folder = out / "vindr/annotations"
    assert first_line(folder / "image_labels_train.csv") == TRAIN
    assert first_line(folder / "image_labels_test.csv") == TEST
    assert first_line(folder / "annotations_train.csv") == BOXES
    assert first_line(folder / "annotations_test.csv") == BOXES.replace("rad_id,", "")
    assert len(LABELS.split(",")) + 2 == 28 == len(VINDR)
    assert {canonical(n) for n in (*LABELS.split(","), "Other diseases", "No finding")} == set(
        VINDR
    )


def test_three_readers_a_film_who_contradict_each_other_about_no_finding(out):
    by_film = defaultdict(list)
    for one in rows(out / "vindr/annotations/image_labels_train.csv"):
        by_film[one["image_id"]].append(one["No finding"])
    assert {len(found) for found in by_film.values()} == {3}
    assert any(set(found) == {"0", "1"} for found in by_film.values())


def test_the_files_name_nobody_and_have_windows_over_the_whole_range(out):
    headers = [pydicom.dcmread(p) for p in sorted((out / "vindr").rglob("*.dicom"))]
    assert all(re.fullmatch(r"[0-9a-f]{32}\.dicom", Path(h.filename).name) for h in headers)
    assert not any("PatientID" in h or "StudyInstanceUID" in h for h in headers)
    assert {h.PhotometricInterpretation for h in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert len({h.file_meta.TransferSyntaxUID for h in headers}) == 2  # raw and JPEG 2000
    assert {(h.BitsAllocated, h.BitsStored) for h in headers} >= {(16, 12)}
    assert all(float(h.WindowWidth) == 2**h.BitsStored - 1 for h in headers)


# VinDr-CXR


def test_the_majority_of_the_readers_is_the_label(out):
    found, expected = by_path(scanned(out / "vindr", "vindr")), truth(out, "vindr")
    assert found.keys() == expected.keys()
    for path, study in found.items():
        assert study.labels == named(expected[path]["labels"])
        assert study.labels_from == "vindr"
        assert study.patient == Path(path).stem  # a film is a patient
        assert [(i.view, i.projection) for i in study.images] == [("frontal", "PA")]
    assert {len(study.labels) for study in found.values()} == {28}
    assert sum(study.labels["No Finding"] for study in found.values()) > 0


def test_corners_become_boxes_of_width_and_height(out):
    found, expected = by_path(scanned(out / "vindr", "vindr")), truth(out, "vindr")
    assert sum(len(study.images[0].boxes) for study in found.values()) > 3
    for path, study in found.items():
        assert boxes(study.images[0].boxes) == boxes(expected[path]["images"][0]["boxes"])
        assert study.images[0].frame is None  # pixels of the DICOM


def test_a_box_that_two_readers_did_not_see_is_counted(out):
    listed = rows(out / "vindr/annotations/annotations_train.csv")
    drawn = sum(bool(one["x_min"]) for one in listed)
    drawn += sum(bool(one["x_min"]) for one in rows(out / "vindr/annotations/annotations_test.csv"))
    joined = scanned(out / "vindr", "vindr")
    kept = sum(len(s.images[0].boxes) for s in joined.studies.values())
    assert kept < drawn
    assert joined.notes["box.outvoted"] == drawn - kept


@pytest.mark.parametrize("merge", ["any", "unanimous"])
def test_other_ways_to_merge(out, merge):
    by_film = defaultdict(list)
    for one in rows(out / "vindr/annotations/image_labels_train.csv"):
        by_film[one["image_id"]].append(one)
    found = by_path(scanned(out / "vindr", "vindr", readers={"merge": merge}))
    whole = {"any": max, "unanimous": min}[merge]
    differ = 0
    for film, readers in by_film.items():
        labels = found[f"train/{film}.dicom"].labels
        for name in (*LABELS.split(","), "Other diseases"):
            said = [int(one[name]) for one in readers]
            expected = -1 if merge == "unanimous" and len(set(said)) > 1 else whole(said)
            assert labels[canonical(name)] == expected
            differ += len(set(said)) > 1
        abnormal = any(v for name, v in labels.items() if name != "No Finding")
        assert labels["No Finding"] == int(not abnormal)
    assert differ > 0


def test_the_test_folder_is_the_test_split_and_train_is_divided(out):
    studies = scanned(out / "vindr", "vindr").studies.values()
    for study in studies:
        folder = study.images[0].path.split("/")[0]
        assert (study.split == "test") == (folder == "test")
    assert Counter(s.split for s in studies)["test"] > 0


def test_tables_in_the_folders_of_the_films_are_the_same(out, tmp_path):
    layouts.writer("vindr")(tmp_path, beside=True, **SMALL)
    assert (tmp_path / "vindr/train/image_labels_train.csv").is_file()
    assert scanned(tmp_path / "vindr", "vindr") == scanned(out / "vindr", "vindr")


def test_no_finding_is_made_from_the_other_labels(tmp_path):
    # one reader contradicts himself, one saw nothing, one left everything blank
    tree(tmp_path, row(A, "R1", "Edema", none=1), row(A, "R2", "Edema", none=0), row(A, "R3"))
    labels = scanned(tmp_path, "vindr").studies[A].labels
    assert (labels["Edema"], labels["No Finding"]) == (1, 0)


def test_one_reader_of_three_is_outvoted_and_his_box_is_counted(tmp_path):
    box = f"{A},R1,Edema,10.5,20,110.5,220"
    tree(tmp_path, row(A, "R1", "Edema"), row(A, "R2"), row(A, "R3"), marks=(box,))
    joined = scanned(tmp_path, "vindr")
    assert joined.studies[A].labels["No Finding"] == 1
    assert joined.studies[A].images[0].boxes == ()
    assert joined.notes["box.outvoted"] == 1
    [kept] = scanned(tmp_path, "vindr", readers={"merge": "any"}).studies[A].images[0].boxes
    assert (kept.label, kept.x, kept.y, kept.w, kept.h) == ("Edema", 10.5, 20, 100, 200)


@pytest.mark.parametrize(
    ("cells", "bad"),
    [("No finding,,,,", 0), ("Pneumonia,,,,", 0), ("Edema,10,20,9,30", 1), ("Edema,1,2,,4", 1),
     ("Edema,nan,nan,nan,nan", 0)],
)  # fmt: skip
def test_rows_without_a_box_are_none_and_impossible_ones_are_counted(tmp_path, cells, bad):
    tree(tmp_path, *(row(A, f"R{n}", "Edema") for n in (1, 2, 3)), marks=(f"{A},R1,{cells}",))
    joined = scanned(tmp_path, "vindr")
    assert joined.studies[A].images[0].boxes == ()
    assert joined.notes["box.bad_value"] == bad


def test_a_box_of_a_film_that_is_not_listed_is_no_film(tmp_path):
    tree(tmp_path, row(A, "R1"),
         marks=(f"{'c' * 32},R1,Edema,1,2,3,4", f"{A},R1,No finding,,,,"))  # fmt: skip
    assert sorted(scanned(tmp_path, "vindr").studies) == [A, "b" * 32]


def test_films_without_a_row_and_rows_without_a_film(tmp_path):
    tree(tmp_path, row(A, "R1"), row("d" * 32, "R1"))
    lay(tmp_path, {f"train/{'e' * 32}.dicom": b"3"})
    joined = scanned(tmp_path, "vindr")
    assert joined.codes() == {"image.missing": 1}
    assert joined.notes["image.unlisted"] == 1


@pytest.mark.parametrize("lacking", ["image_labels_test.csv", "annotations_train.csv"])
def test_a_table_that_is_not_there_stops(tmp_path, lacking):
    tree(tmp_path, row(A, "R1"))
    (tmp_path / "annotations" / lacking).unlink()
    with pytest.raises(ConfigError, match=lacking):
        scanned(tmp_path, "vindr")


def test_a_column_that_is_not_there_stops(tmp_path):
    tree(tmp_path, row(A, "R1"))
    for folder in ("train", "test"):
        path = tmp_path / f"annotations/image_labels_{folder}.csv"
        path.write_text(path.read_text().replace("Pleural effusion", "Effusion of pleura"))
    with pytest.raises(DataError, match=r"csv\.header.*Pleural effusion"):
        scanned(tmp_path, "vindr")


@pytest.mark.parametrize(
    ("lacking", "left", "word", "place"),
    [("test", "train", "test", "train"), ("train", "test", "train_val", "test")],
)
def test_a_copy_of_one_split_says_so(tmp_path, lacking, left, word, place):
    tree(tmp_path, *(row(A, f"R{n}", "Edema") for n in (1, 2, 3)), marks=(f"{A},R1,Edema,1,2,3,4",))
    for name in ("image_labels", "annotations"):
        (tmp_path / f"annotations/{name}_{lacking}.csv").unlink()
    with pytest.raises(ConfigError, match=f'write reader.table: {{{word}: ""}}'):
        scanned(tmp_path, "vindr")
    joined = scanned(tmp_path, "vindr", table={word: ""})
    [study] = joined.studies.values()
    assert (Path(study.images[0].path).parent.name, study.split) == (left, place)
    assert len(study.labels) == 28
    assert len(study.images[0].boxes) == (left == "train")
    assert joined.notes["image.unlisted"] == 1


def test_the_boxes_of_a_split_that_is_there_must_be_there(tmp_path):
    tree(tmp_path, row(A, "R1"))
    (tmp_path / "annotations/annotations_test.csv").unlink()
    with pytest.raises(ConfigError, match=r"annotations_test\.csv.*reader\.also"):
        scanned(tmp_path, "vindr")
    tree(tmp_path, row(A, "R1"))
    (tmp_path / "annotations/annotations_train.csv").unlink()
    with pytest.raises(ConfigError, match=r"annotations_train\.csv"):
        scanned(tmp_path, "vindr", table={"test": ""})


def test_rows_of_train_without_a_reader_are_those_of_several(tmp_path):
    rows_ = [row(A, "", "Edema"), row(A, "", "Edema"), row(A, "", "Edema", "Pneumonia")]
    tree(tmp_path, *rows_)
    labels = scanned(tmp_path, "vindr").studies[A].labels
    assert (labels["Edema"], labels["Pneumonia"]) == (1, 0)
    path = tmp_path / "annotations/image_labels_train.csv"
    path.write_text(path.read_text().replace(",rad_id,", ",").replace(f"{A},,", f"{A},"))
    assert first_line(path).startswith("image_id,Aortic")
    assert scanned(tmp_path, "vindr").studies[A].labels == labels


# VinBigData


def test_box_rows_are_the_only_labels_and_test_has_none(out):
    assert first_line(out / "vinbigdata/train.csv") == (
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    )
    joined = scanned(out / "vinbigdata", "vinbigdata")
    found, expected = by_path(joined), truth(out, "vinbigdata")
    labelled = {path: line for path, line in expected.items() if path.startswith("train/")}
    assert found.keys() == labelled.keys()
    for path, study in found.items():
        assert study.labels == named(labelled[path]["labels"])
        assert boxes(study.images[0].boxes) == boxes(labelled[path]["images"][0]["boxes"])
        assert len(study.labels) == 15
    assert joined.notes["image.unlisted"] == len(expected) - len(labelled) > 0
    assert any(study.images[0].boxes for study in found.values())


def test_class_14_is_no_box_and_no_label_of_its_own(tmp_path):
    head = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
    lines = [f"{A},No finding,14,R1,,,,", f"{A},Cardiomegaly,3,R2,1,2,11,22",
             f"{A},Cardiomegaly,3,R3,2,2,12,22", f"{A},Cardiomegaly,3,R3,4,2,14,22"]  # fmt: skip
    lay(tmp_path, {"train.csv": head + "\n".join(lines) + "\n", f"train/{A}.dicom": b"1"})
    study = scanned(tmp_path, "vinbigdata").studies[A]
    # two boxes of one reader are one vote
    assert (study.labels["Cardiomegaly"], study.labels["No Finding"]) == (1, 0)
    assert [box.x for box in study.images[0].boxes] == [1, 2, 4]


def test_the_same_films_in_two_sets_are_reported(out, tmp_path):
    one = built(out / "vindr", "vindr", tmp_path / "one")
    other = built(out / "vinbigdata", "vinbigdata", tmp_path / "other")
    found = breaches(one, other)
    both = found.get("image.twice", []) + found.get("image.two_splits", [])
    assert any("vinbigdata" in where and "vindr" in where for where in both)


# VinDr-PCXR


def test_children_have_names_of_their_own_and_the_errors_in_them_are_mended(out):
    joined = scanned(out / "vindrpcxr", "vindrpcxr")
    found, expected = by_path(joined), truth(out, "vindrpcxr")
    assert found.keys() == expected.keys()
    for path, study in found.items():
        assert study.labels == named(expected[path]["labels"])
        assert boxes(study.images[0].boxes) == boxes(expected[path]["images"][0]["boxes"])
        assert study.labels_from == "vindr-pcxr"
        assert study.images[0].projection == "PA"
    names = set().union(*(study.labels for study in found.values()))
    assert {"Broncho-pneumonia", "Diaphragmatic Hernia", "Paravertebral Mass", "ILD"} <= names
    assert not any("Brocho" in n or "Diagphram" in n or "aveolar" in n for n in names)
    assert {study.labels_from for study in found.values()} == {"vindr-pcxr"}


def test_a_disease_without_a_place_is_no_finding_in_the_boxes_only(tmp_path):
    names = ("No finding,Bronchitis,Brocho-pneumonia,Other disease,Bronchiolitis,Situs inversus,"
             "Pneumonia,Pleuro-pneumonia,Diagphramatic hernia,Tuberculosis,Congenital emphysema,"
             "CPAM,Hyaline membrane disease,Mediastinal tumor,Lung tumor")  # fmt: skip
    cells = ",".join("1.0" if name == "Bronchitis" else "0.0" for name in names.split(","))
    lay(tmp_path, {
        "image_labels_train.csv": f"image_id,rad_ID,{names}\n{A},R1,{cells}\n",
        "image_labels_test.csv": f"image_id,rad_ID,{names}\n{'b' * 32},R1,1.0{',0.0' * 14}\n",
        "annotations_train.csv": BOXES.replace("rad_id", "rad_ID") + f"\n{A},R1,No finding,,,,\n",
        "annotations_test.csv": BOXES.replace("rad_id", "rad_ID") + "\n",
        f"train/{A}.dicom": b"1", f"test/{'b' * 32}.dicom": b"2",
    })  # fmt: skip
    labels = scanned(tmp_path, "vindrpcxr").studies[A].labels
    assert (labels["Bronchitis"], labels["No Finding"], labels["Cardiomegaly"]) == (1, 0, 0)


CHILD = sources.reader("vindrpcxr", {})
NAMED = [label_of(name, CHILD.labels.names)
         for name in (*CHILD.labels.columns, *CHILD.also[0].labels.of)]  # fmt: skip


def test_each_label_of_children_has_a_name_of_english():
    names = own_bank().names
    assert [name for name in NAMED if name not in names] == ["No Finding"]
    texts_ = {text for name in NAMED for text in texts(name, "positive")}
    assert {"There is a paravertebral mass.", "There is another opacity.",
            "There are expanded edges of the anterior ribs."} <= texts_  # fmt: skip


@pytest.mark.parametrize(
    ("says", "denies"),
    [("Broncho-pneumonia", "Pneumonia"), ("Pleuro-pneumonia", "Pneumonia"),
     ("Pneumonia", "Broncho-pneumonia"), ("Congenital Emphysema", "Emphysema"),
     ("Diffuse Alveolar Opacity", "Consolidation"), ("Reticulonodular Opacity", "ILD"),
     ("Situs Inversus", "Dextrocardia"), ("Pneumonia", "Other Opacity")],
)  # fmt: skip
def test_a_text_of_children_denies_no_kind_of_what_it_says(says, denies):
    family = dict.fromkeys(NAMED, 0) | {says: 1, "No Finding": 0}
    forbidden, denied = texts(denies, "negative"), set()
    for seed in range(40):
        for text in report_prompts(family, k=2, seed=seed, epoch=0, key="x", negatives=6):
            denied |= {sentence.text for sentence in split(text)}
    assert not denied & set(forbidden)
    assert denied & set(texts("Pleural Effusion", "negative"))


def test_ages_of_children_are_in_months_and_days(out):
    found, expected = by_path(scanned(out / "vindrpcxr", "vindrpcxr")), truth(out, "vindrpcxr")
    years = {"007M": 0, "010D": 0, "003Y": 3, "009Y": 9, "": None}
    assert {path: study.age for path, study in found.items()} == {
        path: years[line["age"]] for path, line in expected.items()
    }


# whole runs


@pytest.mark.parametrize("name", ["vindr", "vinbigdata", "vindrpcxr"])
def test_from_the_raw_tree_to_verified_shards(tmp_path, name):
    layouts.writer(name)(tmp_path, studies=12, seed=5, height=128, faults=True)
    folder = built(tmp_path / name, name, tmp_path / "out", shards={"side": 64})
    assert set(breaches(folder, deep=True)) <= {"image.twice", "image.own_splits"}
    lines = {line["study"]: line for line in truth(tmp_path, name).values() if line["labels"]}
    faults = {line["images"][0].get("fault") for line in lines.values()} - {None}
    found = {sample["study"]: sample for _, sample in samples(folder)}
    whole = {s for s, line in lines.items()
             if line["images"][0].get("fault") in (None, "no_syntax")}  # fmt: skip
    assert found.keys() == whole  # a file without TransferSyntaxUID is read
    assert faults == {"no_syntax", "no_pixels", "truncated", "zero_byte", "missing"}
    codes = lost(folder)
    # a raw file that is cut has no whole pixels left
    assert codes["dicom.no_pixels"] + codes["dicom.truncated"] + codes["dicom.damaged_frame"] == 2
    assert codes["image.missing"] == codes["dicom.empty"] == 1
    for study, sample in found.items():
        line = lines[study]
        other = {one["name"]: one["value"] for one in sample["labels_other"] or ()}
        stated = {k: v for k, v in sample["labels"].items() if v is not None}
        assert stated | other == named(line["labels"])
        scale = sample["pixels"]["width"] / sample["pixels"]["source_width"]
        stored = boxes(sample["boxes"])
        assert [b[0] for b in stored] == [b[0] for b in boxes(line["images"][0]["boxes"], scale)]
        for ours, theirs in zip(stored, boxes(line["images"][0]["boxes"], scale), strict=True):
            assert ours[1:] == pytest.approx(theirs[1:], abs=1.5)
        assert sample["caption"]


@pytest.mark.parametrize(("small", "whole"), [(1.0, True), (0.5, False)])
def test_boxes_on_pictures_of_another_size_are_refused(tmp_path, small, whole):
    """Many hold the films as pictures of another size, and the boxes of the published one."""
    grey = np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)
    picture = cv2.resize(cv2.GaussianBlur(grey, (0, 0), 8), None, fx=small, fy=small)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    head = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
    lines = [f"{A},Cardiomegaly,3,R1,60,100,150,208", f"{'b' * 32},No finding,14,R1,,,,"]
    lay(tmp_path / "raw", {"train.csv": head + "\n".join(lines) + "\n"})
    for name in (A, "b" * 32):
        path = tmp_path / f"raw/train/{name}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), picture)
    folder = built(tmp_path / "raw", "vinbigdata", tmp_path / "out", shards={"side": 64})
    found = {sample["study"]: sample["boxes"] for _, sample in samples(folder)}
    assert (A in found) is whole
    assert found["b" * 32] == []
    assert lost(folder)["box.outside"] == (not whole)
    assert set(breaches(folder, deep=True)) <= {"image.twice", "image.own_splits"}
