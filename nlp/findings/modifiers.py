"""Finds the side, the lung zone and the severity of a finding, in its own phrase.

The words are in lexicon/en/modifiers.yaml.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings.terms import Term
from cxr_vlp.nlp.match.tokens import tokenize

_WINDOW = 6  # tokens on each side; a radiologist's noun phrase is rarely longer
_PHRASE_ENDS = frozenset(",;:.") | lexicon.words("grammar", "phrase_ends")


class Modifiers(NamedTuple):
    """What the phrase of a finding says of one side of it; "" and () for what it does not say."""

    side: str
    zone: str
    severity: str
    places: tuple[str, ...] = ()  # lobes and zones with their side
    sizes_mm: tuple[float, ...] = ()


@functools.cache
def _table(kind: str) -> dict[str, str]:
    rows = lexicon.load("modifiers")[kind]
    return {tokenize(w)[0].word: name for name, words in rows.items() for w in words}


def modifiers_of(scopes: Scopes, found: tuple[Term, ...], term: Term) -> tuple[Modifiers, ...]:
    """Return what the phrase of the finding at `term` says of it.

    One row, or one for each side where the sides differ ("small right and moderate left").
    """
    before = _phrase(scopes, found, term, -1)
    after = _phrase(scopes, found, term, 1)
    own = [t.word for t in scopes.tokens[term.start : term.end]]
    side = _first(_table("side"), [*own, *before, *after])
    zone = _zone(" ".join([*before[::-1], *own, *after]))
    severity = _first(_table("severity"), [*own, *before, *after[:3]])
    return (Modifiers(side, zone, severity),)


@functools.lru_cache(maxsize=8192)
def _zone(words: str) -> str:
    """Return the first lung zone named in `words`."""
    spaced = f" {words} "
    table = lexicon.load("modifiers")["zone"]
    return next((z for z, terms in table.items() if any(f" {t} " in spaced for t in terms)), "")


def _phrase(scopes: Scopes, found: tuple[Term, ...], term: Term, step: int) -> list[str]:
    """Return the words beside the finding, nearest first, up to another finding or a joint."""
    others = {i for t in found if t.kind == "finding" for i in range(t.start, t.end)}
    words: list[str] = []
    place = term.end if step > 0 else term.start - 1
    while 0 <= place < len(scopes.tokens) and len(words) < _WINDOW:
        word = scopes.tokens[place].word
        if word in _PHRASE_ENDS or place in others:
            break
        words.append(word)
        place += step
    return words


def _first(table: dict[str, str], words: list[str]) -> str:
    return next((table[w] for w in words if w in table), "")
