"""Invented patients: their number, the same for a seed, plausible from study to study."""

from __future__ import annotations

from collections import Counter

import pytest

from cxr_vlp.pipelines.synthetic.cases.findings import Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study, cohort
from cxr_vlp.pipelines.synthetic.layouts.nih import nih_labels

MAIN = (
    "Cardiomegaly",
    "Pleural Effusion",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Atelectasis",
    "Lung Lesion",
    "Fracture",
    "Support Devices",
)
SOURCES = ("mimic", "chexpert", "nih", "openi")


def studies_of(source: str, count: int, seed: int = 0) -> list[Study]:
    return [s for p in cohort(source, count, seed) for s in p.studies]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("count", [0, 1, 2, 7, 60])
def test_the_studies_add_up(source: str, count: int) -> None:
    people = cohort(source, count, 3)
    assert sum(len(p.studies) for p in people) == count
    assert [p.number for p in people] == list(range(1, len(people) + 1))
    assert all(1 <= len(p.studies) <= 3 for p in people)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_main_finding_is_frequent_enough_to_learn(source: str, seed: int) -> None:
    studies = studies_of(source, 400, seed)
    shares = Counter(f.name for s in studies for f in s.findings)
    assert {name: shares[name] for name in MAIN if shares[name] < 0.08 * 400} == {}
    normal = sum(not s.findings for s in studies) / 400
    assert 0.33 <= normal <= 0.42


def test_the_cohort_depends_on_source_and_seed_alone() -> None:
    assert cohort("mimic", 40, 5) == cohort("mimic", 40, 5)
    assert cohort("mimic", 40, 5) != cohort("mimic", 40, 6)
    assert cohort("mimic", 40, 5) != cohort("openi", 40, 5)


def test_a_longer_cohort_begins_with_the_shorter_one() -> None:
    short, long = cohort("nih", 30, 1), cohort("nih", 60, 1)
    assert long[: len(short) - 1] == short[:-1]


@pytest.mark.parametrize("source", SOURCES)
def test_a_later_study_has_a_prior_and_the_same_person(source: str) -> None:
    for person in cohort(source, 200, 0):
        assert [s.number for s in person.studies] == list(range(1, len(person.studies) + 1))
        assert {(s.patient, s.sex) for s in person.studies} == {(person.number, person.sex)}
        assert all(s.prior for s in person.studies[1:])
        for before, after in zip(person.studies, person.studies[1:], strict=False):
            gone = {f.name for f in after.resolved}
            lasting = {f for f in before.findings if f.name in ("Fracture", "Lung Lesion")}
            assert {f.name for f in lasting} <= {f.name for f in after.findings}
            assert gone <= {f.name for f in before.findings} - {f.name for f in after.findings}


def test_uncertain_findings_are_mild_and_new() -> None:
    found = [f for s in studies_of("mimic", 400) for f in s.findings]
    doubted = [f for f in found if f.assertion == "uncertain"]
    assert len(doubted) > 0.05 * len(found)
    assert {(f.severity, f.age_of) for f in doubted} == {("mild", "new")}


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("nih", {("PA",), ("AP",)}),
        ("mimic", {("PA", "LATERAL"), ("AP",), ("AP", "LATERAL")}),
        ("openi", {("PA", "LATERAL"), ("PA",), ("PA", "LATERAL", "AP"), ()}),
    ],
)
def test_views_are_those_the_collection_has(source: str, allowed: set[tuple[str, ...]]) -> None:
    assert {s.views for s in studies_of(source, 400)} == allowed


@pytest.mark.parametrize(
    ("findings", "names"),
    [
        pytest.param((), ["No Finding"], id="normal"),
        pytest.param((Finding("Support Devices", kind="ett"),), ["No Finding"], id="device-only"),
        pytest.param((Finding("Lung Lesion", kind="mass"),), ["Mass"], id="mass"),
        pytest.param((Finding("Lung Lesion", kind="nodule"),), ["Nodule"], id="nodule"),
        pytest.param(
            (Finding("Pleural Effusion", "left"), Finding("Edema")), ["Edema", "Effusion"], id="two"
        ),
        pytest.param(
            (Finding("Pneumonia", "left"),), ["Consolidation", "Pneumonia"], id="pneumonia"
        ),
        pytest.param((Finding("Pleural Other", "left"),), ["Pleural_Thickening"], id="underscore"),
    ],
)
def test_nih_labels(findings: tuple[Finding, ...], names: list[str]) -> None:
    assert nih_labels(Study(1, 1, "F", 50, ("PA",), findings, prior=False)) == names
