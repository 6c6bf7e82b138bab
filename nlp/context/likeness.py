"""Finds what is said of how a finding looks.

"pneumonia could look the same"           a hedge of what is before it
"edema could explain the opacities"       a hedge of what is before it; what follows is there
"apparent mass is due to rotation"        a hedge of what follows
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match

_MODALS = lexicon.words("grammar", "modals")
_LOOKS = lexicon.words("grammar", "looks")
_EFFECTS = lexicon.words("grammar", "effects")
_KNOWN = frozenset({"the", "this", "these", "those"})
_ALIKE = lexicon.words("grammar", "alike")
_PRETENCES = lexicon.words("grammar", "pretences")
_PRETENDING = lexicon.words("grammar", "pretending")
_LINKS = frozenset({"due", "secondary", "from", "related"})
_DOUBTS = _MODALS | {"likely", "probably", "possibly", "perhaps", "partly", "partially"}
_SEEMING = frozenset({"apparent"})
_LOOK_REACH, _ALIKE_REACH = 3, 5  # tokens: "could also well look", "have a very similar"


def find(tokens: Sequence[Token], words: Set[str]) -> list[Match]:
    """Return the cues of likeness, in order."""
    found = []
    if not (words.isdisjoint(_MODALS) or words.isdisjoint(_LOOKS) or words.isdisjoint(_ALIKE)):
        found += [m for i, t in enumerate(tokens) if t.word in _MODALS for m in _looks(tokens, i)]
    if not (words.isdisjoint(_MODALS) or words.isdisjoint(_EFFECTS)):
        found += [m for i, t in enumerate(tokens) if t.word in _MODALS for m in _effect(tokens, i)]
        found.sort()
    if not words.isdisjoint(_SEEMING) and words.isdisjoint(_DOUBTS):  # a hedged cause is none
        found += [
            Match(i, i + 1, ("uncertain_after",))
            for i, token in enumerate(tokens)
            if token.word in _SEEMING and _is_pretence(tokens, i)
        ]
    return found


def _looks(tokens: Sequence[Token], place: int) -> list[Match]:
    """Return "could look the same" where the modal verb is at `place`."""
    for look in range(place + 1, min(place + 1 + _LOOK_REACH, len(tokens))):
        if tokens[look].word in _LOOKS:
            for alike in range(look + 1, min(look + 1 + _ALIKE_REACH, len(tokens))):
                if tokens[alike].word in _ALIKE:
                    return [Match(place, alike + 1, ("uncertain_before",))]
    return []


def _effect(tokens: Sequence[Token], place: int) -> list[Match]:
    """Return "could explain" where the modal verb is at `place`, and a known finding follows."""
    for verb in range(place + 1, min(place + 1 + _LOOK_REACH, len(tokens))):
        if tokens[verb].word in _EFFECTS:
            end = verb + 1 + (tokens[verb].word == "account")
            following = [token.word for token in tokens[end : end + _ALIKE_REACH]]
            if following[:1] and following[0] in _KNOWN and len(following) > 1:
                if _looks(tokens, place):
                    return []
                return [Match(place, end, ("uncertain_before", "present_after"))]
    return []


def _is_pretence(tokens: Sequence[Token], place: int) -> bool:
    """Whether "apparent" at `place` is explained by how the image was made."""
    if place and tokens[place - 1].word in _PRETENDING:
        return True
    following = [token.word for token in tokens[place + 1 :]]
    verb = next((i for i, word in enumerate(following) if word in VERBS or word in _LINKS), -1)
    return verb > 0 and not _PRETENCES.isdisjoint(following[verb:])
