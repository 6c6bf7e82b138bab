"""Lexicon: the word lists are well formed, without duplicates, without contradicting cues."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.labels import CHESTXRAY14, CHEXPERT14, VINDR
from cxr_vlp.nlp.match.tokens import tokenize

# a term of two findings: "hydropneumothorax" is an effusion and a pneumothorax
TWO_AT_ONCE = {"hydropneumothorax"} | {
    f"{one} {joint} {other} effusion"
    for one, other in (("pleural", "pericardial"), ("pericardial", "pleural"))
    for joint in ("and", "or")
}


def plain(phrase: str) -> str:
    return " ".join(" ".join(t.word for t in tokenize(p)) or p for p in phrase.split())


def repeated(phrases: list[str]) -> set[str]:
    return {p for p, n in Counter(map(plain, phrases)).items() if n > 1}


@pytest.mark.parametrize("path", lexicon.files(), ids=lambda path: path.stem)
def test_every_file_says_where_it_comes_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#")
    assert "rigin" in text or "Written for this project" in text
    assert max(map(len, text.splitlines())) <= 160


def test_each_finding_is_listed_once_with_known_labels() -> None:
    rows = [row for group in lexicon.load("findings").values() for row in group]
    assert repeated([t for row in rows for t in row["terms"]]) <= TWO_AT_ONCE
    assert not repeated([row["name"] for row in rows])
    known = {*CHEXPERT14, *CHESTXRAY14, *VINDR}
    assert {label for row in rows for label in row.get("labels", ())} <= known


def test_structures_and_qualities_name_findings_that_exist() -> None:
    names = set(terms.findings())
    rows = lexicon.load("structures")
    assert not repeated([t for row in rows for t in row["terms"]])
    assert {n for row in rows for n in row.get("normal_means", ())} <= names
    for row in lexicon.load("qualities"):
        assert set(row.get("of", {}).values()) | ({row["any"]} - {""}) <= names
        assert set(row.get("of", {})) <= set(terms.structures())


@pytest.mark.parametrize("path", lexicon.files(), ids=lambda path: path.stem)
def test_every_group_has_a_comment(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    heads = [i for i, line in enumerate(lines) if re.match(r"[a-z_]+:", line)]
    assert [lines[i] for i in heads if not lines[i - 1].startswith("#")] == []


# one wording may say one thing of what stands on either side; and what ends the reach of a denial
# may by itself affirm what follows ("no fracture except for a crack")
SIDES = ("_after", "_before", "_list", "_next", "_suffix")


def said_by(category: str) -> str:
    """Return what a category says, in either direction: absent, present, uncertain, ..."""
    return next(
        (category.removesuffix(side) for side in SIDES if category.endswith(side)), category
    )


def test_no_cue_contradicts_itself() -> None:
    said = defaultdict(set)
    for category, phrases in lexicon.load("cues").items():
        assert not repeated(phrases), category
        for phrase in phrases:
            said[plain(phrase)].add(said_by(category))
    both = {p: kinds for p, kinds in said.items() if len(kinds) > 1}
    assert {p: kinds for p, kinds in both.items() if kinds != {"stop", "present"}} == {}


def test_no_word_of_the_lexicon_is_both_a_finding_and_normal() -> None:
    kinds = defaultdict(set)
    for group in lexicon.load("findings").values():
        for row in group:
            for term in row["terms"]:
                kinds[plain(term)].add("finding")
    for row in lexicon.load("structures"):
        for term in row["terms"]:
            kinds[plain(term)].add("structure")
    for row in lexicon.load("qualities"):
        for term in row["terms"]:
            kinds[plain(term)].add("quality")
    for name in ("normals", "devices"):
        for kind, phrases in lexicon.load(name).items():
            for phrase in phrases:
                kinds[plain(phrase)].add(kind)
    # "calcified": of a structure a quality, alone a finding, of a wire that it is broken
    trouble = {"finding", "quality", "broken"}
    assert {p: k for p, k in kinds.items() if len(k) > 1 and not k <= trouble} == {}


TERMS = sorted(
    {t for group in lexicon.load("findings").values() for row in group for t in row["terms"]}
    | {t for row in lexicon.load("qualities") for t in row["terms"]}
    | {t for row in lexicon.load("structures") for t in row["terms"]}
    | {t for phrases in lexicon.load("devices").values() for t in phrases}
)
JOINTS = st.sampled_from(["", "no", "and", "of the", "is", ",", "not", "possible", "with"])


@given(st.lists(st.tuples(JOINTS, st.sampled_from(TERMS)), min_size=1, max_size=6))
def test_a_finding_is_mentioned_once_at_one_place(words: list[tuple[str, str]]) -> None:
    text = " ".join(" ".join(w) for w in words)
    found = [(m.finding, m.start, m.end, m.side) for m in mentions(text)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", ["normals", "devices", "discourse"])
def test_no_word_twice_in_a_list(name: str) -> None:
    for group, phrases in lexicon.load(name).items():
        assert not repeated(phrases), group


def test_digest_is_a_sha256_over_the_yaml() -> None:
    assert len(lexicon.digest()) == 64
    assert lexicon.digest() == lexicon.digest()
