"""Finds the change of each side of a finding: "right effusion larger, left smaller".

The words around the finding, up to the next finding or device, are cut at commas, "and" and the
like. A part tells of one side where it names just one and has a word of change; beyond that it may
have only words that stand for the finding ("the left one", "that at the left base").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cxr_vlp.nlp.context.boundaries import STOP_MARKS
from cxr_vlp.nlp.context.scope import PRESENT, Scopes, Verdict
from cxr_vlp.nlp.findings.change import (
    ADVERBS,
    COPULAS,
    LEFT_OVER,
    STILL_THERE,
    Change,
    Sign,
    may_tell,
    plain_words,
)
from cxr_vlp.nlp.findings.change_attachment import covers, kind_of
from cxr_vlp.nlp.findings.change_times import sided_signs
from cxr_vlp.nlp.findings.phrases import tags
from cxr_vlp.nlp.findings.terms import Term

_LEFT_OR_RIGHT = frozenset(("left", "right"))
_CUTS, _STANDING_FOR = plain_words("cuts"), plain_words("standing_for")
_WHOLE_LUNG = frozenset(("lung", "hemithorax", "chest"))
_IN = frozenset(("in", "at", "on", "of", "within"))
_BLOCKS = ("finding", "support", "hardware")
_THERE = Verdict(PRESENT, "", "")


class Side(NamedTuple):
    """The change of one side, and the tokens of the part that tells of it."""

    change: Change
    part: Sequence[int]
    is_main: bool  # the part has the finding itself


def changes_by_side(scopes: Scopes, found: tuple[Term, ...], term: Term) -> Mapping[str, Side]:
    """Return the change of the left and of the right finding where they differ, else {}."""
    known = tags(scopes.tokens)
    sides = {tag.value for tag in known.values() if tag.kind == "side"}
    if not sides >= _LEFT_OR_RIGHT or not may_tell(scopes.vocabulary):
        return {}
    told: dict[str, Side] = {}
    for part in _parts(scopes, found, term):
        named = {known[i].value for i in part if i in known and known[i].kind == "side"}
        if len(named) != 1 or not named <= _LEFT_OR_RIGHT:
            continue
        is_main = part[0] <= term.start < part[-1] + 1
        change = _change(scopes, found, term, part, is_main)
        if change is not None:
            told.setdefault(named.pop(), Side(change, part, is_main))
    return told if len({side.change.kind for side in told.values()}) == 2 else {}


def _parts(scopes: Scopes, found: tuple[Term, ...], term: Term) -> list[Sequence[int]]:
    """Return the parts of the sentence around the finding, without those of other findings."""
    tokens = scopes.tokens
    blocked: set[int] = set()
    for other in found:
        if other.kind in _BLOCKS and other.start != term.start:
            blocked.update(range(other.start, other.end))
    parts: list[list[int]] = [[]]
    for place, token in enumerate(tokens):
        if token.word in _CUTS or (token.word in STOP_MARKS and token.word != "?"):
            parts.append([])
        else:
            parts[-1].append(place)
    parts = [part for part in parts if part]
    around = next((n for n, part in enumerate(parts) if part[0] <= term.start <= part[-1]), None)
    if around is None:
        return []
    first = last = around
    while first and blocked.isdisjoint(parts[first - 1]):
        first -= 1
    while last + 1 < len(parts) and blocked.isdisjoint(parts[last + 1]):
        last += 1
    return [*parts[first : last + 1]] if blocked.isdisjoint(parts[around]) else []


def _change(
    scopes: Scopes, found: tuple[Term, ...], term: Term, part: Sequence[int], is_main: bool
) -> Change | None:
    """Return the change that a part tells of, None where it tells of none or of something else."""
    tokens = scopes.tokens
    signs = [
        s for s in sided_signs(tokens)
        if part[0] <= s.word <= part[-1] and not covers(tokens, s, found, term)
    ]  # fmt: skip
    signs.sort(key=lambda s: s.kind in (STILL_THERE, LEFT_OVER))  # they count last
    for sign in signs:
        kind = kind_of(tokens, sign, term, _THERE)
        if kind and (is_main or _stands_for_finding(scopes, found, part, sign)):
            start = max(sign.start, part[0])
            return Change(kind, scopes.words(start, sign.end))
    return None


def _stands_for_finding(
    scopes: Scopes, found: tuple[Term, ...], part: Sequence[int], sign: Sign
) -> bool:
    """Whether a part without the finding's name is still about it: "the left one is larger"."""
    known, words = tags(scopes.tokens), [t.word for t in scopes.tokens]
    names = {
        i for t in found if t.kind in ("structure", "quality", "normal") for i in range(*t[1:3])
    }
    for place in part:
        if sign.start <= place < sign.end:
            continue
        word = words[place]
        if word in _WHOLE_LUNG and _IN.isdisjoint(words[max(part[0], place - 3) : place]):
            return False  # "the left lung is unchanged"
        if place in known or word in _STANDING_FOR or word in COPULAS or word in ADVERBS:
            continue
        if place < sign.start or place in names:
            return False
    return True
