"""Finds the devices of a sentence, and which of its words are said of each.

A device has the words from where those of the thing before it end to where those of the next
begin. "ETT and NG tube" share what is said after them. A general word ("the tube") and "tip" go on
with the device before them. "The left remains" is another device, where one stands before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.devices import words as device_words
from cxr_vlp.nlp.devices.places import Place, counts_for, has_tip
from cxr_vlp.nlp.devices.words import Word, group
from cxr_vlp.nlp.findings.terms import Device, Term
from cxr_vlp.nlp.findings.terms import devices as device_types
from cxr_vlp.nlp.match.tokens import Token

_ARTICLES = lexicon.words("grammar", "articles")
_PREPOSITIONS = frozenset(("in", "of", "at", "into", "within", "over", "to", "overlying", "near",
                           "from", "on", "for", "through", "via", "with"))  # fmt: skip
_BETWEEN_PREPOSITION = 4
_CARDIAC = ("pacemaker", "defibrillator")
_SIDED = ("left", "right")
OTHER = "other device"


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
    is_tip: bool = False  # only "tip" is said, the device is not named
    is_listed: bool = False


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
    return items


# --- the things that words can be said of --------------------------------------------------------


def _subjects(
    tokens: tuple[Token, ...],
    found: tuple[Term, ...],
    places: Sequence[Place],
    words: Sequence[Word],
) -> list[_Subject]:
    taken = device_words.spans(words) | {i for p in places for i in range(p.start, p.end)}
    subjects = [_Subject(t.start, t.end, None) for t in found if _is_rival(tokens, t, taken)]
    heads = _merged(tokens, _heads(tokens, found, places))
    things = sorted([*heads, *_tips(tokens, heads)], key=lambda h: h[0])
    previous: Item | None = None
    sides = _sides_alone(tokens, [h for h in heads if h[2]])
    for start, end, device in sorted([*things, *sides], key=lambda h: h[0]):
        item = _item(tokens, start, end, device, previous)
        subjects.append(_Subject(start, end, item))
        previous = item
    subjects.sort(key=lambda s: (s.start, s.end))
    return [s for i, s in enumerate(subjects) if s.item or not _is_part(tokens, subjects, i)]


def _is_rival(tokens: tuple[Token, ...], term: Term, taken: set[int]) -> bool:
    """Whether a term is a thing of the body that words may be said of, no mere place."""
    if term.kind not in ("finding", "structure") or taken.issuperset(range(term.start, term.end)):
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


_Head = tuple[int, int, Device | None]


def _heads(
    tokens: tuple[Token, ...], found: tuple[Term, ...], places: Sequence[Place]
) -> list[_Head]:
    heads: list[_Head] = []
    for term in found:
        device = next((e for e in term.entries if isinstance(e, Device)), None)
        if device is None:
            continue
        is_place = tokens[term.start].word in ("ij", "rij", "lij") and any(
            p.start <= term.start and term.end <= p.end for p in places
        )
        if not is_place and not _is_no_device(tokens, term):
            heads.append((term.start, term.end, device))
    return heads


def _is_no_device(tokens: tuple[Token, ...], term: Term) -> bool:
    """Whether a word only sounds like one of a device: "B line", "left to right shunt"."""
    if not term.start or term.end - term.start > 1:
        return False
    word, before = tokens[term.start].word, tokens[term.start - 1].word
    return (word == "line" and before in group("no_lines")) or (
        word == "shunt" and before in _SIDED and tokens[max(0, term.start - 2)].word == "to"
    )


def _merged(tokens: tuple[Token, ...], heads: list[_Head]) -> list[_Head]:
    """Return the heads with those that stand side by side as one ("dual lead" + "pacemaker")."""
    merged: list[_Head] = []
    for start, end, device in heads:
        last = merged[-1] if merged else None
        if last and _stand_together(tokens, last, start):
            is_general = _is_general(tokens, start, end)
            is_both = last[2] and device and {last[2].name, device.name} == set(_CARDIAC)
            merged[-1] = (last[0], end, last[2] if is_general else device)
            if is_both:
                merged[-1] = (last[0], end, device_types()[_CARDIAC[1]])
        else:
            merged.append((start, end, device))
    return merged


def _stand_together(tokens: tuple[Token, ...], last: _Head, start: int) -> bool:
    """Whether only words of one noun phrase are between two heads ("IJ dual lumen catheter")."""
    between = {t.word for t in tokens[last[1] : start]}
    is_general = _is_general(tokens, last[0], last[1]) and _is_general(tokens, start, start + 1)
    if between == {"/"} and is_general:
        return True
    if between == {"/"} and last[2] and last[2].name in _CARDIAC:
        return tokens[start].word in ("icd", "aicd", "defibrillator", "pacemaker", "pacer")
    if not between.isdisjoint(group("list")) or not between.isdisjoint(group("prefix")):
        return False
    is_site = tokens[last[0]].word in ("ij", "rij", "lij")
    return between <= (group("phrase") - {"of"} if is_site else _APPROACH)


_APPROACH = frozenset(("approach", "access", "tunneled", "tunnelled", "central", "venous"))


def _tips(tokens: tuple[Token, ...], heads: list[_Head]) -> list[_Head]:
    """Return the places of "tip", and of a pronoun after a device, where no head has them."""
    inside = {i for start, end, _ in heads for i in range(start, end)}
    return [
        (i, i + 1, None)
        for i, token in enumerate(tokens)
        if token.word == "tip" and i not in inside and not _is_of(tokens, i, heads)
    ]


def _is_of(tokens: tuple[Token, ...], place: int, heads: list[_Head]) -> bool:
    """Whether "tip of the ..." names its device after it."""
    if [t.word for t in tokens[place + 1 : place + 2]] not in (["of"], ["for"]):
        return False
    head = next((h for h in heads if h[0] > place), None)
    return head is not None and head[0] - place <= 8


def _sides_alone(tokens: tuple[Token, ...], heads: list[_Head]) -> list[_Head]:
    """Return the places of a side without a noun, after a device ("the left remains")."""
    if not heads:
        return []
    alone: list[_Head] = []
    for place in range(heads[0][1], len(tokens) - 1):
        word = tokens[place].word
        if word not in _SIDED or tokens[place + 1].word not in group("side_verbs"):
            continue
        opener = place - 1 - (tokens[place - 1].word in _ARTICLES)
        if tokens[opener].word in group("joints") and tokens[place + 1].word != "in":
            alone.append((place, place + 1, None))
    return alone


def _is_general(tokens: tuple[Token, ...], start: int, end: int) -> bool:
    return " ".join(t.word for t in tokens[start:end]) in group("general")


def _item(
    tokens: tuple[Token, ...], start: int, end: int, device: Device | None, previous: Item | None
) -> Item:
    """Return the device that a head names: a new one, or the one before it once more."""
    word = tokens[start].word
    if device is None:
        if word in _SIDED and previous is not None:
            return Item(previous.name, start, end, side=word)
        return previous or Item(OTHER, start, end, is_tip=True)
    is_general = _is_general(tokens, start, end)
    name = _type_of(tokens, start, end, device, is_general)
    if previous is not None and _is_defibrillator(tokens, previous, name):
        previous.name = name
        return previous
    if previous is not None and _goes_on(tokens, start, end, name, previous):
        if previous.is_tip:
            previous.name, previous.is_tip = name, False
        return previous
    own = next((side for side in _SIDED if word == f"{side[0]}ij"), "")
    return Item(name, start, end, side=own)


def _is_defibrillator(tokens: tuple[Token, ...], previous: Item, name: str) -> bool:
    """Whether a generator named before is that of the defibrillator named now."""
    is_generator = tokens[previous.end - 1].word == "generator"
    return name == _CARDIAC[1] and previous.name == _CARDIAC[0] and is_generator


def _goes_on(tokens: tuple[Token, ...], start: int, end: int, name: str, previous: Item) -> bool:
    """Whether a head means the device before it: "the tube", "leads" of a pacemaker."""
    is_general = _is_general(tokens, start, end)
    nearby = {t.word for t in tokens[max(0, start - 2) : start]}
    if previous.is_tip:
        return False
    if is_general and name in (OTHER, "external leads", "sternal wires", previous.name):
        is_lead = tokens[end - 1].word in ("lead", "wire", "generator", "electrode")
        if is_lead and previous.name in ("pacemaker", "defibrillator", "nerve stimulator"):
            return True
        has_side = any(t.word in _SIDED for t in tokens[max(0, start - 3) : start])
        return bool(nearby & group("same")) and not has_side
    if name == "pacemaker" and previous.name == "defibrillator" and is_general:
        return True
    same = previous.name == name and bool(nearby & group("same"))
    return same and not any(t.word in _SIDED for t in tokens[max(0, start - 4) : start])


def _type_of(
    tokens: tuple[Token, ...], start: int, end: int, device: Device, is_general: bool
) -> str:
    """Return the type of a head; that of a general word by the words before it."""
    words = {t.word for t in tokens}
    if tokens[start].word == "icd" and end - start == 1:
        is_drain = not words.isdisjoint(group("lung_words")) and words.isdisjoint(
            group("heart_words")
        )
        return "chest tube" if is_drain else device.name
    if tokens[start].word.startswith("drain") and device.name == OTHER:
        near = {t.word for t in tokens[max(0, start - 3) : start]}
        others = {t.word for t in (*tokens[:start], *tokens[end:])}
        is_pleural = not others.isdisjoint(group("lung_words")) or not near.isdisjoint(_SIDED)
        return "chest tube" if is_pleural else device.name
    if not is_general or device.name not in (OTHER, "external leads"):
        return device.name
    near = {t.word for t in tokens[max(0, start - 4) : start]} - group("joints")
    for name, sites in lexicon.load("device_words")["sites"].items():
        if not near.isdisjoint(sites) and (name == "pacemaker") == (device.name != OTHER):
            return str(name)
    if device.name != OTHER and not words.isdisjoint(
        lexicon.load("device_words")["sites"]["pacemaker"]
    ):
        return "pacemaker"
    return device.name


# --- which words are said of which thing ---------------------------------------------------------


def _share_out(tokens: tuple[Token, ...], subjects: list[_Subject], words: Sequence[Word]) -> None:
    """Give each device the words that are said of it."""
    ends = {w.end for w in words}
    cuts = [0]
    for left, right in itertools.pairwise(subjects):
        cuts.append(_cut(tokens, left.end, right.start, ends))
    cuts.append(len(tokens))
    for place, subject in enumerate(subjects):
        item = subject.item
        if item is None:
            continue
        if not item.before and subject.start == item.start:
            item.before = range(cuts[place], subject.start)
            item.shared = item.before
        item.after.append(range(subject.start, max(subject.end, cuts[place + 1])))
        if item.before and subject.start != item.start:
            item.after.append(range(cuts[place], subject.start))
    _join_lists(tokens, subjects)
    _give_moves(subjects, words)


def _give_moves(subjects: list[_Subject], words: Sequence[Word]) -> None:
    """Give a word for moving that no device has to the device before it: nothing else is moved."""
    items = [s.item for s in subjects if s.item is not None]
    owned = {place for item in items for r in (*item.after, item.before) for place in r}
    for word in words:
        if word.kind in ("moved", "taken", "bare", "moving") and word.start not in owned:
            before = [item for item in items if item.end <= word.start]
            if before:
                before[-1].after.append(range(max(before[-1].end, word.start - 5), word.end))


def _cut(tokens: tuple[Token, ...], start: int, end: int, ends: set[int]) -> int:
    """Return where the words of the thing at token `end` begin, after those of the thing before."""
    for place in range(end - 1, start - 1, -1):
        if tokens[place].word in group("joints"):
            return place + 1
    place = end
    while place > start and place not in ends and tokens[place - 1].word in group("phrase"):
        place -= 1
    return place


def _join_lists(tokens: tuple[Token, ...], subjects: list[_Subject]) -> None:
    """Let the devices of a list share what is said before the first and after the last."""
    for place in range(len(subjects) - 2, -1, -1):
        left, right = subjects[place], subjects[place + 1]
        if _is_list(tokens, left, right) and left.item and right.item:
            left.item.after.extend(right.item.after)
            left.item.is_listed = right.item.is_listed = True
    for left, right in itertools.pairwise(subjects):
        is_one = _is_list(tokens, left, right) and not _begins_clause(tokens, left, right)
        if is_one and left.item and right.item:
            right.item.shared = left.item.shared


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
        return "bilateral" if others == set(_SIDED) and _both(tokens, item) else before
    return next((s for region in item.after for s in _after(tokens, item, region, placed)), "")


def _both(tokens: tuple[Token, ...], item: Item) -> bool:
    words = [t.word for t in tokens[max(0, item.start - 6) : item.start]]
    return "and" in words or "/" in words


def _after(tokens: tuple[Token, ...], item: Item, region: range, placed: set[int]) -> list[str]:
    found = []
    for place in region:
        side = _side_of(tokens[place].word)
        if not side or place < item.end:
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
    return word not in group("entries") and word.isalpha() and word not in group("list")


def _side_of(word: str) -> str:
    sides = lexicon.load("device_words")["sides"]
    return next((side for side, words in sides.items() if word in words), "")
