"""Decides by its cues whether any span of a sentence is present, absent or uncertain.

The method is that of NegEx and ConText, applied to clauses: a cue applies forwards or backwards
until its clause ends (`boundaries` says where). Phrases that only look like a negation ("no change
in") are cues of their own, and win because they are longer. No list of findings is used here, so it
works for any clinical English.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context import cues, remarks
from cxr_vlp.nlp.context.boundaries import JOINERS, STOP_MARKS, VERBS, ScopeEnds, scope_ends
from cxr_vlp.nlp.context.remarks import Remark
from cxr_vlp.nlp.match.tokens import Token, tokenize
from cxr_vlp.nlp.match.trie import Match

Assertion = Literal["present", "absent", "uncertain"]
PRESENT: Final = "present"
ABSENT: Final = "absent"
UNCERTAIN: Final = "uncertain"
_DENIALS = ("absent_after", "absent_list", "absent_next")
_FORWARD = (*_DENIALS, "present_after", "uncertain_after")
_BACKWARD = ("absent_before", "absent_suffix", "present_before", "uncertain_before")
_LINKS = lexicon.words("grammar", "links")
_CLAUSE_STARTS = lexicon.words("grammar", "clause_starts")
_NOW = lexicon.words("grammar", "now_words")
_VERSUS = lexicon.words("grammar", "versus")
_DENIES_INSIDE = lexicon.words("grammar", "denies_inside")
_DENYING_INSIDE = ("present_before", "present_after", "absent_before")
_BACK_REACH = 40  # tokens; "is not seen" is never further from its subject
_BACK_CUES = 4


class Verdict(NamedTuple):
    """What the cues say of a span: the assertion, the words that decided, and their category."""

    assertion: Assertion
    trigger: str
    category: str


_UNHEDGED = Verdict(PRESENT, "", "")


@dataclass(frozen=True)
class Scopes:
    """A sentence whose cues and scopes are known, so that any span of it can be judged."""

    text: str
    tokens: tuple[Token, ...]
    cues: tuple[Match, ...]
    ends: ScopeEnds
    vocabulary: frozenset[str]  # the words and marks of its tokens
    remarks: tuple[Remark, ...] = ()

    def words(self, start: int, end: int) -> str:
        """Return the sentence's own words of tokens[start:end]."""
        return self.text[self.tokens[start].start : self.tokens[end - 1].end]


def find(text: str) -> Scopes:
    """Return `text` with its cues and the places where their scopes end."""
    tokens = tokenize(text)
    words = frozenset([token.word for token in tokens])
    found = cues.find(text, tokens, words)
    pointing = remarks.find(tokens, found, words)
    return Scopes(text, tokens, found, scope_ends(text, tokens, found), words, pointing)


def verdict(scopes: Scopes, start: int, end: int) -> Verdict:
    """Return what the cues say of tokens[start:end].

    The nearest cue before the span decides between absence and what only looks like it. Absence
    outweighs a hedge in the same clause ("probably no effusion" denies it). Without a cue the span
    is present. What a later clause says of it wins ("although one cannot be excluded").
    """
    said = _clause_verdict(scopes, start, end)
    for remark in scopes.remarks:
        is_of_span = remark.first <= start and end <= remark.last
        if is_of_span and (not remark.only_denied or said.assertion == ABSENT):
            words = scopes.words(remark.start, remark.end)
            return Verdict(remark.assertion, words, remark.category)
    return said


def _clause_verdict(scopes: Scopes, start: int, end: int) -> Verdict:
    """Return what the cues of its own clause say of tokens[start:end]."""
    if not scopes.cues:  # most often
        return _UNHEDGED
    inside = _inside(scopes, start, end)
    if inside is not None:
        return inside
    start = _past_cue(scopes, start, end)
    before = _before(scopes, start)
    after = _after(scopes, end)
    denial = _nearest(before, (*_DENIALS, "present_after"))
    found = _of(denial, _DENIALS, ABSENT, scopes)
    if found:
        return found
    denial = _nearest(after[::-1], ("absent_before", "absent_suffix", "present_before"))
    found = _of(denial, ("absent_before", "absent_suffix"), ABSENT, scopes)
    if found:
        return found
    hedge = _nearest(before, ("uncertain_after",))
    found = _of(hedge, ("uncertain_after",), UNCERTAIN, scopes)
    if found:
        return found
    hedge = _nearest(after[::-1], ("uncertain_before",))
    found = _of(hedge, ("uncertain_before",), UNCERTAIN, scopes)
    return found or _UNHEDGED


def _before(scopes: Scopes, start: int) -> list[Match]:
    """Return the cues before the span whose scope includes it, in order."""
    floor = _last(scopes.ends.lists, start)
    found = []
    for cue in reversed(scopes.cues):
        if cue.end <= floor:
            break  # no cue from before the clause applies in it
        if cue.end <= start and _reaches_on(scopes, cue, start):
            found.append(cue)
    return found[::-1]


