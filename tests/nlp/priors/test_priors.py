"""Texts without priors: what of a sentence a single image can justify."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.context.scope import ABSENT
from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.priors.rewriting import DROPPED, EDITS, KEPT, without_priors

with (Path(__file__).parent / "priors.tsv").open(encoding="utf-8") as file:
    ROWS = [(row["sentence"], row["prior_free"]) for row in csv.DictReader(file, delimiter="\t")]
SENTENCES = [sentence for sentence, _ in ROWS]
# no other word is invented
ADDED = {"there", "is", "are", "a", "an", "no", "present", "seen", "and"}


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))


@pytest.mark.parametrize(("sentence", "expected"), ROWS)
def test_prior_free(sentence: str, expected: str) -> None:
    found = without_priors(sentence)
    assert found.text == expected
    assert found.edit in EDITS
    assert (found.edit == KEPT) == (found.text == sentence)
    assert (found.edit == DROPPED) == (not found.text)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_nothing_is_invented_and_no_word_of_change_is_left(sentence: str) -> None:
    text, edit = without_priors(sentence)
    assert words(text) <= words(sentence) | ADDED
    if edit != KEPT:  # "to document resolution" is an aim, "persistent left SVC" a name
        assert not words(text) & lexicon.words("priors", "banned")


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_findings_are_those_of_the_sentence(sentence: str) -> None:
    before, after = mentions(sentence), mentions(without_priors(sentence).text)
    there = {m.finding for m in before if m.assertion != ABSENT or m.change == "stable"}
    denied = {m.finding for m in before if m.assertion == ABSENT}
    assert {m.finding for m in after if m.assertion != ABSENT} <= there
    assert {m.finding for m in after if m.assertion == ABSENT} <= denied


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_second_time_changes_nothing(sentence: str) -> None:
    text = without_priors(sentence).text
    assert without_priors(text).text == text


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "?",
        "Small left effusion, no pneumothorax",
        "no lower-case start is touched",
        "Degenerative changes of the spine.",
        "Status post prior CABG.",
        "The opacity in the left lung is denser than in the right.",
    ],
)
def test_what_tells_of_no_earlier_image_is_kept_as_it_is(sentence: str) -> None:
    assert without_priors(sentence) == (sentence, KEPT)


def test_a_word_may_be_said_of_another_structure_in_what_is_left() -> None:
    # the engine reads "enlarged" as said of the mediastinum here
    sentence = "Heart size mildly enlarged, stable mediastinal contours."
    assert without_priors(sentence).text == "Heart size mildly enlarged."


def test_the_report_is_joined_from_what_is_left() -> None:
    report = "IMPRESSION: No significant interval change. The effusion has increased. No edema."
    assert annotate(report).prior_free == "There is an effusion. No edema."


PARTS = st.sampled_from(
    ["unchanged", "new", "larger than", "has decreased", "resolved", "no change in", "remains",
     "again seen is", "compared to", "since", "the prior", "___", "XXXX", "______", "2010", "no",
     "not", ",", "and", "with", "but", "is", "that", "of", "the", ";", ".", "(", ")", "effusion",
     "Right pneumothorax", "edema", "PICC", "heart", "opacity", "removal of", "placed", "a", "now"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=24).map(" ".join))
def test_any_words_give_a_text_that_is_closed_and_invents_nothing(sentence: str) -> None:
    found = without_priors(sentence)
    if found.edit == KEPT:
        assert found.text == sentence
        return
    assert words(found.text) <= words(sentence) | ADDED
    assert not found.text or found.text[-1] in ".!?"
    assert found.text[:1] == found.text[:1].upper()


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert without_priors(text).edit in EDITS


@pytest.mark.parametrize("part", ["_", "20", "the prior ", "and ", "compared to ", "___ ", "X"])
def test_long_repetitions_take_no_time(part: str) -> None:
    assert without_priors("compared to " + part * 300 + "!").edit in EDITS
    assert without_priors(("compared to " + part * 90)[:1100] + "!").edit in EDITS
