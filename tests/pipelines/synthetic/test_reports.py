"""Invented reports: they agree with the findings of the study in every wording and format."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines.synthetic.cases.findings import CHEXPERT_LABELS, Finding
from cxr_vlp.pipelines.synthetic.cases.patients import Study, cohort
from cxr_vlp.pipelines.synthetic.reports.report_plan import labels, plan
from cxr_vlp.pipelines.synthetic.reports.report_text import Report, mimic_text, openi_sections
from cxr_vlp.pipelines.synthetic.reports.report_writer import report as report_of

PATCH = (0.5, 0.6, 0.7, 0.5)
# The words by which a reader finds each label again, in a wording of the report.
WORDS = {
    "Cardiomegaly": r"cardiomegaly|heart",
    "Enlarged Cardiomediastinum": r"mediastin",
    "Pleural Effusion": r"effusion",
    "Pneumothorax": r"pneumothorax",
    "Consolidation": r"consolidation",
    "Pneumonia": r"pneumonia",
    "Lung Opacity": r"opacity",
    "Edema": r"edema",
    "Atelectasis": r"atelectasis",
    "Lung Lesion": r"nodule|mass",
    "Fracture": r"fracture",
    "Pleural Other": r"pleural thickening",
    "Support Devices": r"tube|line|picc|catheter|pacemaker|wires",
}


def studies_of(*sources: str) -> list[Study]:
    return [s for name in sources for p in cohort(name, 150, 2) for s in p.studies]


def study_of(*findings: Finding, prior: bool = False) -> Study:
    return Study(5, 1, "F", 50, ("AP",), findings, prior=prior, source="mimic")


def wordings(study: Study, seeds: Iterable[int] = range(60)) -> list[tuple[str, str]]:
    reports = (report_of(study, seed=seed) for seed in seeds)
    return [(text, status) for r in reports for text, _, status in r.sentences]


@pytest.mark.parametrize("source", ["mimic", "openi"])
def test_labels_are_those_the_sentences_state(source: str) -> None:
    """1 and -1 have an abnormal or uncertain sentence that names them, 0 only normal ones."""
    for study in studies_of(source):
        sentences = report_of(study, seed=9).sentences
        for label, value in labels(study).items():
            if label == "No Finding":
                continue
            said = {s for text, _, s in sentences if re.search(WORDS[label], text.lower())}
            wanted = {1: {"abnormal"}, -1: {"uncertain"}, 0: {"normal", "abnormal"}}[value]
            if label == "Support Devices":
                wanted = {"nonfinding"}
            if label == "Pneumonia" and value == -1:
                wanted = {"abnormal"}  # the shadow is certain, its cause is not
            assert said & wanted, (label, value)


@pytest.mark.parametrize("source", ["mimic", "openi"])
def test_findings_without_a_label_are_not_mentioned(source: str) -> None:
    for study in studies_of(source):
        text = " ".join(t.lower() for t, _, _ in report_of(study, seed=4).sentences)
        silent = set(CHEXPERT_LABELS) - set(labels(study)) - {"No Finding", "Support Devices"}
        silent -= {"Cardiomegaly", "Enlarged Cardiomediastinum"}  # "mediastinal" is in both
        assert {label for label in silent if re.search(WORDS[label], text)} == set()


@pytest.mark.parametrize(
    ("findings", "value"),
    [
        pytest.param((), 1, id="normal"),
        pytest.param((Finding("Support Devices", "left", kind="line"),), 1, id="device-only"),
        pytest.param((Finding("Edema"),), None, id="edema"),
        pytest.param((Finding("Edema", assertion="uncertain"),), None, id="hedged-edema"),
    ],
)
def test_no_finding_only_where_nothing_but_a_device(
    findings: tuple[Finding, ...], value: int | None
) -> None:
    assert labels(study_of(*findings)).get("No Finding") == value


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        pytest.param(
            Finding("Pneumonia", "left", "mild", "lower", PATCH),
            {"Pneumonia": 1, "Consolidation": 1},
            id="pneumonia-is-a-consolidation",
        ),
        pytest.param(
            Finding("Pneumonia", "left", "mild", "lower", PATCH, assertion="uncertain"),
            {"Pneumonia": -1, "Consolidation": 1},
            id="only-the-cause-is-hedged",
        ),
        pytest.param(
            Finding("Edema", severity="mild", assertion="uncertain"), {"Edema": -1}, id="hedged"
        ),
    ],
)
def test_labels_of_a_finding(finding: Finding, expected: dict[str, int]) -> None:
    assert expected.items() <= labels(study_of(finding)).items()


def test_a_resolved_finding_is_denied() -> None:
    gone = (Finding("Pneumothorax", "left", zone="upper"),)
    study = Study(5, 2, "F", 50, ("AP",), (), prior=True, resolved=gone, source="mimic")
    assert labels(study)["Pneumothorax"] == 0
    said = [s for text, s in wordings(study) if "resol" in text or "no longer" in text]
    assert said
    assert set(said) == {"normal"}


@pytest.mark.parametrize(
    ("finding", "pattern"),
    [
        (Finding("Pleural Effusion", "left", "severe", "lower"), r"large left(-sided)? pleural"),
        (Finding("Pleural Effusion", "bilateral", "mild"), r"small bilateral pleural effusions"),
        (Finding("Cardiomegaly", severity="mild"), r"mild cardiomegaly|mildly enlarged heart"),
        (Finding("Cardiomegaly", severity="mild", age_of="old"), r"mild cardiomegaly|mildly enl"),
        (Finding("Lung Lesion", "right", "mild", "upper", PATCH, "mass", size_cm=4.2), r"4\.2 cm"),
        (Finding("Fracture", "left", "mild", "ribs", number=4), r"left fourth and fifth ribs"),
        (Finding("Fracture", "left", "severe", "ribs", number=4), r"fourth through eighth ribs"),
        (
            Finding("Fracture", "left", "mild", "ribs", age_of="old", number=4),
            r"[Hh]ealed fractures",
        ),
        (Finding("Fracture", "right", "mild", "clavicle"), r"right clavicle"),
        (Finding("Consolidation", "right", "mild", "mid", PATCH), r"right mid(dle lobe| lung)"),
    ],
)
def test_wordings_name_side_place_and_grade(finding: Finding, pattern: str) -> None:
    said = [text for text, status in wordings(study_of(finding)) if status == "abnormal"]
    assert said
    assert [text for text in said if not re.search(pattern, text, re.IGNORECASE)] == []


@pytest.mark.parametrize("name", ["Edema", "Pleural Effusion", "Atelectasis", "Fracture"])
def test_hedged_sentences_are_uncertain_and_have_a_cue(name: str) -> None:
    finding = Finding(name, "left", "mild", "ribs", number=5, assertion="uncertain")
    cue = r"possible|may be|cannot be excluded|not excluded|probable|questionable"
    said = [t for t, s in wordings(study_of(finding)) if s == "uncertain"]
    assert said
    assert [text for text in said if not re.search(cue, text, re.IGNORECASE)] == []


def test_most_impressions_name_every_finding() -> None:
    named = total = 0
    for study in studies_of("mimic", "openi"):
        impression = [
            text.lower() for text, place, _ in report_of(study, seed=1).sentences
            if place == "impression"
        ]  # fmt: skip
        for finding in study.findings if impression else ():
            total += 1
            named += any(re.search(WORDS[finding.name], text) for text in impression)
    assert named / total > 0.85


def test_reports_have_many_wordings() -> None:
    finding = Finding("Pleural Effusion", "left", "moderate", "lower")
    texts = {text for text, _ in wordings(study_of(finding), range(200)) if "left" in text}
    assert len(texts) >= 10


def test_labels_do_not_depend_on_the_wording_and_the_report_on_nothing_else() -> None:
    for study in studies_of("mimic")[:40]:
        assert report_of(study, seed=3) == report_of(study, seed=3)
        denied = {n for n, v in labels(study).items() if v == 0 and n != "No Finding"}
        assert denied >= set(plan(study).denied)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 149))
def test_mimic_lines_start_with_one_blank_and_are_narrow(seed: int, place: int) -> None:
    report = report_of(studies_of("mimic")[place], seed=seed)
    text = mimic_text(report, seed)
    lines = text.splitlines()
    assert text.endswith("\n")
    assert all(line.startswith(" ") for line in lines)
    assert max(map(len, lines)) <= 79
    assert " " * 33 + "FINAL REPORT" in lines
    assert "{" not in text
    flat = " ".join(text.split())
    assert [t for t, _, _ in report.sentences if " ".join(t.split()) not in flat] == []


def test_layouts_vary_as_the_collection_does() -> None:
    texts = [mimic_text(report_of(s, seed=0), seed) for seed, s in enumerate(studies_of("mimic"))]
    for trait in ("\n IMPRESSION: \n", "\n IMPRESSION:  ", "WET READ", "____\n  ", " 1. ", "___"):
        assert any(trait in text for text in texts), trait
    bare = [t for t in texts if not re.search("FINDING|IMPRESSION|CONCLUSION", t)]
    assert 0 < len(bare) < 0.2 * len(texts)
    assert any("FINDINGS" in t and not re.search("IMPRESSION|CONCLUSION", t) for t in texts)
    assert any(re.search("IMPRESSION|CONCLUSION", t) and "FINDING" not in t for t in texts)


def test_a_paragraph_without_heading_stands_after_a_blank_line() -> None:
    report = Report(
        (("TECHNIQUE", "AP."), ("", "Clear lungs.")), (("Clear lungs.", "body", "normal"),)
    )
    assert mimic_text(report, 1).endswith(" \n Clear lungs.\n \n")


def test_openi_sections_hold_the_report_and_its_own_masks() -> None:
    for study in studies_of("openi"):
        report = report_of(study, seed=0)
        sections = openi_sections(report)
        assert sorted(sections) == ["comparison", "findings", "impression", "indication"]
        assert "___" not in "".join(sections.values())
        assert "\n" not in "".join(sections.values())
        for text, place, _ in report.sentences:
            assert text in sections[place]
