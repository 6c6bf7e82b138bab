"""Context: what cues say of a finding where a plain list of phrases is not enough."""

from __future__ import annotations

import pytest
import traps
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.context.certainty import ASSERTION_OF, CERTAINTIES, grade
from cxr_vlp.nlp.context.scope import Verdict
from cxr_vlp.nlp.findings.mentions import assertion, mentions
from cxr_vlp.nlp.status import classify

# wordings that hold for any finding: {a} stands for its name, {A} for its name with a capital
WORDINGS = traps.rows("wordings.tsv")
NAMES = ("pneumothorax", "pleural effusion", "pneumonia", "pulmonary edema", "lung nodule")


@traps.cases("context.tsv")
def test_trap(row: traps.Row) -> None:
    traps.check(row)


@pytest.mark.parametrize("row", WORDINGS, ids=[row["wording"] for row in WORDINGS])
def test_a_wording_means_the_same_of_every_finding(row: dict[str, str]) -> None:
    for name in NAMES:
        sentence = row["wording"].replace("{a}", name).replace("{A}", name.capitalize())
        last = name.split()[-1]
        named = [m for m in mentions(sentence) if last in sentence[m.start : m.end].lower()]
        if row["expected"] == "past":
            assert all(m.assertion != "present" for m in named), sentence
        else:
            assert {m.assertion for m in named} == {row["expected"]}, sentence


@pytest.mark.parametrize(
    ("marked", "wanted"),
    [
        ("There is no evidence that the [hematoma] has expanded.", "present"),
        ("No progression of the [stenosis].", "present"),
        ("It is difficult to exclude [appendicitis].", "uncertain"),
        ("The normal ECG excludes [infarction].", "absent"),
        ("[Meningitis] was suspected, but this was ruled out.", "absent"),
        ("Possible [cellulitis], no abscess.", "uncertain"),
        ("Cough, possible [bronchitis].", "uncertain"),
        ("[Cough], possible bronchitis.", "present"),
        ("We cannot be sure there is no [leak].", "uncertain"),
        ("The pain may be secondary to [gastritis].", "uncertain"),
        ("[Gastritis] less likely.", "uncertain"),
        ("The pain is less likely [cardiac].", "uncertain"),
        ("No evidence that the [tumor] has spread.", "present"),
        ("She was not ruled out for [embolism].", "uncertain"),
        ("There is doubt whether he has [diabetes].", "uncertain"),
        ("[Hypertension] and stroke versus seizure.", "present"),
        ("Patient was seen for [headache], which has resolved.", "absent"),
        ("[Headache] which resolved with ibuprofen.", "present"),
        ("The medication does not allow [alcohol].", "present"),
        ("No [rash] other than a small one on the arm.", "present"),
    ],
)
def test_the_rules_hold_in_any_clinic(marked: str, wanted: str) -> None:
    start, end = marked.index("["), marked.index("]") - 1
    assert assertion(marked.replace("[", "").replace("]", ""), start, end) == wanted


@pytest.mark.parametrize(
    ("assertion", "trigger", "category", "wanted"),
    [
        ("present", "", "", "definite"),
        ("uncertain", "most likely", "uncertain_after", "probable"),
        ("uncertain", "likely", "uncertain_before", "probable"),
        ("uncertain", "less likely", "uncertain_before", "possible"),
        ("uncertain", "suspicious for", "uncertain_after", "probable"),
        ("uncertain", "?", "uncertain_after", "possible"),
        ("uncertain", "is favored over", "uncertain_before", "probable"),
        ("uncertain", "is favored over", "uncertain_after", "possible"),
        ("absent", "is unlikely", "absent_before", "unlikely"),
        ("absent", "No evidence of", "absent_after", "absent"),
    ],
)
def test_grade(assertion: scope.Assertion, trigger: str, category: str, wanted: str) -> None:
    assert grade(Verdict(assertion, trigger, category)) == wanted


WORDS = (
    "no evidence that if any present , ? ( ) one it which cannot be excluded exclude rules out "
    "prior post history of now growth increase in the known effusion small left likely possible "
    "with other than a trace there is may be secondary to although neg. father stable less"
)


@given(
    st.text(max_size=80) | st.lists(st.sampled_from(WORDS.split(" ")), max_size=20).map(" ".join)
)
def test_certainty_and_assertion_agree_on_any_text(text: str) -> None:
    for mention in mentions(text):
        assert mention.certainty in CERTAINTIES
        assert ASSERTION_OF[mention.certainty] == mention.assertion
    assert classify(text) == classify(text)
