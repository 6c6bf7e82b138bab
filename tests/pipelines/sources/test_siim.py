"""SIIM-ACR: run lengths to boxes, a blank in the header, several rows a film, the real files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joining import lay
from kaggle import boxes, breaches, built, by_path, first_line, lost, named, scanned, truth
from stages import samples

from cxr_vlp.pipelines.synthetic import layouts
from cxr_vlp.pipelines.synthetic.layouts.kaggle_nih import run_lengths

SMALL = {"studies": 12, "seed": 4, "height": 128}
HEAD = "ImageId, EncodedPixels\n"
UID = "1.2.276.0.7230010.3.1.4.8323329.{}.1517875201.850819"
ONE, TWO = UID.format(1), UID.format(2)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("siim")
    layouts.writer("siim")(folder, **SMALL)
    return folder


def tree(folder: Path, *lines: str, name: str = "train-rle.csv", head: str = HEAD) -> Path:
    films = {f"dicom-images-train/1.2.{n}/1.3.{n}/{uid}.dcm": b"1"
             for n, uid in enumerate((ONE, TWO))}  # fmt: skip
    return lay(folder, {name: head + "\n".join(lines) + "\n", **films})


def only(joined) -> dict[str, object]:
    return {Path(study.images[0].path).stem: study for study in joined.studies.values()}


# the look-alike


def test_the_table_has_a_blank_in_its_header_and_several_rows_a_film(out):
    text = (out / "siim/train-rle.csv").read_text()
    assert first_line(out / "siim/train-rle.csv") + "\n" == HEAD
    assert ",-1\n" in text
    assert ", -1\n" in text
    ids = [line.split(",")[0] for line in text.splitlines()[1:]]
    assert len(set(ids)) < len(ids)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
@settings(max_examples=50)
def test_run_lengths_are_those_of_the_challenge(cells):
    mask = np.array(cells).reshape(3, 4)
    numbers = [int(word) for word in run_lengths(mask).split()]
    flat, at = np.zeros(12, bool), 0  # the challenge's own way back
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        at += gap
        flat[at : at + length] = True
        at += length
    assert (mask == flat.reshape(4, 3).T).all()


# the reader


def test_masks_become_boxes_and_the_label_is_complete(out):
    joined = scanned(out / "siim", "siim")
    found = by_path(joined)
    expected = {p: line for p, line in truth(out, "siim").items() if not line["unlisted"]}
    assert found.keys() == expected.keys()
    scale = 1024 / SMALL["height"]
    for path, study in found.items():
        line = expected[path]
        assert study.labels == named(line["labels"])
        assert set(study.labels) == {"Pneumothorax"}
        for ours, theirs in zip(
            boxes(study.images[0].boxes), boxes(line["images"][0]["boxes"], scale), strict=True
        ):
            assert ours[1:] == pytest.approx(theirs[1:], abs=0.5)  # the truth is rounded
    assert any(len(study.images[0].boxes) > 1 for study in found.values())
    assert joined.codes() == {"image.missing": 1}  # an id without a file
    # films that no row names, and those of the test folder
    assert joined.notes["image.unlisted"] == len(truth(out, "siim")) - len(expected) > 0


@pytest.mark.parametrize("none", ["-1", " -1", "-1 ", '" -1"'])
def test_both_spellings_of_no_mask(tmp_path, none):
    tree(tmp_path, f"{ONE},{none}", f"{TWO}, 0 5")
    studies = only(scanned(tmp_path, "siim"))
    assert studies[ONE].labels == {"Pneumothorax": 0}
    assert studies[ONE].images[0].boxes == ()
    assert studies[TWO].labels == {"Pneumothorax": 1}


@pytest.mark.parametrize(
    ("runs", "box"),
    [
        ("0 5", (0, 0, 1, 5)),  # down the first column
        ("1023 2", (0, 0, 2, 1024)),  # the last pixel of a column, and the first of the next
        ("1025 3 1021 3", (1, 1, 2, 3)),  # the second start counts from the end of the first run
        ("1048575 1", (1023, 1023, 1, 1)),  # the last pixel
    ],
)
def test_columns_first_and_starts_from_the_end_of_the_run_before(tmp_path, runs, box):
    tree(tmp_path, f"{ONE},{runs}")
    [found] = only(scanned(tmp_path, "siim"))[ONE].images[0].boxes
    assert (found.x, found.y, found.w, found.h) == box
    assert found.label == "Pneumothorax"


@pytest.mark.parametrize("runs", ["1 2 3", "5 0", "1 -2", "1048575 2", "a b", "1.5 2"])
def test_run_lengths_that_cannot_be_are_no_box_and_no_absent_finding(tmp_path, runs):
    tree(tmp_path, f"{ONE},{runs}", f"{TWO},-1")
    joined = scanned(tmp_path, "siim")
    study = only(joined)[ONE]
    assert study.images[0].boxes == ()
    assert study.labels.get("Pneumothorax") != 0
    assert joined.notes["mask.bad_value"] == 1


def test_a_mask_and_no_mask_of_one_film_contradict_each_other(tmp_path):
    tree(tmp_path, f"{ONE},0 5", f"{ONE},-1", f"{TWO},-1")
    joined = scanned(tmp_path, "siim")
    assert joined.codes() == {"csv.conflict": 1}
    assert list(only(joined)) == [TWO]


def test_two_masks_of_a_film_are_two_boxes(tmp_path):
    tree(tmp_path, f"{ONE},0 5", f"{ONE},2048 7")
    joined = scanned(tmp_path, "siim")
    assert joined.listed == 1
    assert [box.h for box in only(joined)[ONE].images[0].boxes] == [5, 7]


def test_the_second_release_has_another_table(tmp_path):
    tree(tmp_path, f"{ONE},-1", name="stage_2_train.csv", head="ImageId,EncodedPixels\n")
    study = only(scanned(tmp_path, "siim", table="stage_2_train.csv"))[ONE]
    assert study.labels == {"Pneumothorax": 0}


def test_a_film_is_a_patient_whatever_its_header_says(out):
    studies = scanned(out / "siim", "siim").studies.values()
    assert len({study.patient for study in studies}) == len(studies)


# whole runs


def test_from_the_raw_tree_to_verified_shards(tmp_path):
    layouts.writer("siim")(tmp_path, faults=True, **SMALL)
    folder = built(tmp_path / "siim", "siim", tmp_path / "out")
    assert set(breaches(folder, deep=True)) <= {"image.twice", "image.own_splits"}
    lines = {(Path(path).stem): line for path, line in truth(tmp_path, "siim").items()
             if not line["unlisted"]}  # fmt: skip
    found = [sample for _, sample in samples(folder)]
    whole = [one for one in lines.values()
             if one["images"][0].get("fault") in (None, "no_syntax")]  # fmt: skip
    assert len(found) == len(whole)
    assert lost(folder)["image.missing"] >= 1
    scale = 96 / SMALL["height"]
    drawn = sorted(b for one in whole for b in boxes(one["images"][0]["boxes"], scale))
    stored = sorted(b for sample in found for b in boxes(sample["boxes"]))
    assert len(drawn) == len(stored) > 0
    for ours, theirs in zip(stored, drawn, strict=True):
        assert ours[1:] == pytest.approx(theirs[1:], abs=0.2)
    values = sorted(sample["labels"]["Pneumothorax"] for sample in found)
    assert values == sorted(one["labels"]["Pneumothorax"] for one in whole)
    assert all(sample["caption"] for sample in found)


def test_the_real_files_go_all_the_way(shared, tmp_path):
    real = shared / "data/siim_dicom_sample"
    files = sorted(real.glob("1.2.*.dcm"))
    if not files:
        pytest.skip("no files of SIIM-ACR in the shared data")
    raw = tmp_path / "raw"
    for place, file in enumerate([*files, *real.glob("Fake*.dcm")]):
        name = file.name if place < len(files) else f"{TWO}.dcm"
        target = raw / f"dicom-images-train/1.2.{place}/1.3.{place}/{name}"
        target.parent.mkdir(parents=True)
        shutil.copyfile(file, target)
    mask = np.zeros((1024, 1024), bool)
    mask[100:300, 600:900] = True  # made up
    lines = f"{files[0].stem},{run_lengths(mask)}\n{TWO}, -1\n"
    (raw / "train-rle.csv").write_text(HEAD + lines)
    folder = built(raw, "siim", tmp_path / "out", shards={"side": 256})
    assert set(breaches(folder, deep=True)) == set()
    found = {sample["labels"]["Pneumothorax"]: sample for _, sample in samples(folder)}
    assert found.keys() == {0, 1}
    [box] = found[1]["boxes"]
    assert (box["x"], box["y"], box["w"], box["h"]) == (150, 25, 75, 50)
    assert found[1]["projection"] == "PA"
    assert found[1]["sex"] in ("F", "M")
