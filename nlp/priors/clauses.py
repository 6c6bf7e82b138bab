"""Says the clauses of a sentence again without change: "the effusion has decreased".

Each word of change (findings/change.py) is left out where it is an attribute ("unchanged
effusion") or stands alone behind a finding ("effusion, unchanged"). A predicate ("has decreased")
becomes "there is". What only tells of change is dropped with its clause.
"""

from __future__ import annotations

import re

from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.change import CHANGED, STILL_THERE, Sign
from cxr_vlp.nlp.findings.mention import BETTER, NEW, RESOLVED
from cxr_vlp.nlp.findings.terms import Term
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.priors import leftovers
from cxr_vlp.nlp.priors.attributes import STATES, attribute, run_start
from cxr_vlp.nlp.priors.draft import (
    AUXILIARIES,
    DEGREES,
    DEVICES,
    VERBS,
    Draft,
    aspect_end,
    be,
    clause_end,
    clause_start,
    drop,
    floor,
    past_aspects,
    skip,
    words,
)
from cxr_vlp.nlp.priors.frames import events, frame, say_event, say_move
from cxr_vlp.nlp.priors.noun_phrases import noun_phrase
from cxr_vlp.nlp.priors.predicates import predicate, say_verb

_ALONE = words("alone")
_AIMS = words("aims")
NOUNS = words("nouns")
_ADVERBS = change.ADVERBS | words("alone")
_PHRASE_ENDS = change.STOPS | change.FORWARD_STOPS | {","}
_JOINED = frozenset(("and", "or"))
_COMING_BACK, _LEFT, _FURTHER = words("coming_back"), words("left"), words("further")
_PLAIN_VERBS = words("plain_verbs")
_ENDS = re.compile(r"\s*(?:[.,;]|$)")
_SIDES = re.compile(
    r"\b(?:compar\w+|relative)\s+(?:to|with)\s+(?:the\s+)?(?:left|right|other|opposite|contra)",
    re.I,
)
_SIZES = frozenset(("enlarging", "larger", "enlargement"))

# words that can be cut without loss of a finding
ATTRIBUTES = words("attributes") | DEGREES | {","}


def resay(
    text: str, tokens: tuple[Token, ...], found: tuple[Term, ...], compared: bool
) -> tuple[str, bool]:
    """Return the text without change, and whether it was said in another way.

    `compared`: whether the sentence compares with an older image ("increased density since ___").
    """
    draft = Draft(text, tokens, found)
    named = leftovers.named(tokens)
    done = -1
    for event in events().find(tokens):
        done = max(done, say_event(draft, event))
    if draft.terms(0, len(tokens), *DEVICES):
        for place in range(1, len(tokens)):
            done = max(done, say_move(draft, place))
    for sign in change.signs(tokens):
        if sign.word < done or sign.word in named or _is_aim(draft, sign):
            continue
        if draft.word(sign.end) == "to" and say_verb(draft, sign.word, compared):
            done = sign.word + 3  # "continues to end in the stomach"
            continue
        if _is_loose(draft, sign) or _is_of_sides(draft, sign):
            continue
        if not _names_a_finding(draft, sign, compared=compared):
            done = max(done, _say(draft, sign))
    _say_less(draft)
    _cut_adverbs(draft, named, compared)
    return draft.result(), draft.reworded


def _is_aim(draft: Draft, sign: Sign) -> bool:
    """Whether the word is what a next step looks for: "to ensure complete resolution"."""
    before = [draft.word(p) for p in range(max(0, sign.word - 3), sign.word)]
    is_noun = any(draft.word(p) in NOUNS for p in range(sign.word, sign.end)) or (
        draft.word(sign.word) == "stability"
    )
    return is_noun and not _AIMS.isdisjoint(before)


def _is_of_sides(draft: Draft, sign: Sign) -> bool:
    """Whether the word compares the sides: "larger effusion in comparison with the left"."""
    return draft.word(sign.word) in change.COMPARATIVE and _SIDES.search(draft.text) is not None


def _is_loose(draft: Draft, sign: Sign) -> bool:
    """Whether "change" is the name of a finding ("chronic changes"), or of no finding."""
    if sign.kind != CHANGED or sign.denied:
        return False
    return draft.word(sign.word) not in ("interval", "changed", "altered")


def _names_a_finding(draft: Draft, sign: Sign, *, compared: bool) -> bool:
    """Whether the word is part of a finding's name, or makes a finding of a structure."""
    over = [t for t in draft.found if t.start < sign.end and t.end > sign.word]
    if any(t.kind == "finding" for t in over) and draft.word(sign.end - 1) != "of":
        return True
    if sign.denied or draft.word(sign.word) not in change.RELATIVE_WORDS | _SIZES:
        return False
    if sign.predicate:
        if _is_of_shape(draft, sign) and not compared:
            return True
        if not any(t.kind == "quality" for t in over):
            return False
        if _verb_before(draft, sign, 0) is None:  # "opacity, increased"
            return not draft.terms(floor(draft, sign.word), sign.word, "finding", *DEVICES)
        clause = draft.terms(clause_start(draft, sign.word), sign.word, "finding", *DEVICES)
        has = any(draft.word(p) in ("has", "have") for p in range(sign.word - 4, sign.end))
        return not clause and not (has and compared)
    place = skip(draft, sign.end, _JOINED)
    if draft.word(place) in ("in", "of"):
        return False
    stop = next((p for p in range(place, place + 7) if draft.word(p) in _PHRASE_ENDS), place + 7)
    near = draft.terms(place, stop, "finding", "structure")
    if not near:
        return False
    named = next((t for t in near if t.kind == "finding"), None)
    if named is None:
        return any(t.kind == "quality" for t in over)
    names = {e.name for e in named.entries}
    return not compared and not names.isdisjoint(change.RELATIVE)


