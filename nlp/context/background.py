"""Finds the words that speak of the past of the patient, of his family, or of an older image.

A finding named there is not seen today. What an old disease leaves behind is seen today, and so is
a prior finding that is said to persist: "prior granulomatous disease", "prior effusion persists".
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.match.tokens import Token

_PAST = lexicon.words("grammar", "past")
_FAMILY = lexicon.words("grammar", "family")
_TRANSIENT = lexicon.words("grammar", "transient")
_BESIDE = lexicon.words("grammar", "beside_transient")
_FAMILY_VERBS = lexicon.words("grammar", "family_verbs")
_STUDIES = lexicon.words("grammar", "studies")
_SHOWED = lexicon.words("grammar", "past_showing")
_TODAY = lexicon.words("grammar", "today")
_MARKS = frozenset(";.:")
_UNCHANGED = lexicon.words("grammar", "unchanged")
_TRACES = lexicon.words("grammar", "traces")
_TRIGGERS = _PAST | _FAMILY
_ADJECTIVES = 3  # "prior small left effusion"


def end_of(tokens: Sequence[Token], start: int) -> int:
    """Return where talk of the past ends that begins at `start`: at a mark, or at "now"."""
    for place in range(start, len(tokens)):
        word = tokens[place].word
        if word in _TODAY or (word in _MARKS and place > start + 2):
            return place
    return len(tokens)


def spans(tokens: Sequence[Token], words: Set[str]) -> list[tuple[int, int]]:
    """Return the (start, end) of the places where a finding is only history."""
    if words.isdisjoint(_TRIGGERS):
        return []
    found = []
    for place, token in enumerate(tokens):
        if token.word in _FAMILY and _tells_of(tokens, place):
            found.append((place, end_of(tokens, place)))
        elif _is_past(tokens, place) and (end := _past_end(tokens, place)):
            found.append((place, end))
    return found


def _tells_of(tokens: Sequence[Token], place: int) -> bool:
    """Whether the sentence tells of a disease of the relative, and not that he was called."""
    return any(token.word in _FAMILY_VERBS for token in tokens[place + 1 : place + 3])


def _is_past(tokens: Sequence[Token], place: int) -> bool:
    """Whether "prior", "status post" or "s/p" is at `place`."""
    word = tokens[place].word
    return word in _PAST and (word != "p" or (place > 1 and tokens[place - 1].word == "/"))


def _past_end(tokens: Sequence[Token], place: int) -> int:
    """Return the end of what the word at `place` ("prior", "post") puts into the past, else 0."""
    following = tokens[place + 1 : place + 3]
    if tokens[place].word not in ("post", "p") and any(t.word in _STUDIES for t in following):
        shown = tokens[place + 1 : place + 6]
        is_shown = any(t.word in _SHOWED for t in shown)
        return end_of(tokens, place) if is_shown else 0
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
        if token.word in _MARKS or token.word == ",":
            return False
        if token.word in VERBS:
            return True
    return False
