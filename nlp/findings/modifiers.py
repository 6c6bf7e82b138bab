"""Finds the sides, places, severity and sizes of a finding, in its own phrase.

phrases.py cuts the phrase into parts, each about one side. Where the parts give the sides
different severities there is one row for each: "small right and moderate left effusions".
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings import places, sizes
from cxr_vlp.nlp.findings.phrases import (
    AFTER_ENDS,
    JOINTS,
    Line,
    Part,
    line_of,
    parts_of,
    tags,
)
from cxr_vlp.nlp.findings.places import BOTH, Place
from cxr_vlp.nlp.findings.terms import Term

_LEFT, _RIGHT = "left", "right"
_CHANGING = lexicon.words("places", "changing")
_CHANGE_NOUNS = lexicon.words("places", "change_nouns")
_SIZED_THINGS = lexicon.words("places", "sized_things")
_SIZING = lexicon.words("places", "sizing")
_LIGHT = lexicon.words("places", "light")
_DIFFERING = lexicon.words("places", "differing")
_ALTERNATIVES = frozenset({"or", "/", "and/or", "versus", "vs"})
_DIGITS = "0123456789"
_ADJECTIVE_ENDINGS = ("ed", "ic", "ary", "ous", "ar", "tive")
_MORE = frozenset({"more", "most", "less", "least", "as"})  # "more marked on the right"
_BETWEEN_ALTERNATIVES = 3  # tokens: "atelectasis versus early pneumonia"


class Modifiers(NamedTuple):
    """What the phrase of a finding says of one side of it; "" and () for what it does not say."""

    side: str
    zone: str
    severity: str
    places: tuple[str, ...] = ()  # lobes and zones with their side
    sizes_mm: tuple[float, ...] = ()
    weight: str = ""  # "significant", "gross": a denial keeps the word
    denial: str = ""  # the word that denies it on this side only ("none on the left")


class _Said(NamedTuple):
    """What one part of a phrase says."""

    side: str
    places: tuple[Place, ...]
    severity: str
    weight: str
    denial: str
    everywhere: bool  # its severity is said of all parts: "left and right effusions are small"
    opens: bool  # it ends with a side whose noun is in the next part: "right and left bases"


_NOTHING = Modifiers("", "", "")
_SILENT = _Said("", (), "", "", "", False, False)
_PLACED = frozenset({"place", "lobe", "level"})
_WEIGHING = frozenset({"weight", "severity"})
_SILENT_KINDS = frozenset({"head", "compare"})


def modifiers_of(scopes: Scopes, found: tuple[Term, ...], term: Term) -> tuple[Modifiers, ...]:
    """Return what the phrase of the finding at `term` says of it.

    One row, or one for each side where the sides differ ("small right and moderate left").
    """
    measures = sizes.sizes_of(scopes, found, term)
    known = tags(scopes.tokens)
    if not any(tag.kind not in _SILENT_KINDS for tag in known.values()):  # the cheap test
        return (Modifiers("", "", "", (), measures) if measures else _NOTHING,)
    line = line_of(scopes, found)
    rows = _rows(scopes, line, term)
    if len(rows) == 1 and not rows[0].side and not rows[0].places:
        rows = [_shared(scopes, found, term, rows[0])]
    return tuple(row._replace(sizes_mm=measures) for row in rows) if measures else tuple(rows)


def of_part(scopes: Scopes, found: tuple[Term, ...], term: Term, part: Part) -> Modifiers:
    """Return what the words of one part of a sentence say of the finding at `term`."""
    return _joined([_read(scopes, line_of(scopes, found), part, term)], 0)


def _rows(scopes: Scopes, line: Line, term: Term) -> list[Modifiers]:
    """Return what the phrase says, without what it shares with another finding."""
    said, around = _said(scopes, line, term)
    rows = _by_side(said, around) or [_joined(said, around)]
    if len(rows) == 1 and "now" in scopes.text:
        now = _now(line, term)
        return [rows[0]._replace(severity=now)] if now else rows
    return rows


def _said(scopes: Scopes, line: Line, term: Term) -> tuple[list[_Said], int]:
    """Return what the parts of the phrase say, and which of them is around the finding."""
    parts, around = parts_of(line, term)
    said = [_read(scopes, line, part, term) for part in parts]
    for at in range(len(said) - 1, around, -1):  # "on the right, moderate; on the left, small"
        sized, placed = said[at], said[at - 1]
        if sized.severity and not sized.side and not sized.places and not placed.severity:
            said[at - 1 : at + 1] = [placed._replace(severity=sized.severity)]
    return said, around


def _now(line: Line, term: Term) -> str:
    """Return the grade of "..., now moderate", "" without one."""
    for place in range(term.end, len(line.tokens) - 1):
        if place in line.taken:
            break
        tag = line.tags.get(place + 1)
        if line.tokens[place].word == "now" and tag is not None and tag.kind == "severity":
            return "" if _is_of_change(line, place + 1, term) else tag.value
    return ""


def _read(scopes: Scopes, line: Line, part: Part, term: Term) -> _Said:
    """Return what the words of one part say.

    Its own words count first, then the nearest before the finding, then those after it.
    """
    tagged = [(i, line.tags[i]) for i in part if i in line.tags]
    if not tagged:
        return _SILENT
    if len(tagged) > 1:
        tagged.sort(key=lambda row: _rank(row[0], term))
    kinds = {tag.kind for _, tag in tagged}
    sides = {i: tag.value for i, tag in tagged if tag.kind == "side"}
    grades = [i for i, t in tagged if t.kind == "severity" and _is_grade(scopes, line, i, term)]
    weights = [i for i, t in tagged if t.kind in _WEIGHING and _weighs(scopes, line, i, term)]
    named = () if kinds.isdisjoint(_PLACED) else places.places_in(line, scopes.text, part)
    side = next(iter(sides.values()), "") or _union(place.side for place in named)
    if "compare" in kinds and _compares(line, part, term, sides):
        side, named = BOTH, tuple(dict.fromkeys(place._replace(side=BOTH) for place in named))
    is_main = term.start in part
    return _Said(
        side,
        named,
        _range(scopes, line, grades[0]) if grades else "",
        _weights()[line.tokens[weights[0]].word] if weights else "",
        next((line.tokens[i].word for i, tag in tagged if tag.kind == "deny"), ""),
        is_main and bool(grades) and grades[0] >= term.end and all(i < term.end for i in sides),
        bool(part) and part[-1] in sides and not named,
    )


def _rank(at: int, term: Term) -> tuple[int, int]:
    """Return the order in which a word counts: own, before from near to far, after."""
    if at < term.start:
        return 1, -at
    return (2, at) if at >= term.end else (0, at)


def _compares(line: Line, part: Part, term: Term, sides: Mapping[int, str]) -> bool:
    """Whether a part compares the sides: "right greater than left", "worse on the right"."""
    differing = [i for i in part if line.tokens[i].word in _DIFFERING]
    if not differing:
        return False
    if {_LEFT, _RIGHT} <= set(sides.values()):
        return True
    first = next((i for i in differing if i >= term.end), None)
    return first is not None and any(i > first for i in sides)


def _union(sides: Iterable[str]) -> str:
    """Return the side of all: both where they differ."""
    known = {side for side in sides if side}
    if len(known) > 1:
        return BOTH
    return next(iter(known), "")


def _is_grade(scopes: Scopes, line: Line, at: int, term: Term) -> bool:
    """Whether the word grades the finding, not its change and not another thing."""
    if term.start <= at < term.end:
        return False
    if _is_of_change(line, at, term) or _in_long_cue(scopes, at):
        return False
    if at and line.tokens[at - 1].word in _MORE:
        return False
    following = at + 1
    if following >= len(line.tokens):
        return True
    word = line.tokens[following].word
    if following in line.tags or at < term.start:
        return word not in _SIZED_THINGS or line.tokens[at].word not in _SIZING
    return word in JOINTS or word in AFTER_ENDS or word in _LIGHT


def _is_of_change(line: Line, at: int, term: Term) -> bool:
    """Whether a grade is of a change: "slightly larger", "mild interval increase"."""
    following = at + 1
    if following >= len(line.tokens) or term.start <= following < term.end:
        return False
    word = line.tokens[following].word
    is_adverb = line.tokens[at].word.endswith("ly")
    return word in (_CHANGING if is_adverb else _CHANGE_NOUNS)


def _in_long_cue(scopes: Scopes, at: int) -> bool:
    """Whether the word is part of a cue ("no significant change in")."""
    return any(c.start <= at < c.end and c.end - c.start > 1 for c in scopes.cues)


@functools.cache
def _weights() -> Mapping[str, str]:
    rows = lexicon.load("modifiers")["weight"]
    return {word: name for name, words in rows.items() for word in words}


def _weighs(scopes: Scopes, line: Line, at: int, term: Term) -> bool:
    """Whether the word says how much is denied: "no significant effusion"."""
    is_before = at < term.start and line.tokens[at].word in _weights()
    return is_before and not _is_of_change(line, at, term) and not _in_long_cue(scopes, at)


def _range(scopes: Scopes, line: Line, at: int) -> str:
    """Return the grade at a token, with the other end of its range: "mild to moderate"."""
    ends = [at]
    for step in (-1, 1):
        beside = at + step
        if 0 <= beside < len(line.tokens) and line.tokens[beside].word == "to":
            beside += step
        elif not _is_hyphen(scopes, line, min(at, beside)):
            continue
        if beside in line.tags and line.tags[beside].kind == "severity":
            ends.append(beside)
    return " to ".join(dict.fromkeys(line.tags[i].value for i in sorted(ends)))


def _is_hyphen(scopes: Scopes, line: Line, first: int) -> bool:
    if not 0 <= first < len(line.tokens) - 1:
        return False
    return scopes.text[line.tokens[first].end : line.tokens[first + 1].start] in ("-", "‐", "‑")


def _joined(said: Sequence[_Said], around: int) -> Modifiers:
    """Return what all parts say as one row."""
    main = said[around]
    if len(said) == 1 and not main.places:
        if main is _SILENT:
            return _NOTHING
        return Modifiers(main.side, "", main.severity, (), (), main.weight)
    side = _union(s.side for s in said)
    if not side and any(place.plural for s in said for place in s.places):
        side = BOTH
    severity = main.severity or next((s.severity for s in said if s.severity), "")
    named = _names(said, side)
    return Modifiers(side, _zone(said), severity, named, (), main.weight, "")


def _names(said: Sequence[_Said], side: str) -> tuple[str, ...]:
    """Return the places of the parts; a part without a side has that of the one before it."""
    names, last = [], ""
    for at, part in enumerate(said):
        last = part.side or last
        following = said[at + 1].places if part.opens and at + 1 < len(said) else ()
        for place in part.places or [p._replace(side="") for p in following]:
            names += places.names_of(place, last or side)
    return tuple(dict.fromkeys(names))


def _zone(said: Sequence[_Said]) -> str:
    """Return the zone of a statement, "" where the parts name different places."""
    named = {place.name for part in said for place in part.places}
    return _zones().get(next(iter(named)), "") if len(named) == 1 else ""


@functools.cache
def _zones() -> Mapping[str, str]:
    rows = lexicon.load("modifiers")["zone"]
    return {place: zone for zone, names in rows.items() for place in names}


def _by_side(said: Sequence[_Said], around: int) -> list[Modifiers]:
    """Return a row for each side where the sides differ in severity or denial, else []."""
    if len(said) == 1:
        return []
    graded, last = [], ""
    for part in said:
        last = part.severity or last
        graded.append(part if part.denial else part._replace(severity=last))
    rows = {p.side: p for p in graded if p.side in (_LEFT, _RIGHT)}
    main = said[around]
    if main.side == BOTH and len(rows) == 1:  # "bilateral effusions, moderate on the right"
        (side,) = rows
        if rows[side].severity == main.severity and not rows[side].denial:
            return []
        other = _LEFT if side == _RIGHT else _RIGHT
        rows[other] = main._replace(side=other)
    if len(rows) < 2 or (main.everywhere and main.side != BOTH and not main.denial):
        return []
    if len({(p.severity, p.denial) for p in rows.values()}) == 1:
        return []
    return [
        Modifiers(
            side, _zone([part]), part.severity, _names([part], side), (), part.weight, part.denial
        )
        for side, part in rows.items()
    ]


def _shared(scopes: Scopes, found: tuple[Term, ...], term: Term, row: Modifiers) -> Modifiers:
    """Return the row with the side and place of the finding that it is joined to.

    "Left basilar atelectasis or pneumonia" and "atelectasis and consolidation in the left lower
    lobe" place both. What stands before the first of two that are joined by "and" is its own.
    """
    findings = [t for t in found if t.kind == "finding"]
    if term not in findings or len(findings) < 2:
        return row
    at = findings.index(term)
    for other in (*findings[at + 1 : at + 2], *findings[max(0, at - 1) : at]):
        first, second = sorted((term, other), key=lambda t: t.start)
        words = {t.word for t in scopes.tokens[first.end : second.start]}
        if other.start > term.start:
            joins = words == {"and"} or _are_alternatives(scopes, first, second)
            if _is_adjective(scopes, found, first, second):
                return _joined(*_said(scopes, line_of(scopes, found), other))
        else:
            joins = _are_alternatives(scopes, first, second) and not _is_denied(scopes, second)
        if not joins:
            continue
        said, around = _said(scopes, line_of(scopes, found), other)
        if other.start > term.start:
            said = _only_after(scopes, found, other)
            around = 0
        lent = _joined(said, around)
        # "low volumes and elevation of the right hemidiaphragm": a side alone is not shared
        if lent.places or (lent.side and words != {"and"}):
            return row._replace(side=lent.side, zone=lent.zone, places=lent.places)
    return row


def _is_adjective(scopes: Scopes, found: tuple[Term, ...], first: Term, second: Term) -> bool:
    """Whether the first finding is an adjective of the second: "calcified right granuloma"."""
    word = scopes.tokens[first.end - 1].word
    if not word.endswith(_ADJECTIVE_ENDINGS):
        return False
    known = tags(scopes.tokens)
    names = {i for t in found if t.kind == "structure" for i in range(t.start, t.end)}
    return all(
        i in known
        or i in names
        or scopes.tokens[i].word[0] in _DIGITS
        or scopes.tokens[i].word in ("mm", "cm")
        for i in range(first.end, second.start)
    )


def _are_alternatives(scopes: Scopes, first: Term, second: Term) -> bool:
    """Whether only "or", "versus" and adjectives are between two findings."""
    between = scopes.tokens[first.end : second.start]
    if len(between) > _BETWEEN_ALTERNATIVES or not between:
        return False
    return between[0].word in _ALTERNATIVES and not any(
        t.kind in ("side", "place", "lobe", "level")
        for i, t in tags(scopes.tokens).items()
        if first.end <= i < second.start
    )


def _is_denied(scopes: Scopes, term: Term) -> bool:
    return any(c.end <= term.start and "absent_after" in c.values for c in scopes.cues)


def _only_after(scopes: Scopes, found: tuple[Term, ...], term: Term) -> list[_Said]:
    """Return what is said of a finding in the words after it."""
    line = line_of(scopes, found)
    parts, around = parts_of(line, term)
    near = [i for i in parts[around] if i >= term.end]
    return [_read(scopes, line, part, term) for part in (near, *parts[around + 1 :])]
