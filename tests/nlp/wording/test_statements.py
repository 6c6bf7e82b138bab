"""Statements: mentions re-said in one standard form, and read back as the same."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.wording.statements import restate


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Small left pleural effusion.", "There is a small left pleural effusion."),
        ("No pneumothorax.", "There is no pneumothorax."),
        (
            "Possible pneumonia in the right lower lobe.",
            "There may be pneumonia in the right lower lobe.",
        ),
        ("Bilateral pleural effusions.", "There are bilateral pleural effusions."),
        ("Bibasilar atelectasis.", "There is atelectasis at both lung bases."),
        ("No large effusion.", "There is no large pleural effusion."),
        ("Heart size is normal.", "There is no cardiomegaly."),
        ("Degenerative changes of the spine.", "There are degenerative changes of the spine."),
    ],
)
def test_standard_form(sentence: str, wanted: str) -> None:
    assert restate(mentions(sentence)) == (wanted,)


def test_each_only_once() -> None:
    assert len(restate([*mentions("No edema."), *mentions("There is no edema.")])) == 1


def test_statements_are_read_back_as_what_they_say() -> None:
    path = Path(__file__).parents[1] / "sentences.tsv"
    for row in csv.DictReader(path.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE):
        for mention in mentions(row["sentence"]):
            (text,) = restate([mention])
            again = [m for m in mentions(text) if not m.implied]
            assert [m.assertion for m in again] == [mention.assertion], text
            if mention.label:
                assert again[0].label == mention.label, text
