"""Finds the devices of a sentence, and which of its words are said of each.

A device has the words from where those of the thing before it end to where those of the next
begin. "ETT and NG tube" share what is said after them. A general word ("the tube") and "tip" go on
with the device before them. "The left remains" is another device, where one stands before it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.devices import heads
from cxr_vlp.nlp.devices import words as device_words
from cxr_vlp.nlp.devices.heads import CARDIAC, OTHER, SIDED
from cxr_vlp.nlp.devices.places import Place, counts_for, has_tip
from cxr_vlp.nlp.devices.words import Word, group
from cxr_vlp.nlp.findings.terms import Device, Term
from cxr_vlp.nlp.match.tokens import Token

_ARTICLES = frozenset(("a", "an"))
_PREPOSITIONS = frozenset(("in", "of", "at", "into", "within", "over", "to", "overlying", "near",
                           "from", "on", "for", "through", "via", "with"))  # fmt: skip
_BETWEEN_PREPOSITION = 4
_STOPS = frozenset((",", ";", "."))
_FOR = frozenset(("for", "to", "with", "by"))
_SIDED_TUBE = "chest tube"
_NAME = 6  # tokens before a name that belong to it


@dataclass
class Item:
    """A device at tokens[start:end] and the token places of what is said of it."""

    name: str
    start: int
    end: int
    before: range = range(0)  # its own words before it
    shared: range = range(0)  # the words before the list that it is in
    after: list[range] = field(default_factory=list)
    side: str = ""
    lent: set[int] = field(default_factory=set)  # of `after`: no side there is the device's
    is_tip: bool = False  # only "tip" is said, the device is not named
    is_listed: bool = False
    is_swapped: bool = False  # another has taken its place
    like: Item | None = None  # the device that "the other" or "one" is like


@dataclass
class _Subject:
    """What words of the sentence can be said of: a device, or a thing of the body (None)."""

    start: int
    end: int
    item: Item | None


def find(
    tokens: tuple[Token, ...],
    found: tuple[Term, ...],
    places: Sequence[Place],
    words: Sequence[Word],
) -> list[Item]:
    """Return the devices in order, each with the words that are said of it."""
    subjects = _subjects(tokens, found, places, words)
    _share_out(tokens, subjects, words)
    items: list[Item] = []
    for subject in subjects:
        if subject.item is not None and subject.item not in items:
            items.append(subject.item)
    for item in items:
        own = (p for p in places if counts_for(p, item.name))
        placed = {i for p in own for i in range(p.begin, p.end)}
        item.side = item.side or _side(tokens, item, placed)
        if not item.side and _same_side(tokens, item) and item is not items[0]:
            item.side = items[items.index(item) - 1].side
        if not item.side and item.like is not None:
            item.side = item.like.side
    _mark_swapped(tokens, items, words)
    return items


def _mark_swapped(tokens: tuple[Token, ...], items: list[Item], words: Sequence[Word]) -> None:
    """Note the devices whose place another has: "exchange of A for B", "A in place of B"."""
    for word in words:
        if word.kind not in ("swapping", "instead") or device_words.is_urged(
            tokens, word, range(0, word.end), both=False
        ):
            continue
        after = [item for item in items if item.start >= word.end]
        if word.kind == "swapping":
            joint = next((i for i in range(word.end, len(tokens)) if tokens[i].word in _FOR), 0)
            old = [item for item in after if item.end <= joint]
            is_done = len(after) > len(old)
        else:
            old = [i for i in after[:1] if i.start - word.end <= _NAME]
            is_done = bool(old) and len(after) < len(items)
        for item in old if is_done else ():
            item.is_swapped = True


# --- the things that words can be said of --------------------------------------------------------


def _subjects(
    tokens: tuple[Token, ...],
    found: tuple[Term, ...],
    places: Sequence[Place],
    words: Sequence[Word],
) -> list[_Subject]:
    taken = device_words.spans(words) | {i for p in places for i in range(p.start, p.end)}
    named = heads.find(tokens, found, places)
    walls = {head[1] + 1 for head in named}  # "port R chest", where a side is between
    subjects = [
        _Subject(t.start, t.end, None)
        for t in found
        if _is_rival(tokens, t, taken)
        and not (t.start in walls and _side_of(tokens[t.start - 1].word))
    ]
    things = sorted([*named, *heads.tips(tokens, named)], key=lambda h: h[0])
    previous: Item | None = None
    real = [h for h in named if h[2]]
    alone = [*heads.sides_alone(tokens, real), *heads.others(tokens, real, words)]
    for start, end, device in sorted([*things, *alone], key=lambda h: h[0]):
        item = _item(tokens, start, end, device, previous)
        subjects.append(_Subject(start, end, item))
        previous = item
    subjects.sort(key=lambda s: (s.start, s.end))
    return [s for i, s in enumerate(subjects) if s.item or not _is_part(tokens, subjects, i)]


def _is_rival(tokens: tuple[Token, ...], term: Term, taken: set[int]) -> bool:
    """Whether a term is a thing of the body that words may be said of, no mere place."""
    if term.kind not in ("finding", "structure") or taken.issuperset(range(term.start, term.end)):
        return False
    if tokens[term.end - 1].word in ("fragment", "piece"):  # of the device
        return False
    before = [t.word for t in tokens[max(0, term.start - _BETWEEN_PREPOSITION) : term.start]]
    for word in reversed(before):
        if word in _PREPOSITIONS:
            return term.kind == "finding" and word != "for"
        if word not in group("phrase"):
            return True
    return True


def _is_part(tokens: tuple[Token, ...], subjects: list[_Subject], place: int) -> bool:
    """Whether a structure is only part of the name of a device ("left chest wall pacemaker")."""
    own = subjects[place]
    device = next((s for s in subjects[place + 1 :] if s.item is not None), None)
    if device is None:
        return False
    between = tokens[own.end : device.start]
    return len(between) <= 3 and all(t.word in group("phrase") - {"and"} for t in between)


def _item(
    tokens: tuple[Token, ...], start: int, end: int, device: Device | None, previous: Item | None
) -> Item:
    """Return the device that a head names: a new one, or the one before it once more."""
    word = tokens[start].word
    if device is None:
        if word in SIDED and previous is not None:
            return Item(previous.name, start, end, side=word)
        if word != "tip" and previous is not None:
            return Item(previous.name, start, end, like=previous)
        return previous or Item(OTHER, start, end, is_tip=True)
    is_general = heads.is_general(tokens, start, end)
    name = heads.type_of(tokens, start, end, device, is_general)
    if previous is not None and _is_defibrillator(tokens, previous, name):
        previous.name = name
        return previous
    if previous is not None and _goes_on(tokens, start, end, name, previous):
        if previous.is_tip:
            previous.name, previous.is_tip = name, False
        return previous
    if name == OTHER and previous is not None and _is_same_kind(tokens, start, end, previous):
        return Item(previous.name, start, end)
    own = next((side for side in SIDED if word == f"{side[0]}ij"), "")
    return Item(name, start, end, side=own)


def _is_same_kind(tokens: tuple[Token, ...], start: int, end: int, previous: Item) -> bool:
    """Whether "the right line" is another of the kind spoken of before: it says a side."""
    noun = tokens[end - 1].word
    near = {t.word for t in tokens[max(0, start - 4) : start]}
    is_sided = not near.isdisjoint(group("a_side"))
    return is_sided and noun == tokens[previous.end - 1].word and noun in ("line", "tube", "drain")


def _is_defibrillator(tokens: tuple[Token, ...], previous: Item, name: str) -> bool:
    """Whether a generator named before is that of the defibrillator named now."""
    is_generator = tokens[previous.end - 1].word == "generator"
    return name == CARDIAC[1] and previous.name == CARDIAC[0] and is_generator


def _can_mean(noun: str, name: str) -> bool:
    """Whether "the tube" can mean a device of the type: no line is a tube."""
    names = lexicon.load("device_words")["means"].get(noun)
    return names is None or name in names


def _goes_on(tokens: tuple[Token, ...], start: int, end: int, name: str, previous: Item) -> bool:
    """Whether a head means the device before it: "the tube", "leads" of a pacemaker."""
    is_general = heads.is_general(tokens, start, end)
    nearby = {t.word for t in tokens[max(0, start - 2) : start]}
    if previous.is_tip:
        return False
    if is_general and name in (OTHER, "external leads", "sternal wires", previous.name):
        is_lead = tokens[end - 1].word in ("lead", "wire", "generator", "electrode")
        if is_lead and previous.name in ("pacemaker", "defibrillator", "nerve stimulator"):
            return True
        has_side = any(t.word in SIDED for t in tokens[max(0, start - 3) : start])
        is_it = bool(nearby & group("same")) and not nearby & group("rest") and not has_side
        return is_it and _can_mean(tokens[end - 1].word, previous.name)
    if name == "orthopedic hardware" and "hardware" in previous.name and end - start == 1:
        return not any(t.word in SIDED for t in tokens[max(0, start - 3) : start])
    if name == "pacemaker" and previous.name == "defibrillator" and is_general:
        return True
    same = previous.name == name and bool(nearby & group("same"))
    return same and not any(t.word in SIDED for t in tokens[max(0, start - 4) : start])


# --- which words are said of which thing ---------------------------------------------------------


def _share_out(tokens: tuple[Token, ...], subjects: list[_Subject], words: Sequence[Word]) -> None:
    """Give each device the words that are said of it."""
    cuts = [0]
    for left, right in itertools.pairwise(subjects):
        cuts.append(_cut(tokens, left, right, words))
    cuts.append(len(tokens))
    for place, subject in enumerate(subjects):
        item = subject.item
        if item is None:
            continue
        if not item.before and subject.start == item.start:
            item.before = range(cuts[place], subject.start)
            item.shared = item.before
        item.after.append(range(subject.start, max(subject.end, cuts[place + 1])))
        if subject.start != item.start:
            item.after.append(range(cuts[place], subject.start))
    _join_lists(tokens, subjects)
    _give_moves(subjects, words)


def _give_moves(subjects: list[_Subject], words: Sequence[Word]) -> None:
    """Give a word for moving that no device has to the device before it: nothing else is moved."""
    items = [s.item for s in subjects if s.item is not None]
    owned = {place for item in items for r in (*item.after, item.before) for place in r}
    for word in words:
        if word.kind in device_words.MOVES and word.start not in owned:
            before = [item for item in items if item.end <= word.start]
            if before:
                before[-1].after.append(range(max(before[-1].end, word.start - 5), word.end))


def _cut(tokens: tuple[Token, ...], left: _Subject, right: _Subject, words: Sequence[Word]) -> int:
    """Return where the words of a thing begin, after those of the thing before."""
    start, ends = left.end, {w.end for w in words}
    swaps = {w.end for w in words if w.kind == "replaced"}
    for place in range(right.start - 1, start - 1, -1):
        if tokens[place].word == ":":
            return _header(tokens, start, place, ends) or place + 1
        if tokens[place].word in group("joints") or place + 1 in swaps:
            return place + 1
    place = right.start
    while place > start and tokens[place - 1].word in group("phrase"):
        if place in ends and left.item is not None:  # "ETT coiled NG tube in place"
            break
        place -= 1
    return place


def _header(tokens: tuple[Token, ...], start: int, colon: int, ends: set[int]) -> int:
    """Return where a heading begins that says something ("removed: NGT, ETT"); 0: it does not."""
    place = colon
    while place > start and tokens[place - 1].word not in _STOPS:
        place -= 1
    is_said = any(end in ends for end in range(place + 1, colon + 1))
    return place if is_said and place > start else 0


def _join_lists(tokens: tuple[Token, ...], subjects: list[_Subject]) -> None:
    """Let the devices of a list share what is said before the first and after the last."""
    for place in range(len(subjects) - 2, -1, -1):
        left, right = subjects[place], subjects[place + 1]
        if _is_list(tokens, left, right) and left.item and right.item:
            if _is_of_one(tokens, left, right):
                continue
            lent = [r for r in right.item.after if not _is_of_last(tokens, r)]
            left.item.after.extend(lent)
            if tokens[right.start - 1].word in _ARTICLES:  # "rods, and a port on the left"
                left.item.lent.update(i for r in lent for i in r)
            left.item.is_listed = right.item.is_listed = True
    for left, right in itertools.pairwise(subjects):
        is_one = _is_list(tokens, left, right) and not _begins_clause(tokens, left, right)
        if is_one and left.item and right.item:
            right.item.shared = left.item.shared


def _is_of_one(tokens: tuple[Token, ...], left: _Subject, right: _Subject) -> bool:
    """Whether a verb in the singular says something of the second thing ("A, and B is out")."""
    following = [t.word for t in tokens[right.end : right.end + 1]]
    if left.item and right.item and left.item.name == right.item.name:
        between = {t.word for t in tokens[left.end : right.start]}
        return "," in between and between.isdisjoint(("and", "or", "&", "nor"))
    has_comma = any(t.word == "," for t in tokens[left.end : right.start])
    return has_comma and following in (["is"], ["has"], ["was"])


def _is_of_last(tokens: tuple[Token, ...], region: range) -> bool:
    """Whether what is said is of the last device of a list alone ("the latter ends in ...")."""
    return any(tokens[i].word == "latter" for i in region)


def _begins_clause(tokens: tuple[Token, ...], left: _Subject, right: _Subject) -> bool:
    """Whether a device after a mere comma has a verb of its own ("removal of A, B remains")."""
    if any(t.word in ("and", "or", "&", "nor") for t in tokens[left.end : right.start]):
        return False
    return any(t.word in group("side_verbs") for t in tokens[right.end : right.end + 1])


def _is_list(tokens: tuple[Token, ...], left: _Subject, right: _Subject) -> bool:
    if left.item is None or right.item is None or left.item is right.item:
        return False
    between = [t.word for t in tokens[left.end : right.start]]
    if any(w in group("prefix") for w in between):
        return False
    is_joined = any(w in group("list") for w in between)
    return is_joined and all(w in group("list") or w in group("phrase") for w in between)


# --- sides ---------------------------------------------------------------------------------------


def _side(tokens: tuple[Token, ...], item: Item, placed: set[int]) -> str:
    """Return the side where a device enters or lies, "" where the sentence does not say.

    `placed` are the token places of the names of places: a side there is none of the device.
    """
    first = max(item.before.start, item.start - 6)
    near = [
        _side_of(tokens[i].word)
        for i in range(first, item.start)
        if i not in placed and tokens[i + 1].word not in group("chambers")
    ]
    before = next((s for s in near[::-1] if s), "")
    if before:
        others = {s for s in near if s}
        return "bilateral" if others == set(SIDED) and _both(tokens, item) else before
    after = (s for region in item.after for s in _after(tokens, item, region, placed))
    return next(after, "") or _heading(tokens, item)


def _heading(tokens: tuple[Token, ...], item: Item) -> str:
    """Return the side of a heading that a device of the chest stands below ("L chest: ...")."""
    for place in range(item.start - 1, 1, -1):
        if tokens[place].word == ";":
            break
        if tokens[place].word == ":" and item.name == _SIDED_TUBE:
            return _side_of(tokens[place - 2].word) if place > 1 else ""
    return ""


def _same_side(tokens: tuple[Token, ...], item: Item) -> bool:
    """Whether a device is said to be on the side of the one before it."""
    places = [i for region in item.after for i in region if i >= item.end]
    return any(
        tokens[i].word == "side" and tokens[i - 1].word in ("that", "same", "this") for i in places
    )


def _both(tokens: tuple[Token, ...], item: Item) -> bool:
    words = [t.word for t in tokens[max(0, item.start - 6) : item.start]]
    return "and" in words or "/" in words


def _after(tokens: tuple[Token, ...], item: Item, region: range, placed: set[int]) -> list[str]:
    found = []
    for place in region:
        side = _side_of(tokens[place].word)
        if not side or place < item.end or place in item.lent:
            continue
        before = {t.word for t in tokens[max(item.end, place - 2) : place]}
        following = tokens[place + 1].word if place + 1 < len(tokens) else ""
        stays = item.name == "chest tube" or not has_tip(item.name)
        is_entry = following in group("entries") and place not in placed
        is_after = bool(before & group("side_after")) and not _is_place_word(following)
        is_after = is_after and place not in placed
        if stays or is_entry or is_after:
            found.append(side)
    return found


def _is_place_word(word: str) -> bool:
    is_noun = word.isalpha() and word not in group("list") and word not in group("side_verbs")
    return is_noun and word not in group("entries") and word not in group("tips")


def _side_of(word: str) -> str:
    return _sides().get(word, "")


@functools.cache
def _sides() -> Mapping[str, str]:
    table = lexicon.load("device_words")["sides"]
    return {word: side for side, words in table.items() for word in words}