def _after(scopes: Scopes, end: int) -> list[Match]:
    """Return the next few cues after the span that apply backwards to it, in order."""
    following = [c for c in scopes.cues if end <= c.start <= end + _BACK_REACH]
    return [c for c in following[:_BACK_CUES] if _reaches_back(scopes, c, end)]


def _last(ends: tuple[int, ...], start: int) -> int:
    """Return the last of the sorted `ends` before token `start`, -1 where there is none."""
    place = bisect.bisect_left(ends, start)
    return ends[place - 1] if place else -1


def _inside(scopes: Scopes, start: int, end: int) -> Verdict | None:
    """Return the verdict on a span that is part of a cue itself.

    "not increased" denies the increase, but not the effusion; "borderline" hedges.
    """
    for cue in scopes.cues:
        if not cue.start <= start < cue.end:
            continue
        words = scopes.words(cue.start, cue.end)
        if "absent_self" in cue.values:
            return Verdict(ABSENT, words, "absent_self")
        if any(v in _DENYING_INSIDE for v in cue.values) and (
            scopes.tokens[cue.start].word in _DENIES_INSIDE
        ):
            return Verdict(ABSENT, words, "absent_inside")
        if end <= cue.end and any(v in ("uncertain_before", "uncertain_after") for v in cue.values):
            return Verdict(UNCERTAIN, words, "uncertain_inside")
    return None


def _past_cue(scopes: Scopes, start: int, end: int) -> int:
    """Return where a span continues that begins with the end of a cue ("no [evidence of gout]")."""
    for cue in scopes.cues:
        if cue.start < start < cue.end < end:
            return cue.end
    return start


def _nearest(cues: Sequence[Match], categories: tuple[str, ...]) -> Match | None:
    """Return the last of `cues` in any of `categories`."""
    for cue in reversed(cues):
        if any(value in categories for value in cue.values):
            return cue
    return None


def _of(
    cue: Match | None, categories: tuple[str, ...], assertion: Assertion, scopes: Scopes
) -> Verdict | None:
    if cue is None:
        return None
    found = [value for value in cue.values if value in categories]
    return Verdict(assertion, scopes.words(cue.start, cue.end), found[0]) if found else None


def _reaches_on(scopes: Scopes, cue: Match, start: int) -> bool:
    """Whether the scope of a cue before token `start` includes that token."""
    if not any(value in _FORWARD for value in cue.values):
        return False
    if "absent_next" in cue.values:
        return cue.end == start
    ends = scopes.ends.lists if "absent_list" in cue.values else scopes.ends.negations
    if "uncertain_after" in cue.values:
        ends = scopes.ends.hedges
    return _last(ends, start) < cue.end and not _leaves_brackets(scopes, range(cue.end, start))


def _leaves_brackets(scopes: Scopes, places: range) -> bool:
    """Whether a bracket closes at one of the token places that was opened before them."""
    words = [scopes.tokens[place].word for place in places]
    return ")" in words and "(" not in words[: words.index(")")]


def _reaches_back(scopes: Scopes, cue: Match, end: int) -> bool:
    """Whether a cue after the span applies back to it, through a list but not over a clause."""
    if not any(value in _BACKWARD for value in cue.values):
        return False
    tokens = scopes.tokens
    if "absent_suffix" in cue.values:
        return cue.start == end and _is_suffix(scopes, cue)
    is_pair = tokens[cue.start].word in _VERSUS
    for place in range(cue.start - 1, end - 1, -1):
        word = tokens[place].word
        if is_pair and (word in VERBS or word in _LINKS):
            return False
        if word in STOP_MARKS and not (word in ":?" and place == cue.start - 1):
            return False
        if word in _CLAUSE_STARTS and not (word == "but" and place == cue.start - 1):
            return False
        if word == "(" and place < cue.start - 1:
            return False  # "opacity (pneumonia?)"
        if is_pair and word in ("and", ","):
            return False  # of "X and Y versus Z" only Y is in doubt
        if word in (",", "and") and not _joins_back(scopes, place, cue.start):
            return False
    return True


def _is_suffix(scopes: Scopes, cue: Match) -> bool:
    """Whether "free" ends its word: "seizure-free", "pain free since"; not "free air"."""
    if scopes.text[scopes.tokens[cue.start].start - 1] == "-":
        return True
    following = scopes.tokens[cue.end : cue.end + 1]
    return not following or following[0].word in cues.AFTER_PREDICATE


def _joins_back(scopes: Scopes, place: int, cue_start: int) -> bool:
    """Whether the comma or "and" at `place` belongs to a list that the later cue applies to."""
    tokens = scopes.tokens
    is_near = cue_start - 2 <= place < cue_start
    if tokens[place].word == "and" and is_near and tokens[place + 1].word in VERBS:
        return True  # "was raised and is refuted": both are said of one subject
    if any(t.word in VERBS for t in tokens[:place]):
        return False
    if tokens[place].word == "and" or place == cue_start - 1:
        return True
    if place == cue_start - 2 and tokens[place + 1].word in _NOW:
        return True  # "pneumonia, now with complete clearing"
    return any(t.word in JOINERS for t in tokens[place + 1 : cue_start])
