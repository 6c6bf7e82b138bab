"""Denial: where it ends, what it takes for granted, and what only looks like one."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cxr_vlp.nlp.status import classify

# Own sentences, from no report; `expected` says of each finding an assertion, or the status
ROWS = list(
    csv.DictReader(
        (Path(__file__).parent / "denial.tsv").open(encoding="utf-8"),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)


@pytest.mark.parametrize("row", ROWS, ids=[f"{r['trap']}: {r['sentence'][:60]}" for r in ROWS])
def test_trap(row: dict[str, str]) -> None:
    sentence = row["sentence"]
    found = classify(sentence)
    for claim in row["expected"].split("; "):
        name, _, wanted = claim.rpartition(" ")
        if name == "status":
            assert found.status == wanted
            continue
        named = {
            m.assertion
            for m in found.mentions
            if name in m.finding or name in sentence[m.start : m.end].lower()
        }
        assert named, claim
        assert named <= set(wanted.split("/")), claim
