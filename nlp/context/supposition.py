"""Finds clauses that only suppose a finding, and clauses that say when a next step is due.

"Right effusion, minimal if there at all."          a guess at the image: it may be there
"Consolidation, were it there, would be hidden."    the same
"If pneumonia is a concern, a lateral would help."  a condition: nothing is said of the image
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.match.tokens import Token

SUPPOSING = lexicon.words("grammar", "supposing")
_INVERTED = lexicon.words("grammar", "supposing_inverted")
_SMALL = lexicon.words("grammar", "supposed_clause")
_EXISTING = lexicon.words("grammar", "existing")
_ENDS = lexicon.words("grammar", "predicate_ends") | VERBS
_SUPPOSED = frozenset({"it", "they"})
_SUPPOSED_VERBS = frozenset({"is", "are", "would", "must"})
_CONDITIONS = lexicon.words("grammar", "conditions")
_OPENING = lexicon.words("grammar", "opening_conditions")
_CASES = frozenset({"case", "event"})
_CONCERN = lexicon.words("grammar", "concerns")
_MARKS = frozenset(",;.:")
_ENDINGS = _MARKS | {"then"}
CONDITION_WORDS = _CONDITIONS | _OPENING | _CASES


def supposes(tokens: Sequence[Token], place: int) -> bool:
    """Whether the "if" at `place` opens a guess at the image: "if there is one, it is tiny"."""
    following = [token.word for token in tokens[place + 1 :]]
    return any(
        following[i] in _SUPPOSED and following[i + 1] in _SUPPOSED_VERBS
        for i in range(len(following) - 1)
    )


def clause_end(tokens: Sequence[Token], place: int) -> int:
    """Return the end of a clause at `place` that doubts what is before it, 0 where none is.

    Such a clause has a word of being and only small words beside it: "if it is there at all".
    """
    if tokens[place].word in _INVERTED:  # "were it there"; not "were present"
        following = tokens[place + 1 : place + 2]
        if not following or following[0].word not in _SMALL - _EXISTING - VERBS:
            return 0
    end = place + 1
    while end < len(tokens) and tokens[end].word in _SMALL:
        end += 1
    if _EXISTING.isdisjoint(token.word for token in tokens[place + 1 : end]):
        return 0
    if end < len(tokens) and tokens[end].word.isalnum() and tokens[end].word not in _ENDS:
        return 0  # "if there is a nodule", "little if any fluid"
    return end


def conditions(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Return the (start, end) of the clauses that say when a next step is due."""
    found = []
    for place, token in enumerate(tokens):
        if _opens_condition(tokens, place):
            end = _mark(tokens, place)
            words = [t.word for t in tokens[place + 1 : end]]
            is_case = token.word in _CASES
            if (is_case or not _CONCERN.isdisjoint(words)) and not supposes(tokens, place):
                found.append((place, end))
    return found


def _opens_condition(tokens: Sequence[Token], place: int) -> bool:
    word = tokens[place].word
    if word in _CONDITIONS:
        return True
    if word in _CASES:  # "in case of", "in the event of"
        following = tokens[place + 1 : place + 2]
        before = {t.word for t in tokens[max(0, place - 2) : place]}
        return "in" in before and bool(following) and following[0].word == "of"
    return word in _OPENING and (place == 0 or tokens[place - 1].word in _MARKS)


def _mark(tokens: Sequence[Token], start: int) -> int:
    """Return where the clause at `start` ends: at a mark, or at "then"."""
    return next((i for i in range(start, len(tokens)) if tokens[i].word in _ENDINGS), len(tokens))
