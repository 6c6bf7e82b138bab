"""Lexicon: the word lists are well formed, without duplicates, without contradicting cues."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from nlp import lexicon, terms
from nlp.labels import CHESTXRAY14, CHEXPERT14, VINDR
from nlp.tokens import tokenize

TWO_AT_ONCE = {"hydropneumothorax"}  # means an effusion and a pneumothorax


def plain(phrase: str) -> str:
    return " ".join(" ".join(t.word for t in tokenize(p)) or p for p in phrase.split())


def repeated(phrases: list[str]) -> set[str]:
    return {p for p, n in Counter(map(plain, phrases)).items() if n > 1}


@pytest.mark.parametrize("path", lexicon.files(), ids=lambda path: path.stem)
def test_every_file_says_where_it_comes_from(path: object) -> None:
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert text.startswith("#")
    assert "rigin" in text or "Written for this project" in text
    assert max(map(len, text.splitlines())) <= 160


def test_findings_have_one_home_each_and_known_labels() -> None:
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


@pytest.mark.parametrize("direction", ["after", "before"])
def test_no_cue_says_two_things_in_one_direction(direction: str) -> None:
    said = defaultdict(set)
    for category, phrases in lexicon.load("cues").items():
        assert not repeated(phrases), category
        kind = {"absent_list": "absent_after", "absent_next": "absent_after"}.get(
            category, category
        )
        for phrase in phrases:
            if kind.endswith(direction):
                said[plain(phrase)].add(kind)
    assert {p: kinds for p, kinds in said.items() if len(kinds) > 1} == {}


@pytest.mark.parametrize("name", ["normals", "devices", "discourse"])
def test_no_word_twice_in_a_list(name: str) -> None:
    for group, phrases in lexicon.load(name).items():
        assert not repeated(phrases), group


def test_digest_is_a_sha256_over_the_yaml() -> None:
    assert len(lexicon.digest()) == 64
    assert lexicon.digest() == lexicon.digest()
