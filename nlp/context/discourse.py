"""Finds what a sentence does besides stating findings.

It may recommend a next step, say why the study was made, remark on technique or image quality, or
say who was informed. The phrases are in lexicon/en/discourse.yaml.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Phrases

_IMPOSSIBLE = lexicon.words("grammar", "impossible")
_GOVERNING = ("recommendation", "purpose", "background")


@dataclass(frozen=True)
class Discourse:
    """The kinds of phrases found (discourse.yaml): kind -> token place of the first phrase."""

    first: Mapping[str, int]

    def governs(self, place: int) -> bool:
        """Whether a finding at token `place` is only what a next step or the study looks for."""
        if place < self.first.get("blind", 0):
            return True
        return any(self.first.get(kind, place + 1) <= place for kind in _GOVERNING)


@functools.cache
def _phrases(kind: str) -> Phrases:
    return Phrases((phrase, kind) for phrase in lexicon.load("discourse")[kind])


def find(tokens: Sequence[Token]) -> Discourse:
    """Return the kinds of phrases in a sentence; each kind is searched for separately."""
    first = {}
    words = {token.word for token in tokens}
    for kind in lexicon.load("discourse"):
        if not _phrases(kind).may_be_in(words):
            continue
        found = [m for m in _phrases(kind).find(tokens) if not _is_denied(tokens, kind, m.start)]
        if found:
            first[kind] = found[0].start
    return Discourse(first)


def _is_denied(tokens: Sequence[Token], kind: str, place: int) -> bool:
    """Whether "rule out" is said not to be possible: then it is a hedge, not an aim."""
    before = {token.word for token in tokens[max(0, place - 3) : place]}
    return kind == "purpose" and not before.isdisjoint(_IMPOSSIBLE)
