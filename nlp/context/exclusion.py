"""Finds whether an exclusion is made, or is said not to be possible.

"CT to exclude pneumonia"              an aim: recommended, or why the study was made
"difficult to exclude pneumonia"       a hedge: it may be there
"the lateral view excludes pneumonia"  a denial
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import direction
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match

_IMPOSSIBLE = lexicon.words("grammar", "impossible")
_VERBS = lexicon.words("grammar", "excluding")
_AIMS = lexicon.words("grammar", "aims")
_DECIDED = lexicon.words("grammar", "decided")
_NOT = frozenset({"not", "cannot", "never"})
_CLAUSE_ENDS = frozenset({";", ".", ":", "but", "although", "which"})
_CLAUSE_MARKS = frozenset(",;.:")
_OPEN_VERBS = lexicon.words("grammar", "open_excluding")
_NOBODY = lexicon.words("grammar", "nobody") | {"nor"}
_WAYS = lexicon.words("grammar", "ways")
_DECIDERS = lexicon.words("grammar", "deciders")
_SUPPOSED = frozenset({"it", "they"})
_SUPPOSED_VERBS = frozenset({"is", "are", "would", "must"})
# "present" ends the reach of a denial before it: "does not allow exclusion of"
_OPEN = ("uncertain_after", "present_after")
_LIMITING = frozenset({"is", "are", "be"})
_SIZES = lexicon.words("grammar", "sizes")
_NEAR = 3  # tokens: "not definitively excluded"
_REACH = 6  # tokens: "limits our ability to confidently exclude"


def is_impossible(tokens: Sequence[Token], place: int) -> bool:
    """Whether what begins at `place` is said before it, in its clause, not to be possible."""
    for token in reversed(tokens[max(0, place - _REACH) : place]):
        if token.word in _CLAUSE_MARKS:
            return False
        if token.word in _IMPOSSIBLE:
            return True
    return _is_no_way(tokens, place)


def _is_no_way(tokens: Sequence[Token], place: int) -> bool:
    """Whether a way to what begins at `place` is denied: "no reliable way to exclude"."""
    words = [token.word for token in tokens[max(0, place - _REACH) : place]]
    return "no" in words and not _WAYS.isdisjoint(words[words.index("no") :])


def left_open(text: str, tokens: tuple[Token, ...], found: list[Match]) -> list[Match]:
    """Return the cues, those of a denied exclusion as one hedge.

    "Neither pneumonia nor effusion can be excluded", "neither view excludes a nodule".
    """
    deniers = [cue for cue in found if tokens[cue.start].word in _NOBODY]
    if not deniers:
        return found
    for cue in found:
        words = [token.word for token in tokens[cue.start : cue.end]]
        if cue.start < deniers[0].end or _OPEN_VERBS.isdisjoint(words):
            continue
        if not _CLAUSE_ENDS.isdisjoint(t.word for t in tokens[deniers[0].end : cue.start]):
            return found
        is_made = not _DECIDED.isdisjoint(words)
        hedge = _hedge(text, tokens, cue) if is_made else Match(cue.start, cue.end, _OPEN)
        return [hedge if c is cue else c for c in found if c not in deniers]
    return found


def decides(tokens: Sequence[Token], place: int) -> bool:
    """Whether "excludes" or "rules out" is at `place`, or "findings exclude"."""
    if tokens[place].word not in _VERBS:
        return False
    if _is_inflected(tokens[place]):
        return True
    before = tokens[place - 1] if place else None
    return before is not None and before.word in _DECIDERS and _is_inflected(before)


def _is_inflected(token: Token) -> bool:
    """Whether the plain form of a token has lost an "s"."""
    return token.end - token.start > len(token.word)


def supposes(tokens: Sequence[Token], place: int) -> bool:
    """Whether the "if" at `place` opens a guess at the image: "if there is one, it is tiny"."""
    following = [token.word for token in tokens[place + 1 :]]
    return any(
        following[i] in _SUPPOSED and following[i + 1] in _SUPPOSED_VERBS
        for i in range(len(following) - 1)
    )


def _limits_any(tokens: Sequence[Token], cue: Match) -> bool:
    """Whether a sentence only says how large "any" finding can be: "any effusion is small"."""
    words = [token.word for token in tokens]
    pairs = [(words[i], words[i + 1]) for i in range(len(words) - 1)]
    return cue.start == 0 and any(a in _LIMITING and b in _SIZES for a, b in pairs)


def adjusted(text: str, tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return a cue of exclusion with the category that its clause gives it."""
    words = [token.word for token in tokens[cue.start : cue.end]]
    if words in (["if"], ["any"]):
        is_guess = supposes(tokens, cue.start) if words == ["if"] else _limits_any(tokens, cue)
        return Match(cue.start, cue.end, ("uncertain_after" if is_guess else "neutral",))
    if words[0] in _DECIDED:
        before = {token.word for token in tokens[max(0, cue.start - _NEAR) : cue.start]}
        return cue if before.isdisjoint(_NOT) else _hedge(text, tokens, cue)
    if _AIMS.isdisjoint(words):
        return cue
    if is_impossible(tokens, cue.start):
        return _hedge(text, tokens, cue)
    if words[0] == "exclusion":
        following = {token.word for token in tokens[cue.end : cue.end + 2 * _REACH]}
        if not _IMPOSSIBLE.isdisjoint(following):
            return Match(cue.start, cue.end, _OPEN)
    if decides(tokens, cue.start):
        return Match(cue.start, cue.end, ("absent_after",))
    return cue


def _hedge(text: str, tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return an exclusion that cannot be made as a hedge, on the side of its finding."""
    is_predicate = direction.is_predicate(text, tokens, cue)
    return Match(cue.start, cue.end, ("uncertain_before",) if is_predicate else _OPEN)
