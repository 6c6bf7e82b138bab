"""RSNA Pneumonia: a row for each box, three classes, films of NIH, 8 bits as they are."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from joining import lay
from kaggle import boxes, breaches, built, by_path, first_line, lost, named, rows, scanned, truth
from stages import samples

from cxr_vlp.pipelines.synthetic import layouts
from cxr_vlp.pipelines.synthetic.layouts.kaggle_nih import MAPPING

SMALL = {"studies": 12, "seed": 4, "height": 128}
ONE, TWO, THREE = (f"{n}04cfab6-14fd-4e49-80ba-63a80b6bddd6" for n in "abc")
LABELS = "patientId,x,y,width,height,Target\n"
NORMAL, OTHER, OPAQUE = "Normal", "No Lung Opacity / Not Normal", "Lung Opacity"


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rsna")
    layouts.writer("rsna")(folder, raw=True, mapped=True, **SMALL)
    layouts.writer("nih")(folder, **SMALL)
    return folder


def tree(folder: Path, labels: list[str], classes: list[str], **more: str) -> Path:
    films = {f"stage_2_train_images/{name}.dcm": b"1" for name in (ONE, TWO, THREE)}
    return lay(folder, {
        "stage_2_train_labels.csv": LABELS + "\n".join(labels) + "\n",
        "stage_2_detailed_class_info.csv": "patientId,class\n" + "\n".join(classes) + "\n",
        **films, **more,
    })  # fmt: skip


# the look-alike


def test_the_tables_and_headers_are_those_of_the_challenge(tmp_path):
    layouts.writer("rsna")(tmp_path, **SMALL)
    root = tmp_path / "rsna"
    assert first_line(root / "stage_2_train_labels.csv") + "\n" == LABELS
    assert first_line(root / "stage_2_detailed_class_info.csv") == "patientId,class"
    labels, classes = (rows(root / f"stage_2_{name}.csv")
                       for name in ("train_labels", "detailed_class_info"))  # fmt: skip
    assert [one["patientId"] for one in labels] == [one["patientId"] for one in classes]
    assert any(one["Target"] == "1" for one in labels)
    for one, kind in zip(labels, classes, strict=True):
        assert bool(one["x"]) == (one["Target"] == "1") == (kind["class"] == OPAQUE)
    header = pydicom.dcmread(next((root / "stage_2_train_images").glob("*.dcm")))
    assert (header.BitsStored, header.ConversionType, header.Modality) == (8, "WSD", "CR")
    assert "WindowCenter" not in header
    assert header.PatientID == Path(header.filename).stem
    assert not (root / MAPPING).exists()


def test_the_films_are_those_of_nih(out):
    nih = {Path(path).name for path in truth(out, "nih")}
    lines = truth(out, "rsna")
    assert {line["nih"] for line in lines.values()} == nih
    for path, line in lines.items():
        theirs = cv2.imread(str(out / "nih/images" / line["nih"]), cv2.IMREAD_GRAYSCALE)
        assert (pydicom.dcmread(out / "rsna" / path).pixel_array == theirs).all()


# the reader


def test_target_class_and_boxes(out):
    joined = scanned(out / "rsna", "rsna")
    found = by_path(joined)
    expected = {p: line for p, line in truth(out, "rsna").items() if "train" in p}
    assert found.keys() == expected.keys()
    scale = 1024 / SMALL["height"]  # the table is in pixels of the released films
    for path, study in found.items():
        line = expected[path]
        assert study.labels == named(line["labels"])
        ours, theirs = boxes(study.images[0].boxes), boxes(line["images"][0]["boxes"], scale)
        assert ours == theirs
        assert study.images[0].frame == (1024, 1024) or not ours
        assert study.images[0].view == "frontal"
        assert study.images[0].projection == line["images"][0]["view"]
    assert any(study.images[0].boxes for study in found.values())
    assert joined.notes["image.unlisted"] == len(truth(out, "rsna")) - len(expected) > 0


def test_the_three_classes(tmp_path):
    tree(tmp_path, [f"{ONE},,,,,0", f"{TWO},,,,,0", f"{THREE},264.0,152.0,213.0,379.0,1"],
         [f"{ONE},{NORMAL}", f"{TWO},{OTHER}", f"{THREE},{OPAQUE}"])  # fmt: skip
    studies = scanned(tmp_path, "rsna").studies
    assert studies[ONE].labels == {"Pneumonia": 0, "No Finding": 1}
    # the film may show another opacity, a nodule: that it shows none was not asked
    assert studies[TWO].labels == {"Pneumonia": 0, "No Finding": 0}
    assert studies[THREE].labels == {"Pneumonia": 1, "No Finding": 0, "Lung Opacity": 1}
    [box] = studies[THREE].images[0].boxes
    assert (box.label, box.x, box.y, box.w, box.h) == ("Pneumonia", 264, 152, 213, 379)


def test_rows_that_repeat_for_each_box_are_one_film(tmp_path):
    tree(tmp_path, [f"{ONE},1.0,2.0,30.0,40.0,1", f"{ONE},500.0,2.0,30.0,40.0,1"],
         [f"{ONE},{OPAQUE}"] * 2)  # fmt: skip
    joined = scanned(tmp_path, "rsna")
    assert joined.listed == 1
    assert len(joined.studies[ONE].images[0].boxes) == 2
    assert joined.studies[ONE].labels["Pneumonia"] == 1
    assert joined.codes() == {}


def test_a_row_that_contradicts_another_is_refused(tmp_path):
    tree(tmp_path, [f"{ONE},,,,,0", f"{ONE},1.0,2.0,30.0,40.0,1", f"{TWO},,,,,0"],
         [f"{ONE},{NORMAL}", f"{TWO},{NORMAL}"])  # fmt: skip
    joined = scanned(tmp_path, "rsna")
    assert joined.codes() == {"csv.conflict": 1}
    assert list(joined.studies) == [TWO]


def test_a_box_of_a_film_without_pneumonia_is_counted_and_left_out(tmp_path):
    tree(tmp_path, [f"{ONE},1.0,2.0,30.0,40.0,0", f"{TWO},1.0,2.0,30.0,40.0,1"],
         [f"{ONE},{NORMAL}", f"{TWO},{OPAQUE}"])  # fmt: skip
    joined = scanned(tmp_path, "rsna")
    assert joined.studies[ONE].labels["Pneumonia"] == 0
    assert joined.studies[ONE].images[0].boxes == ()
    assert len(joined.studies[TWO].images[0].boxes) == 1
    assert joined.notes["box.contradicts"] == 1
    assert not joined.notes["box.outvoted"]


def test_a_word_that_is_no_class_is_noted(tmp_path):
    tree(tmp_path, [f"{ONE},,,,,0"], [f"{ONE},Perhaps"])
    joined = scanned(tmp_path, "rsna")
    assert joined.studies[ONE].labels.get("No Finding") != 1
    assert "Lung Opacity" not in joined.studies[ONE].labels


# people


def test_without_the_list_of_nih_each_film_is_a_patient(tmp_path):
    tree(tmp_path, [f"{ONE},,,,,0", f"{TWO},,,,,0"], [f"{ONE},{NORMAL}", f"{TWO},{NORMAL}"])
    studies = scanned(tmp_path, "rsna").studies
    assert {key: study.patient for key, study in studies.items()} == {ONE: ONE, TWO: TWO}


def test_with_the_list_of_nih_films_of_a_person_are_in_one_split(tmp_path):
    mapping = [{"subset_img_id": name, "img_id": f"00000003_{n:03d}.png", "SOPInstanceUID": "1.2"}
               for n, name in enumerate((ONE, TWO))]  # fmt: skip
    mapping.append({"subset_img_id": THREE, "img_id": "00012345_000.png"})
    tree(tmp_path, [f"{name},,,,,0" for name in (ONE, TWO, THREE)],
         [f"{name},{NORMAL}" for name in (ONE, TWO, THREE)],
         **{MAPPING: json.dumps(mapping)})  # fmt: skip
    studies = scanned(tmp_path, "rsna").studies
    # as the reader of NIH names them, so that lists of people fit both
    assert [studies[name].patient for name in (ONE, TWO, THREE)] == ["3", "3", "12345"]
    assert studies[ONE].split == studies[TWO].split


def test_the_list_of_nih_may_be_a_table(tmp_path):
    tree(tmp_path, [f"{name},,,,,0" for name in (ONE, TWO)],
         [f"{name},{NORMAL}" for name in (ONE, TWO)],
         **{"pneumonia_dataset_mapping.csv": "img_id,subset_img_id\n"
            f"00000003_000.png,{ONE}\n00000003_001.png,{TWO}\n"})  # fmt: skip
    studies = scanned(tmp_path, "rsna").studies
    assert [studies[name].patient for name in (ONE, TWO)] == ["3", "3"]


def test_a_film_that_the_list_lacks_is_a_patient_of_its_own(tmp_path):
    mapping = [{"subset_img_id": ONE, "img_id": "00000003_000.png"}]
    tree(tmp_path, [f"{ONE},,,,,0", f"{TWO},,,,,0"], [f"{ONE},{NORMAL}", f"{TWO},{NORMAL}"],
         **{MAPPING: json.dumps(mapping)})  # fmt: skip
    assert scanned(tmp_path, "rsna").studies[TWO].patient == TWO


def test_the_people_of_the_look_alike(out):
    found, expected = by_path(scanned(out / "rsna", "rsna")), truth(out, "rsna")
    assert all(study.patient == expected[path]["patient"] for path, study in found.items())
    assert len({study.patient for study in found.values()}) < len(found)


def test_an_age_of_155_is_no_age(tmp_path):
    layouts.writer("rsna")(tmp_path, studies=12, seed=2, height=64)
    stated = {}
    for path, study in by_path(scanned(tmp_path / "rsna", "rsna")).items():
        header = pydicom.dcmread(tmp_path / "rsna" / path, stop_before_pixels=True)
        stated[int(str(header.PatientAge).strip())] = study.age
    assert stated.pop(155) is None
    assert stated
    assert all(age == years for age, years in stated.items())


# pixels


def test_eight_bits_without_a_window_are_stored_as_they_are(out, tmp_path):
    folder = built(out / "rsna", "rsna", tmp_path, shards={"side": 128})
    lines = {line["study"]: line for line in truth(out, "rsna").values()}
    stored = pictures(folder)
    assert stored
    for study, picture in stored.items():
        theirs = cv2.imread(str(out / "nih/images" / lines[study]["nih"]), cv2.IMREAD_GRAYSCALE)
        assert (picture == theirs).all()


def test_verify_finds_the_films_of_nih_by_their_grey_values(out, tmp_path):
    rsna = built(out / "rsna", "rsna", tmp_path / "rsna", shards={"side": 128})
    nih = built(out / "nih", "nih", tmp_path / "nih", shards={"side": 128})
    found = breaches(rsna, nih, deep=True)
    both = found.get("image.twice", []) + found.get("image.two_splits", [])
    assert any("nih" in where and "rsna" in where for where in both)


def test_a_jpeg_inside_is_nearly_the_film(tmp_path):
    layouts.writer("rsna")(tmp_path, **SMALL)
    layouts.writer("nih")(tmp_path, **SMALL)
    folder = built(tmp_path / "rsna", "rsna", tmp_path / "out", shards={"side": 128})
    lines = {line["study"]: line for line in truth(tmp_path, "rsna").values()}
    for study, picture in pictures(folder).items():
        path = tmp_path / "nih/images" / lines[study]["nih"]
        theirs = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert np.abs(picture.astype(int) - theirs).mean() < 3


def pictures(folder: Path) -> dict[str, np.ndarray]:
    """Return study -> its stored picture."""
    found = {}
    studies = {key: sample["study"] for key, sample in samples(folder)}
    for path in sorted(folder.glob("*/*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".png"):
                    data = np.frombuffer(tar.extractfile(member).read(), np.uint8)
                    key = member.name.removesuffix(".png")
                    found[studies[key]] = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return found


# a whole run


def test_from_the_raw_tree_to_verified_shards(tmp_path):
    layouts.writer("rsna")(tmp_path, faults=True, mapped=True, **SMALL)
    folder = built(tmp_path / "rsna", "rsna", tmp_path / "out")
    assert set(breaches(folder, deep=True)) <= {"image.twice", "image.own_splits"}
    listed = (line for path, line in truth(tmp_path, "rsna").items() if "train" in path)
    lines = {line["study"]: line for line in listed}
    found = {sample["study"]: sample for _, sample in samples(folder)}
    assert found.keys() == {
        s for s, line in lines.items() if line["images"][0].get("fault") in (None, "no_syntax")
    }
    codes = lost(folder)
    # a raw file that is cut has no whole pixels left
    assert codes["dicom.no_pixels"] + codes["dicom.truncated"] + codes["dicom.damaged_frame"] == 2
    assert codes["image.missing"] == codes["dicom.empty"] == 1
    for study, sample in found.items():
        labels = {name: value for name, value in sample["labels"].items() if value is not None}
        assert labels == named(lines[study]["labels"])
        scale = sample["pixels"]["width"] / SMALL["height"]
        theirs = boxes(lines[study]["images"][0]["boxes"], scale)
        for ours, box in zip(boxes(sample["boxes"]), theirs, strict=True):
            assert ours[0] == box[0]
            assert ours[1:] == pytest.approx(box[1:], abs=0.2)
        assert sample["patient"] == lines[study]["patient"]
    people = Counter(sample["patient"] for sample in found.values())
    several = [s["order"] for s in found.values() if people[s["patient"]] > 1]
    assert several
    assert set(several) == {None}  # all films have one invented date
