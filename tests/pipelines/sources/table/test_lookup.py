"""Which file is the image that a row states: found wherever it is, and never a wrong one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import csv, images, scanned

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.sources.table import lookup
from cxr_vlp.pipelines.sources.table.lookup import Tails


def found(tmp_path, stated, there, **options):
    """Return stated path -> file that was taken, for rows that state one path each."""
    joined = scanned(tmp_path, {"t.csv": csv("image", *stated), **images(*there)}, image="image",
                     table="t.csv", **options)  # fmt: skip
    return joined, sorted(s.images[0].path for s in joined.studies.values())


@pytest.mark.parametrize(
    ("stated", "file"),
    [
        ("00000001_000.png", "images_001/images/00000001_000.png"),
        ("00000001_000", "00000001_000.jpg"),
        ("a/b/x.jpg", "PNG/PNG/a/b/x.png"),
        ("a\\b\\x.dcm", "a/b/x.DCM"),
        ("../deid_png/a/x.png", "deid_png/a/x.png"),
        ("./x.png", "x.png"),
        ("/mnt/nas/films/x.png", "films/x.png"),
        ("D:\\films\\x.png", "x.png"),
        ("1.2.840.113654.2.55", "dicom/1.2.840.113654.2.55.dicom"),
        ("1_IM-0001-4001.dcm.png", "images/1_IM-0001-4001.png"),
        ("x", "x.dcm.gz"),
        ("IM000001", "dicom/IM000001"),
        ("X.PNG", "x.png"),
    ],
)
def test_a_file_is_found_in_any_folder_and_form(tmp_path, stated, file):
    joined, paths = found(tmp_path, [stated], [file])
    assert paths == [file]
    assert joined.codes() == {}
    assert "image.unlisted" not in joined.notes


def test_the_same_name_in_two_stated_folders_is_never_taken_by_its_name_alone(tmp_path):
    stated = ["train/patient1/study1/view1.jpg", "train/patient2/study1/view1.jpg"]
    joined, paths = found(tmp_path, stated, ["patient2/study1/view1.jpg"])
    assert paths == ["patient2/study1/view1.jpg"]
    assert joined.codes() == {"image.missing": 1}


def test_the_root_s_own_folder_may_stand_in_front(tmp_path):
    root = tmp_path / "CheXpert-v1.0" / "train"
    stated = ["CheXpert-v1.0/train/p1/a.jpg", "CheXpert-v1.0/valid/p1/a.jpg"]
    _, paths = found(root, stated, ["p1/a.jpg"])
    assert paths == ["p1/a.jpg"]


def test_two_folders_that_are_equally_near_are_ambiguous(tmp_path):
    joined, paths = found(tmp_path, ["x.png", "y.png"], ["a/x.png", "b/x.png", "a/y.png"])
    assert paths == ["a/y.png"]
    assert joined.codes() == {"image.ambiguous": 1}


def test_the_folder_that_is_stated_decides_between_two_files(tmp_path):
    joined, paths = found(tmp_path, ["b/x.png"], ["a/x.png", "b/x.png"])
    assert paths == ["b/x.png"]
    assert joined.codes() == {}


@pytest.mark.parametrize(
    ("stated", "there", "taken"),
    [
        # p1/IMG1 was not downloaded; another patient's film has its name
        (["p1/IMG1.png", "p2/IMG2.png"], ["p2/IMG1.png", "p2/IMG2.png"], ["p2/IMG2.png"]),
        (["p1/s1/v.png", "p2/s1/w.png"], ["p3/s1/v.png", "p2/s1/w.png"], ["p2/s1/w.png"]),
        (["p1/IMG1.png", "p2/IMG2.png"], ["IMG1.png", "p2/IMG2.png"], ["IMG1.png", "p2/IMG2.png"]),
        (["old/x.png", "old/y.png"], ["new/x.png", "new/y.png"], ["new/x.png", "new/y.png"]),
    ],
)
def test_folders_count_where_they_are_those_of_the_disk(tmp_path, stated, there, taken):
    joined, paths = found(tmp_path, stated, there)
    assert paths == taken
    lost = len(stated) - len(taken)
    assert joined.codes() == ({"image.missing": lost} if lost else {})


def test_a_twin_in_folders_of_its_own_is_the_same_image(tmp_path):
    stated = ["dicom/p1/s1/x.dcm", "dicom/p2/s1/y.dcm"]
    there = ["dicom/p1/s1/x.dcm", "png/p1/s1/x.png", "png/p2/s1/y.png"]
    _, paths = found(tmp_path, stated, there, prefer="picture")
    assert paths == ["png/p1/s1/x.png", "png/p2/s1/y.png"]


@pytest.mark.parametrize("stated", ["a.png", "A.png"])
def test_of_two_files_that_differ_in_case_the_stated_one_is_taken(tmp_path, stated):
    _, paths = found(tmp_path, [stated], ["A.png", "a.png"])
    assert paths == [stated]


@pytest.mark.parametrize("stated", ["\u00e4.png", "a\u0308.png"])
def test_a_letter_and_its_mark_in_one_character_or_in_two(tmp_path, stated):
    _, paths = found(tmp_path, [stated], ["f/a\u0308.png"])
    assert paths == ["f/a\u0308.png"]


@pytest.mark.parametrize(("prefer", "taken"), [("dicom", "d/x.dcm"), ("picture", "p/x.png")])
def test_of_a_dicom_file_and_its_picture_the_preferred_one_is_taken(tmp_path, prefer, taken):
    joined, paths = found(tmp_path, ["x"], ["d/x.dcm", "p/x.png"], prefer=prefer)
    assert paths == [taken]
    assert joined.notes["image.duplicate_file"] == 1


def test_patterns_say_which_files_are_images(tmp_path):
    files = ["CXR_png/x.png", "masks/x.png"]
    joined, paths = found(tmp_path, ["x"], files, files=["CXR_png/*"])
    assert paths == ["CXR_png/x.png"]
    assert joined.codes() == {}


def test_ids_that_differ_in_case_only_stay_apart(tmp_path):
    joined, paths = found(tmp_path, ["aB.png", "Ab.png"], ["f/aB.png", "f/Ab.png"])
    assert paths == ["f/Ab.png", "f/aB.png"]
    assert len(joined.studies) == 2


@pytest.mark.parametrize(
    ("stated", "code"), [("a/../../x.png", "csv.path"), ("nan", "csv.image"), ("a/", "csv.path")]
)
def test_a_cell_that_names_no_file_is_a_lost_image(tmp_path, stated, code):
    joined, _ = found(tmp_path, ["y.png", stated], ["y.png", "x.png"])
    assert joined.codes() == {code: 1}
    assert joined.notes[f"{code} t.csv line 3"] == 1


def test_images_on_disk_that_no_row_names_are_counted(tmp_path):
    joined, _ = found(tmp_path, ["x.png"], ["x.png", "z.png", "notes.txt", ".hidden.png"])
    assert joined.notes["image.unlisted"] == 1


def test_a_second_scan_in_one_process_sees_a_new_file(tmp_path):
    joined, _ = found(tmp_path, ["x.png", "y.png"], ["x.png"])
    assert joined.codes() == {"image.missing": 1}
    joined, _ = found(tmp_path, ["x.png", "y.png"], ["x.png", "y.png"])
    assert joined.codes() == {}


PARTS = st.lists(st.sampled_from(["a", "b", "A", "c1"]), min_size=1, max_size=4).map(tuple)


@given(st.sets(PARTS, min_size=1, max_size=8))
def test_tails_tell_all_stated_paths_apart_and_are_shortest(stated):
    tails = Tails.of(stated)
    made = {tails.tail(parts) for parts in stated}
    assert len(made) == len(stated)
    if tails.length > 1:
        shorter = Tails(tails.length - 1, tails.exact)
        assert len({shorter.tail(parts) for parts in stated}) < len(stated)


@given(st.text(max_size=30))
def test_any_cell_names_a_file_below_the_root_or_none(cell):
    parts = ("none",)
    with contextlib.suppress(IngestError):
        parts = lookup.parts_of(cell)
    assert parts
    assert not {"..", ".", ""} & set(parts[:-1])
