"""No prompt text denies a label that was not looked for, or contradicts itself or its labels.

A text is read twice: by the wordings that it was made of, and by the engine as a report.
"""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.labels import CHESTXRAY14, CHEXPERT14, VINDR, from_mentions
from cxr_vlp.nlp.layout.sentences import split
from cxr_vlp.nlp.status import classify
from cxr_vlp.nlp.wording.bank import own_bank
from cxr_vlp.nlp.wording.prompts import report_prompts, texts
from cxr_vlp.nlp.wording.relations import (
    contradicts_itself,
    deniable,
    never_denied,
    undeniable_beside,
)

FAMILIES = {"chexpert": CHEXPERT14, "nih": CHESTXRAY14, "vindr": VINDR}
EVERY = tuple(dict.fromkeys((*CHEXPERT14, *CHESTXRAY14, *VINDR)))
STATES = {"positive": 1, "negative": 0, "uncertain": -1}
NO_FINDING, DEVICES = "No Finding", "Support Devices"
# What a reader sees at once, written down apart from the table: (said, denied).
CONTRADICT = [
    ("Pneumonia", "Consolidation"), ("Pneumonia", "Infiltration"), ("Pneumonia", "Lung Opacity"),
    ("Consolidation", "Lung Opacity"), ("Consolidation", "Infiltration"),
    ("Infiltration", "Lung Opacity"), ("Lung Opacity", "Infiltration"), ("Edema", "Lung Opacity"),
    ("Atelectasis", "Lung Opacity"), ("Nodule", "Lung Lesion"), ("Mass", "Lung Lesion"),
    ("Nodule", "Nodule/Mass"), ("Nodule/Mass", "Lung Lesion"), ("Lung Tumor", "Lung Lesion"),
    ("Lung Tumor", "Mass"), ("Mass", "Lung Opacity"), ("Lung Cavity", "Lung Lesion"),
    ("Cardiomegaly", "Enlarged Cardiomediastinum"), ("Rib Fracture", "Fracture"),
    ("Clavicle Fracture", "Fracture"), ("Pleural Thickening", "Pleural Other"),
    ("Pleural Effusion", "Pleural Other"), ("Emphysema", "COPD"), ("ILD", "Fibrosis"),
    ("Fibrosis", "ILD"), ("Aortic Enlargement", "Enlarged Cardiomediastinum"),
]  # fmt: skip
APART = [  # and labels that do not exclude each other
    ("Lung Opacity", "Pneumonia"), ("Pneumonia", "Pleural Effusion"), ("Nodule", "Mass"),
    ("Fracture", "Rib Fracture"), ("Edema", "Pneumothorax"), ("Pleural Other", "Pleural Effusion"),
    ("Edema", "Atelectasis"), ("Lung Opacity", "Edema"),
]  # fmt: skip


@functools.cache
def wordings() -> dict[str, tuple[str, str]]:
    """Sentence -> (label, polarity), of all labels and polarities."""
    found: dict[str, tuple[str, str]] = {}
    for label in EVERY:
        for polarity in STATES:
            for text in texts(label, polarity):
                assert text not in found, f"{text} says {found[text]} and {label}"
                found[text] = (label, polarity)
    return found


def said(text: str) -> dict[str, int]:
    """What a text says of its labels, by the wordings it was made of."""
    rows = [wordings()[sentence.text] for sentence in split(text)]
    assert len({name for name, _ in rows}) == len(rows), "a label is said twice"
    return {name: STATES[polarity] for name, polarity in rows}


rows_of = st.sampled_from(sorted(FAMILIES)).flatmap(
    lambda family: st.dictionaries(
        st.sampled_from(FAMILIES[family]), st.sampled_from([1, 0, -1]), max_size=14
    )
)
mixed = st.dictionaries(st.sampled_from(EVERY), st.sampled_from([1, 0, -1]), max_size=20)


@settings(deadline=None, max_examples=300)
@given(st.one_of(rows_of, mixed), st.integers(0, 99), st.integers(0, 14))
def test_a_text_denies_only_what_its_labels_deny(row, seed, negatives):
    findings = {n: s for n, s in row.items() if s and n not in (NO_FINDING, DEVICES)}
    for text in report_prompts(row, k=2, seed=seed, epoch=0, key="a", negatives=negatives):
        found = said(text)
        denied = {name for name, state in found.items() if state == 0} - {NO_FINDING}
        assert all(row[name] == 0 for name in denied)
        assert len(denied) == min(negatives, len(deniable(row)))
        for name, state in row.items():  # every positive and uncertain label is said
            if state and name != NO_FINDING:
                assert found[name] == state
            assert not denied & undeniable_beside(name) or state == 0
        if findings:  # "the lungs are clear" beside a finding
            assert NO_FINDING not in found
        elif NO_FINDING in row:
            assert found[NO_FINDING] == row[NO_FINDING]
        else:
            assert NO_FINDING not in found


