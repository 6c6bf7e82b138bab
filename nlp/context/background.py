"""Finds the words that speak of the past of the patient, of his family, or of a finding removed.

A finding named there is not seen today. What an old disease leaves behind is seen today, and so is
a prior finding that is said to persist: "prior granulomatous disease", "prior effusion persists".
`old_images` finds what is told of an older image.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import old_images
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.context.old_images import MARKS, UNCHANGED, end_of
from cxr_vlp.nlp.match.tokens import Token

_PAST = lexicon.words("grammar", "past")
_FAMILY = lexicon.words("grammar", "family")
_TRANSIENT = lexicon.words("grammar", "transient")
_BESIDE = lexicon.words("grammar", "beside_transient")
_FAMILY_VERBS = lexicon.words("grammar", "family_verbs")
_TRACES = lexicon.words("grammar", "traces")
_UNCHANGED = lexicon.words("grammar", "unchanged")
_PATIENT = lexicon.words("grammar", "patient_words")
_CARED = lexicon.words("grammar", "cared")
_CARED_FOR = lexicon.words("grammar", "cared_prepositions")
_CARED_TIMES = lexicon.words("grammar", "cared_times")
_AGES = lexicon.words("grammar", "ages")
_TIMES = lexicon.words("grammar", "past_times") | old_images.YEARS
_TOLD = lexicon.words("grammar", "told_of_images")
_PROCEDURES = lexicon.words("grammar", "procedures")
_REPAIRED = lexicon.words("grammar", "repaired")
_AFTER_REPAIR = lexicon.words("grammar", "repairs")
_SURGERY = lexicon.words("grammar", "after_surgery")
_CLAUSE_ENDS = MARKS | {",", "with", "but", "without", "which", "who"}
_HAD = frozenset({"had", "report", "recall", "mention"})
_OPENERS = frozenset({"follow", "followup", "recent"})  # "follow-up of pneumonia"
_TRIGGERS = frozenset().union(
    _PAST, _FAMILY, _CARED, _AGES, _TIMES, _PROCEDURES, _REPAIRED, _AFTER_REPAIR, _HAD, _OPENERS
)
_ADJECTIVES = 3  # "prior small left effusion"
_HAVING = frozenset({"has", "have", "previously", "once", "also", "reportedly"})

Span = tuple[int, int]  # tokens: first, after the last


def spans(tokens: Sequence[Token], words: Set[str]) -> list[Span]:
    """Return the (start, end) of the places where a finding is only history."""
    found = old_images.spans(tokens, words)
    if words.isdisjoint(_TRIGGERS):
        return found
    for place, token in enumerate(tokens):
        if token.word in _TRIGGERS:
            found += _history(tokens, place)
    return found


def _history(tokens: Sequence[Token], place: int) -> list[Span]:
    """Return the places that the word at `place` makes history."""
    word = tokens[place].word
    if word in _FAMILY:
        if _is_possessive(tokens[place]):
            return _transients(tokens, place)
        return [(place, end_of(tokens, place))] if _tells_of(tokens, place) else []
    if word in _CARED and _is_cared_for(tokens, place):
        return [(place, _clause_end(tokens, _joint(tokens, place) + 1))]
    if word in _HAD:
        return _transients(tokens, place) if _is_of_patient(tokens, place) else []
    if word in _OPENERS and place < 2:
        return (
            _transients(tokens, place + 1 + 2 * (word == "follow"))
            if _is_verbless(tokens, place)
            else []
        )
    if word in _AGES and place and tokens[place - 1].word in ("in", "a", "his", "her", "during"):
        return _transients(tokens, _clause_start(tokens, place))
    if word in _TIMES and _is_past_time(tokens, place):
        return _transients(tokens, _treated_start(tokens, place))
    if word in _PROCEDURES and _is_done(tokens, place):
        return [(place, _clause_end(tokens, place + 1))]
    if word in _AFTER_REPAIR:
        return [(max(0, place - _ADJECTIVES), place)] if _is_repair(tokens, place) else []
    if word in _REPAIRED:
        if place and tokens[place - 1].word in ("been", "was", "were"):
            return [(_clause_start(tokens, place), place)]
        return [(place, min(place + 1 + _ADJECTIVES, _clause_end(tokens, place + 1)))]
    end = _past_end(tokens, place) if _is_past(tokens, place) else 0
    return [(place, end)] if end else []


def _clause_end(tokens: Sequence[Token], start: int) -> int:
    """Return where the clause after `start` ends: at a mark, "with", or "now"."""
    for place in range(start, len(tokens)):
        if tokens[place].word in _CLAUSE_ENDS or tokens[place].word in old_images.TODAY:
            return place
    return len(tokens)


def _clause_start(tokens: Sequence[Token], end: int) -> int:
    """Return where the clause before `end` begins."""
    starts = (i + 1 for i in range(end - 1, -1, -1) if tokens[i].word in _CLAUSE_ENDS)
    return next(starts, 0)


def _treated_start(tokens: Sequence[Token], end: int) -> int:
    """Return where the clause before `end` begins, with "pneumonia treated with" as part of it."""
    start = _clause_start(tokens, end)
    if start > 1 and tokens[start - 1].word == "with" and tokens[start - 2].word in _CARED:
        return _clause_start(tokens, start - 1)
    return start


def _transients(tokens: Sequence[Token], start: int) -> list[Span]:
    """Return the diseases that pass in the clause at `start`, unless they are seen today."""
    end = _clause_end(tokens, start)
    words = {token.word for token in tokens[start:end]}
    if not (words.isdisjoint(UNCHANGED) and words.isdisjoint(_TRACES)):
        return []
    if old_images.goes_on(tokens, end):
        return []
    return [(i, i + 1) for i in range(start, end) if tokens[i].word in _TRANSIENT]


def _tells_of(tokens: Sequence[Token], place: int) -> bool:
    """Whether the sentence tells of a disease of the relative, and not that he was called."""
    following = [token.word for token in tokens[place + 1 : place + 4]]
    return any(word in _FAMILY_VERBS for word in following)


def _is_possessive(token: Token) -> bool:
    """Whether the plain form of a token has lost "'s": "grandfather's tuberculosis"."""
    return token.end - token.start > len(token.word) + 1


def _is_verbless(tokens: Sequence[Token], start: int) -> bool:
    """Whether the clause at `start` only names what the study is about."""
    return all(token.word not in VERBS for token in tokens[start : _clause_end(tokens, start)])


def _is_cared_for(tokens: Sequence[Token], place: int) -> bool:
    """Whether "treated for", "admitted with" or the like is at `place`."""
    return _joint(tokens, place) > 0


def _joint(tokens: Sequence[Token], place: int) -> int:
    """Return the place of "for" after the word at `place`, else 0: "hospitalized in 2015 for"."""
    for at in range(place + 1, len(tokens)):
        word = tokens[at].word
        if word in _CARED_FOR:
            return at
        if word not in _CARED_TIMES and not word.isdigit():
            return 0
    return 0


def _is_of_patient(tokens: Sequence[Token], place: int) -> bool:
    """Whether the subject of "had" is a person: "the patient had", "he has had"."""
    before = place
    while before and tokens[before - 1].word in _HAVING:
        before -= 1
    return bool(before) and tokens[before - 1].word in _PATIENT


def _is_past_time(tokens: Sequence[Token], place: int) -> bool:
    """Whether the clause tells when a disease was, and not when an image was made."""
    start, end = _clause_start(tokens, place), _clause_end(tokens, place)
    if any(t.word in ("has", "have") for t in tokens[place + 1 : place + 2]):
        return False  # "the effusion tapped a month ago has not come back"
    if tokens[place].word.isdigit() and (not place or tokens[place - 1].word != "in"):
        return False
    return all(token.word not in _TOLD for token in tokens[start:end])


def _is_done(tokens: Sequence[Token], place: int) -> bool:
    """Whether "drainage of" or the like is told of as done: "status post drainage of"."""
    following = tokens[place + 1 : place + 2]
    if not following or following[0].word not in ("of", "for"):
        return False
    if following[0].word == "for":  # "surgery for": why it was done
        return True
    return any(token.word in _SURGERY for token in tokens[max(0, place - 4) : place])


def _is_repair(tokens: Sequence[Token], place: int) -> bool:
    """Whether a repair at `place` is done, and not advised."""
    following = {token.word for token in tokens[place + 1 : place + 4]}
    if place and tokens[place - 1].word in _SURGERY | _CARED_FOR | {"of", "needs", "without"}:
        return False  # "hernia after repair"
    return following.isdisjoint(("recommended", "planned", "considered", "advised"))


def _is_past(tokens: Sequence[Token], place: int) -> bool:
    """Whether "prior", "status post" or "s/p" is at `place`."""
    word = tokens[place].word
    return word in _PAST and (word != "p" or (place > 1 and tokens[place - 1].word == "/"))


def _past_end(tokens: Sequence[Token], place: int) -> int:
    """Return the end of what the word at `place` ("prior", "post") puts into the past, else 0."""
    noun = place + 1
    while noun < min(len(tokens) - 1, place + 1 + _ADJECTIVES) and tokens[noun].word in _BESIDE:
        noun += 1
    if noun >= len(tokens) or tokens[noun].word not in _TRANSIENT:
        return 0
    if any(t.word in _TRACES for t in tokens[max(0, place - 2) : place]):
        return 0
    return 0 if _goes_on(tokens, noun) else noun + 1


def _goes_on(tokens: Sequence[Token], noun: int) -> bool:
    """Whether the sentence says something of the finding at `noun` today."""
    following = [token.word for token in tokens[noun + 1 : noun + 4]]
    if not _UNCHANGED.isdisjoint(following):
        return True
    for token in tokens[noun + 1 :]:
        if token.word in MARKS or token.word == ",":
            return False
        if token.word in VERBS:
            return True
    return False
