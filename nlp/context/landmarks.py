"""Finds findings that are named only to say where another one is, or what it is added to.

    "possible nodule above the known effusion"     the effusion is there
    "suspect edema on a background of emphysema"   the emphysema is there
    "no cavity within the consolidation"           the consolidation is there

A cue before such words does not apply to the finding after them.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match

_BESIDE = lexicon.words("grammar", "landmark_prepositions")
_BELOW = lexicon.words("grammar", "landmark_covers")
_KNOWN = lexicon.words("grammar", "landmark_known")
_DEFINITE = frozenset({"the", "this", "these", "his", "her"})
_HEADS = lexicon.words("grammar", "landmarks")
_EITHER = frozenset({"underlying", "overlying"})  # adjectives too: "underlying effusion"
_ABSTRACT = frozenset({"from", "by", "to", "of"})
_ENDS = frozenset(",;.:") | {"and", "or", "but", "with", "of", "which", "is", "are"}
_FEATURES = lexicon.words("grammar", "landmark_features")
_PREPOSITIONS = _BESIDE | _BELOW | {"of"}
_REACH = 6  # tokens: "above the known large left pleural effusion"
_WORDS = _KNOWN | _DEFINITE | _BELOW


def find(tokens: Sequence[Token], cues: Sequence[Match], words: Set[str]) -> list[Match]:
    """Return the places where the reach of a cue ends before a landmark, in order."""
    if not cues or words.isdisjoint(_WORDS) or words.isdisjoint(_HEADS):
        return []
    first = cues[0].end
    return [
        Match(place, place + 1, ("stop",))
        for place in range(first, len(tokens))
        if tokens[place].word in _PREPOSITIONS
        if _is_landmark(tokens, place)
    ]


def _is_landmark(tokens: Sequence[Token], place: int) -> bool:
    """Whether a finding that is known follows the preposition at `place`."""
    following = tokens[place + 1].word if place + 1 < len(tokens) else ""
    if tokens[place].word in _EITHER and following not in _DEFINITE:
        return False
    if tokens[place].word == "of" and tokens[place - 1].word not in _FEATURES:
        return False
    if tokens[place].word in _ABSTRACT and following not in _DEFINITE | {"known"}:
        return False  # "no changes from chronic infection"
    is_known = tokens[place].word in _BELOW
    for at in range(place + 1, min(place + 1 + _REACH, len(tokens))):
        word = tokens[at].word
        if word in _HEADS:
            return is_known
        if word in _ENDS or word in _BESIDE:
            return False
        is_known = is_known or word in _KNOWN or (word in _DEFINITE and at == place + 1)
    return False
