"""Finds what a sentence says of the change of a finding since an earlier image."""

from __future__ import annotations

from typing import NamedTuple

from cxr_vlp.nlp.context.scope import Scopes, Verdict
from cxr_vlp.nlp.findings.terms import Term


class Change(NamedTuple):
    """One of mention.CHANGES, and the words that say so; "" and "" where nothing does."""

    kind: str
    words: str


UNSAID = Change("", "")


def change_of(scopes: Scopes, found: tuple[Term, ...], term: Term, verdict: Verdict) -> Change:
    """Return the change that is said of the finding at `term`."""
    return UNSAID
