"""Leaves the noun phrase of a frame of change: "interval increase in the effusion".

So it does with the events of devices: what was placed is there, what was removed cannot be told.
"""

from __future__ import annotations

import functools

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings.change import Sign
from cxr_vlp.nlp.findings.mention import RESOLVED
from cxr_vlp.nlp.match.trie import Match, Phrases
from cxr_vlp.nlp.priors.attributes import run_start
from cxr_vlp.nlp.priors.draft import (
    DETERMINERS,
    DEVICES,
    Draft,
    clause_end,
    clause_start,
    drop,
    past_aspects,
    skip,
    words,
)
from cxr_vlp.nlp.priors.noun_phrases import is_present, noun_phrase, number
from cxr_vlp.nlp.priors.predicates import predicate

_ARRIVED = words("arrived")
_DEPARTED = words("departed")


def frame(draft: Draft, sign: Sign, start: int, end: int) -> int:
    """Leave only the noun phrase after "there is no change in the size of" and the like."""
    if draft.word(end) in ("in", "of"):
        end += 1
    first = min(start, sign.start) if sign.denied else start
    has_there = draft.word(start) == "there"
    before = range(start, sign.start if sign.denied else sign.word)
    named = draft.terms(start, min(sign.start, sign.word), "finding", *DEVICES)
    if named or any(draft.word(p) == "with" for p in before):
        return _behind_finding(draft, sign, end)
    clause = clause_end(draft, end)
    if not draft.terms(end, clause, "finding", *DEVICES) and not draft.terms(
        end, clause, "quality"
    ):
        return drop(draft, start, clause)
    end = past_aspects(draft, end)
    if sign.kind == RESOLVED and not sign.denied:
        after = skip(draft, end, DETERMINERS)
        plural, _ = number(draft, after, clause)
        there = ("There are no" if plural else "There is no") if has_there else "No"
        draft.replace(first, after, (there if first == 0 else there.lower()) + " ")
        return after
    return noun_phrase(draft, first, end, there=has_there)


def _behind_finding(draft: Draft, sign: Sign, end: int) -> int:
    """A frame behind a finding: "effusion with interval increase in atelectasis"."""
    start = run_start(draft, sign)
    end = past_aspects(draft, end)
    if sign.kind == RESOLVED and not sign.denied:
        draft.replace(start, skip(draft, end, DETERMINERS), "no ")
    else:
        draft.delete(start, skip(draft, end, DETERMINERS))
    return end


@functools.cache
def events() -> Phrases:
    """Return the table of the events of devices: "placement of", "removal of"."""
    table = lexicon.load("priors")
    kinds = ("arrivals", "departures")
    return Phrases((phrase, kind) for kind in kinds for phrase in table[kind])


def say_event(draft: Draft, event: Match) -> int:
    """Say that a device is there that was placed, and drop one that was removed."""
    start = clause_start(draft, event.start)
    if draft.word(event.start - 1) not in ("interval", "been", "the", ".", ";", ",", "and", "with"):
        return -1
    clause = clause_end(draft, event.end)
    if event.values[0] == "departures":
        if draft.terms(start, event.start, "finding", *DEVICES):
            return -1
        with_word = next((p for p in range(event.end, clause) if draft.word(p) == "with"), clause)
        return drop(draft, start, with_word + 1 if with_word < clause else clause)
    if draft.word(start) in ("interval", "there") or event.start == start:
        is_there = draft.word(start) == "there"
        if not is_there and draft.word(event.end) in ("a", "an"):
            draft.delete(start, event.end)
            is_present(draft, event.end, clause)
            return event.end
        return noun_phrase(draft, start, event.end, there=is_there)
    return -1


def say_move(draft: Draft, place: int) -> int:
    """Say that a device is there that "has been advanced", and drop one that "has been removed"."""
    word = draft.word(place)
    if word not in _ARRIVED and word not in _DEPARTED:
        return -1
    start = clause_start(draft, place)
    verb = next((p for p in (place - 2, place - 1) if draft.word(p) in ("has", "have", "was")), -1)
    if verb <= start or not draft.terms(start, verb, *DEVICES):
        return -1
    if word in _DEPARTED:
        return drop(draft, start, clause_end(draft, place + 1))
    sign = Sign("worse", place, place + 1, place, denied=False, predicate=True)
    return predicate(draft, sign, start, verb, place + 1)
