"""The same image in two splits: over all sets, by file and by grey values, in little memory."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from breaking import codes, edit, members, put, rewrite, tar_of
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.format.sample import Pixels
from cxr_vlp.pipelines.records import dumps
from cxr_vlp.pipelines.validate import image, runner
from cxr_vlp.pipelines.validate.leakage import Ledger, Place, digest, each


@pytest.fixture
def sets(built, tmp_path) -> dict[str, Path]:
    for name in ("nih", "chexpert"):
        shutil.copytree(built / "shards" / name, tmp_path / name)
    return {name: tmp_path / name for name in ("nih", "chexpert")}


def stolen(from_folder: Path, *names: str):
    """Return a change that gives the first sample members of another set's first train sample."""
    (_, stored), (_, document) = members(tar_of(from_folder))[:2]
    theirs = json.loads(document)

    def change(before):
        own = json.loads(before[1][1]) | {"pixels": theirs["pixels"], "boxes": []}
        own["provenance"] = own["provenance"] | {n: theirs["provenance"][n] for n in names}
        return put(0, stored)(put(1, dumps(own).encode())(before))

    return change


def test_an_nih_image_in_the_test_split_of_another_collection(sets):
    rewrite(sets["chexpert"], stolen(sets["nih"]), "test")
    assert codes(*sets.values()) == set()  # other file, other name: only the pixels show it
    assert codes(sets["chexpert"], deep=True) == set()
    found = runner.check(list(sets.values()), deep=True)["breaches"]
    assert found == [
        {
            "code": "image.two_splits",
            "where": "chexpert/test and nih/train (same grey values)",
            "count": 1,
        }
    ]


def test_a_collection_that_repeats_an_image_over_its_own_splits_is_a_note():
    findings = runner.CheckResults()
    for place in (Place("nih", "train"), Place("nih", "test"), Place("rsna", "train")):
        findings.images.add(place, digest("one image"))
    findings.compare()
    assert [breach["where"] for breach in findings.breaches] == [
        "nih/test and rsna/train (same grey values)"
    ]
    assert findings.notes["image.own_splits", "nih/test and nih/train (same grey values)"] == 1


def test_the_same_file_in_two_splits_is_found_without_decoding(sets):
    rewrite(sets["chexpert"], stolen(sets["nih"], "image_sha256", "image_fingerprint"), "test")
    found = runner.check(list(sets.values()), deep=False)["breaches"]
    assert [(b["code"], b["where"]) for b in found] == [
        ("image.two_splits", "chexpert/test and nih/train (same file)")
    ]


def test_the_same_image_twice_in_one_split_is_a_note(sets):
    rewrite(sets["chexpert"], stolen(sets["nih"]), "train")
    result = runner.check(list(sets.values()), deep=True)
    assert result["breaches"] == []
    assert result["notes"] == [
        {
            "code": "image.twice",
            "where": "chexpert/train and nih/train (same grey values)",
            "count": 1,
        }
    ]


def test_a_patient_of_the_train_split_in_the_test_split(sets):
    patient = json.loads(members(tar_of(sets["nih"]))[1][1])["patient"]
    rewrite(sets["nih"], edit(patient=patient), "test")
    assert "patient.two_splits" in codes(sets["nih"])


def test_a_patient_in_two_sets_of_one_collection(sets, tmp_path):
    patient = json.loads(members(tar_of(sets["nih"]))[1][1])["patient"]
    twin = tmp_path / "later"
    shutil.copytree(sets["nih"], twin)
    rewrite(twin, edit(patient=patient), "test")
    shutil.rmtree(sets["nih"] / "test")
    found = runner.check([sets["nih"], twin], deep=False)["breaches"]
    assert "later/test and nih/train" in {
        b["where"] for b in found if b["code"] == "patient.two_splits"
    }


def test_equal_patient_ids_of_two_collections_are_accepted(sets):
    patient = json.loads(members(tar_of(sets["nih"]))[1][1])["patient"]
    rewrite(sets["chexpert"], edit(patient=patient), "test")
    assert "patient.two_splits" not in codes(*sets.values())


def test_the_same_keys_in_two_sets(sets, tmp_path):
    shutil.copytree(sets["nih"], tmp_path / "twin")
    found = runner.check([sets["nih"], tmp_path / "twin"], deep=True)
    assert [b["code"] for b in found["breaches"]] == ["key.twice"]
    assert found["breaches"][0]["count"] == found["sets"][0]["samples"]


def test_the_same_grey_values_in_another_shape_are_another_image():
    values = np.linspace(0, 250, 5000).astype(np.uint8)  # plausible in either shape
    codes_and_digests = [
        image.decode(cv2.imencode(".png", values.reshape(shape))[1].tobytes(), Pixels())
        for shape in ((50, 100), (100, 50), (50, 100))
    ]
    assert [code for code, _ in codes_and_digests] == [""] * 3
    wide, tall, again = (digest for _, digest in codes_and_digests)
    assert wide == again != tall


places = st.builds(Place, st.sampled_from("ab"), st.sampled_from(["train", "test"]))
entries = st.lists(st.tuples(places, st.lists(st.integers(0, 6), max_size=8)), max_size=8)


@given(entries)
def test_the_ledger_counts_like_a_dictionary(entered):
    ledger, stands = Ledger(), defaultdict(list)
    for place, things in entered:
        ledger.add(place, b"".join(digest(str(thing)) for thing in things))
        for thing in things:
            stands[thing].append(place)
    assert ledger.twice() == sum(len(where) > 1 for where in stands.values())
    crossing = sum(len({p.split for p in where}) > 1 for where in stands.values())
    assert bool(ledger.across()) == bool(crossing)
    within = sum(
        sum(p.split == split for p in where) > 1
        for where in stands.values()
        for split in ("train", "test")
    )
    assert sum(ledger.within().values()) == within


def test_digests_that_end_with_zeros_are_distinguished():
    ledger = Ledger()
    ledger.add(Place("a", "train"), bytes(16) + b"\1" + bytes(15) + bytes(15) + b"\1")
    assert ledger.twice() == 0
    ledger.add(Place("a", "test"), bytes(16))
    assert ledger.across() == {"a/test and a/train": 1}
    assert list(each(bytes(16) + b"\1" * 16)) == [bytes(16), b"\1" * 16]
