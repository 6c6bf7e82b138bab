"""Says where a finding is: "in the right upper lobe", "at both lung bases"."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.wording.grammar import joined

BILATERAL = "bilateral"
SIDES = ("left", "right", BILATERAL)
# places that only one lung has
_ONLY = {"middle lobe": "right", "lingula": "left"}
_UNSIDED = "lingula"  # whose side nobody says


class Place(NamedTuple):
    """A zone of statements.yaml, or another place, and its side, "" where none is said."""

    side: str
    zone: str


@functools.lru_cache(maxsize=4096)
def read(place: str, side: str = "") -> Place:
    """Return a place of a mention in parts; `side` is the mention's, for a place without one."""
    first, _, rest = place.partition(" ")
    if first in SIDES and rest:
        return Place(first, rest)
    return Place(_ONLY.get(place, side), place)


def is_zone(place: str) -> bool:
    """Whether the table of places has it, with or without a side."""
    return read(place).zone in lexicon.load("statements")["places"]


@functools.lru_cache(maxsize=4096)
def phrase(places: tuple[Place, ...]) -> str:
    """Return where all of the places are, with a blank before it; "" for ()."""
    said = [_said(place) for place in places]
    groups: list[tuple[str, list[str]]] = []
    for preposition, name in said:
        if groups and groups[-1][0] == preposition:
            groups[-1][1].append(name)
        else:
            groups.append((preposition, [name]))
    return "".join(
        f"{' and' if place else ''} {preposition} {joined(names)}"
        for place, (preposition, names) in enumerate(groups)
    )


def paired(places: Sequence[Place]) -> tuple[Place, ...]:
    """Return the places with the left and the right of a zone as one."""
    found: dict[str, list[str]] = {}
    for place in places:
        sides = found.setdefault(place.zone, [])
        if place.side not in sides:
            sides.append(place.side)
    return tuple(
        Place(side, zone)
        for zone, sides in found.items()
        for side in ([BILATERAL] if {"left", "right"} <= set(sides) else sides)
    )


def covers(places: Sequence[Place], side: str) -> bool:
    """Whether the places say the side, so that no other word has to."""
    sides = {place.side for place in places}
    return side in sides or (side == BILATERAL and {"left", "right"} <= sides)


def _said(place: Place) -> tuple[str, str]:
    """Return the preposition and the rest of a place's phrase."""
    row = lexicon.load("statements")["places"].get(place.zone)
    preposition, name, plural = row or ("in", place.zone, place.zone)
    if place.side == BILATERAL and plural != name:
        return preposition, f"both {plural}"
    side = "" if place.side == BILATERAL or place.zone == _UNSIDED else place.side
    return preposition, " ".join(w for w in ("the", side, name) if w)


@functools.lru_cache(maxsize=4096)
def apart(one: tuple[Place, ...], other: tuple[Place, ...]) -> bool:
    """Whether no place of the one can be a place of the other: other sides or other heights."""
    return all(_apart(a, b) for a in one for b in other)


def _apart(one: Place, other: Place) -> bool:
    if {one.side, other.side} == {"left", "right"}:
        return True
    heights = _heights().get(one.zone), _heights().get(other.zone)
    return None not in heights and heights[0] != heights[1]


@functools.cache
def _heights() -> dict[str, str]:
    rows = lexicon.load("statements")["heights"]
    return {zone: height for height, zones in rows.items() for zone in zones}
