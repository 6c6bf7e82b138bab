"""Discourse: a sentence's tokens in, what it does besides stating findings out.

A recommendation, a question, a remark on technique or quality, a word to a colleague.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Phrases

_IMPOSSIBLE = frozenset({"not", "cannot", "unable", "difficult", "hard", "insufficient"})
_GOVERNING = ("recommendation", "purpose", "background")


@dataclass(frozen=True)
class Discourse:
    """The kinds of talk found: kind -> place of its first word."""

    first: Mapping[str, int]

    def governs(self, place: int) -> bool:
        """Whether a finding at token `place` is only the aim of a next step or of the study."""
        if place < self.first.get("blind", 0):
            return True
        return any(self.first.get(kind, place + 1) <= place for kind in _GOVERNING)


@functools.cache
def _phrases(kind: str) -> Phrases:
    return Phrases((phrase, kind) for phrase in lexicon.load("discourse")[kind])


def find(tokens: Sequence[Token]) -> Discourse:
    """Return the kinds of talk in a sentence; each kind is looked for on its own."""
    first = {}
    words = {token.word for token in tokens}
    for kind in lexicon.load("discourse"):
        if not _phrases(kind).may_be_in(words):
            continue
        hits = [h for h in _phrases(kind).find(tokens) if not _is_denied(tokens, kind, h.start)]
        if hits:
            first[kind] = hits[0].start
    return Discourse(first)


def _is_denied(tokens: Sequence[Token], kind: str, place: int) -> bool:
    """Whether "rule out" is said not to be possible: a hedge then, and no aim."""
    before = {token.word for token in tokens[max(0, place - 3) : place]}
    return kind == "purpose" and not before.isdisjoint(_IMPOSSIBLE)
