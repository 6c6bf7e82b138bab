"""Finds what is told of an older image: "outside films showed an effusion; today it is gone".

A finding named there is not seen today, unless the sentence says that it is still there.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token

TODAY = lexicon.words("grammar", "today")
MARKS = frozenset(";.:")
UNCHANGED = lexicon.words("grammar", "unchanged") | lexicon.words("grammar", "going_on")
_STUDIES = lexicon.words("grammar", "studies")
YEARS = frozenset(str(year) for year in range(1940, 2050))
_OLD = lexicon.words("grammar", "old_images") | YEARS
_SHOWED = lexicon.words("grammar", "past_showing")
_ACCORDING = frozenset({"according", "per"})
_CHANGED = lexicon.words("grammar", "change_progressive") | lexicon.words(
    "grammar", "change_perfect"
)
_GONE = frozenset({"resolved", "cleared", "normal"})
_IS = frozenset({"is", "are", "appear", "remain"})
_TELLING = _SHOWED | _ACCORDING
_JOINTS = frozenset({",", "and", "which", "that"})
_BETWEEN = _JOINTS | _IS | {"has", "have", "it", "this", "these", "they", "slightly", ";"}
_NOT = frozenset({"not", "no", "never"})
_COMPARED = frozenset({"compared", "comparison", "since", "from", "than", "interval"})
_NEAR = 4  # tokens between the word for an old image and its noun: "the study of last year"
_VERB_REACH = 7  # tokens between that noun and "showed"


def spans(tokens: Sequence[Token], words: Set[str]) -> list[tuple[int, int]]:
    """Return the (start, end) of what the sentence tells of an older image."""
    if words.isdisjoint(_OLD) or words.isdisjoint(_STUDIES) or words.isdisjoint(_TELLING):
        return []
    for place, token in enumerate(tokens):
        if token.word in _OLD and (verb := _showing(tokens, place)):
            end = end_of(tokens, verb)
            return [] if _is_still_there(tokens, verb, end) else [(place, end)]
    return []


def end_of(tokens: Sequence[Token], start: int) -> int:
    """Return where talk of the past ends that begins at `start`: at a mark, or at "now"."""
    for place in range(start, len(tokens)):
        word = tokens[place].word
        if word in TODAY or (word in MARKS and place > start + 2):
            return place
        if word == "," and _is_of_today(tokens, place + 1, TODAY | _IS):
            return place
        if word == "and" and _is_of_today(tokens, place + 1, _IS) and _is_definite(tokens, place):
            return place
    return len(tokens)


def _is_definite(tokens: Sequence[Token], place: int) -> bool:
    return tokens[place + 1].word == "the"


def _is_of_today(tokens: Sequence[Token], start: int, words: frozenset[str]) -> bool:
    """Whether the part of the sentence at `start` is of today: "hyperinflated today"."""
    for token in tokens[start:]:
        if token.word == "," or token.word in MARKS:
            return False
        if token.word in words:
            return True
    return False


def _showing(tokens: Sequence[Token], place: int) -> int:
    """Return the place of the verb that tells what the old image at `place` showed, else 0."""
    near = range(max(0, place - _NEAR), min(len(tokens), place + _NEAR))
    if not any(_is_study(tokens, i) for i in near):
        return 0
    before = {token.word for token in tokens[max(0, place - _NEAR) : place]}
    if not before.isdisjoint(_ACCORDING):
        return place  # "according to the outside report"
    is_compared = not before.isdisjoint(_COMPARED)
    for verb in range(place + 1, min(place + 1 + _VERB_REACH, len(tokens))):
        word = tokens[verb].word
        if word in MARKS or word in TODAY:
            return 0
        if word == "there" and (is_compared or not _tells_of_past(tokens, verb)):
            return 0
        if word in _SHOWED:
            return verb
    return 0


def _is_study(tokens: Sequence[Token], place: int) -> bool:
    """Whether an image or a document is at `place`; "of note" is none."""
    word = tokens[place].word
    is_remark = word == "note" and place > 0 and tokens[place - 1].word == "of"
    return word in _STUDIES and not is_remark


def _tells_of_past(tokens: Sequence[Token], place: int) -> bool:
    """Whether "there was" is at `place`."""
    following = tokens[place + 1 : place + 2]
    return bool(following) and following[0].word in ("was", "were", "had")


def _is_still_there(tokens: Sequence[Token], verb: int, end: int) -> bool:
    """Whether the finding that was shown is said to be there still."""
    words = [token.word for token in tokens[verb + 1 : end]]
    if goes_on(tokens, end) or any(goes_on(tokens, i) for i in _joints(tokens, verb, end)):
        return True
    return not UNCHANGED.isdisjoint(words) and _NOT.isdisjoint(words)


def _joints(tokens: Sequence[Token], start: int, end: int) -> list[int]:
    return [i for i in range(start, end) if tokens[i].word in _JOINTS]


def goes_on(tokens: Sequence[Token], place: int) -> bool:
    """Whether a change of what came before is told at `place`: "..., which is now smaller"."""
    for token in tokens[place : place + 5]:
        if token.word in UNCHANGED or token.word in _CHANGED - _GONE:
            return True
        if token.word not in _BETWEEN and token.word not in TODAY:
            return False
    return False
