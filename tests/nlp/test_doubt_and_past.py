"""Doubt and the past: exclusion, supposed findings, conditions, look-alikes, history."""

from __future__ import annotations

import traps
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.status import classify

WORDS = sorted(
    {word for row in traps.rows("doubt_and_past.tsv") for word in row["sentence"].split()}
)


@traps.cases("doubt_and_past.tsv")
def test_trap(row: traps.Row) -> None:
    traps.check(row)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_no_order_of_these_words_raises(words: list[str]) -> None:
    assert classify(" ".join(words)).status
