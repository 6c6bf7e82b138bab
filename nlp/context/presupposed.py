"""Finds denials of a change that take the finding itself for granted.

    "no evidence that the effusion has increased"     the effusion is there, it has not increased
    "no new nodules or growth of the known mass"      the mass is there
    "lack of growth over two years"                   what has not grown is there
    "neither the mass nor the scar has grown"         both are there
    "no increase in the effusion or new nodule"       the effusion is there, the nodule is denied
    "clearing of the opacity is incomplete"           some of it is there
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
_KNOWN_NOUNS = lexicon.words("grammar", "change_nouns_known")
_AFTER_CHANGE = lexicon.words("grammar", "after_change")
_NEW = lexicon.words("grammar", "unknown_yet")
_LACKING = lexicon.words("grammar", "lacking")
_GOING = lexicon.words("grammar", "going")
_UNFINISHED = lexicon.words("grammar", "unfinished")
_NOT_QUITE = lexicon.words("grammar", "not_quite")
_NOT_OF_ONE = frozenset({"neither", "nor", "none"})
_OR = frozenset({"or", "nor"})
_PREPOSITIONS = frozenset({"of", "in", "at"})
_DIMENSIONS = lexicon.words("grammar", "dimensions")
_DEFINITE = lexicon.words("grammar", "definite")
_DENIES = lexicon.words("grammar", "denies_inside") | lexicon.words("grammar", "nobody") | _LACKING
_JOINERS = lexicon.words("grammar", "joiners") | {","}
_FILLERS = frozenset(lexicon.load("modifiers")["fillers"])
_EVIDENCE = lexicon.words("grammar", "evidence")
_BEFORE_NOUN = _FILLERS | _EVIDENCE | {"or", "of", "for", "additional"}
_HAS, _IS = frozenset({"has", "have", "had"}), frozenset({"is", "are", "was", "were"})
_CLAUSE_MARKS = frozenset(",;.:") | {"but", "which"}
PRESUPPOSED = ("present_after", "absent_self")


def adjusted(tokens: tuple[Token, ...], found: list[Match], words: Set[str]) -> list[Match]:
    """Return the cues, those changed that deny only a change; `words` are those of the tokens."""
    if not words.isdisjoint(_GOING):
        found = [_of_going(tokens, cue) for cue in found]
    if words.isdisjoint(_DENIES):
        return found
    if not (words.isdisjoint(_NOUNS) and words.isdisjoint(_KNOWN_NOUNS)):
        found = _replaced(found, [_of_noun(tokens, cue) for cue in found])
        found = _replaced(found, _listed(tokens, found))
        if not words.isdisjoint(_OR):
            found = _replaced(found, _new_ones(tokens, found))
    if not (words.isdisjoint(_PERFECT) and words.isdisjoint(_PROGRESSIVE)):
        found = _replaced(found, [part for cue in found for part in _of_clause(tokens, cue)])
    return found


def _replaced(found: list[Match], read: list[Match]) -> list[Match]:
    """Return the cues in order, the new ones of `read` instead of those that they overlap."""
    new = [cue for cue in dict.fromkeys(read) if cue not in found]
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
    end = _noun_end(tokens, place) or _known_end(tokens, place)
    return Match(cue.start, end, PRESUPPOSED[:1]) if end else cue


def _known_end(tokens: Sequence[Token], place: int) -> int:
    """Return the end of a change at large ("growth over") or of a known thing, else 0.

    "loss of height at the fracture" takes the fracture for granted, "collapse of a lobe" does not.
    """
    words = [token.word for token in tokens[place : place + 5]]
    if len(words) > 1 and words[0] in _NOUNS:
        return place + 1 if words[1] in _AFTER_CHANGE else 0
    if len(words) < 3 or words[0] not in _KNOWN_NOUNS:
        return 0
    at = 3 if words[1:3] == ["of", "height"] else 1
    is_known = words[at : at + 1] and words[at] in _PREPOSITIONS and words[at + 1 : at + 2]
    return place + at + 1 if is_known and words[at + 1] in _DEFINITE else 0


def _new_ones(tokens: Sequence[Token], found: list[Match]) -> list[Match]:
    """Return the denials of what is new beside a denied change: "no growth of it [or new] mass"."""
    first = next((c.end for c in found if _is_no_change(tokens, c)), len(tokens))
    return [
        Match(place, place + 2, ("absent_after",))
        for place in range(first, len(tokens) - 1)
        if tokens[place].word in _OR and tokens[place + 1].word in _NEW
    ]


def _is_no_change(tokens: Sequence[Token], cue: Match) -> bool:
    return "present_after" in cue.values and tokens[cue.start].word in _DENIES


def _of_going(tokens: Sequence[Token], cue: Match) -> Match:
    """Return the end of a finding, if it is not said to be complete, as a word of what is there."""
    if "absent_after" not in cue.values:
        return cue
    if _GOING.isdisjoint(token.word for token in tokens[cue.start : cue.end]):
        return cue
    for place in range(cue.end, len(tokens)):
        word = tokens[place].word
        if word in _CLAUSE_MARKS:
            break
        is_near = word == "complete" and tokens[place - 1].word in _NOT_QUITE
        if word in _UNFINISHED or is_near:
            return Match(cue.start, cue.end, PRESUPPOSED[:1])
    return cue


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
    first = tokens[cue.start].word
    is_of_one = first in _NOT_OF_ONE or (first == "not" and following[:1] == ["one"])
    if "absent_after" in cue.values and is_of_one:
        is_inverted = first == "nor" and following[:1] and following[0] in _HAS | _IS
        return _with_verb(cue, _change_verb(tokens, cue.end, first=not is_inverted))
    if following[:1] and following[0] in _EVIDENCE:
        following = following[1:]
    if not _denies(tokens, cue) or following[:1] != ["that"]:
        return (cue,)
    return _with_verb(cue, _change_verb(tokens, cue.end + 1))


def _with_verb(cue: Match, place: int) -> tuple[Match, ...]:
    """Return a denial as one of the verb of change at `place` only; as it is where that is 0."""
    if not place:
        return (cue,)
    return (
        Match(cue.start, cue.end, PRESUPPOSED[:1]),
        Match(place, place + 1, PRESUPPOSED[1:]),
    )


def _change_verb(tokens: Sequence[Token], start: int, *, first: bool = False) -> int:
    """Return the place of the verb of change of a clause ("has grown", "is growing"), else 0.

    `first`: only where it is the first verb of the clause.
    """
    wanted: frozenset[str] = frozenset()
    for place in range(start, len(tokens)):
        word = tokens[place].word
        if word in _CLAUSE_MARKS:
            return 0
        if word in wanted:
            return 0 if any(t.word == "normal" for t in tokens[place : place + 4]) else place
        if first and wanted and word not in _FILLERS:
            return 0
        wanted = _PERFECT if word in _HAS else _PROGRESSIVE if word in _IS else wanted
    return 0
