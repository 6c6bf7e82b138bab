"""Statements of whole reports: faithful, in good English, and without a contradiction."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.annotate import AnnotatedSentence, Annotation, annotate
from cxr_vlp.nlp.wording.report_statements import of_report
from tests.nlp.test_gold import reports
from tests.nlp.wording.contradiction import contradictions
from tests.nlp.wording.english import faults

FOLDER = Path(__file__).parent
ABNORMAL = ("abnormal", "uncertain")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


OWN = rows(FOLDER / "statements.tsv")
SENTENCES = [row["sentence"] for row in rows(FOLDER.parent / "sentences.tsv")]


@pytest.mark.parametrize("row", OWN, ids=lambda row: row["report"])
def test_statements_of_a_report(row: dict[str, str]) -> None:
    assert " ".join(annotate("FINDINGS: " + row["report"]).statements) == row["statements"]


def own_reports() -> Iterator[Annotation]:
    """Reports of own sentences in any mixture: most contradict themselves."""
    rng = random.Random(0)
    texts = SENTENCES + [row["report"] for row in OWN]
    for count in (1, 2, 4, 8):
        for _ in range(300):
            yield annotate({"findings": "\n".join(rng.sample(texts, count))})


def faulty(annotations: Iterable[Annotation]) -> tuple[dict[str, list[str]], list[object]]:
    """The statements that are no good English, and the pairs that contradict each other."""
    wrong: dict[str, list[str]] = {}
    pairs: list[object] = []
    for annotation in annotations:
        wrong |= {t: found for t in annotation.statements if (found := faults(t))}
        is_abnormal = any(s.status in ABNORMAL for s in annotation.sentences)
        pairs += contradictions(annotation.statements, is_abnormal)
    return wrong, pairs


def test_own_reports_are_restated_in_good_english_without_contradiction() -> None:
    assert faulty(own_reports()) == ({}, [])


@pytest.mark.slow
def test_real_reports_are_restated_in_good_english_without_contradiction(shared: Path) -> None:
    assert faulty(annotate(parts) for _, parts in reports(shared)) == ({}, [])


def test_an_addendum_takes_back_what_it_denies() -> None:
    texts = {"findings": "Small right pneumothorax. Left effusion.", "addendum": "No pneumothorax."}
    read = [
        AnnotatedSentence(s.text, section, 0, s.status, "", "", s.mentions)
        for section, text in texts.items()
        for s in annotate({"findings": text}).sentences
    ]
    assert list(of_report(read)) == [
        "There is a left pleural effusion.",
        "There is no pneumothorax.",
    ]


def test_each_statement_is_said_once_and_comes_from_its_sentence() -> None:
    for annotation in own_reports():
        assert len(set(annotation.statements)) == len(annotation.statements)
        assert len(annotation.statement_sentences) == len(annotation.statements)
        assert all(0 <= n < len(annotation.sentences) for n in annotation.statement_sentences)


@given(st.text(max_size=200))
def test_any_text_has_statements(text: str) -> None:
    assert all(s.startswith(("There ", "A ", "An ")) for s in annotate(text).statements)
