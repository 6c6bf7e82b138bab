"""Language: foreign reports are refused, whatever is English is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.layout import language

HERE = Path(__file__).parent
ROWS = [
    tuple(line.split("\t"))
    for line in (HERE / "languages.tsv").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(("code", "text"), ROWS, ids=[text[:30] for _, text in ROWS])
def test_language(code: str, text: str) -> None:
    assert (language.of(text) == "en") == (code == "en")


@pytest.mark.parametrize(("code", "text"), [row for row in ROWS if row[0] != "en"])
def test_a_foreign_report_has_a_code_and_nothing_else(code: str, text: str) -> None:
    for report in (text, {"findings": text}, {"body": text}):
        found = annotate(report)
        assert found.code == "report.language"
        assert (found.sentences, found.labels, found.abnormal, found.findings) == ((), {}, "", "")


def test_a_foreign_note_below_an_english_report_is_no_matter() -> None:
    found = annotate(
        "FINDINGS: Small left effusion. Heart size is normal.\nIMPRESSION: Small left effusion.\n"
        "Se informa al paciente de los hallazgos."
    )
    assert found.code == ""
    assert found.labels["Pleural Effusion"] == 1


@pytest.mark.parametrize("path", sorted(HERE.parent.glob("*.tsv")), ids=lambda path: path.stem)
def test_every_english_sentence_of_the_tests_is_read(path: Path) -> None:
    cells = (c for line in path.read_text(encoding="utf-8").splitlines() for c in line.split("\t"))
    assert [c for c in cells if " " in c and language.of(c) != "en"] == []


def test_every_phrase_of_the_lexicon_alone_is_english() -> None:
    names = ("findings", "structures", "qualities", "normals", "devices", "cues", "discourse")
    phrases = [text for name in names for text in lexicon._strings(lexicon.load(name))]
    assert [p for p in phrases if language.of(p) != "en"] == []


def test_no_other_language_has_the_words_that_only_english_has() -> None:
    foreign = {w for lists in lexicon.languages().values() for w in lists["words"]}
    assert foreign & lexicon.words("layout", "english") == set()
    assert all(len(s) >= 4 for lists in lexicon.languages().values() for s in lists["stems"])


@given(st.text(max_size=100))
def test_any_text_has_a_language(text: str) -> None:
    assert language.of(text).isalpha()
    assert language.of(text) == language.of(text)
