"""Finds the names that mean another finding beside certain words: "collapse of the vertebra".

The table is lexicon/en/homographs.yaml.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import STOP_MARKS, VERBS
from cxr_vlp.nlp.match.tokens import Token, plain, tokenize

_BEFORE, _AFTER = 3, 7  # tokens; the words of one noun phrase
_OF = frozenset({"of", "in", "within", "involving"})
_ENDS = (
    STOP_MARKS | VERBS | _OF | lexicon.words("grammar", "phrase_ends")
    | {",", "(", ")", "to", "from", "at", "on", "over", "overlying", "for", "interspace"}
)  # fmt: skip
_VERTEBRA = "#"


class _Row(NamedTuple):
    beside: frozenset[str]  # words anywhere in the phrase
    next: frozenset[str]  # the word right after the name
    unless: frozenset[str]  # the row holds where none of these stands before the name
    means: str


@functools.cache
def _rows() -> Mapping[str, list[_Row]]:
    table: dict[str, list[_Row]] = {}
    for row in lexicon.load("homographs"):
        beside, following, unless = (_words(row, key) for key in ("beside", "next", "unless"))
        own = _Row(beside, following, unless, row["means"])
        for term in row["terms"]:
            words = " ".join(token.word for token in tokenize(term))
            table.setdefault(words, []).append(own)
    return table


def _words(row: Mapping[str, Any], key: str) -> frozenset[str]:
    return frozenset(map(plain, row.get(key, ())))


@functools.cache
def _last_words() -> frozenset[str]:
    return frozenset(words.rsplit(" ", 1)[-1] for words in _rows())


def meaning(tokens: Sequence[Token], start: int, end: int) -> str | None:
    """Return the finding that tokens[start:end] mean here, "" for none; None: what they say."""
    if tokens[end - 1].word not in _last_words():  # the cheap test
        return None
    rows = _rows().get(" ".join(t.word for t in tokens[start:end]))
    if rows is None:
        return None
    near = _near(tokens, start, end)
    after = tokens[end].word if end < len(tokens) else ""
    for row in rows:
        if after in row.next or not row.beside.isdisjoint(near):
            return row.means
        if row.unless and row.unless.isdisjoint(
            token.word for token in tokens[max(0, start - _BEFORE) : start]
        ):
            return row.means
    return None


def _near(tokens: Sequence[Token], start: int, end: int) -> set[str]:
    """Return the words of the noun phrase: before the name, right after it, or after "of"."""
    near = set()
    for place in range(start - 1, max(-1, start - 1 - _BEFORE), -1):
        if tokens[place].word in _ENDS:
            break
        near.update(_word(tokens, place))
    ends = _ENDS
    if end < len(tokens) and tokens[end].word in _OF:
        end, ends = end + 1, _ENDS - {"and", "or"}  # "of the sixth and seventh ribs"
    for place in range(end, min(len(tokens), end + _AFTER)):
        if tokens[place].word in ends:
            break
        near.update(_word(tokens, place))
    return near


def _word(tokens: Sequence[Token], place: int) -> set[str]:
    word = tokens[place].word
    following = tokens[place + 1].word if place + 1 < len(tokens) else ""
    if word in ("t", "l") and following.isdigit():
        return {word, _VERTEBRA}
    return {word}
