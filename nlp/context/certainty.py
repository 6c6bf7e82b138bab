"""Grades how certain a sentence is of a finding, and maps the grade to an assertion.

    definite    -> present      "There is an effusion."
    probable    -> uncertain    "Probable effusion."
    possible    -> uncertain    "Possible effusion.", "Effusion cannot be excluded."
    unlikely    -> absent       "Effusion is unlikely."
    absent      -> absent       "No effusion."

The cues decide the assertion (scope.py); the words of the cue decide the grade within it
(lexicon/en/certainty.yaml).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final, Literal

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN, Assertion, Verdict
from cxr_vlp.nlp.match.tokens import tokenize

Certainty = Literal["definite", "probable", "possible", "unlikely", "absent"]
DEFINITE: Final = "definite"
PROBABLE: Final = "probable"
POSSIBLE: Final = "possible"
UNLIKELY: Final = "unlikely"
NONE: Final = "absent"
CERTAINTIES: tuple[Certainty, ...] = (DEFINITE, PROBABLE, POSSIBLE, UNLIKELY, NONE)
ASSERTION_OF: Mapping[Certainty, Assertion] = {
    DEFINITE: PRESENT,
    PROBABLE: UNCERTAIN,
    POSSIBLE: UNCERTAIN,
    UNLIKELY: ABSENT,
    NONE: ABSENT,
}
# where only the assertion is known
CERTAINTY_OF: Mapping[Assertion, Certainty] = {
    PRESENT: DEFINITE,
    UNCERTAIN: POSSIBLE,
    ABSENT: NONE,
}
_LESSER = lexicon.words("grammar", "lesser")


def grade(verdict: Verdict) -> Certainty:
    """Return how certain the words of a verdict are.

    >>> grade(Verdict("uncertain", "Probable", "uncertain_after"))
    'probable'
    >>> grade(Verdict("absent", "is unlikely", "absent_before"))
    'unlikely'
    """
    if verdict.assertion == PRESENT:
        return DEFINITE
    return _grade(verdict)


@functools.lru_cache(maxsize=4096)
def _grade(verdict: Verdict) -> Certainty:
    words = [token.word for token in tokenize(verdict.trigger)]
    if verdict.assertion == ABSENT:
        return UNLIKELY if _has(words, "unlikely") else NONE
    if verdict.category == "uncertain_after" and not _LESSER.isdisjoint(words):
        return POSSIBLE  # "atelectasis is favored over pneumonia" grades two findings
    return PROBABLE if _has(words, "probable") and not _has(words, "possible") else POSSIBLE


def _has(words: list[str], group: str) -> bool:
    """Whether one phrase of a list of certainty.yaml is among `words`."""
    text = f" {' '.join(words)} "
    return any(f" {phrase} " in text for phrase in _phrases(group))


@functools.cache
def _phrases(group: str) -> tuple[str, ...]:
    phrases = lexicon.load("certainty")[group]
    return tuple(" ".join(t.word for t in tokenize(phrase)) for phrase in phrases)
