"""Finds more signs of change, for which a phrase of change.yaml is not enough.

An image of earlier ("not seen on the outside CT", "visible in March", "as on the admission film"),
a verb whose predicate stands in the clause before ("..., but the effusion has not"), and "more" or
"less" of something.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from cxr_vlp.nlp.findings.change import (
    ADVERBS,
    CHANGED,
    COPULAS,
    STILL_THERE,
    STOPS,
    TIMES,
    Sign,
    comparing,
    denier,
    is_year,
    plain_words,
    signs,
)
from cxr_vlp.nlp.findings.mention import BETTER, NEW, STABLE, WORSE
from cxr_vlp.nlp.match.tokens import Token

MORE_OR_LESS = {"more": WORSE, "less": BETTER}
UP_OR_DOWN = {"up": WORSE, "down": BETTER}  # "effusion up"
BESIDE = {"now": NEW, "further": WORSE, "enlargement": WORSE}  # said of a finding right after them
ABSENCE = frozenset(("not", "never", "absent"))
_STATES, _DIRECT, _TODAY = plain_words("states"), plain_words("direct_times"), plain_words("today")
_PREPOSITIONS = frozenset(("on", "in", "at", "during", "by"))
_AGO = frozenset(("ago", "earlier", "before", "prior", "previously"))
_PAST = frozenset(("was", "were", "had"))
_ENDS = frozenset((".", ",", ";", "and", "but", ")"))
_VERBS = frozenset(("has", "have", "is", "are", "was", "were", "did", "do", "doe"))
_NO_AMOUNT = frozenset(("so", "like", "likely", "in", "on", "at", "or", "to", "often"))
_NOT_BEFORE = frozenset(("no", "or", "any", "once", "and", "far", "much"))
_COUNTS = frozenset(("one", "two", "three", "several", "few", "a"))
_BLANKS = 2
_REACH = 8  # tokens: "on the outside hospital portable film of March"


@functools.lru_cache(maxsize=4096)
def all_signs(tokens: tuple[Token, ...]) -> tuple[Sign, ...]:
    """Return the signs of change among `tokens`, those of phrases first."""
    known = signs(tokens)
    taken = (*known, *comparing(tokens))
    words = [token.word for token in tokens]
    more: list[Sign] = []
    for place, word in enumerate(words):
        if word in MORE_OR_LESS and _is_masked(tokens, place):
            continue  # "less ___": perhaps "less likely"
        if word in _TRIGGERS and not any(s.start <= place < s.end for s in taken):
            sign = _sign_at(words, place, known)
            if sign is not None:
                more.append(sign)
    return (*known, *more)


def _is_masked(tokens: Sequence[Token], place: int) -> bool:
    """Whether a mask, which is no token, stands after the word."""
    return place + 1 < len(tokens) and tokens[place + 1].start - tokens[place].end > _BLANKS


_TRIGGERS = frozenset((*ABSENCE, *MORE_OR_LESS, *_STATES, *BESIDE, *UP_OR_DOWN, "as"))


def _sign_at(words: Sequence[str], place: int, known: Sequence[Sign]) -> Sign | None:
    word = words[place]
    if word in MORE_OR_LESS:
        return _amount(words, place)
    if word in BESIDE:
        return _beside(words, place)
    if word in UP_OR_DOWN:
        following = words[place + 1] if place + 1 < len(words) else "."
        is_last = following in _ENDS or following in ADVERBS
        return Sign(UP_OR_DOWN[word], place, place + 1, place, False, True) if is_last else None
    if word == "as":
        is_time = words[place + 1 : place + 2] and words[place + 1] not in _COUNTS
        end = refers_back(words, place + 1) if is_time else 0
        return Sign(STABLE, place, end, place, False, True) if end else None
    if word in ABSENCE:
        end = _absent_before(words, place)
        if end:
            return Sign(NEW, place, end, place, False, True)
        return _ellipsis(words, place, known) if word == "not" else None
    end = refers_back(words, place + 1)
    if not end or not ABSENCE.isdisjoint(words[max(0, place - 4) : place]):
        return None
    return Sign(STILL_THERE, place, end, place, False, True)


def _beside(words: Sequence[str], place: int) -> Sign | None:
    """Return the sign of "is now", "further" and "enlargement of"."""
    word, end = words[place], place + 1
    if word == "now" and not (place and words[place - 1] in COPULAS):
        return None
    if word == "enlargement":
        if words[end : end + 1] != ["of"]:
            return None
        end += 1
    start = denier(words, place) if word == "enlargement" else None
    return Sign(
        BESIDE[word], place if start is None else start, end, place, start is not None, False
    )


def _absent_before(words: Sequence[str], place: int) -> int:
    """Return where "not seen on the outside CT" ends, 0 where it is no word on an earlier image."""
    at, has_state = place + 1, words[place] == "absent"
    while at < len(words) and (
        words[at] in COPULAS or words[at] in ADVERBS or words[at] in _STATES
    ):
        if words[at] in _DIRECT or words[at] in _PREPOSITIONS or words[at] == "now":
            break
        has_state = has_state or words[at] in _STATES
        at += 1
    if not has_state:
        return 0
    is_past = not _PAST.isdisjoint(words[max(0, place - 2) : at])
    if is_past and list(words[at : at + 2]) in (["this", "morning"], ["this", "afternoon"]):
        return at + 2
    return refers_back(words, at)


def refers_back(words: Sequence[str], place: int) -> int:
    """Return where words for an earlier image or time end that begin at `place`, else 0."""
    first = words[place] if place < len(words) else ""
    if first in _DIRECT:
        return place + 1
    if first == "last" and place + 1 < len(words):
        return place + 2  # "last week"
    if first[:1].isdigit() or first in _COUNTS:
        return next(
            (i + 1 for i in range(place, min(place + 4, len(words))) if words[i] in _AGO), 0
        )
    if first not in _PREPOSITIONS:
        return 0
    for at in range(place + 1, min(place + _REACH, len(words))):
        word = words[at]
        if word in STOPS or word in _ENDS or word in COPULAS or word in _TODAY:
            return 0
        if word in TIMES or is_year(word):
            following = words[at + 1] if at + 1 < len(words) else ""
            return 0 if word == "comparison" and following in ("with", "to") else at + 1
    return 0


def _ellipsis(words: Sequence[str], place: int, known: Sequence[Sign]) -> Sign | None:
    """Return the sign of a verb that repeats a predicate: "..., but the effusion has not"."""
    following = words[place + 1] if place + 1 < len(words) else "."
    if following not in _ENDS or not place or words[place - 1] not in _VERBS:
        return None
    if not any(s.end < place and s.kind != STILL_THERE for s in known):
        return None
    return Sign(CHANGED, place, place + 1, place, True, True)


@functools.lru_cache(maxsize=64)
def sided_signs(tokens: tuple[Token, ...]) -> tuple[Sign, ...]:
    """Return all signs, and those that tell of a change only where both sides have one."""
    words = [token.word for token in tokens]
    known = (*all_signs(tokens), *comparing(tokens))
    alone = (_amount(words, i, alone=True) for i, w in enumerate(words) if w in MORE_OR_LESS)
    return (*known, *(s for s in alone if s and not any(k.word == s.word for k in known)))


def _amount(words: Sequence[str], place: int, *, alone: bool = False) -> Sign | None:
    """Return the sign of "more" or "less" fluid than before; "more than 2 cm" is none."""
    before = words[place - 1] if place else ""
    following = words[place + 1] if place + 1 < len(words) else "."
    if before in _NOT_BEFORE and place:
        return None
    after = words[place + 2] if place + 2 < len(words) else ""
    if following == "than":
        rest = words[place + 2 : place + 6]
        is_earlier = (
            refers_back(["on", *rest], 0) or refers_back(words, place + 2) or _PAST & {*rest}
        )
        if after[:1].isdigit() or not is_earlier:
            return None
    elif following in _NO_AMOUNT and not (alone and following in _PREPOSITIONS):
        return None
    is_predicate = following in (*_ENDS, "than", "now", "today", "since")
    kind = MORE_OR_LESS[words[place]]
    return Sign(kind, place, place + 1, place, False, is_predicate)
