"""Finds what a sentence does besides stating findings.

It may recommend a next step, say why the study was made, remark on technique or image quality, or
say who was informed. The phrases are in lexicon/en/discourse.yaml.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import background, exclusion, old_images, supposition
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match, Phrases

_AIMS = lexicon.words("grammar", "aims")
_CLAUSE_STARTS = lexicon.words("grammar", "clause_starts") | {";", "."}
_GOVERNING = ("recommendation", "purpose")


@dataclass(frozen=True)
class Discourse:
    """The kinds of phrases found (discourse.yaml): kind -> token place of the first phrase.

    `past` has the (start, end) of the places where the sentence speaks of the past, of what the
    study cannot show, or of when a next step is due.
    """

    first: Mapping[str, int]
    past: tuple[tuple[int, int], ...] = ()

    def governs(self, place: int) -> bool:
        """Whether a finding at token `place` is only what a next step or the study looks for."""
        if self.past and any(start <= place < end for start, end in self.past):
            return True
        if not self.first:
            return False
        return any(self.first.get(kind, place + 1) <= place for kind in _GOVERNING)


@functools.cache
def _phrases(kind: str) -> Phrases:
    return Phrases((phrase, kind) for phrase in lexicon.load("discourse")[kind])


@functools.cache
def _kinds() -> tuple[str, ...]:
    return tuple(lexicon.load("discourse"))


@functools.cache
def _openers() -> Mapping[str, tuple[str, ...]]:
    """Return first word of a phrase -> the kinds of phrases that begin with it."""
    table: dict[str, tuple[str, ...]] = {}
    for kind in _kinds():
        for word in _phrases(kind).first_words():
            table[word] = (*table.get(word, ()), kind)
    return table


def _kinds_of(words: Set[str]) -> Iterable[str]:
    """Return the kinds of which a phrase can be in a sentence of these words, in their order."""
    openers = _openers()
    near = openers.keys() & words
    if not near:
        return ()
    kinds = {kind for word in near for kind in openers[word]}
    return (kind for kind in _kinds() if kind in kinds)


def find(tokens: Sequence[Token], words: Set[str]) -> Discourse:
    """Return the kinds of phrases in a sentence; each kind is searched for separately.

    `words` are those of the tokens.
    """
    first = {}
    for kind in _kinds_of(words):
        found = [m for m in _phrases(kind).find(tokens) if not _is_denied(tokens, kind, m)]
        if found:
            first[kind] = found[0].start
    past = background.spans(tokens, words)
    if "background" in first:
        past.append((first["background"], old_images.end_of(tokens, first["background"])))
    if "blind" in first:
        past.append(_clause_before(tokens, first["blind"]))
    if not words.isdisjoint(supposition.CONDITION_WORDS):
        conditions = supposition.conditions(tokens)
        if conditions:
            first.setdefault("recommendation_weak", conditions[0][0])
            past += conditions
    return Discourse(first, tuple(past))


def _clause_before(tokens: Sequence[Token], end: int) -> tuple[int, int]:
    """Return the (start, end) of the clause before `end`, with its subject."""
    starts = [i for i, token in enumerate(tokens[:end]) if token.word in _CLAUSE_STARTS]
    return (starts[-1] if starts else 0), end


def _is_denied(tokens: Sequence[Token], kind: str, match: Match) -> bool:
    """Whether the phrase is no aim here: "rule out" is not possible, "if" only supposes."""
    if kind not in _GOVERNING:
        return False
    words = [token.word for token in tokens[match.start : match.end]]
    if not _AIMS.isdisjoint(words):
        return (
            exclusion.is_impossible(tokens, match.start)
            or exclusion.decides(tokens, match.start)
            or exclusion.is_enabled(tokens, match.start)
        )
    if words == ["indication"]:  # "no indication that"
        return match.start > 0 and tokens[match.start - 1].word in ("no", "without")
    return words[0] == "if" and (
        supposition.supposes(tokens, match.start)
        or exclusion.is_unsayable(tokens, match.start)  # "impossible to say if there is"
    )
