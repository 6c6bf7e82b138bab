"""Says a predicate of change in another way: "the effusion has decreased" -> "there is"."""

from __future__ import annotations

from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.change import STILL_THERE, Sign
from cxr_vlp.nlp.findings.mention import RESOLVED
from cxr_vlp.nlp.wording.attributes import attribute, state_after
from cxr_vlp.nlp.wording.draft import (
    ASPECTS,
    DETERMINERS,
    DEVICES,
    HELPERS,
    VERBS,
    Draft,
    be,
    clause_end,
    cut,
    drop,
    skip,
    words,
)
from cxr_vlp.nlp.wording.noun_phrases import there_is

SEEN = words("seen")
_GOING_ON = words("going_on")


def predicate(draft: Draft, sign: Sign, start: int, verb: int, end: int) -> int:
    """Say a predicate of change in another way. Return the place up to which it is done.

    The clause begins at `start`, its verb is at `verb`, the word of change ends at `end`.
    """
    last = sign.end - 1
    if sign.kind == STILL_THERE and draft.word(last) in SEEN and sign.word < last:
        draft.delete(sign.word, last)  # "is again seen"
        return sign.end
    if draft.word(verb - 1) in ("which", "that") and draft.terms(
        0, verb, "finding", "quality", *DEVICES
    ):
        first = verb - 1
        if draft.word(first) == "that" and sign.start < first:  # "no evidence that X has increased"
            first = verb
        else:
            if draft.word(end) in ("and", "but") and draft.word(end + 1) in VERBS | HELPERS:
                return cut(draft, verb, end + 1)  # "which is unchanged and may be a scar"
            first -= draft.word(first - 1) == ","
            draft.delete(first, end)
            return end
    if sign.denied and sign.start < verb:  # "no evidence that the effusion has increased"
        that = [p for p in range(sign.start, verb) if draft.word(p) == "that"]
        if that:
            draft.delete(start, that[-1] + 1)
            start = that[-1] + 1
    state = state_after(draft, end)
    if state is not None and sign.kind != RESOLVED:
        draft.replace(verb, state, be(draft, verb))
        return state
    is_in = draft.word(end) in ("in", "at", "on") and draft.word(sign.word) == "remain"
    if sign.kind == STILL_THERE and (is_in or not _ends_here(draft, end)):
        return _still(draft, sign)
    if _is_state(draft, sign, verb):  # "is enlarged but unchanged"
        return attribute(draft, sign, end)
    going_on = end + 1 if draft.word(end) in ("and", ",") else end
    if draft.word(going_on) in _GOING_ON and going_on > end:
        draft.delete(verb, going_on)  # "has been placed and ends in the stomach"
        return going_on
    if draft.word(start) == "there":  # "there is a granuloma, is stable"
        return cut(draft, verb, end)
    if not draft.terms(start, verb, "finding", "quality", *DEVICES):
        if draft.word(end) == "with":  # "the heart is stable with a tortuous aorta"
            return cut(draft, start, end + 1)
        return drop(draft, start, clause_end(draft, end))
    subject = _aspect_of(draft, start)
    draft.delete(start, subject)
    there_is(draft, subject, verb, sign.kind == RESOLVED and not sign.denied)
    draft.delete(verb, end)
    return end


def _is_state(draft: Draft, sign: Sign, verb: int) -> bool:
    """Whether the predicate says more than the change: "is enlarged but unchanged"."""
    return bool(draft.terms(verb + 1, sign.word, "quality", "normal"))


def _ends_here(draft: Draft, place: int) -> bool:
    return draft.word(place) in (
        ".",
        ",",
        ";",
        "and",
        "but",
        "with",
        "in",
        "at",
        "on",
        "without",
        "(",
    )


def _still(draft: Draft, sign: Sign) -> int:
    """Say "is" for "remains", and cut "again" and "still" beside a verb."""
    word = draft.word(sign.word)
    if word in ("remain", "remained", "continue", "persist"):
        end = sign.end + 2 if draft.word(sign.end) == "to" else sign.end
        if change.is_change(draft.word(sign.end)):
            return sign.end
        draft.replace(sign.word, end, be(draft, sign.word))
        return end
    end = (
        sign.end - 1 if draft.word(sign.end - 1) in SEEN and sign.end - 1 > sign.word else sign.end
    )
    if word == "redemonstrated":
        draft.replace(sign.word, sign.end, "seen")
        return sign.end
    draft.delete(sign.word, end)
    return sign.end


def _aspect_of(draft: Draft, start: int) -> int:
    """Return where the subject begins behind "the size of" or a leading adverb."""
    place = skip(draft, start, DETERMINERS)
    if draft.word(place) in ("overall", "otherwise"):
        place += 1
    while draft.word(place) in ASPECTS and draft.word(place + 1) in ("of", "and"):
        place += 2
        place = (
            skip(draft, place, frozenset(("the", "both")) & DETERMINERS)
            if draft.word(place) in ASPECTS
            else place
        )
    return place if draft.word(place - 1) == "of" else start
