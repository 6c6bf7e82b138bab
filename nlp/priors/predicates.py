"""Says a predicate of change in another way: "the effusion has decreased" -> "there is"."""

from __future__ import annotations

from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.change import STILL_THERE, Sign
from cxr_vlp.nlp.findings.mention import RESOLVED
from cxr_vlp.nlp.priors.attributes import attribute, state_after
from cxr_vlp.nlp.priors.draft import (
    ASPECTS,
    AUXILIARIES,
    DEGREES,
    DETERMINERS,
    DEVICES,
    VERBS,
    Draft,
    be,
    clause_end,
    cut,
    drop,
    skip,
    words,
)
from cxr_vlp.nlp.priors.noun_phrases import there_is

SEEN = words("seen")
_GOING_ON, _PREDICATE_ENDS = words("going_on"), words("predicate_ends")
_MOVED, _AND_NOW = words("moved"), frozenset((",", "and", "now", "currently"))


def predicate(draft: Draft, sign: Sign, start: int, verb: int, end: int) -> int:
    """Say a predicate of change in another way. Return the place up to which it is done.

    The clause begins at `start`, its verb is at `verb`, the word of change ends at `end`.
    """
    last = sign.end - 1
    if sign.kind == STILL_THERE and draft.word(last) in SEEN and sign.word < last:
        return cut(draft, sign.word, last)  # "is again seen"
    is_relative = draft.word(verb - 1) in ("which", "that") and bool(
        draft.terms(0, verb, "finding", "quality", *DEVICES)
    )
    if is_relative and not (draft.word(verb - 1) == "that" and sign.start < verb - 1):
        return _relative(draft, verb, end)
    start = _past_denial(draft, sign, start, verb)
    on = skip(draft, end, _AND_NOW)
    if on > end and draft.word(on) in _GOING_ON:
        return cut(draft, verb, on)  # "has been pulled back and now ends at T4"
    state = state_after(draft, end)
    if state is not None and sign.kind != RESOLVED:
        draft.replace(verb, state, be(draft, verb))
        return state
    is_in = draft.word(end) in ("in", "at", "on") and draft.word(sign.word) == "remain"
    if sign.kind == STILL_THERE and (is_in or draft.word(end) not in _PREDICATE_ENDS):
        return _still(draft, sign)
    if _is_state(draft, sign, verb):  # "is enlarged but unchanged"
        return attribute(draft, sign, end)
    return _only_change(draft, sign, start, verb, end)


def _relative(draft: Draft, verb: int, end: int) -> int:
    """Leave out a relative clause of change: "effusion, which has increased"."""
    if draft.word(end) in ("and", "but") and draft.word(end + 1) in VERBS | AUXILIARIES:
        return cut(draft, verb, end + 1)  # "which is unchanged and may be a scar"
    return cut(draft, verb - 1 - (draft.word(verb - 2) == ","), end)


def _past_denial(draft: Draft, sign: Sign, start: int, verb: int) -> int:
    """Leave out "no evidence that", and return where the clause goes on."""
    if not sign.denied or sign.start >= verb:
        return start
    that = [place + 1 for place in range(sign.start, verb) if draft.word(place) == "that"]
    return cut(draft, start, that[-1]) if that else start


def _only_change(draft: Draft, sign: Sign, start: int, verb: int, end: int) -> int:
    """Say "there is" of a subject whose predicate says only how it changed."""
    if draft.word(start) == "there":  # "there is a granuloma, is stable"
        return cut(draft, verb, end)
    if not draft.terms(start, verb, "finding", "quality", *DEVICES):
        if draft.word(end) == "with":  # "the heart is stable with a tortuous aorta"
            return cut(draft, start, end + 1)
        return drop(draft, start, clause_end(draft, end))
    subject = cut(draft, start, _aspect_of(draft, start))
    there_is(draft, subject, verb, sign.kind == RESOLVED and not sign.denied)
    if draft.word(end) == "into":  # "has moved into the right atrium"
        draft.replace(end, end + 1, "in")
    return cut(draft, verb, end)


def _is_state(draft: Draft, sign: Sign, verb: int) -> bool:
    """Whether the predicate says more than the change: "is enlarged but unchanged"."""
    return bool(draft.terms(verb + 1, sign.word, "quality", "normal"))


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


def say_verb(draft: Draft, place: int, compared: bool) -> bool:
    """Say a verb of change that is no word of change of a finding; return whether it was edited.

    "has become loculated" -> "is loculated", "stays clear" -> "is clear", "continues to end" ->
    "ends", "re-demonstrated" -> "demonstrated", "rather more edema" -> "edema".
    """
    word, following = draft.word(place), draft.word(place + 1)
    if word in ("become", "becoming", "became", "stay", "stayed"):
        first = place - 1 if draft.word(place - 1) in ("has", "have", "is", "are") else place
        draft.replace(first, place + 1, be(draft, first))
    elif word in ("continue", "continued") and following == "to" and place + 2 < len(draft.tokens):
        token = draft.tokens[place + 2]
        verb = draft.text[token.start : token.end]
        is_one = draft.text[draft.tokens[place].start : draft.tokens[place].end].endswith("s")
        if verb == "be":
            verb = be(draft, place)
        elif is_one:
            verb += "s"
        draft.replace(place, place + 3, verb)
    elif word == "re" and following in SEEN | {"demonstrated"}:
        draft.edits.append((draft.tokens[place].start, draft.tokens[place + 1].start, ""))
    elif word in ("more", "less") and following not in ("than", "or", "likely"):
        before = draft.word(place - 1)
        if any(draft.word(p) == "than" for p in range(place, len(draft.tokens))):
            return False  # "more marked on the right than on the left"
        if not compared and before not in ("rather", "slightly", "somewhat"):
            return False
        draft.delete(place - 1 if before in DEGREES or before == "rather" else place, place + 1)
    elif word == "further" and place and draft.word(place - 1) in _MOVED:
        draft.delete(place, place + 1)
    elif word == "intubated" and draft.word(place - 1) == "been":
        draft.replace(place - 2, place, be(draft, place - 2))
    elif word == "evolving":
        draft.delete(place, place + 1)
    else:
        return False
    return True


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
