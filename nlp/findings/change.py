"""Finds the words of a sentence that tell of a change since an earlier image.

A word of change (lexicon/en/change.yaml) is said of what follows it ("unchanged effusion",
"increase in the effusion") or, as a predicate, of what stands before it ("the effusion is
unchanged"). change_attachment.py decides of which finding, and which change it is.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings.mention import BETTER, CHANGES, RESOLVED
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Match, Phrases

REACH = 16  # tokens between a word of change and its finding
STILL_THERE, LEFT_OVER, CHANGED, NOTHING = "still_there", "left_over", "changed", "nothing"
_KINDS = (*CHANGES, STILL_THERE, LEFT_OVER, CHANGED, NOTHING)


class Change(NamedTuple):
    """One of mention.CHANGES, and the words that say so; "" and "" where nothing does."""

    kind: str
    words: str


class Sign(NamedTuple):
    """A word of change at tokens[start:end]; `start` is its denial where it is `denied`."""

    kind: str
    start: int
    end: int
    word: int  # where the word of change itself begins
    denied: bool
    predicate: bool  # said of what stands before it


def plain_words(group: str) -> frozenset[str]:
    """Return the words of a list of change.yaml in the form that tokens have."""
    return frozenset(
        token.word if (token := next(iter(tokenize(word)), None)) else word
        for word in lexicon.load("change")[group]
    )


UNSAID = Change("", "")
DENIERS, BETWEEN = plain_words("deniers"), plain_words("between")
COPULAS, ADVERBS, _ADJECTIVES = (plain_words(g) for g in ("copulas", "adverbs", "adjectives"))
STOPS, FORWARD_STOPS, TRAILING = (plain_words(g) for g in ("stops", "forward_stops", "trailing"))
WHOLLY, _PARTLY = plain_words("wholly"), plain_words("partly")
COMPARED, COMPARATIVE = plain_words("compared"), plain_words("comparative")
RELATIVE, RELATIVE_WORDS = (
    frozenset(lexicon.load("change")["relative"]),
    plain_words("relative_words"),
)
_PLACES, TIMES, _OPINIONS = plain_words("places"), plain_words("times"), plain_words("opinions")
_FILLERS = frozenset(lexicon.load("modifiers")["fillers"])
_EARLIER = frozenset(("prior", "previous", "earlier", "previously"))  # "seen on the prior"
_STAYING = frozenset(("remain", "remained", "persist", "persisted", "continue"))


@functools.cache
def _phrases() -> Phrases:
    table = lexicon.load("change")
    return Phrases(((phrase, kind) for kind in _KINDS for phrase in table[kind]), fillers=_FILLERS)


def may_tell(words: Collection[str]) -> bool:
    """Whether a sentence of these words may tell of change: a cheap test."""
    if not _telling().isdisjoint(words):
        return True
    is_denied = not DENIERS.isdisjoint(words)
    if is_denied and ("change" in words or not TIMES.isdisjoint(words)):
        return True  # not "degenerative changes"
    return (is_denied or "in" in words) and any(map(is_year, words))


def is_year(word: str) -> bool:
    """Return whether a word is the number of a year."""
    return len(word) == 4 and word[:2] in ("19", "20") and word.isdecimal()


@functools.cache
def _telling() -> frozenset[str]:
    """Return words of which a sentence has at least one where it tells of change."""
    table, common = lexicon.load("change"), plain_words("common")
    phrases = [phrase for kind in _KINDS if kind != NOTHING for phrase in table[kind]]
    split = [[t.word for t in tokenize(phrase.replace("~", ""))] for phrase in phrases]
    telling = [[w for w in words if w not in common] for words in split]
    first = {(rest or words)[0] for words, rest in zip(split, telling, strict=True)}
    return frozenset(first - {"change"}) | plain_words("alone")


@functools.lru_cache(maxsize=64)  # of the sentences that are read now: tokens are many objects
def signs(tokens: tuple[Token, ...]) -> tuple[Sign, ...]:
    """Return the words of change among `tokens`, in order."""
    matches = [m for m in _phrases().find(tokens) if m.values[0] != NOTHING]
    words = [token.word for token in tokens]
    return tuple(_sign(words, m) for m in matches if not _compares_places(words, m))


@functools.lru_cache(maxsize=64)
def comparing(tokens: tuple[Token, ...]) -> tuple[Sign, ...]:
    """Return the words that, taken alone, compare two places: "larger on the right"."""
    words = [token.word for token in tokens]
    matches = [m for m in _phrases().find(tokens) if m.values[0] != NOTHING]
    return tuple(_sign(words, m) for m in matches if _compares_places(words, m))


def _sign(words: Sequence[str], match: Match) -> Sign:
    denial = denier(words, match.start)
    kind = match.values[0]
    start = match.start if denial is None else denial
    if kind == RESOLVED and denial is None:
        part = _part_left(words, match.start)
        kind, start = (RESOLVED, start) if part is None else (BETTER, part)
    match = match._replace(end=_past_aside(words, match.end))
    predicate = _is_predicate(words, match)
    return Sign(kind, start, match.end, match.start, denial is not None, predicate)


def _part_left(words: Sequence[str], place: int) -> int | None:
    """Return where "substantially cleared", "near complete resolution" begins, else None."""
    place -= 1
    while place > 0 and words[place] in ("complete", "interval", "completely", "been"):
        place -= 1
    return place if place >= 0 and words[place] in _PARTLY else None


def _past_aside(words: Sequence[str], end: int) -> int:
    """Return where a word of change ends that is followed by ", if any," and the like."""
    if list(words[end : end + 2]) in ([",", "if"], ["(", "if"]):
        close = next((i for i in range(end + 2, min(end + 6, len(words))) if words[i] in ",)"), 0)
        if close and words[close + 1 : close + 2] in (["in"], ["of"]):
            return close + 1
    return end


def denier(words: Sequence[str], place: int) -> int | None:
    """Return where the denial of the word of change at `place` begins."""
    if place > 2 and words[place - 1] == "," and words[place - 2] in WHOLLY:
        place -= 2  # "largely, but not wholly, resolved"
    has_clause = False  # "no evidence that the effusion has increased"
    for at in range(place - 1, max(-1, place - REACH), -1):
        word = words[at]
        if word in DENIERS:
            return at
        if word == "that":
            has_clause = True
            continue
        if word in BETWEEN or word in _FILLERS or word in ADVERBS or is_change(word):
            continue
        if word in STOPS or word == ",":
            return None
        if "neither" in words[:at] and "," not in words[words.index("neither") : at]:
            return words.index("neither")
        if has_clause or not ("that" in words[:at] or _holds(words[:place])):
            return None
    return None


def _holds(words: Sequence[str]) -> bool:
    """Whether somebody denies to hold something: "I do not think the effusion is larger"."""
    return any(
        word in _OPINIONS and before in DENIERS for before, word in itertools.pairwise(words)
    )


@functools.cache
def _single() -> frozenset[str]:
    """Return the words that alone tell of change."""
    table = lexicon.load("change")
    groups = (*CHANGES, CHANGED)
    return frozenset(tokenize(p)[0].word for g in groups for p in table[g] if len(tokenize(p)) == 1)


def is_change(word: str) -> bool:
    """Return whether a word alone tells of change."""
    return word in _single()


def _compares_places(words: Sequence[str], match: Match) -> bool:
    """Whether the word compares two places of one image: "worse on the right", "right > left"."""
    if words[match.start] not in COMPARATIVE:
        return False
    after = words[match.end : match.end + 5]
    if match.start and words[match.start - 1] in _PLACES and after and after[0] in _PLACES:
        return True  # "left worse right"
    if "than" in after[:3]:
        return any(w in _PLACES for w in after[after.index("than") :])
    if any(w in COMPARED for w in words):
        return False
    return bool(after) and after[0] in ("on", "in", "at", "along", "within", "toward")


def _is_predicate(words: Sequence[str], match: Match) -> bool:
    """Whether the word is said of what stands before it: after a verb, at the end of a phrase."""
    following = words[match.end] if match.end < len(words) else "."
    place = match.start - 1
    while place >= 0 and (words[place] in ADVERBS or words[place] in DENIERS):
        place -= 1
    first = words[match.start]
    if first in ("has", "have") or words[match.end - 1] in _EARLIER:
        return first != "previously"
    if first in _STAYING:
        return match.start == 0 or words[match.start - 1] != "there"
    if words[match.end - 1] in ("of", "to", "in") and following not in (".", ",", ";"):
        return words[match.end - 1] == "to"
    if following in ("in", "of") and not _is_size(words, match.end):
        return place >= 0 and words[place] in COPULAS and not _is_attribute(words, match, place)
    if place >= 0 and words[place] in COPULAS:
        return not _is_attribute(words, match, place)
    return following in TRAILING


def _is_size(words: Sequence[str], place: int) -> bool:
    return any(
        w in ("size", "extent", "appearance", "severity", "number", "volume", "amount")
        for w in words[place : place + 3]
    )


def _is_attribute(words: Sequence[str], match: Match, verb: int) -> bool:
    """Whether a verb before the word does not make a predicate of it: "there is stable edema"."""
    first = verb
    while first > 0 and (words[first - 1] in COPULAS or words[first - 1] in ADVERBS):
        first -= 1
    following = words[match.end] if match.end < len(words) else "."
    if first > 0 and words[first - 1] == "there":
        return True
    if words[verb] in ("show", "demonstrate"):
        return following not in TRAILING
    return (
        words[verb] in ("has", "have", "had", "is", "are")
        and words[match.start] in _ADJECTIVES
        and following not in TRAILING
    ) or (first == 0 and following not in TRAILING)
