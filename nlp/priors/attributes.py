"""Leaves out a word of change beside a finding: "unchanged effusion", "effusion, unchanged"."""

from __future__ import annotations

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.change import LEFT_OVER, STILL_THERE, Sign
from cxr_vlp.nlp.findings.mention import NEW, RESOLVED
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.priors.draft import (
    ASPECTS,
    DEGREES,
    DETERMINERS,
    DEVICES,
    Draft,
    clause_start,
    cut,
    drop,
    past_aspects,
    skip,
    words,
)
from cxr_vlp.nlp.priors.noun_phrases import noun_phrase

_SEGMENTS = words("segments")
_LEADS = words("leads")
STATES = frozenset(
    tokenize(word)[0].word
    for listed in lexicon.load("modifiers")["severity"].values()
    for word in listed
)


def attribute(draft: Draft, sign: Sign, end: int) -> int:
    """Cut a word of change beside a finding; "resolved" denies the finding."""
    start = run_start(draft, sign)
    if draft.word(sign.word) == "more" and not sign.predicate:
        return cut(draft, start, sign.word + 1)  # "more prominent markings"
    if sign.kind == RESOLVED and not sign.denied:
        return _deny(draft, sign, start, end)
    if draft.word(end) in ("appearing", "looking"):
        end += 1
    empty = _empty_segment(draft, sign)
    if empty:
        return drop(draft, *empty)
    if draft.word(end) in ASPECTS and draft.word(end + 1) == "of":  # "stable appearance of"
        after = past_aspects(draft, end)
        first = [t for t in draft.found if t.start >= after][:1]
        if first and first[0].kind == "structure":
            return cut(draft, start, end)  # "appearance of the chest, with ..."
        return (
            noun_phrase(draft, start, after, there=False) if not start else cut(draft, start, after)
        )
    state = state_after(draft, end) if draft.word(end) == "and" else None
    if state is not None:  # "contours stable and normal"
        return cut(draft, start, state)
    if (start and draft.word(end) in (",", ".", ";", "and", "with", "but")) or end >= len(
        draft.tokens
    ):
        while start and draft.word(start - 1) in _LEADS:
            start -= 1
        if draft.word(end) == ")":
            end += 1
    elif draft.word(end) == ",":
        end += 1
    draft.delete(start, end)
    return end


def _empty_segment(draft: Draft, sign: Sign) -> tuple[int, int] | None:
    """Return the part of the sentence that says nothing but that a structure is the same."""
    start, end = sign.word, sign.end
    while start and draft.word(start - 1) not in _SEGMENTS:
        start -= 1
    while end < len(draft.tokens) and draft.word(end) not in _SEGMENTS:
        end += 1
    if draft.word(end) in ("with", "which"):
        return None
    others = draft.terms(start, end, "finding", "quality", "normal", *DEVICES)
    if any(not (t.start < sign.end and t.end > sign.word) for t in others):
        return None
    is_bare = end - start <= sign.end - sign.word + 1
    return (start, end) if is_bare or draft.terms(start, end, "structure") else None


def _deny(draft: Draft, sign: Sign, start: int, end: int) -> int:
    clause = clause_start(draft, sign.word)
    if draft.terms(clause, sign.word, "finding") and draft.word(end) in change.TRAILING:
        draft.replace(clause, skip(draft, clause, DETERMINERS), "no ")
        draft.delete(start, end)
    else:
        draft.replace(start, end, "no")
    return end


def run_start(draft: Draft, sign: Sign) -> int:
    """Return where the adverbs of a word of change begin, and its denial."""
    is_still = sign.kind in (STILL_THERE, LEFT_OVER)  # "no residual effusion"
    start = sign.start if sign.denied and not is_still and sign.kind != NEW else sign.word
    while start and (
        draft.word(start - 1) in DEGREES or draft.word(start - 1) in ("interval", "again", "now")
    ):
        start -= 1
    if draft.word(start - 1) in ("but", "or", "and", "to", "/", "vs", "versus") and start > 1:
        before = draft.word(start - 2)
        if before in STATES or any(s.end == start - 1 for s in change.signs(draft.tokens)):
            start -= 1  # "small but increasing", "residual or recurrent"
    return start


def state_after(draft: Draft, place: int) -> int | None:
    """Return where the state begins that a predicate of change ends with: "and is now moderate"."""
    at, seen = place, False
    if draft.word(at) == "from":  # "from small to moderate", "from 4.1 cm to 5.0 cm"
        to = [p for p in range(at + 1, at + 6) if draft.word(p) == "to"]
        at = to[0] if to and not draft.terms(at, to[0], "finding") else at
    while draft.word(at) in ("and", ",", "but", "is", "are", "now", "currently", "to", "remain"):
        seen = True
        at += 1
    if not seen:
        return None
    following = at
    while draft.word(following) in DEGREES or draft.word(following) in ("still", "within"):
        following += 1
    is_size = draft.word(following)[:1].isdigit() and draft.word(following + 1) in ("mm", "cm")
    is_state = (
        is_size
        or draft.word(following) in STATES
        or any(t.start in (at, following) and t.kind in ("normal", "quality") for t in draft.found)
    )
    said_now = any(draft.word(p) in ("now", "is", "are", "currently") for p in range(place, at))
    if draft.word(at) == "with":
        return None
    if (is_state and not _is_noun_phrase(draft, following)) or (said_now and draft.word(at) != "."):
        return at if not change.is_change(draft.word(at)) else None
    return None


def _is_noun_phrase(draft: Draft, place: int) -> bool:
    """Whether a finding or structure follows in the same phrase: "and mild edema"."""
    near = draft.terms(place, place + 6, "finding", "structure", *DEVICES)
    return bool(near) and not any(
        draft.word(p) in (",", ".", ";", "and", "in", "at", "on", "with", "above", "below")
        for p in range(place, near[0].start)
    )
