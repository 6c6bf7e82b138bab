"""Finds denials of a change that take the finding itself for granted.

    "no evidence that the effusion has increased"     the effusion is there, it has not increased
    "no new nodules or growth of the known mass"      the mass is there
    "no enlarged nodes", "no developing effusion"     the thing itself is denied

A noun or verb of change presupposes what changes. An adjective before the finding does not.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match

_NOUNS = lexicon.words("grammar", "change_nouns")
_PERFECT = lexicon.words("grammar", "change_perfect")
_PROGRESSIVE = lexicon.words("grammar", "change_progressive")
_DIMENSIONS = lexicon.words("grammar", "dimensions")
_DEFINITE = lexicon.words("grammar", "definite")
_DENIES = lexicon.words("grammar", "denies_inside") | lexicon.words("grammar", "nobody")
_JOINERS = lexicon.words("grammar", "joiners") | {","}
_FILLERS = frozenset(lexicon.load("modifiers")["fillers"])
_EVIDENCE = lexicon.words("grammar", "evidence")
_BEFORE_NOUN = _FILLERS | _EVIDENCE | {"or", "of", "for"}
_HAS, _IS = frozenset({"has", "have", "had"}), frozenset({"is", "are", "was", "were"})
_CLAUSE_MARKS = frozenset(",;.:") | {"but", "which"}
PRESUPPOSED = ("present_after", "absent_self")


def adjusted(tokens: tuple[Token, ...], found: list[Match], words: Set[str]) -> list[Match]:
    """Return the cues, those changed that deny only a change; `words` are those of the tokens."""
    if words.isdisjoint(_DENIES):
        return found
    if not words.isdisjoint(_NOUNS):
        found = _replaced(found, [_of_noun(tokens, cue) for cue in found])
        found = _replaced(found, _listed(tokens, found))
    if not (words.isdisjoint(_PERFECT) and words.isdisjoint(_PROGRESSIVE)):
        found = _replaced(found, [part for cue in found for part in _of_clause(tokens, cue)])
    return found


def _replaced(found: list[Match], read: list[Match]) -> list[Match]:
    """Return the cues in order, the new ones of `read` instead of those that they overlap."""
    new = [cue for cue in read if cue not in found]
    if not new:
        return found
    old = [c for c in found if not any(n.start < c.end and c.start < n.end for n in new)]
    return sorted((*old, *new))


def _denies(tokens: Sequence[Token], cue: Match) -> bool:
    return "absent_after" in cue.values and tokens[cue.start].word in _DENIES


def _of_noun(tokens: Sequence[Token], cue: Match) -> Match:
    """Return a denial with the noun of change that it denies: "no evidence of [growth of]"."""
    if not _denies(tokens, cue):
        return cue
    place = cue.end
    while place < len(tokens) and place < cue.end + 4 and tokens[place].word in _BEFORE_NOUN:
        place += 1
    end = _noun_end(tokens, place)
    return Match(cue.start, end, PRESUPPOSED[:1]) if end else cue


def _noun_end(tokens: Sequence[Token], place: int) -> int:
    """Return the end of "increase in", "growth of", "increase in size of" at `place`, else 0."""
    words = [token.word for token in tokens[place : place + 4]]
    if len(words) < 2 or words[0] not in _NOUNS or words[1] not in ("of", "in"):
        return 0
    if len(words) == 4 and words[2] in _DIMENSIONS and words[3] in ("of", "in"):
        return place + 4
    return place + 2


def _listed(tokens: Sequence[Token], found: list[Match]) -> list[Match]:
    """Return the changes of known findings in a denied list: "no nodule or [growth of] it"."""
    added = []
    for place, token in enumerate(tokens):
        if token.word not in _NOUNS or not any(_denies(tokens, c) for c in found):
            continue
        start = place
        while start and tokens[start - 1].word in _FILLERS:
            start -= 1
        end = _noun_end(tokens, place)
        is_item = start > 0 and tokens[start - 1].word in _JOINERS
        is_known = end < len(tokens) and tokens[end].word in _DEFINITE
        if end and is_item and is_known:
            added.append(Match(place, end, PRESUPPOSED))
    return added


def _of_clause(tokens: Sequence[Token], cue: Match) -> tuple[Match, ...]:
    """Return a denial and the verb of change it denies: "no evidence that it has [increased]"."""
    following = [token.word for token in tokens[cue.end : cue.end + 2]]
    if following[:1] and following[0] in _EVIDENCE:
        following = following[1:]
    if not _denies(tokens, cue) or following[:1] != ["that"]:
        return (cue,)
    place = _change_verb(tokens, cue.end + 1)
    if not place:
        return (cue,)
    return (
        Match(cue.start, cue.end, PRESUPPOSED[:1]),
        Match(place, place + 1, PRESUPPOSED[1:]),
    )


def _change_verb(tokens: Sequence[Token], start: int) -> int:
    """Return the place of the verb of change of a clause ("has grown", "is growing"), else 0."""
    wanted: frozenset[str] = frozenset()
    for place in range(start, len(tokens)):
        word = tokens[place].word
        if word in _CLAUSE_MARKS:
            return 0
        if word in wanted:
            return 0 if any(t.word == "normal" for t in tokens[place : place + 4]) else place
        wanted = _PERFECT if word in _HAS else _PROGRESSIVE if word in _IS else wanted
    return 0
