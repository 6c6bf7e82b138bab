"""Finds whether an exclusion is made, or is said not to be possible.

"CT to exclude pneumonia"              an aim: recommended, or why the study was made
"difficult to exclude pneumonia"       a hedge: it may be there
"the lateral view excludes pneumonia"  a denial
"hard to say that there is no edema"   a hedge: who cannot say that there is none
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import direction, supposition
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
# "present" ends the reach of a denial before it: "does not allow exclusion of"
_OPEN = ("uncertain_after", "present_after")
_LIMITING = frozenset({"is", "are", "be"})
_SIZES = lexicon.words("grammar", "sizes")
_PROVEN = lexicon.words("grammar", "proven")
_SAYING = lexicon.words("grammar", "saying")
_UNSAYABLE = _IMPOSSIBLE | lexicon.words("grammar", "unsayable")
_ENABLING = lexicon.words("grammar", "enabling")
_NOBODY = lexicon.words("grammar", "nobody") | {"nor"}
_EXCLUDED = frozenset({"exclude", "excluding", "out"})
_CAN = frozenset({"can", "could", "will", "would"})
_IS = frozenset({"is", "are", "was", "were"})
_NEAR = 3  # tokens: "not definitively excluded"
_REACH = 6  # tokens: "limits our ability to confidently exclude"


def is_impossible(tokens: Sequence[Token], place: int) -> bool:
    """Whether what begins at `place` is said before it, in its clause, not to be possible."""
    for token in reversed(tokens[max(0, place - _REACH) : place]):
        if token.word in _CLAUSE_MARKS:
            return False
        if token.word in _IMPOSSIBLE:
            return True
    before = [token.word for token in tokens[max(0, place - _REACH) : place]]
    if before and before[-1] in _CAN and _has_denied_subject(tokens, place):
        return True  # "no film of this quality can rule out"
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


def is_unsayable(tokens: Sequence[Token], place: int) -> bool:
    """Whether a verb of saying is right before `place`, and it cannot be done."""
    return place > 0 and tokens[place - 1].word in _SAYING and is_impossible(tokens, place)


def doubted(tokens: Sequence[Token], found: list[Match], words: Set[str]) -> list[Match]:
    """Return the cues, a denial as a hedge where it is said that nobody can state it.

    "It is not possible on a supine film to say there is no effusion."
    """
    if words.isdisjoint(_SAYING) or words.isdisjoint(_UNSAYABLE):
        return found
    return [
        Match(cue.start, cue.end, ("uncertain_after",)) if _is_doubted(tokens, cue) else cue
        for cue in found
    ]


def _is_doubted(tokens: Sequence[Token], cue: Match) -> bool:
    """Whether "there is" and "no" follow what cannot be said."""
    words = [token.word for token in tokens[max(0, cue.start - 2) : cue.start]]
    is_claim = len(words) == 2 and words[0] == "there" and words[1] in _IS
    is_bare = words[-1:] == ["that"]  # "wrong to say that no effusion is present"
    if (
        not (is_claim or is_bare)
        or "absent_after" not in cue.values
        or tokens[cue.start].word != "no"
    ):
        return False
    before = set()
    for token in reversed(
        tokens[max(0, cue.start - 3 * _REACH) : cue.start - (1 if is_bare else 2)]
    ):
        if token.word in _CLAUSE_MARKS:
            break
        before.add(token.word)
    return not (before.isdisjoint(_SAYING) or before.isdisjoint(_UNSAYABLE))


def _is_unproven(tokens: Sequence[Token], place: int) -> bool:
    """Whether the absence at `place` is what cannot be shown: "does not prove the absence of"."""
    before = {token.word for token in tokens[max(0, place - _NEAR) : place]}
    return not before.isdisjoint(_SAYING) and is_impossible(tokens, place)


def _has_denied_subject(tokens: Sequence[Token], place: int) -> bool:
    """Whether "neither", "nor" or "none" is before `place` in its clause."""
    for token in reversed(tokens[:place]):
        if token.word in _CLAUSE_MARKS - {","}:
            return False
        if token.word in _NOBODY or token.word == "no":
            return True
    return False


def _is_open_thing(tokens: Sequence[Token], place: int) -> bool:
    """Whether "not something that" is right before `place`."""
    words = [token.word for token in tokens[max(0, place - _NEAR) : place]]
    return words == ["not", "something", "that"]


def _is_unmade(tokens: Sequence[Token], place: int, denials: frozenset[str]) -> bool:
    """Whether what is named at `place` is said after it not to be so: "... is not achieved"."""
    for token in tokens[place : place + 2 * _REACH]:
        if token.word in _CLAUSE_MARKS:
            return False
        if token.word in denials:
            return True
    return False


def is_enabled(tokens: Sequence[Token], place: int) -> bool:
    """Whether a study is said to allow what is at `place`: "allows us to exclude"."""
    before = [token.word for token in tokens[max(0, place - _REACH) : place]]
    return not _ENABLING.isdisjoint(before) and _NOT.isdisjoint(before) and "would" not in before


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


def _limits_any(tokens: Sequence[Token], cue: Match) -> bool:
    """Whether a sentence only says how large "any" finding can be: "any effusion is small"."""
    words = [token.word for token in tokens]
    pairs = [(words[i], words[i + 1]) for i in range(len(words) - 1)]
    return cue.start == 0 and any(a in _LIMITING and b in _SIZES for a, b in pairs)


def adjusted(text: str, tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return a cue of exclusion with the category that its clause gives it."""
    words = [token.word for token in tokens[cue.start : cue.end]]
    if words in (["if"], ["any"]):
        is_guess = (
            supposition.supposes(tokens, cue.start) if words == ["if"] else _limits_any(tokens, cue)
        )
        return Match(cue.start, cue.end, ("uncertain_after" if is_guess else "neutral",))
    if words[0] == "can":  # "can be excluded"; "neither X nor Y can be excluded"
        is_open = _has_denied_subject(tokens, cue.start) or _is_open_thing(tokens, cue.start)
        return _hedge(text, tokens, cue) if is_open else cue
    if words[0] in _DECIDED:
        before = {token.word for token in tokens[max(0, cue.start - _NEAR) : cue.start]}
        return cue if before.isdisjoint(_NOT) else _hedge(text, tokens, cue)
    if words[0] in _NOT and words[-1] in _EXCLUDED and cue.values == _OPEN[:1]:
        return Match(cue.start, cue.end, _OPEN)  # "absence of fever does not exclude"
    if words[0] == "absence" and _is_unproven(tokens, cue.start):
        return Match(cue.start, cue.end, _OPEN)
    if words[0] == "absence" and _is_unmade(tokens, cue.end, _NOT):
        following = {token.word for token in tokens[cue.end : cue.end + 2 * _REACH]}
        return cue if _PROVEN.isdisjoint(following) else Match(cue.start, cue.end, _OPEN)
    if _AIMS.isdisjoint(words):
        return cue
    if words == ["excluding"] and not is_impossible(tokens, cue.start):
        return Match(cue.start, cue.end, ("present_after",))  # "excluding the known nodule"
    if is_impossible(tokens, cue.start):
        return _hedge(text, tokens, cue)
    if words[0] == "exclusion" and _is_unmade(tokens, cue.end, _IMPOSSIBLE):
        return Match(cue.start, cue.end, _OPEN)
    is_decided = decides(tokens, cue.start)
    if is_decided and _has_denied_subject(tokens, cue.start):  # "nothing excludes"
        return _hedge(text, tokens, cue)
    if is_decided or is_enabled(tokens, cue.start):
        return Match(cue.start, cue.end, ("absent_after",))
    return cue


def _hedge(text: str, tokens: tuple[Token, ...], cue: Match) -> Match:
    """Return an exclusion that cannot be made as a hedge, on the side of its finding."""
    is_predicate = direction.is_predicate(text, tokens, cue)
    return Match(cue.start, cue.end, ("uncertain_before",) if is_predicate else _OPEN)
