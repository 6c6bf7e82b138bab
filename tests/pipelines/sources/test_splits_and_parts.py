"""Patients are assigned to splits, and studies to parts, by hash: other data change nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines import parts
from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.records import Image, Study
from cxr_vlp.pipelines.sources.splits import PatientRule
from cxr_vlp.pipelines.stages.scan_study import place_patient

RULE = PatientRule("mimic", "salt", 0.1, 0.2)
COUNTS = {"train": 7, "validate": 2, "test": 3}


def study(key: str, when: str = "", split: str = "train") -> Study:
    return Study("mimic", key, "p", split, (Image("a", "a.png"),), when=when)


def test_splits_have_the_requested_fractions():
    found = Counter(RULE.split(str(i)) for i in range(20_000))
    assert [round(found[s] / 20_000, 2) for s in SPLITS] == [0.7, 0.1, 0.2]


def test_without_held_out_there_is_no_test_and_the_proportion_stays():
    found = Counter(RULE.split(str(i), held_out=False) for i in range(20_000))
    assert found["test"] == 0
    assert found["validate"] / 20_000 == pytest.approx(0.1 / 0.8, abs=0.01)


def test_salt_and_source_change_the_splits():
    others = [PatientRule("mimic", "other", 0.1, 0.2), PatientRule("nih", "salt", 0.1, 0.2)]
    patients = [str(number) for number in range(200)]
    ours = [RULE.split(patient) for patient in patients]
    assert all([other.split(patient) for patient in patients] != ours for other in others)


@given(st.sampled_from(SPLITS), st.text(min_size=1, max_size=12))
def test_a_part_is_of_its_split_and_in_range(split, key):
    name = parts.of("mimic", split, key, COUNTS)
    assert parts.split_of(name) == split
    assert name in parts.names("mimic", COUNTS)


def test_a_new_study_moves_no_other_study():
    before = {key: parts.of("mimic", "train", key, COUNTS) for key in map(str, range(50))}
    after = {key: parts.of("mimic", "train", key, COUNTS) for key in map(str, range(51))}
    assert before == {key: after[key] for key in before}


@given(st.permutations(["2180", "2181", "2182"]))
def test_the_order_follows_the_time_and_not_the_id(times):
    placed = list(place_patient([study(f"s{i}", when) for i, when in enumerate(times)]))
    assert [times[int(s.key[1:])] for s in placed] == sorted(times)
    assert [s.order for s in placed] == [0, 1, 2]
    assert all(s.when == "" for s in placed)


def test_an_unknown_time_gives_no_order():
    assert [s.order for s in place_patient([study("s1", "2180"), study("s2")])] == [None, None]


def test_one_time_for_all_studies_gives_no_order():
    same = "19010101000000.00"
    placed = [s.order for s in place_patient([study("s1", same), study("s2", same)])]
    assert placed == [None, None]
    assert [s.order for s in place_patient([study("s1", same)])] == [0]


def test_a_patient_in_two_splits_stops():
    with pytest.raises(DataError, match=r"split\.two"):
        list(place_patient([study("s1"), study("s2", split="test")]))