@settings(deadline=None, max_examples=60)
@given(st.one_of(rows_of, mixed), st.integers(0, 99))
def test_the_engine_finds_no_contradiction_between_text_and_labels(row, seed):
    for text in report_prompts(row, k=1, seed=seed, epoch=0, key="a"):
        read = from_mentions(m for s in split(text) for m in classify(s.text).mentions)
        for name, state in row.items():
            if name not in (NO_FINDING, DEVICES) and name in read:
                # what it says is read so; what is blank or 0 is never read as there
                assert read[name] == state or state in (0, -1), (name, text)
                if state == 0:
                    holders = [n for n, s in row.items() if s and name in undeniable_beside(n)]
                    assert read[name] == 0 or holders, (name, text)


@pytest.mark.parametrize(("says", "denies"), CONTRADICT)
def test_labels_that_imply_each_other_are_not_denied(says, denies):
    for state in (1, -1):
        for text in report_prompts(
            {says: state, denies: 0, "Hernia": 0}, k=20, seed=0, epoch=0, key=""
        ):
            assert said(text) == {says: state, "Hernia": 0}


@pytest.mark.parametrize(("says", "denies"), APART)
def test_labels_that_do_not_overlap_are_denied(says, denies):
    (text,) = report_prompts({says: 1, denies: 0}, k=1, seed=0, epoch=0, key="")
    assert said(text) == {says: 1, denies: 0}


def test_a_label_without_a_key_is_not_denied():
    for label in EVERY:
        for state in (1, -1):
            for text in report_prompts({label: state}, k=5, seed=0, epoch=0, key="x"):
                assert said(text) == {label: state}


def test_explicit_zeros_are_denied():
    row = {name: int(name == "Hernia") for name in CHESTXRAY14} | {NO_FINDING: 0}
    for text in report_prompts(row, k=10, seed=0, epoch=0, key="x"):
        found = said(text)
        assert found.pop("Hernia") == 1
        assert list(found.values()) == [0, 0, 0]


@pytest.mark.parametrize("row", [{}, {"Other Disease": 0}, {"Other Lesion": 0, "Other Disease": 0}])
def test_a_row_without_labels_gives_no_text(row):
    assert report_prompts(row, k=3, seed=0, epoch=0, key="x") == ()


def test_zeros_without_a_number_of_negatives_give_no_filler():
    assert report_prompts({"Edema": 0}, k=3, seed=0, epoch=0, key="x", negatives=0) == ()


def test_a_row_of_devices_alone_is_not_called_normal():
    for text in report_prompts({DEVICES: 1}, k=20, seed=0, epoch=0, key="x"):
        assert said(text) == {DEVICES: 1}


@pytest.mark.parametrize("state", [1, -1, 0])
def test_no_finding_alone_becomes_a_text(state):
    for text in report_prompts({NO_FINDING: state, DEVICES: 1}, k=20, seed=0, epoch=0, key="x"):
        assert said(text) == {NO_FINDING: state, DEVICES: 1}


def test_in_a_contradictory_row_the_positive_label_wins():
    assert contradicts_itself({"Pneumonia": 1, "Lung Opacity": 0})
    assert contradicts_itself({NO_FINDING: 1, "Edema": 1})
    assert not contradicts_itself({"Pneumonia": 0, "Lung Opacity": 1})
    assert not contradicts_itself({NO_FINDING: 1, DEVICES: 1, "Edema": 0})
    assert not contradicts_itself({"Pneumonia": 1, "Consolidation": 0}), "blurred, not wrong"
    for text in report_prompts({NO_FINDING: 1, "Edema": 1}, k=10, seed=0, epoch=0, key=""):
        assert said(text) == {"Edema": 1}


def test_the_table_names_labels_that_exist():
    table = lexicon.load("relations")
    named = {*table["implies"], *never_denied(), *(n for row in table["overlaps"] for n in row)}
    named |= {name for row in table["implies"].values() for name in row}
    assert named <= {*EVERY, *own_bank().names}
    for row in table["overlaps"]:
        assert all(set(row) - {name} <= undeniable_beside(name) for name in row)


def test_implication_is_transitive():
    for label in EVERY:
        for name in lexicon.load("relations")["implies"].get(label, ()):
            above = set(lexicon.load("relations")["implies"].get(name, ()))
            assert above | {name} <= undeniable_beside(label) | {label}


def test_no_wording_of_a_label_is_read_as_another():
    """By the engine: what a name asserts or denies is the label, or what the label holds."""
    for label in set(EVERY) - {NO_FINDING, DEVICES}:
        for name in own_bank().names[label]:
            for text in (f"There is {name}.", f"There is no {name}."):
                read = set(from_mentions(classify(text).mentions)) - {NO_FINDING}
                allowed = {label} | undeniable_beside(label)
                assert read <= allowed, f"{label}: {text} is read as {sorted(read)}"
