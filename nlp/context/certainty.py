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

from collections.abc import Mapping
from typing import Final, Literal

from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN, Assertion, Verdict

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


def grade(verdict: Verdict) -> Certainty:
    """Return how certain the words of a verdict are."""
    return CERTAINTY_OF[verdict.assertion]
