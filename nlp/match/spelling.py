"""Reads a misspelt word as the word of the lexicon that is meant: "consolidaton".

A word is a slip where the lexicon does not have it and exactly one long word of the lexicon is one
edit away: a letter left out, added, wrong, or two letters in the wrong order. The first letter is
right. An edit at the end is mostly grammar ("enlarge", "enlarged"), so it is a slip only of nouns
with an ending that shows it. English words that are this near are in lexicon/en/spelling.yaml.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.words import singular

LEAST = 7  # letters; a shorter word has too many neighbours
_ANY = 8  # letters of a word that may be of any list; a shorter one must be of the body
_BODY = ("findings", "structures", "normals")
_EDGE = 3  # letters: one edit leaves the first or the last three as they are


class _Table:
    """The words of the lexicon, and the long ones by their first and by their last letters."""

    def __init__(self) -> None:
        plain = frozenset(map(singular, lexicon.vocabulary()))
        self.words = lexicon.vocabulary() | plain
        self.english = frozenset(map(singular, lexicon.words("spelling", "english")))
        self.endings = tuple(lexicon.load("spelling")["endings"])
        self.heads: Mapping[str, list[str]] = defaultdict(list)
        self.tails: Mapping[str, list[str]] = defaultdict(list)
        body = {singular(word) for name in _BODY for word in lexicon.words_of(name)}
        for word in sorted(plain):
            if len(word) >= _ANY or (
                len(word) >= LEAST and word in body and not word.endswith("ing")
            ):
                self.heads[word[:_EDGE]].append(word)
                self.tails[word[-_EDGE:]].append(word)


@functools.cache
def _table() -> _Table:
    return _Table()


def corrected(word: str, written: str = "") -> str:
    """Return the word of the lexicon that the plain word is a slip of; else `word`.

    written: the word before its last "s" was cut off ("tortuos" has no plural s).

    >>> corrected("consolidaton"), corrected("tortuo", "tortuos"), corrected("confusion")
    ('consolidation', 'tortuous', 'confusion')
    """
    if len(word) < LEAST - 1 or not word.isalpha():
        return word
    table = _table()
    if word in table.words or word in table.english:
        return word
    meant = _meant(table, word)
    if meant == word and len(written) > len(word):
        meant = _meant(table, written)
        return word if meant == written else meant
    return meant


def _meant(table: _Table, word: str) -> str:
    found = _near(word, table.heads.get(word[:_EDGE], ()))
    found |= _near(word, table.tails.get(word[-_EDGE:], ()))
    if len(found) > 1:  # the likeliest slip is a letter written twice, or once
        found = {other for other in found if _is_doubling(word, other)}
    if len(found) != 1:
        return word
    meant = found.pop()
    is_ending = max(len(word), len(meant)) - _same(word, meant) < _EDGE
    if is_ending and not (meant.endswith(table.endings) or _is_plain_slip(word, meant)):
        return word
    return meant


def _near(word: str, others: Sequence[str]) -> set[str]:
    return {other for other in others if other[0] == word[0] and _is_one_edit(word, other)}


def _is_one_edit(word: str, other: str) -> bool:
    """Whether one letter is added, left out or wrong, or two neighbours are in the wrong order."""
    if not -2 < len(word) - len(other) < 2:
        return False
    place = _same(word, other)
    first, second = word[place:], other[place:]
    if len(word) > len(other):
        return first[1:] == second
    if len(word) < len(other):
        return first == second[1:]
    return first[1:] == second[1:] or (first[1::-1] == second[:2] and first[2:] == second[2:])


def _is_plain_slip(word: str, meant: str) -> bool:
    """Whether an edit at the end is no grammar: a wrong order, the last letter but one lost."""
    is_lost = word[-1] == meant[-1] and len(word) < len(meant)
    return is_lost or sorted(word) == sorted(meant) or _is_doubling(word, meant)


def _is_doubling(word: str, other: str) -> bool:
    """Whether the edit makes one letter two of the same, or two one: "bilateraly"."""
    longer, shorter = sorted((word, other), key=len, reverse=True)
    place = _same(longer, shorter)
    return len(longer) > len(shorter) and place > 0 and longer[place] == longer[place - 1]


def _same(word: str, other: str) -> int:
    """Return how many letters both begin with."""
    for place, (one, two) in enumerate(zip(word, other, strict=False)):
        if one != two:
            return place
    return min(len(word), len(other))
