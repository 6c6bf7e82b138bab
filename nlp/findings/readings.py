"""Readings: what the engine understood of a sentence, and of one too long to be read at once.

`Reading` is what `decision` decides from; its places are tokens, those of a `Mention` characters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cxr_vlp.nlp.context.discourse import Discourse
from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings.terms import Term
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Hit


@dataclass(frozen=True, slots=True)
class Mention:
    """A finding named in a sentence: what is said of it and where (characters of the sentence)."""

    finding: str  # the lexicon's name
    label: str  # CheXpert-14 or ChestX-ray14 display name, "" in the long tail
    assertion: str  # present, absent, uncertain
    start: int
    end: int
    anatomy: str = ""
    side: str = ""  # left, right, bilateral
    severity: str = ""
    trigger: str = ""  # the words that made it absent or uncertain
    implied: bool = False  # not named: "the heart is normal" denies cardiomegaly
    device: bool = False


@dataclass(frozen=True)
class Reading:
    """A sentence as the engine understands it: what `status` decides from."""

    scopes: Scopes
    terms: tuple[Term, ...]
    discourse: Discourse
    mentions: tuple[Mention, ...]
    normals: tuple[Term, ...]  # words that call a structure normal
    devices: tuple[Term, ...]
    hypothetical: int  # findings only named as the aim of a next step
    versus: bool  # one of two findings is there for certain


def join(text: str, parts: Sequence[tuple[Reading, int]]) -> Reading:
    """Return the readings of the windows of `text` as one; each comes with the character it begins
    at. No cue reaches over the edge of a window."""
    begins, places = [start for _, start in parts], [0]
    for reading, _ in parts:
        places.append(places[-1] + len(reading.scopes.tokens))
    read = [reading for reading, _ in parts]
    first: dict[str, int] = {}
    for reading, place in zip(read, places, strict=False):
        for kind, at in reading.discourse.first.items():
            first.setdefault(kind, at + place)
    return Reading(
        _join_scopes(text, [r.scopes for r in read], begins, places),
        _moved((r.terms for r in read), places),
        Discourse(first),
        tuple(
            dataclasses.replace(m, start=m.start + begin, end=m.end + begin)
            for reading, begin in parts
            for m in reading.mentions
        ),
        _moved((r.normals for r in read), places),
        _moved((r.devices for r in read), places),
        sum(r.hypothetical for r in read),
        any(r.versus for r in read),
    )


def _join_scopes(
    text: str, scopes: Sequence[Scopes], begins: Sequence[int], places: Sequence[int]
) -> Scopes:
    tokens = (
        Token(t.word, t.start + begin, t.end + begin)
        for s, begin in zip(scopes, begins, strict=True)
        for t in s.tokens
    )
    cues = (
        Hit(c.start + place, c.end + place, c.values)
        for s, place in zip(scopes, places, strict=False)
        for c in s.cues
    )

    def ends(name: str) -> tuple[int, ...]:
        pairs = zip(scopes, places, strict=False)
        return tuple(at + place for s, place in pairs for at in getattr(s, name))

    return Scopes(
        text, tuple(tokens), tuple(cues), ends("ends"), ends("soft_ends"), ends("hedge_ends")
    )


def _moved(found: Iterable[tuple[Term, ...]], places: Sequence[int]) -> tuple[Term, ...]:
    return tuple(
        t._replace(start=t.start + place, end=t.end + place)
        for terms, place in zip(found, places, strict=False)
        for t in terms
    )
