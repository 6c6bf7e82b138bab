"""Finds the measures of a finding in millimetres: "1.4 x 0.9 cm", "8-mm", "5 to 6 mm".

A measure of an earlier image ("previously 8 mm") and a distance ("4 cm above the carina") are no
size. The words are in lexicon/en/places.yaml.
"""

from __future__ import annotations

import functools
import re

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import STOP_MARKS, VERBS
from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings.terms import Term
from cxr_vlp.nlp.match.tokens import Token

_NUMBER = r"\d+(?:[.,]\d+)?|(?<!\d)\.\d+"
_UNIT = r"mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?"
_SIZE = re.compile(
    rf"(?<![\d.,])(?:{_NUMBER})[\s-]*(?:{_UNIT})?"
    rf"(?:\s*(?:x|×|\*|by|to|or|-|–)\s*(?:{_NUMBER})[\s-]*(?:{_UNIT})?){{0,3}}(?<=[a-z])",
    re.IGNORECASE,
)
_HINT = re.compile(rf"\d[\s-]*(?:{_UNIT})", re.IGNORECASE)
_EACH = re.compile(rf"({_NUMBER})[\s-]*({_UNIT})?", re.IGNORECASE)
_LARGEST = 400.0  # mm; no chest is wider
_EARLIER = lexicon.words("places", "earlier")
_DISTANCE = lexicon.words("places", "distance")
_NEARER = frozenset({"just", "well", "directly", "immediately", "cranial"})
_MEASURED = lexicon.words("places", "measured")
_LISTING = frozenset({"and", ",", ";", "&", "+"})
# what follows one of these is no further one of a list
_COMPARING = lexicon.words("places", "earlier") | {"largest", "up", "compared", "now"}
_NOT_BETWEEN = VERBS | STOP_MARKS | {",", "and", "or", "with", "in", "at", "to", "from", "for"}


def sizes_of(scopes: Scopes, found: tuple[Term, ...], term: Term) -> tuple[float, ...]:
    """Return the measures of the finding at `term` in mm, in the order of the sentence."""
    if not _HINT.search(scopes.text):  # the cheap test
        return ()
    if not is_measured(term):
        return ()
    listed: tuple[float, ...] = ()
    last = term.end
    for start, end, sizes in measures(scopes.text, scopes.tokens):
        if owner(scopes.tokens, found, start, end) == term:
            if listed and not _goes_on(scopes, term, last, start):
                break
            listed += sizes
            last = end
    return listed


def _goes_on(scopes: Scopes, term: Term, last: int, start: int) -> bool:
    """Whether a measure is that of the next of several: "two nodules: 4 mm and 13 mm"."""
    if last <= term.start or scopes.text[scopes.tokens[term.end - 1].end - 1] not in "sS":
        return False
    between = [t.word for t in scopes.tokens[last:start]]
    return not _LISTING.isdisjoint(between) and _COMPARING.isdisjoint(between)


def is_measured(term: Term) -> bool:
    """Return whether a report gives measures of such a finding."""
    if term.kind == "finding" and any(e.name in _MEASURED for e in term.entries):
        return True
    return _is_aortic(term)


@functools.lru_cache(maxsize=64)
def measures(
    text: str, tokens: tuple[Token, ...]
) -> tuple[tuple[int, int, tuple[float, ...]], ...]:
    """Return the measures of a sentence that are sizes of today: (first token, end token, mm)."""
    rows = []
    for match in _SIZE.finditer(text):
        inside = [
            i for i, t in enumerate(tokens) if t.start < match.end() and t.end > match.start()
        ]
        if inside and _is_size(tokens, inside[0], inside[-1] + 1):
            sizes = _millimetres(match.group())
            if inside[0] and tokens[inside[0] - 1].word == "from":  # "increased from 5 to 8 mm"
                sizes = sizes[1:]
            if sizes:
                rows.append((inside[0], inside[-1] + 1, sizes))
    return tuple(rows)


def _is_size(tokens: tuple[Token, ...], start: int, end: int) -> bool:
    """Whether a measure is of today and is no distance."""
    before = [t.word for t in tokens[max(0, start - 3) : start]]
    for word in reversed(before):
        if word in ("approximately", "about", "up", "measuring", "measured", "measure", "now", "a"):
            if word in ("now", "measuring"):
                break
            continue
        if word == "from" and any(t.word == "to" for t in tokens[start:end]):
            return True
        if word in _EARLIER and not (word == "by" and "measure" in before):
            return False
        if word not in ("to", "of"):
            break
    after = [t.word for t in tokens[end : end + 2]]
    if after and after[0] in ("previously", "formerly"):
        return False
    if len(after) == 2 and after[0] == "from" and after[1][0].isdigit():
        return True  # "now 1 cm from 3"
    if any(word.startswith("measur") for word in before):
        return True  # "a pneumothorax measuring 2 cm from the apex"; a tube's measure has no owner
    if len(after) == 2 and after[0] in _NEARER:
        after = after[1:]
    return not (after and after[0] in _DISTANCE)


def _millimetres(measure: str) -> tuple[float, ...]:
    """Return the numbers of a measure in mm; a number without a unit has that of the next."""
    sizes: list[float] = []
    factor = 1.0
    for number, unit in reversed(_EACH.findall(measure)):
        if unit:
            factor = 10.0 if unit.lower().startswith("c") else 1.0
        sizes.append(round(float(number.replace(",", ".")) * factor, 2))
    return tuple(reversed(sizes)) if all(0 < s <= _LARGEST for s in sizes) else ()


def owner(tokens: tuple[Token, ...], found: tuple[Term, ...], start: int, end: int) -> Term | None:
    """Return the finding of a measure: the one that it stands before, else the last before it."""
    things = [t for t in found if t.kind in ("finding", "support", "hardware")]
    starts = {t.start for t in things}
    things += [t for t in found if _is_aortic(t) and t.start not in starts]
    things.sort(key=lambda t: t.start)
    after = next((t for t in things if t.start >= end), None)
    while after is not None and tokens[after.end - 1].word.endswith(("ed", "ic", "ary", "ous")):
        place = things.index(after) + 1  # "5 mm calcified nodule": the size is the nodule's
        if place == len(things) or things[place].start - after.end > 4:
            break
        after = things[place]
    if after is not None and after.start - end <= 8:
        between = {t.word for t in tokens[end : after.start]}
        if between.isdisjoint(_NOT_BETWEEN) and "measure" not in {
            t.word for t in tokens[max(0, start - 2) : start]
        }:
            return after
    before = [t for t in things if t.end <= start and not any(
        token.word in STOP_MARKS - {":"} for token in tokens[t.end : start])]  # fmt: skip
    before = [t for t in before if t.kind != "finding" or t.entries[0].name in _MEASURED]
    return before[-1] if before else None


def _is_aortic(term: Term) -> bool:
    return term.kind == "quality" and any("aorta" in q.of for q in term.entries)
