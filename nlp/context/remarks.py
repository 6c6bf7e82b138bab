"""Finds what a later clause says of a finding that it only points to.

    "No definite effusion, although one cannot be excluded."      uncertain
    "Suspected pneumothorax, this was ruled out."                 absent
    "No enlarging pneumothorax, which is stable."                 present
    "No effusion other than a trace on the left."                 present
    "No effusion on the left and only a small one on the right."  present
    "No new nodule and no change in the known ones."              present
    "Lungs without edema on the right, with it on the left."      present
    "Right effusion, now gone, and a left one, not yet."          present
    "Right effusion, minimal if there at all."                    uncertain

The later clause wins. It is said of the last thing named before it, or of all where its pronoun is
a plural.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Literal, NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import supposition
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Match

_SINGULAR = lexicon.words("grammar", "pointing_one")
_PLURAL = lexicon.words("grammar", "pointing_all")
_AMOUNTS = lexicon.words("grammar", "amounts")
_OPENERS = lexicon.words("grammar", "remark_openers")
_SPLITS = lexicon.words("grammar", "joiners") | {",", ";", ".", "with", "without"}
_JOINTS = lexicon.words("grammar", "remark_openers") | lexicon.words("grammar", "joiners")
_STOPS = frozenset({";", ".", ":"})
_ONES = frozenset({"one", "it"})
_UNCHANGED = lexicon.words("grammar", "unchanged")
_VERBS = lexicon.words("grammar", "structure_verbs")
_EXCEPTIONS = lexicon.words("grammar", "exceptions")
_KNOWN_ONES = lexicon.words("grammar", "known_ones")
_LIMITS = lexicon.words("grammar", "limits")
_DEFINITE = lexicon.words("grammar", "definite") | {"old", "older"}
_QUANTITIES = lexicon.words("grammar", "quantities")
_PREPOSITIONS = lexicon.words("grammar", "place_prepositions")
_SIZES = lexicon.words("grammar", "sizes") | {"mild", "barely", "hardly"}
_TRIGGERS = _SINGULAR | _PLURAL | _EXCEPTIONS | _LIMITS | supposition.SUPPOSING
_BACKWARD: dict[str, Literal["absent", "uncertain"]] = {
    "uncertain_before": "uncertain",
    "absent_before": "absent",
}
_REACH = 3  # tokens between the pronoun and its predicate: "this is still not excluded"


class Remark(NamedTuple):
    """What is said later of the spans inside tokens[first:last]; `only_denied`: of denied ones."""

    first: int
    last: int
    assertion: Literal["present", "absent", "uncertain"]
    start: int  # the words that say so
    end: int
    category: str
    only_denied: bool = False


def find(tokens: tuple[Token, ...], cues: tuple[Match, ...], words: Set[str]) -> tuple[Remark, ...]:
    """Return the remarks of a sentence, in order; `words` are those of the tokens."""
    if _TRIGGERS.isdisjoint(words):
        return ()
    found = []
    for place, token in enumerate(tokens):
        if token.word not in _TRIGGERS or not place:
            continue
        if token.word in _EXCEPTIONS:
            remark = _exception(tokens, cues, place)
        elif token.word in _LIMITS:
            remark = _amount(tokens, place, place + 1)
        elif token.word in supposition.SUPPOSING:
            remark = _supposition(tokens, place)
        else:
            remark = _predicate(tokens, cues, place) or _stability(tokens, place)
            remark = remark or _known(tokens, cues, place) or _elsewhere(tokens, place)
        if remark:
            found.append(remark)
    return tuple(found)


def _predicate(tokens: Sequence[Token], cues: Sequence[Match], place: int) -> Remark | None:
    """Return what a cue says of the pronoun at `place`."""
    last = _antecedent_end(tokens, place)
    if last <= 0:
        return None
    for cue in cues:
        if place < cue.start <= place + _REACH:
            value = next((v for v in cue.values if v in _BACKWARD), "")
            if tokens[place].word == "which" and not _is_of_today(tokens, cue):
                return None
            if value and all(t.word not in _SPLITS for t in tokens[place : cue.start]):
                first = _first(tokens, last, _STOPS if tokens[place].word in _PLURAL else _SPLITS)
                return Remark(first, last, _BACKWARD[value], cue.start, cue.end, value)
            return None
    return None


def _supposition(tokens: Sequence[Token], place: int) -> Remark | None:
    """Return the doubt of a clause that only supposes what is before it."""
    end = supposition.clause_end(tokens, place)
    last = place
    while last and (tokens[last - 1].word in _SIZES or tokens[last - 1].word in (",", "(")):
        last -= 1
    if not end or not last or tokens[last - 1].word in _SPLITS:
        return None  # "effusion and, if real, small pneumothorax"
    first = _first(tokens, last, _SPLITS)
    return Remark(first, last, "uncertain", place, end, "uncertain_before")


def _is_of_today(tokens: Sequence[Token], cue: Match) -> bool:
    """Whether a relative clause speaks of this image.

    "which was not present" may be said of an older one, "which resolved" of the past.
    """
    first = tokens[cue.start].word
    return first != "not" and (cue.end - cue.start > 1 or first in _VERBS)


def _antecedent_end(tokens: Sequence[Token], place: int) -> int:
    """Return where the clause before the pronoun at `place` ends, 0 where none does."""
    if tokens[place].word == "which":
        return place - 1 if tokens[place - 1].word == "," else place
    start = place
    while start and tokens[start - 1].word in _AMOUNTS:
        start -= 1
    if tokens[place].word == "one" and place > 1 and tokens[place - 2].word in ("a", "an"):
        start = place - 2  # any adjective: "a retrocardiac one"
    last = start
    while last and tokens[last - 1].word in _OPENERS:
        last -= 1
    return last if last < start else 0


def _first(tokens: Sequence[Token], last: int, splits: frozenset[str]) -> int:
    """Return where the last item before `last` begins."""
    return next((i + 1 for i in range(last - 1, -1, -1) if tokens[i].word in splits), 0)


def _stability(tokens: Sequence[Token], place: int) -> Remark | None:
    """Return that a denied finding is there, where a relative clause calls it stable."""
    following = [token.word for token in tokens[place + 1 : place + 4]]
    is_stable = following[:1] and following[0] in _VERBS and not _UNCHANGED.isdisjoint(following)
    if tokens[place].word != "which" or not is_stable or "not" in following:
        return None
    last = _antecedent_end(tokens, place)
    return Remark(last - 1, last, "present", place, place + 3, "present_before", only_denied=True)


def _exception(tokens: Sequence[Token], cues: Sequence[Match], place: int) -> Remark | None:
    """Return that a denied finding is there, where only an amount of it is excepted."""
    cue = next((c for c in cues if c.start == place and "stop" in c.values), None)
    return _amount(tokens, place, cue.end) if cue else None


def _amount(tokens: Sequence[Token], place: int, start: int) -> Remark | None:
    """Return that the finding before `place` is there, in the amount told from `start` on."""
    amount = []
    for token in tokens[start:]:
        if token.word in _SPLITS or token.word in _PREPOSITIONS:
            break  # where it is does not matter: "other than a trace on the left"
        amount.append(token.word)
    if not all(word in _AMOUNTS for word in amount) or _QUANTITIES.isdisjoint(amount):
        return None
    return _there(tokens, _past_openers(tokens, place), place, start)


def _known(tokens: Sequence[Token], cues: Sequence[Match], place: int) -> Remark | None:
    """Return that a denied finding is there, where a known one did not change."""
    near = [token.word for token in tokens[max(0, place - 3) : place]]
    if tokens[place].word != "one" or _DEFINITE.isdisjoint(near):
        return None
    if near[-2:-1] == ["the"] and near[-1] in _KNOWN_ONES:
        last = _past_openers(tokens, place - 2)
        if last < place - 2:
            return _there(tokens, last, place - 2, place)
    for cue in cues:
        if "present_after" in cue.values and 0 <= place - cue.end <= _REACH and cue.start:
            return _there(tokens, _past_openers(tokens, cue.start), cue.start, place)
    return None


def _elsewhere(tokens: Sequence[Token], place: int) -> Remark | None:
    """Return that a denied finding is there on another side, as the pronoun at `place` says."""
    following = [token.word for token in tokens[place + 1 : place + 4] if token.word != ","]
    if tokens[place].word not in _ONES:
        return None
    if tokens[place - 1].word == "with" and following[:1] and following[0] in _PREPOSITIONS:
        last = _past_openers(tokens, place - 1)
    elif following[:2] in (["not", "yet"], ["not", "so"]):
        start = place
        while start and tokens[start - 1].word in _AMOUNTS:
            start -= 1
        last = _past_openers(tokens, start)
    else:
        return None
    is_with = tokens[place - 1].word == "with"
    return Remark(0, last, "present", place, place + 1, "present_before", only_denied=is_with)


def _there(tokens: Sequence[Token], last: int, start: int, end: int) -> Remark:
    """Return that the item before `last` is there, as the words from `start` to `end` say."""
    first = _first(tokens, last, _SPLITS)
    return Remark(first, last, "present", start, end, "present_before", only_denied=True)


def _past_openers(tokens: Sequence[Token], last: int) -> int:
    """Return where the words end that are before a joint at `last`."""
    while last and tokens[last - 1].word in _JOINTS:
        last -= 1
    return last
