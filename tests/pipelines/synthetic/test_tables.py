"""The synthetic CheXpert and ChestX-ray14: names, tables and files are the collections'."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import cv2
import pytest
from layouts import first_line, table

CHEXPERT_LABELS = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
    "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
    "Support Devices"
)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_chexpert_table(out: Path, split: str):
    path = out / "chexpert" / "CheXpert-v1.0" / f"{split}.csv"
    assert first_line(path) == f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT_LABELS}"
    for row in table(path):
        pattern = rf"CheXpert-v1\.0/{split}/patient\d{{5}}/study\d+/view\d+_(frontal|lateral)\.jpg"
        match = re.fullmatch(pattern, row["Path"])
        assert match
        assert (out / "chexpert" / row["Path"]).is_file()
        assert row["Frontal/Lateral"] == match[1].capitalize()
        assert row["AP/PA"] in (("",) if match[1] == "lateral" else ("AP", "PA"))


def test_chexpert_test_labels_have_no_root_and_no_person(out: Path):
    top = out / "chexpert" / "CheXpert-v1.0"
    assert first_line(top / "test.csv") == f"Path,{CHEXPERT_LABELS}"
    assert all((top / row["Path"]).is_file() for row in table(top / "test.csv"))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_chexpert_radiologists_are_never_uncertain(out: Path, split: str):
    for row in table(out / "chexpert" / "CheXpert-v1.0" / f"{split}.csv"):
        assert {row[name] for name in CHEXPERT_LABELS.split(",")} <= {"0.0", "1.0"}


def test_chexpert_train_has_blanks(out: Path):
    rows = table(out / "chexpert" / "CheXpert-v1.0" / "train.csv")
    cells = {row[name] for row in rows for name in CHEXPERT_LABELS.split(",")}
    assert {"", "1.0"} <= cells <= {"", "1.0", "0.0", "-1.0"}


def test_chexpert_small(variant):
    root = variant("chexpert", small=True, studies=4, height=512)
    rows = table(root / "CheXpert-v1.0-small" / "train.csv")
    for row in rows:
        assert row["Path"].startswith("CheXpert-v1.0-small/train/")
        assert cv2.imread(str(root / row["Path"]), cv2.IMREAD_GRAYSCALE).shape[1] <= 390


def test_chexpert_batches_hold_all_images(variant):
    root = variant("chexpert", batches=True)
    tables = root / "CheXpert-v1.0 batch 1 (validate & csv)"
    folders = sorted(path for path in root.iterdir() if "(train " in path.name)
    assert len(folders) == 3
    for row in table(tables / "train.csv"):
        file = row["Path"].removeprefix("CheXpert-v1.0/")
        assert sum((folder / file).is_file() for folder in folders) == 1
    for row in table(tables / "valid.csv"):
        assert (tables / row["Path"].removeprefix("CheXpert-v1.0/")).is_file()


NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def test_nih_table_and_lists(out: Path):
    root = out / "nih"
    assert first_line(root / "Data_Entry_2017_v2020.csv") == NIH_HEADER
    names = []
    for row in table(root / "Data_Entry_2017_v2020.csv"):
        names.append(row["Image Index"])
        assert int(row["Image Index"][:8]) == int(row["Patient ID"])
        assert row["View Position"] in ("AP", "PA")
        assert row["Patient Age"].isdecimal()
    lists = [(root / n).read_text().split() for n in ("train_val_list.txt", "test_list.txt")]
    assert sorted(lists[0] + lists[1]) == sorted(names)
    assert not {n[:8] for n in lists[0]} & {n[:8] for n in lists[1]}
    assert sorted(p.name for p in (root / "images").iterdir()) == sorted(names)


def test_nih_follow_up_is_not_always_the_suffix(variant):
    rows = table(variant("nih", studies=60, height=32) / "Data_Entry_2017_v2020.csv")
    same = [int(row["Image Index"][9:12]) == int(row["Follow-up #"]) for row in rows]
    assert 0.6 < sum(same) / len(same) < 0.95


def test_nih_images_are_square_and_a_few_have_four_channels(out: Path):
    shapes = [
        cv2.imread(str(p), cv2.IMREAD_UNCHANGED).shape for p in (out / "nih/images").iterdir()
    ]
    assert {shape[:2] for shape in shapes} == {(48, 48)}
    assert Counter(len(shape) for shape in shapes) == {2: 29, 3: 1}


def test_nih_box_list(out: Path):
    path = out / "nih" / "BBox_List_2017.csv"
    assert first_line(path) == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    known = {"Atelectasis", "Cardiomegaly", "Effusion", "Infiltrate", "Mass", "Nodule"}
    known |= {"Pneumonia", "Pneumothorax"}
    lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
    assert lines
    assert all(len(line) == 6 and line[1] in known for line in lines)


def test_nih_kaggle(variant):
    root = variant("nih", kaggle=True)
    lines = (root / "Data_Entry_2017.csv").read_text().splitlines()
    assert lines[0] == NIH_HEADER + ","
    rows = [line.split(",") for line in lines[1:]]
    assert all(len(row) == 12 and not row[-1] for row in rows)
    assert all(re.fullmatch(r"\d{3}Y", row[4]) for row in rows)
    assert any(int(row[4][:3]) > 120 for row in rows)
    folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    assert folders == ["images_001", "images_002", "images_003"]
    assert {p.name for p in root.glob("images_*/images/*")} == {row[0] for row in rows}
