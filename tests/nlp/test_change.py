"""Change: what a sentence says of a finding since an earlier image, and of which finding."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.findings.mention import CHANGES, Mention
from cxr_vlp.nlp.findings.mentions import mentions

with (Path(__file__).parent / "change.tsv").open(encoding="utf-8") as file:
    ROWS = [(row["sentence"], row["changes"]) for row in csv.DictReader(file, delimiter="\t")]


with (Path(__file__).parent / "change_wordings.tsv").open(encoding="utf-8") as file:
    WORDINGS = [(r["sentence"], r["changes"]) for r in csv.DictReader(file, delimiter="\t")]


def findings(sentence: str) -> list[Mention]:
    return [m for m in mentions(sentence) if not m.device and not m.implied]


@pytest.mark.parametrize(("sentence", "changes"), ROWS)
def test_change(sentence: str, changes: str) -> None:
    found = findings(sentence)
    for part in changes.split(","):
        name, kind = part.split("=")
        assert {m.change for m in found if m.finding == name} == {kind}


@pytest.mark.parametrize(("sentence", "changes"), WORDINGS)
def test_change_of_each_side_in_other_syntax(sentence: str, changes: str) -> None:
    found = findings(sentence)
    for part in changes.split(","):
        name, kind = part.split("=")
        name, _, side = name.partition("/")
        said = [m for m in found if m.finding == name and side in ("", m.side)]
        assert {m.change for m in said} == {kind}
        if kind in ("resolved", "new", "stable"):
            assert {m.assertion for m in said} == {"absent" if kind == "resolved" else "present"}


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Interval increase in the left effusion.", "increase"),
        ("The effusion is not significantly worse.", "not significantly worse"),
        ("No change in the effusion.", "No change"),
        ("The effusion is NO LONGER seen.", "NO LONGER seen"),
        ("Moderate effusion.", ""),
    ],
)
def test_the_words_that_say_so_are_the_sentences(sentence: str, words: str) -> None:
    assert [m.change_words for m in findings(sentence)] == [words]


SIGNS = st.sampled_from(
    ["unchanged", "new", "larger", "has decreased", "resolved", "no change in", "again seen is",
     "compared to ___", "no", "not", ",", "and", "with", "but", "is", "that", "of", "the", ";"]
)  # fmt: skip
FINDINGS = st.sampled_from(["effusion", "right pneumothorax", "edema", "PICC", "heart", "opacity"])


@given(st.lists(st.one_of(SIGNS, FINDINGS), max_size=14).map(" ".join))
def test_any_words_give_a_known_change_with_words_of_the_sentence(sentence: str) -> None:
    for mention in mentions(sentence):
        assert mention.change in ("", *CHANGES)
        assert bool(mention.change) == bool(mention.change_words)
        assert mention.change_words in sentence
        assert not (mention.device and mention.change)
