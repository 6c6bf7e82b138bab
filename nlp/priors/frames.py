"""Leaves the noun phrase of a frame of change: "interval increase in the effusion".

So it does with the events of devices: what was placed is there, what was removed cannot be told.
"""

from __future__ import annotations

import functools

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings.change import Sign
from cxr_vlp.nlp.findings.mention import NEW, RESOLVED
from cxr_vlp.nlp.match.trie import Match, Phrases
from cxr_vlp.nlp.priors.attributes import run_start
from cxr_vlp.nlp.priors.draft import (
    DEGREES,
    DETERMINERS,
    DEVICES,
    Draft,
    clause_end,
    clause_start,
    cut,
    drop,
    past_aspects,
    skip,
    words,
)
from cxr_vlp.nlp.priors.noun_phrases import is_present, noun_phrase, number
from cxr_vlp.nlp.priors.predicates import predicate

_ARRIVED = words("arrived")
_DEPARTED = words("departed")
_WAYS = words("ways") | DEGREES


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
    if _is_denied(sign):
        after = skip(draft, end, DETERMINERS)
        plural, _ = number(draft, after, clause)
        there = ("There are no" if plural else "There is no") if has_there else "No"
        draft.replace(first, after, (there if first == 0 else there.lower()) + " ")
        return after
    for place in range(end, clause if sign.denied else end):  # "no change in the A or in the B"
        if draft.word(place) == "or":
            after = skip(draft, place + 1, DETERMINERS | {"in"})
            draft.replace(place, after, "and")
    return noun_phrase(draft, first, end, there=has_there)


def _is_denied(sign: Sign) -> bool:
    """Whether the finding is gone, or has not come back: "no reaccumulation of"."""
    return sign.denied if sign.kind == NEW else sign.kind == RESOLVED and not sign.denied


def _behind_finding(draft: Draft, sign: Sign, end: int) -> int:
    """A frame behind a finding: "effusion with interval increase in atelectasis"."""
    start = run_start(draft, sign)
    end = past_aspects(draft, end)
    if _is_denied(sign):
        start = min(start, sign.start)
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
        return _drop_to_with(draft, start, event.end)
    if draft.word(start) in ("interval", "there") or event.start == start:
        is_there = draft.word(start) == "there"
        if not is_there and draft.word(event.end) in ("a", "an"):
            draft.delete(start, event.end)
            is_present(draft, event.end, clause)
            return event.end
        return noun_phrase(draft, start, event.end, there=is_there)
    return -1


def _drop_to_with(draft: Draft, start: int, end: int) -> int:
    """Leave out a clause of a device that is gone, up to a "with" that goes on."""
    clause = clause_end(draft, end)
    joint = next((p for p in range(end, clause) if draft.word(p) == "with"), clause)
    drop(draft, start, joint + 1 if joint < clause else clause)
    return joint


def _way_end(draft: Draft, place: int) -> int:
    """Return where the words for the way of a device end: "back slightly by 2 cm"."""
    place = skip(draft, place, _WAYS)
    if draft.word(place) == "by" and draft.word(place + 2) in ("cm", "mm"):
        place += 3
    return skip(draft, place, _WAYS)


def say_move(draft: Draft, place: int) -> int:
    """Say that a device is there that "has been advanced", and drop one that "has been removed"."""
    word = draft.word(place)
    if word not in _ARRIVED and word not in _DEPARTED and word != "out":
        return -1
    start = clause_start(draft, place)
    ends = draft.word(place + 1) in (".", ",", ";")
    if word in ("out", "removed") and ends and any(t.end == place for t in draft.found):
        return drop(draft, clause_start(draft, place), place + 1)  # "chest tube out"
    if draft.word(place - 1) == "re":
        place -= 1  # "re-sited"
    verb = next((p for p in (place - 2, place - 1) if draft.word(p) in ("has", "have", "was")), -1)
    end = _way_end(draft, place + 1 + (draft.word(place) == "re"))
    kinds = ("finding", *DEVICES) if word == "advanced" else DEVICES  # "fibrosis has advanced"
    if verb <= start or not draft.terms(start, verb, *kinds):
        is_bare = draft.terms(start, place, *DEVICES) and draft.word(end) in (",", ".", ";")
        if not is_bare or draft.terms(start, place, "finding") or word in _DEPARTED:
            return -1
        return cut(draft, place, end)  # "ETT repositioned, tip now at T2"
    if word in _DEPARTED:
        return _drop_to_with(draft, start, place + 1)
    sign = Sign("worse", place, end, place, denied=False, predicate=True)
    return predicate(draft, sign, start, verb, end)
