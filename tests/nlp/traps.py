"""Tables of own sentences, from no report, and what is right of each.

`expected` says of each finding an assertion or a certainty, "unnamed" (no mention) or "past" (not
present), and of "status" that of the sentence. "a/b": either is right.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.status import classify

Row = dict[str, str]


def rows(name: str) -> list[Row]:
    with (Path(__file__).parent / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def cases(name: str) -> pytest.MarkDecorator:
    table = rows(name)
    names = [f"{row['trap']}: {row['sentence'][:60]}" for row in table]
    return pytest.mark.parametrize("row", table, ids=names)


def check(row: Row) -> None:
    """Fail where the sentence of a row is not read as expected."""
    sentence = row["sentence"]
    found = classify(sentence)
    for claim in row["expected"].split("; "):
        name, _, wanted = claim.rpartition(" ")
        options = wanted.split("/")
        if name == "status":
            assert found.status in options
            continue
        named = [
            m
            for m in found.mentions
            if name in m.finding or name in sentence[m.start : m.end].lower()
        ]
        said = [(m.finding, m.assertion, m.certainty, m.trigger) for m in named]
        assert _is_as_expected(named, options), (claim, said)


def _is_as_expected(named: list[Mention], options: list[str]) -> bool:
    if "unnamed" in options and not named:
        return True
    if "past" in options and all(m.assertion != "present" for m in named):
        return True
    return bool(named) and all(not {m.assertion, m.certainty}.isdisjoint(options) for m in named)
