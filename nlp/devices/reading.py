"""Finds the devices of a sentence: the type, side, position and tip place of each.

heads.py finds the names, items.py which words are said of which device, words.py what they mean,
places.py where a tip lies and whether it belongs there; claims.py puts this together for one
device. Here it becomes mentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.context.certainty import NONE, grade
from cxr_vlp.nlp.context.discourse import Discourse
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN, Assertion, Scopes
from cxr_vlp.nlp.devices import items as device_items
from cxr_vlp.nlp.devices import places as device_places
from cxr_vlp.nlp.devices import words as device_words
from cxr_vlp.nlp.devices.claims import Claims
from cxr_vlp.nlp.devices.items import Item
from cxr_vlp.nlp.devices.places import Place
from cxr_vlp.nlp.devices.words import Word
from cxr_vlp.nlp.findings.attachment import describes_device
from cxr_vlp.nlp.findings.mention import MALPOSITIONED, REMOVED, UNNAMED, Mention
from cxr_vlp.nlp.findings.terms import Term
from cxr_vlp.nlp.findings.terms import devices as device_types
from cxr_vlp.nlp.match.tokens import Token

_KINDS = frozenset({"support", "hardware"})
_SITES = ("internal jugular vein", "subclavian vein", "axillary vein")


class Devices(NamedTuple):
    """What a sentence says of devices."""

    mentions: tuple[Mention, ...]
    terms: tuple[Term, ...]  # of the sentence, without those that are said of a device
    misplaced: Assertion | None  # whether a device lies in a wrong place; None: nothing says so


def read(scopes: Scopes, found: tuple[Term, ...], discourse: Discourse) -> Devices:
    """Return the devices of a sentence, and the terms that are left for the body."""
    if _KINDS.isdisjoint([term.kind for term in found]):
        return Devices((), found, None)
    words = _words(scopes.tokens, found)
    places = _free(scopes.tokens, device_places.find(scopes.tokens), found, words)
    items = device_items.find(scopes.tokens, found, places, words)
    said = [Claims(scopes, item, places, words) for item in items]
    said = [s for s in said if s.is_device and not _is_planned(scopes, s.item, discourse)]
    mentions = [m for s in said for m in _mentions(scopes, s)]
    mentions += _broken_traces(scopes, found, words, said)
    states = {s.wrong for s in said if s.position == MALPOSITIONED}
    misplaced: Assertion | None = UNCERTAIN if states else None
    if PRESENT in states:
        misplaced = PRESENT
    used = {place for s in said for place in s.used}
    return Devices(tuple(mentions), tuple(t for t in found if _is_left(t, used)), misplaced)


def _words(tokens: tuple[Token, ...], found: tuple[Term, ...]) -> tuple[Word, ...]:
    """Return what is said of devices, without what is part of a name ("loop recorder")."""
    named = {i for t in found if t.kind == "support" and t.end - t.start > 1
             for i in range(t.start, t.end)}  # fmt: skip
    words = device_words.find(tokens)
    return tuple(w for w in words if w.kind != "looped" or w.start not in named)


def _broken_traces(
    scopes: Scopes, found: tuple[Term, ...], words: Sequence[Word], said: Sequence[Claims]
) -> list[Mention]:
    """Return an abnormality for each broken thing that has no type ("sternotomy is disrupted")."""
    used = {place for s in said for place in s.used}
    broken = [w for w in words if w.kind in ("broken", "wrong") and w.start not in used]
    made = [
        _abnormality(scopes, word)
        for word in broken
        if describes_device(scopes, found, Term("broken", word.start, word.end, ()))
    ]
    return [mention for mention in made if mention.assertion != ABSENT]


def _abnormality(scopes: Scopes, word: Word) -> Mention:
    verdict, tokens = scope.verdict(scopes, word.start, word.end), scopes.tokens
    start, end = tokens[word.start].start, tokens[word.end - 1].end
    return Mention(
        UNNAMED,
        "",
        verdict.assertion,
        start,
        end,
        trigger=verdict.trigger,
        certainty=grade(verdict),
    )


def _free(
    tokens: Sequence[Token], places: Sequence[Place], found: tuple[Term, ...], words: Sequence[Word]
) -> tuple[Place, ...]:
    """Return the places that are no part of a name ("pulmonary artery catheter") or phrase."""
    named = {i for t in found if t.kind == "support" for i in range(t.start, t.end)
             if t.end - t.start > 1}  # fmt: skip
    named |= device_words.spans(w for w in words if w.kind == "outside")
    starts = [t.start for t in found if t.kind == "support"]
    return tuple(
        p
        for p in places
        if named.isdisjoint(range(p.start, p.end))
        and not any(_is_site(tokens, p, start) for start in starts)
    )


def _is_site(tokens: Sequence[Token], place: Place, start: int) -> bool:
    """Whether a vein is only the site of the device at token `start` ("left IJ approach line")."""
    if place.tip not in _SITES or not 0 <= start - place.end <= 5:
        return False
    return all(t.word in device_words.group("phrase") - {"and"} for t in tokens[place.end : start])


def _is_left(term: Term, used: set[int]) -> bool:
    return term.kind in (*_KINDS, "stable") or used.isdisjoint(range(term.start, term.end))


def _is_planned(scopes: Scopes, item: Item, discourse: Discourse) -> bool:
    """Whether the device is only what a next step is ("consider chest tube placement")."""
    if not discourse.governs(item.start) and "recommendation_weak" not in discourse.first:
        return False
    near = scopes.tokens[max(0, item.start - 5) : item.end + 2]
    return any(t.word in device_words.group("plans") for t in near) and not any(
        t.word in ("status", "s", "since", "after", "post", "interval") for t in near
    )


def _mentions(scopes: Scopes, said: Claims) -> list[Mention]:
    """Return the mention of a device, and an abnormality for each way in which it is broken."""
    item, verdict, tokens = said.item, said.verdict, scopes.tokens
    device = device_types()[item.name]
    is_gone = said.position == REMOVED
    mention = Mention(
        item.name,
        device.labels[0] if device.labels else "",
        verdict.assertion,
        tokens[item.start].start,
        tokens[item.end - 1].end,
        side=item.side,
        trigger=verdict.trigger,
        device=True,
        certainty=NONE if is_gone else grade(verdict),
        position=said.position,
        tip="" if is_gone else said.tip,
    )
    broken = (_abnormality(scopes, word) for word in said.broken)
    return [mention, *(m for m in broken if m.assertion != ABSENT)]
