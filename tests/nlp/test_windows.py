"""Windows: a text far longer than a sentence is read in windows, and nothing is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.annotate import annotate
from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.findings import mentions as assertions
from cxr_vlp.nlp.findings.mentions import assertion, mentions
from cxr_vlp.nlp.match import windows
from cxr_vlp.nlp.status import classify

LONG = ["no effusion. ", "effusion not seen, ", "mild edema; no mass ", "heart is enlarged\n"]


@pytest.mark.parametrize("words", [*LONG, "(", "-", "é", " "])
@pytest.mark.parametrize("times", [1, 40, 1500])
def test_windows_are_bounded_and_complete(words: str, times: int) -> None:
    text = words * times
    cut = windows.split(text)
    assert "".join(text[a:b] for a, b in cut) == text
    assert max(b - a for a, b in cut) <= windows.WIDTH
    assert len(cut) <= 1 + 2 * len(text) / windows.WIDTH


@given(st.text(alphabet="ab ,.\n", max_size=4000))
def test_windows_of_any_text(text: str) -> None:
    cut = windows.split(text)
    assert "".join(text[a:b] for a, b in cut) == text
    assert all(0 < b - a <= windows.WIDTH for a, b in cut if text)


def test_a_very_long_text_is_processed_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that is not linear in time gets one window at most, for any text."""
    sizes = []
    found = scope.find

    def watched(text: str) -> scope.Scopes:
        sizes.append(len(text))
        return found(text)

    monkeypatch.setattr(scope, "find", watched)
    assertions._analyze.cache_clear()
    classify.cache_clear()
    text = "opacity versus edema " * 1500 + "and no mass"
    assert classify(text).status == "abnormal"
    assert annotate({"findings": text}).labels["Edema"] == -1
    assertion(text, len(text) - 4, len(text))
    assert sizes
    assert windows.WIDTH <= 2000
    assert max(sizes) <= 2 * windows.WIDTH + 4


@pytest.mark.parametrize(
    ("words", "finding", "state"),
    [("no effusion. ", "pleural effusion", "absent"),
     ("mild edema; ", "pulmonary edema", "present"),
     ("possible pneumonia, ", "pneumonia", "uncertain")],
)  # fmt: skip
def test_every_mention_of_a_long_text_has_its_place(words: str, finding: str, state: str) -> None:
    text = words * 700
    found = mentions(text)
    assert len(found) == 700
    assert {(m.finding, m.assertion) for m in found} == {(finding, state)}
    assert len({m.start for m in found}) == 700
    assert {text[m.start : m.end] for m in found} == {words.split()[1].strip(".;,")}


def test_a_finding_at_the_very_end_decides_a_long_text() -> None:
    assert classify("no effusion. " * 900).status == "normal"
    assert classify("no effusion. " * 900 + "Large pneumothorax.").status == "abnormal"


@given(st.integers(0, 400), st.sampled_from(LONG))
def test_a_span_is_judged_alike_in_a_long_text(times: int, words: str) -> None:
    text = words * times + "There is no mass. Small effusion."
    at = text.index("mass")
    while "mass" in text[at + 4 :]:
        at = text.index("mass", at + 4)
    assert assertion(text, at, at + 4) == "absent"
    assert assertion(text, len(text) - 9, len(text) - 1) == "present"
