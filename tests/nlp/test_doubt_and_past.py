"""Doubt and the past: exclusion, supposed findings, conditions, look-alikes, history.

Own sentences, from no report. "a/b" in an expectation: either is right.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.status import classify

ROWS = list(
    csv.DictReader(
        (Path(__file__).parent / "doubt_and_past.tsv").open(encoding="utf-8"),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)
WORDS = sorted({word for row in ROWS for word in row["sentence"].split()})


def is_as_expected(found: list[Mention], wanted: str) -> bool:
    if wanted == "unnamed":
        return not found
    if wanted == "past":
        return all(m.assertion != "present" for m in found)
    return bool(found) and all(m.assertion == wanted for m in found)


@pytest.mark.parametrize("row", ROWS, ids=[f"{r['trap']}: {r['sentence'][:60]}" for r in ROWS])
def test_trap(row: dict[str, str]) -> None:
    sentence = row["sentence"]
    found = classify(sentence)
    for claim in row["expected"].split("; "):
        name, _, wanted = claim.rpartition(" ")
        if name == "status":
            assert found.status in wanted.split("/")
            continue
        named = [
            m
            for m in found.mentions
            if name in m.finding or name in sentence[m.start : m.end].lower()
        ]
        said = [(m.finding, m.assertion, m.trigger) for m in named]
        assert any(is_as_expected(named, w) for w in wanted.split("/")), (claim, said)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_no_order_of_these_words_raises(words: list[str]) -> None:
    assert classify(" ".join(words)).status
