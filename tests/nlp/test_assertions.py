"""Assertions: spans of any clinical English, and the mentions of the lexicon's findings."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.findings.mentions import assertion, mentions

# Own sentences from many clinics; the brackets mark the span that is asked about. Those of
# clinic.tsv were written in batches, each before the engine had read any of it; what it made of
# them at first sight is README's figure, here they all have to be right.
SPANS = [
    row
    for name in ("spans", "clinic")
    for row in csv.DictReader(
        (Path(__file__).parent / f"{name}.tsv").open(encoding="utf-8"),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
]


@pytest.mark.parametrize("row", SPANS, ids=[row["sentence"][:60] for row in SPANS])
def test_span_in_any_clinic(row: dict[str, str]) -> None:
    marked = row["sentence"]
    found = re.search(r"\[(.*?)\]", marked)
    assert found
    text = marked.replace("[", "").replace("]", "")
    assert assertion(text, found.start(), found.start() + len(found.group(1))) == row["assertion"]


def test_a_span_without_a_word_has_no_assertion() -> None:
    assert assertion("No ___ seen.", 3, 6) is None


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 3), (4, 3), (0, 10)])
def test_a_span_that_is_not_inside_the_sentence_is_an_error(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no span of the sentence"):
        assertion("No edema.", start, end)


def states(sentence: str) -> dict[str, str]:
    return {m.finding: m.assertion for m in mentions(sentence)}


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Opacity, possibly edema.", {"lung opacity": "present", "pulmonary edema": "uncertain"}),
        ("No effusion or pneumothorax.", {"pleural effusion": "absent", "pneumothorax": "absent"}),
        ("The heart is enlarged.", {"cardiomegaly": "present"}),
        ("Enlarged cardiac silhouette.", {"cardiomegaly": "present"}),
        ("Heart size is normal.", {"cardiomegaly": "absent"}),
        ("The lungs are clear.", {"lung opacity": "absent"}),
        ("Heart size is not increased.", {"cardiomegaly": "absent"}),
        ("The aorta is tortuous.", {"tortuous aorta": "present"}),
        ("Blunted left costophrenic angle.", {"costophrenic blunting": "present"}),
        ("Endotracheal tube in place.", {"endotracheal tube": "present"}),
        ("The endotracheal tube has been removed.", {"endotracheal tube": "absent"}),
        ("Evaluate for pneumonia.", {}),
        ("Patient with history of lymphoma.", {}),
        ("Emphysema, no pneumonia.", {"emphysema": "present", "pneumonia": "absent"}),
    ],
)
def test_mentions(sentence: str, wanted: dict[str, str]) -> None:
    assert states(sentence) == wanted


def test_the_fields_of_a_mention() -> None:
    (mention,) = mentions("There is a small left pleural effusion.")
    assert (mention.label, mention.side, mention.severity) == ("Pleural Effusion", "left", "small")
    (mention,) = mentions("No right pneumothorax.")
    assert (mention.side, mention.trigger) == ("right", "No")
    (mention,) = mentions("Calcified granuloma of the left upper lobe.")
    assert (mention.anatomy, mention.side) == ("upper lobe", "left")


WORDS = (
    "no not possible effusion , and ; ( ) heart is normal XXXX tube versus nodule the clear ~ - may"
)


@given(
    st.text(max_size=120) | st.lists(st.sampled_from(WORDS.split(" ")), max_size=25).map(" ".join)
)
def test_any_text_is_read_and_spans_are_inside(text: str) -> None:
    for mention in mentions(text):
        assert 0 <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end].strip()
        assert mention.assertion in ("present", "absent", "uncertain")


@pytest.mark.parametrize(
    ("sentence", "findings"),
    [
        ("Slight increase in the size of the left apical pneumothorax.", ["pneumothorax"]),
        ("Increase, if any, in the amount of pleural fluid.", ["pleural effusion"]),
        ("The heart is enlarged in size with an effusion.", ["cardiomegaly", "pleural effusion"]),
    ],
)
def test_the_extent_of_a_finding_is_no_finding(sentence: str, findings: list[str]) -> None:
    assert [m.finding for m in mentions(sentence)] == findings
