"""Names the lobes and zones in a part of a phrase, each with its side: "right upper lobe".

An adjective takes the next noun: "right upper, right lower and left lower lobes" has three lobes.
"""

from __future__ import annotations

from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings.phrases import Line, Part

BOTH = "bilateral"
_PLURALS = lexicon.words("places", "plurals")
_PASSED = lexicon.words("places", "joints") | {"the", "to", "in"}
_HEAD_REACH = 8  # tokens from "upper" to its noun, over the rest of a list
_SIDE_BEFORE, _SIDE_AFTER = 4, 4  # tokens from a place to its side
# the name says the side
_SIDE_OF = {"middle lobe": "right", "lingula": "left"}
_ALWAYS_BOTH = frozenset({"bibasilar", "bibasal", "biapical", "bihilar"})
_ANGLES = frozenset({"costophrenic", "cp"})


class Place(NamedTuple):
    """A place, and its side where the words beside it say one."""

    name: str
    side: str = ""
    plural: bool = False  # "bases": both sides where no side is said


def places_in(line: Line, text: str, part: Part) -> tuple[Place, ...]:
    """Return the places that the words of a part name, in order."""
    found = []
    for at in part:
        tag = line.tags.get(at)
        if tag is None or tag.kind not in ("lobe", "place", "level"):
            continue
        if tag.kind == "lobe":
            side, name = tag.value.split(" ", 1)
            found.append(Place(name, side))
            continue
        name, plural = tag.value, _is_plural(line, text, at)
        if tag.kind == "level":
            name, plural = _with_head(line, text, at)
        if name:
            both = BOTH if line.tokens[at].word in _ALWAYS_BOTH else ""
            side = _SIDE_OF.get(name) or _beside(line, part, at) or both
            found.append(Place(name, side, plural))
    return tuple(dict.fromkeys(found))


def _with_head(line: Line, text: str, at: int) -> tuple[str, bool]:
    """Return the place of "upper", "mid", "lower" with the noun after it, and if it is plural.

    "right upper and lower lobes": the plural is of the list.
    """
    level, alone = line.tags[at].value, True
    for i in range(at + 1, min(at + _HEAD_REACH, len(line.tokens))):
        tag = line.tags.get(i)
        if tag is not None and tag.kind == "head":
            if tag.value == "zone":
                return f"{level} zone", alone and _is_plural(line, text, i)
            return f"{'middle' if level == 'mid' else level} lobe", alone and _is_plural(
                line, text, i
            )
        if tag is None and line.tokens[i].word not in _PASSED:
            break
        alone = alone and tag is not None and tag.kind == "lobe"
    return "", False


def _is_plural(line: Line, text: str, at: int) -> bool:
    if line.tokens[at].word in _ANGLES and at + 1 < len(line.tokens):
        at += 1
    token = line.tokens[at]
    return text[token.start : token.end].lower() in _PLURALS


def _beside(line: Line, part: Part, at: int) -> str:
    """Return the side right before the place, else the one after it ("base on the left")."""
    place = part.index(at)
    for i in reversed(part[max(0, place - _SIDE_BEFORE) : place]):
        tag = line.tags.get(i)
        if tag is not None and tag.kind == "side":
            return tag.value if at - i <= _SIDE_BEFORE else ""
        if tag is None and line.tokens[i].word not in _PASSED:
            break
    for i in part[place + 1 : place + 1 + _SIDE_AFTER]:
        tag = line.tags.get(i)
        if tag is not None and tag.kind == "side":
            return tag.value if i - at <= _SIDE_AFTER else ""
        if tag is not None and tag.kind in ("place", "level", "lobe"):
            break
    return ""


def names_of(place: Place, side: str) -> list[str]:
    """Return the names of a place with its side, else with that of its phrase."""
    own = place.side or side or (BOTH if place.plural else "")
    if place.name == "lingula":
        return ["lingula"]
    if own == BOTH:
        return [f"left {place.name}", f"right {place.name}"]
    return [f"{own} {place.name}".strip()]
