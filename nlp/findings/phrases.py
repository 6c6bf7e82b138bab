"""Cuts the phrase around a finding into parts, each about one side or place.

"Small right and moderate left effusions at the bases" has two parts: "small right", and "moderate
left" with "at the bases". A part beyond a joint ("and", ",") belongs to the finding only if it has
nothing but words of side, place and size: "right PICC and left effusion" is no phrase of two parts.
The words are in lexicon/en/places.yaml and modifiers.yaml.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Set
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import STOP_MARKS, VERBS
from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings.terms import Term
from cxr_vlp.nlp.match.tokens import Token, tokenize

_REACH = 10  # tokens on each side without a joint; a radiologist's noun phrase is rarely longer
_PHRASE_ENDS = lexicon.words("grammar", "phrase_ends") - {"and", "or"}
JOINTS = lexicon.words("places", "joints")
_LIGHT = lexicon.words("places", "light")
_OF_PLACE = lexicon.words("places", "of_place")
_AMOUNTS = lexicon.words("places", "amounts")
_DENYING = lexicon.words("places", "denying")
_ADJECTIVES = lexicon.words("places", "adjectives")
_PLACE_VERBS = lexicon.words("places", "place_verbs")
_BEFORE_ENDS = _PHRASE_ENDS | STOP_MARKS | VERBS | lexicon.words("places", "openers")
_COPULAS = frozenset({"is", "are", "was", "were", "appear", "remain", "has", "have", "had"})
# what follows them is still said of the finding ("an opacity projects over the left base")
_OPEN_VERBS = _COPULAS | {"develop", "project", "measure", "extend", "persist"}
AFTER_ENDS = _PHRASE_ENDS | STOP_MARKS | (VERBS - _OPEN_VERBS) | lexicon.words("places", "closers")
_BLOCKING = frozenset({"finding", "support", "hardware"})
_SIDED_KINDS = frozenset({"side", "lobe"})
_DENIALS = frozenset({"no", "without"})
_ASIDES = frozenset({"however", "though", "meanwhile", "too", "nevertheless"})
_MERELY = frozenset({"only", "just", "merely"})
_GRADED = frozenset({"severity", "deny", "side"})
_SPARING = frozenset({"spare", "sparing", "spared"})
_FILLING = frozenset({"occupy", "occupying", "fill", "filling", "involve", "affect", "affecting"})
_FACTS = frozenset({"side", "level", "place", "lobe", "severity", "compare", "deny"})

_DOUBTFUL = frozenset({"l", "r", "both", "either", "left", "right"})
# "left atrium", "right main bronchus": a name, no side
_NAMED_BY_SIDE = frozenset(
    {
        "atrium",
        "atrial",
        "ventricle",
        "ventricular",
        "mainstem",
        "main",
        "bronchus",
        "interlobar",
        "way",
        "direction",
    }
)
_SIDED = frozenset({"pleural", "hemidiaphragm", "diaphragm", "lung", "heart", "clavicle", "rib"})

Part = list[int]  # token places, in order


class Tag(NamedTuple):
    """What a word says in a phrase: its kind, and the canonical word."""

    kind: str  # side, level, head, place, lobe, severity, weight, compare, deny
    value: str


class Line(NamedTuple):
    """A sentence in which the phrases of its findings are read."""

    tokens: tuple[Token, ...]
    tags: Mapping[int, Tag]
    taken: Set[int]  # token places of findings and devices
    normal: Set[int]  # token places of words that call a structure normal
    names: Set[int]  # token places of structures


@functools.cache
def _table() -> Mapping[str, Tag]:
    places, grades = lexicon.load("places"), lexicon.load("modifiers")
    table = {}
    for word in places["comparing"]:
        table[tokenize(word)[0].word] = Tag("compare", word)
    for kind, rows in (("weight", grades["weight"]), ("severity", grades["severity"])):
        for value, words in rows.items():
            table.update({tokenize(w)[0].word: Tag(kind, value) for w in words})
    for kind in ("head", "level", "place", "lobe"):
        table.update({w: Tag(kind, v) for w, v in places[f"{kind}s"].items()})
    for word in places["denying"]:
        table[word] = Tag("deny", word)
    for value, words in grades["side"].items():
        # "bibasilar" is a side and a place; its place says both sides (places_of)
        table.update({w: Tag("side", value) for w in words if w not in table})
    return table


@functools.lru_cache(maxsize=64)
def tags(tokens: tuple[Token, ...]) -> Mapping[int, Tag]:
    """Return the tags of the words of a sentence by their place; words without one are left out."""
    table, found = _table(), {}
    for place, token in enumerate(tokens):
        tag = table.get(token.word)
        if tag is not None and not (token.word in _DOUBTFUL and _is_no_side(tokens, place)):
            found[place] = tag
        elif token.word == "b" and [t.word for t in tokens[place + 1 : place + 3]] == ["/", "l"]:
            found[place] = Tag("side", "bilateral")
    return found


def _is_no_side(tokens: tuple[Token, ...], place: int) -> bool:
    """Whether a word is no side here: "L1", "r/o", "2 L", "either X or Y", "both X and Y"."""
    following = tokens[place + 1].word if place + 1 < len(tokens) else ""
    if tokens[place].word in ("left", "right"):
        return following in _NAMED_BY_SIDE
    if tokens[place].word in ("both", "either"):
        return not (following in _table() or following in _LIGHT or following in _SIDED)
    before = tokens[place - 1].word if place else " "
    return (
        before[0].isdigit() or before == "/" or following[:1].isdigit() or following in ("/", "'")
    )


def line_of(scopes: Scopes, found: tuple[Term, ...]) -> Line:
    """Return the sentence as its phrases are read."""
    taken: set[int] = set()
    normal: set[int] = set()
    names: set[int] = set()
    for kind, start, end, _ in found:
        if kind in _BLOCKING:
            taken.update(range(start, end))
        elif kind == "structure":
            names.update(range(start, end))
        elif kind == "normal":
            normal.add(start)
    return Line(scopes.tokens, tags(scopes.tokens), taken, normal, names)


def parts_of(line: Line, term: Term) -> tuple[list[Part], int]:
    """Return the parts of the phrase of the finding at `term`, and which of them is around it.

    The part around it has the finding's own words.
    """
    near_before, before = _before(line, term.start)
    near_after, after = _after(line, term.end)
    own = [*near_before, *range(term.start, term.end), *near_after]
    return [*before, own, *after], len(before)


def _before(line: Line, start: int) -> tuple[Part, list[Part]]:
    """Return the words right before the finding, and the parts before them."""
    near: Part = []
    place = start - 1
    while place >= 0 and len(near) < _REACH:
        word = line.tokens[place].word
        if place in line.taken:
            break
        if word in _BEFORE_ENDS and not _is_range(line, place):
            break
        if word == "of" and (not place or line.tokens[place - 1].word not in _AMOUNTS):
            break
        if word in JOINTS:
            break
        near.append(place)
        place -= 1
    near.reverse()
    parts: list[Part] = []
    while place > 0 and line.tokens[place].word in JOINTS:
        part = _part_before(line, place)
        if not part or not _is_like(line, part, parts[0] if parts else near, place):
            break
        parts.insert(0, part)
        place = part[0] - 1
    if not parts and not any(i in line.tags and line.tags[i].kind in _SIDED_KINDS for i in near):
        near = [*_fronted(line, place), *near]
    return near, parts


def _is_range(line: Line, place: int) -> bool:
    """Whether "to" joins two words of one kind: "moderate to large", "upper to mid"."""
    ends = [line.tags[i].kind for i in (place - 1, place + 1) if i in line.tags]
    return line.tokens[place].word == "to" and len(ends) == 2 and ends[0] == ends[1]


def _part_before(line: Line, joint: int) -> Part:
    """Return the part before the joint, [] where what is there has words of another kind."""
    part: Part = []
    place = joint - 1
    while place >= 0 and (place in line.tags or line.tokens[place].word in ("the", "to")):
        part.append(place)
        place -= 1
    part.reverse()
    kinds = {line.tags[i].kind for i in part if i in line.tags}
    if not kinds & {"side", "level", "lobe", "place"}:
        # "small, left effusion"
        is_size = kinds == {"severity"} and line.tokens[joint].word == ","
        return part if is_size and _begins(line, place) else []
    if place >= 0 and (place in line.taken or line.tokens[place].word in _OF_PLACE):
        return []  # "opacity in the left base and right effusion"
    is_whole = any(line.tags[i].value == "zone" for i in part if i in line.tags)
    return [] if is_whole and "level" not in kinds else part  # "left lung, right effusion"


def _begins(line: Line, place: int) -> bool:
    """Whether a phrase begins after `place`: with the sentence, or after an article or verb."""
    if place < 0:
        return True
    word = line.tokens[place].word
    return word in ("a", "an") or word in VERBS or word in STOP_MARKS


def _is_like(line: Line, part: Part, following: Part, joint: int) -> bool:
    """Whether a part before a comma names a place only where the part after it does so too."""
    if line.tokens[joint].word != ",":
        return True
    named = [any(line.tags[i].kind in ("place", "lobe") for i in p if i in line.tags)
             for p in (part, following)]  # fmt: skip
    return named[0] == named[1]


def _says_place(line: Line, place: int) -> bool:
    tag = line.tags.get(place)
    return tag is not None and tag.kind in ("side", "place", "lobe", "level")


def _fronted(line: Line, place: int) -> Part:
    """Return the words of a place that the sentence begins with, [] where it begins otherwise.

    "At the left base there is ...", "The left lung demonstrates ...", "Right lung: ...". The words
    end right before the verb; `place` is the last token of what stands before the finding's phrase.
    """
    words = line.tokens
    verbs: set[str] = set()
    while place >= 0 and (words[place].word in _PLACE_VERBS or words[place].word in _DENIALS):
        verbs.add(words[place].word)
        place -= 1
    verbs -= _DENIALS  # "in the left lung there is no effusion"
    if not verbs or place < 0:
        return []
    begin = next((i for i in range(place, -1, -1) if words[i].word in STOP_MARKS | {","}), -1) + 1
    joint = next((i for i in range(place, begin - 1, -1) if words[i].word == "and"), begin - 1) + 1
    # "heart is normal and the left base shows ..."; "with" does not open a clause
    for first in dict.fromkeys((begin, *([] if "with" in verbs else [joint]))):
        part = list(range(first, place + 1))
        if verbs == {","} and part and words[first].word not in _OF_PLACE:
            continue  # a comma alone ends only a phrase such as "at the left base, ..."
        if any(_says_place(line, i) for i in part) and all(_is_of_place(line, i) for i in part):
            return part
    return []


def _is_of_place(line: Line, place: int) -> bool:
    word = line.tokens[place].word
    return (place in line.tags or place in line.names or word in _LIGHT or word == "and") and (
        place not in line.taken and place not in line.normal
    )


def _after(line: Line, end: int) -> tuple[Part, list[Part]]:
    """Return the words right after the finding, and the parts after them."""
    near: Part = []
    place = _past_aside(line, end)
    size = len(line.tokens)
    while place < size and len(near) < _REACH:
        word = line.tokens[place].word
        if word in _SPARING:
            place = _past_spared(line, place + 1)
            continue
        if place in line.taken or word in JOINTS or (word == ":" and place == end):
            break
        if word in AFTER_ENDS:
            break
        if word in _COPULAS and not _is_predicate(line, place + 1):
            break
        near.append(place)
        place += 1
    near = _without_next(line, near, place)
    parts: list[Part] = []
    while place < size:
        opening = _past_joint(line, place, end)
        if opening == place:
            break
        part = _part_after(line, opening)
        if not part:
            break
        parts.append(part)
        place = part[-1] + 1
    return near, parts


def _past_aside(line: Line, place: int) -> int:
    """Return the place of the verb after "however": "cardiomegaly, however, is marked"."""
    words = [t.word for t in line.tokens[place : place + 4]]
    kept = [word for word in words if word != ","]
    if len(kept) > 1 and kept[0] in _ASIDES and kept[1] in _COPULAS:
        return place + words.index(kept[1])
    return place


def _past_spared(line: Line, place: int) -> int:
    """Return the place after what a finding spares: "sparing the lingula"."""
    while place < len(line.tokens) and (
        place in line.tags or line.tokens[place].word in ("the", "of", "lobe", "lung", "zone")
    ):
        place += 1
    return place


def _without_next(line: Line, near: Part, place: int) -> Part:
    """Return the words after a finding without the adjectives of the next one.

    "Opacity left effusion": "left" is the effusion's.
    """
    if place not in line.taken:
        return near
    while near and _is_adjective(line, near[-1]):
        near = near[:-1]
    return near


def _is_adjective(line: Line, place: int) -> bool:
    word, tag = line.tokens[place].word, line.tags.get(place)
    if word in _OF_PLACE:
        return False
    if word in _ADJECTIVES:
        return True
    return place not in line.names if tag is None else tag.kind in ("severity", "weight", "lobe")


def _past_joint(line: Line, place: int, end: int) -> int:
    """Return the place after the joints at `place`, and after "but" before a part of its own."""
    words = line.tokens
    while place < len(words) and (
        words[place].word in JOINTS
        or (words[place].word == ";" and all(t.word not in VERBS for t in words[end:place]))
        or (words[place].word == ":" and place == end)
        or (
            words[place].word == "but"
            and place + 1 < len(words)
            and (words[place + 1].word in _MERELY or _is_graded(line, place + 1))
            and (words[place + 1].word in _DENYING or not _is_denied(line, end))
        )
        or (
            place > end
            and words[place].word in _MERELY
            and _is_graded(line, place + 1)
            and not _is_denied(line, end)
        )
        or (place > end and words[place - 1].word in JOINTS and words[place].word in _FILLING)
    ):
        place += 1
    return place


def _is_denied(line: Line, end: int) -> bool:
    """Whether a finding is denied: "no effusion on the right but small on the left"."""
    return any(t.word in _DENIALS for t in line.tokens[max(0, end - _REACH) : end])


def _is_graded(line: Line, place: int) -> bool:
    return place in line.tags and line.tags[place].kind in _GRADED


def _part_after(line: Line, start: int) -> Part:
    """Return the part that begins at `start`, [] where it goes on with words of another kind."""
    part: Part = []
    place = start
    words = line.tokens
    while place < len(words) and place not in line.taken:
        word = words[place].word
        if word in _COPULAS and (not _is_predicate(line, place + 1) or _is_lung(line, part)):
            return []  # "..., and the right lung is clear"
        if place not in line.tags and word not in _LIGHT and not word[0].isdigit() and (
            word not in ("mm", "cm")
        ):  # fmt: skip
            break
        part.append(place)
        place += 1
    while part and words[part[-1]].word in _OF_PLACE:
        part.pop()
    if not any(i in line.tags and line.tags[i].kind in _FACTS for i in part):
        return []
    return part if _may_end(line, part[-1], place) else []


def _is_lung(line: Line, part: Part) -> bool:
    """Whether a part names a whole lung as a subject: "the left lung", not "in the left lung"."""
    words = [line.tokens[i].word for i in part]
    return "lung" in words and words[0] not in _OF_PLACE


def _may_end(line: Line, last: int, place: int) -> bool:
    """Whether a part may end before `place`: its last word is no adjective of what follows."""
    if place in line.taken or place in line.normal:
        return False
    if place >= len(line.tokens):
        return True
    word = line.tokens[place].word
    if word in JOINTS or word in AFTER_ENDS:
        return True
    is_adjective = line.tokens[last].word in _ADJECTIVES or last not in line.tags
    return not (is_adjective or line.tags[last].kind in ("severity", "weight"))


def _is_predicate(line: Line, place: int) -> bool:
    """Whether what a copula joins is said of the finding before it, not of a place.

    "..., and the right lung is clear" and "the right lung is hyperlucent" speak of the lung.
    """
    for i in range(place, min(place + 4, len(line.tokens))):
        if line.tokens[i].word in JOINTS:
            return True
        if i in line.normal or i in line.taken:
            return False
    return True
