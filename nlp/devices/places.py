"""Finds where the tip of a device lies, and whether it belongs there.

The places, and those where the tip of each type belongs, are in lexicon/en/device_places.yaml. A
place is one of a device only after a word that governs it: "tip in the SVC", "3 cm above the
carina".
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.devices import words as device_words
from cxr_vlp.nlp.findings.terms import without_articles
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Phrases

_ARTICLES = lexicon.words("grammar", "articles")
_NEEDS_DISTANCE = frozenset(("from", "of"))
_BELOW_VIEW = "below the diaphragm"
_CHAMBERS = ("right atrium", "right ventricle")  # those of the left heart have no name of a tip
_OTHER_SIDE = "contralateral"
_SINUS = "coronary sinus"
_CARINA, _ABOVE_CARINA = "carina", "above the carina"


class Place(NamedTuple):
    """A place of a device at tokens[start:end]."""

    tip: str
    start: int
    end: int
    begin: int  # where the words before it begin that belong to it ("the left lower ...")
    side: str  # the side of the place itself: left, right, contralateral
    passed: bool  # only on the way of the device
    joined: bool  # to the place before it by "and", "or"
    types: tuple[str, ...]  # it is wrong for these, and is no place of others; () = any
    view: bool  # not in the body but beyond the edge of the image
    cm: float | None  # how far from the place


@functools.cache
def _words(name: str) -> frozenset[str]:
    return frozenset(lexicon.load("device_places")[name])


@functools.cache
def _phrases() -> Phrases:
    return Phrases(
        (without_articles(f"{relation} {term}"), _Row.of(row))
        for row in lexicon.load("device_places")["places"]
        for term in row["terms"]
        for relation in row.get("relations", ("",))
    )


class _Row(NamedTuple):
    tip: str
    types: tuple[str, ...]
    view: bool
    related: bool  # it needs no word that governs it

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _Row:
        is_view = row.get("view") == "true"
        return cls(
            row["tip"], tuple(row.get("types", ())), is_view, "relations" in row or "alone" in row
        )


def find(tokens: tuple[Token, ...]) -> tuple[Place, ...]:
    """Return the places of devices in a sentence, in order."""
    tokens = _in_full(tokens)
    kept = [i for i, token in enumerate(tokens) if token.word not in _ARTICLES]
    found: list[Place] = []
    for match in _phrases().find([tokens[i] for i in kept]):
        start, end = kept[match.start], kept[match.end - 1] + 1
        rows = sorted(match.values, key=lambda row: not row.types)
        for row in rows:
            place = _place(tokens, found, start, end, row)
            if place is not None:
                found.append(place)
    return tuple(found)


def _in_full(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """Return the tokens with the words in full that reports shorten ("R brachioceph. v.")."""
    short = lexicon.load("device_places")["short"]
    if not any(token.word in short for token in tokens):
        return tokens
    return tuple(t._replace(word=short.get(t.word, t.word)) for t in tokens)


def _place(
    tokens: tuple[Token, ...], found: list[Place], start: int, end: int, row: _Row
) -> Place | None:
    governor = start - 1
    while governor >= 0 and tokens[governor].word in _words("beside"):
        governor -= 1
    last = next((p for p in reversed(found) if p.start < start), None)
    is_joined = last is not None and last.end == governor + 1 and start - last.end > 0
    if last is not None and last.tip in _CHAMBERS and row.tip in (*_CHAMBERS, _SINUS):
        is_joined |= last.end == governor and tokens[governor].word == ","
    if is_joined and tokens[end : end + 1] and tokens[end].word in VERBS:
        return None
    is_next = last is not None and last.end == start  # "right lower lobe segmental branch"
    if not (row.related or is_joined or is_next or _governs(tokens, governor, start, end)):
        return None
    if row.tip in _CHAMBERS and start and tokens[start - 1].word == "left":
        return None
    cm = _distance(tokens, start, end)
    tip = row.tip
    if (
        row.related
        and tokens[start].word in _NEEDS_DISTANCE
        and tip == _ABOVE_CARINA
        and cm is None
    ):
        tip = _CARINA
    passed = (
        cm is None
        and governor >= 0
        and tokens[governor].word in _words("passing")
        and not row.related
    )
    side = _side(tokens, governor + 1, end)
    begin = start if passed else governor + 1
    return Place(tip, start, end, begin, side, passed, is_joined, row.types, row.view, cm)


def _governs(tokens: tuple[Token, ...], governor: int, start: int, end: int) -> bool:
    """Whether a word before the place says that a device is there ("bronchus intubation" too)."""
    if governor >= 0 and tokens[governor].word in _words("govern"):
        return True
    if tokens[end : end + 1] and tokens[end].word == "intubation":
        return True
    return any(t.word in ("at", "near") for t in tokens[governor + 1 : start])


def _side(tokens: tuple[Token, ...], start: int, end: int) -> str:
    words = {t.word for t in tokens[start:end]}
    if _OTHER_SIDE in words:
        return _OTHER_SIDE
    return "left" if "left" in words else "right" if "right" in words else ""


def _distance(tokens: tuple[Token, ...], start: int, end: int) -> float | None:
    """Return the distance from the place in cm: "3 to 4 cm above", "just above"."""
    for place in range(start - 1, max(-1, start - 5), -1):
        word = tokens[place].word
        if word in device_words.group("measure"):
            return _number(tokens, place)
        if word in device_words.group("close"):
            return 1.0
        if word in (",", ";"):
            break
    for place in range(end, min(end + 4, len(tokens))):
        if tokens[place].word in device_words.group("measure") and tokens[end].word == "by":
            return _number(tokens, place)
    return None


def _number(tokens: tuple[Token, ...], unit: int) -> float | None:
    """Return the mean of the one or two numbers before the unit at token `unit`, in cm."""
    numbers: list[float] = []
    place = unit - 1
    while place >= 0 and len(numbers) < 2:
        value = _value(tokens[place].word)
        if value is not None:
            numbers.append(value)
        elif tokens[place].word not in ("to", "-", "–", "—", "or"):
            break
        place -= 1
    if not numbers:
        return None
    scale = 0.1 if tokens[unit].word.startswith("m") else 1.0
    word = tokens[place].word if place >= 0 else ""
    limit = -0.5 if word in ("<", "within", "under") or (
        word == "than" and tokens[place - 1].word in ("less", "fewer")
    ) else 0.5 if word in (">", "than", "over") else 0.0  # fmt: skip
    return sum(numbers) / len(numbers) * scale + limit


def _value(word: str) -> float | None:
    """Return the value of a number of at most five characters."""
    try:
        return float(word.replace(",", ".")) if len(word) <= 5 and word[0].isdecimal() else None
    except ValueError:
        return None


def counts_for(place: Place, device: str) -> bool:
    """Whether the place can be one of the tip of a device of this type."""
    known = lexicon.load("device_places")["belongs"].get(device)
    if place.types:
        return device in place.types
    if known is None:
        return False
    if place.view:
        return _BELOW_VIEW in known["right"]
    return (
        place.tip in known["right"]
        or place.tip in known["wrong"]
        or place.tip in known.get("other", ())
        or place.tip not in _words("landmarks")
    )


def is_wrong(place: Place, device: str, side: str) -> bool:
    """Whether the tip of a device does not belong at the place."""
    if device in place.types:
        return True
    belongs = lexicon.load("device_places")["belongs"].get(device)
    if belongs is None:
        return False
    if place.tip in belongs["wrong"] or _is_far(place, device):
        return True
    is_opposite = {side, place.side} == {"left", "right"} or place.side == _OTHER_SIDE
    return is_opposite and place.tip in _words("veins") and "svc" in belongs["right"]


def is_right(place: Place, device: str, side: str) -> bool:
    """Whether the tip of a device belongs at the place, and is not wrong there."""
    return not is_wrong(place, device, side) and belongs_at(place.tip, device)


def belongs_at(tip: str, device: str) -> bool:
    """Whether the tip of a device of this type belongs at a place of this name."""
    return tip in lexicon.load("device_places")["belongs"].get(device, {}).get("right", ())


def is_home(place: Place, device: str) -> bool:
    """Whether a device that is denied to be there must be elsewhere, so wrong."""
    home = lexicon.load("device_places")["belongs"].get(device, {}).get("other", ())
    return is_right(place, device, "") or place.tip in home


def has_tip(device: str) -> bool:
    """Whether devices of this type have a tip whose place is told."""
    return device in lexicon.load("device_places")["belongs"]


def _is_far(place: Place, device: str) -> bool:
    row = lexicon.load("device_places")["distances"].get(device)
    if row is None or row["tip"] != place.tip or place.cm is None:
        return False
    return not float(row["least"]) <= place.cm <= float(row["most"])


def level(tokens: tuple[Token, ...], region: range, device: str) -> bool | None:
    """Return whether a device said to end at a vertebra ("at T8") ends well; None: not said."""
    rows = lexicon.load("device_places")["levels"].get(device, ())
    for place in region if rows else ():
        letter = "t" if tokens[place].word == "d" else tokens[place].word
        if letter in ("t", "l") and place + 1 < len(tokens):
            value = _value(tokens[place + 1].word)
            if value is not None:
                return any(r[0] == letter and int(r[1]) <= value <= int(r[2]) for r in rows)
    return None