def _is_of_shape(draft: Draft, sign: Sign) -> bool:
    """Whether "is increased" calls a finding what it is: "thoracic kyphosis is increased"."""
    near = draft.terms(0, sign.word, "finding")
    return bool(near) and near[-1].end == sign.word - 1 and draft.word(sign.word - 1) in (
        "is", "are"
    ) and any(e.name in ("kyphosis", "scoliosis") for e in near[-1].entries)  # fmt: skip


def _say(draft: Draft, sign: Sign) -> int:
    """Edit out one word of change. Return the place up to which the sentence is done."""
    start = clause_start(draft, sign.word)
    if "now" in (draft.word(sign.word), draft.word(sign.word + 2)) and sign.kind == NEW:
        place = sign.word if draft.word(sign.word) == "now" else sign.word + 2
        draft.delete(place, place + 1)
        return sign.end
    if sign.kind == NEW and _is_denied_new(draft, sign, start):
        if draft.terms(start, sign.start, "finding", "normal", *DEVICES) and not sign.predicate:
            start = sign.start  # "no effusion and no new collapse"
        return drop(draft, start, clause_end(draft, sign.end))
    end = aspect_end(draft, sign.end)
    verb = _verb_before(draft, sign, start)
    if (
        verb is not None
        and draft.word(sign.end - 1) not in ("of", "in")
        and (sign.predicate and draft.terms(start, verb, "finding", *DEVICES))
    ):
        return predicate(draft, sign, start, verb, end)
    if draft.word(end - 1) in ("in", "of") or (
        draft.word(end) in ("in", "of")
        and (sign.word == start or any(draft.word(p) in NOUNS for p in range(sign.word, end)))
    ):
        return frame(draft, sign, start, end)
    if draft.word(sign.end) in ("is", "are") and sign.word <= start + 1:  # "Again seen is"
        return noun_phrase(draft, start, sign.end + 1, there=False)
    if verb is not None and draft.word(verb) in ("show", "demonstrate"):
        verb = verb if draft.word(sign.end - 1) in NOUNS else None
    if verb is not None and draft.word(verb - 1) == "there":
        return _existential(draft, sign, verb)
    if verb is not None and (sign.predicate or sign.kind == STILL_THERE):
        return predicate(draft, sign, start, verb, end)
    return attribute(draft, sign, end)


def _is_denied_new(draft: Draft, sign: Sign, start: int) -> bool:
    """Whether only new findings are denied: then nothing is known of old ones.

    "No recurrent effusion" and "no new or residual effusion" deny each effusion.
    """
    word = draft.word(sign.word)
    if word in _COMING_BACK or draft.word(sign.end + 1) in _LEFT:
        return False
    if sign.predicate:
        return draft.word(start) == "no" and word in ("has", "have")  # "no nodules have appeared"
    if sign.denied:
        return True
    before = sign.word - 1  # "no superimposed new consolidation"
    while before >= start and draft.word(before) in _FURTHER:
        before -= 1
    return before < sign.word - 1 and draft.word(before) in ("no", "without")


def _verb_before(draft: Draft, sign: Sign, start: int) -> int | None:
    """Return the place of the verb whose predicate the word of change is in."""
    if draft.word(sign.word) in ("has", "have", "remain", "persist", "persisted"):
        return sign.word
    place = sign.word - 1
    while place >= start:
        word = draft.word(place)
        if word in VERBS:
            while draft.word(place - 1) in VERBS:
                place -= 1
            return place
        if word not in _ADVERBS and word not in AUXILIARIES and not change.is_change(word):
            return None
        place -= 1
    return None


def _existential(draft: Draft, sign: Sign, verb: int) -> int:
    """Cut a word after "there is", or say "there is" for "there remains"."""
    end = sign.end
    if sign.kind == RESOLVED and not sign.denied:
        draft.replace(sign.word, end, "no")  # "there is no longer any effusion"
        return end
    if sign.word == verb or draft.word(verb) == "remain":
        draft.replace(verb, sign.end, be(draft, verb))
        return end
    end = past_aspects(draft, end + (draft.word(end) == ","))
    draft.delete(run_start(draft, sign), end)
    return end


def _say_less(draft: Draft) -> None:
    """Say "there is" of a finding that "is slightly less"."""
    for place, token in enumerate(draft.tokens):
        if token.word in ("more", "less") and _ENDS.match(draft.text, token.end):
            sign = Sign(BETTER, place, place + 1, place, denied=False, predicate=True)
            start = clause_start(draft, place)
            verb = _verb_before(draft, sign, start)
            if verb is not None and draft.terms(start, verb, "finding"):
                predicate(draft, sign, start, verb, place + 1)


def _cut_adverbs(draft: Draft, named: frozenset[int], compared: bool) -> None:
    """Cut "again", "now", "still" and "interval" where nothing else was edited."""
    covered = [(a, b) for a, b, _ in draft.edits]
    for place, token in enumerate(draft.tokens):
        if place in named or any(a <= token.start < b for a, b in covered):
            continue
        if token.word in _PLAIN_VERBS and say_verb(draft, place, compared):
            continue
        if token.word not in _ALONE:
            continue
        if token.word == "previously" and draft.word(place + 1) in STATES:
            draft.delete(place, place + 2)  # "the previously large effusion is tiny"
        if token.word == "previously" or (
            token.word == "interval" and draft.word(place + 1) == "between"
        ):
            continue
        draft.delete(place, place + 1)
