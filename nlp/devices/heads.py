"""Finds the names of devices in a sentence, the words that stand for one, and the type of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.devices.places import Place
from cxr_vlp.nlp.devices.words import Word, group
from cxr_vlp.nlp.findings.terms import Device, Term
from cxr_vlp.nlp.findings.terms import devices as device_types
from cxr_vlp.nlp.match.tokens import Token

_ARTICLES = lexicon.words("grammar", "articles")
CARDIAC = ("pacemaker", "defibrillator")
SIDED = ("left", "right")
OTHER = "other device"
_GENERAL_NAMES = ("hardware", "surgical hardware", "orthopedic hardware")

Head = tuple[int, int, Device | None]


def find(tokens: tuple[Token, ...], found: tuple[Term, ...], places: Sequence[Place]) -> list[Head]:
    """Return the names of devices: one for each phrase, without headings and parts of another."""
    named = _merged(tokens, _named(tokens, found, places))
    if len(named) > 1:
        pairs = itertools.pairwise([*named, (len(tokens), len(tokens), None)])
        named = [head for head, after in pairs if not _is_before(tokens, head, after)]
    return named


def _is_before(tokens: tuple[Token, ...], head: Head, after: Head) -> bool:
    """Whether a head only leads to the next: a heading, or a lead "of the pacemaker"."""
    start, end, device = head
    if device is None or after[2] is None:
        return False
    between = [t.word for t in tokens[end : after[0]]]
    if ":" in between[:3] and ";" not in between:
        return device.name == OTHER or " ".join(t.word for t in tokens[start:end]) in _GENERAL_NAMES
    is_of = between[:1] == ["of"] and set(between) <= group("phrase") - {"and", "/", "removal"}
    is_counted = bool(start) and tokens[start - 1].word in ("dual", "single", "triple")
    is_counted = is_counted and set(between) <= group("phrase") - {"and", "/"}
    return (is_of or (is_counted and after[2].name in CARDIAC)) and is_general(tokens, start, end)


def _named(
    tokens: tuple[Token, ...], found: tuple[Term, ...], places: Sequence[Place]
) -> list[Head]:
    heads: list[Head] = []
    for term in found:
        device = next((e for e in term.entries if isinstance(e, Device)), None)
        if device is None:
            continue
        is_place = tokens[term.start].word in ("ij", "rij", "lij") and any(
            p.start <= term.start and term.end <= p.end for p in places
        )
        is_named = not _over_a_wire(tokens, term) and not _is_no_device(tokens, term)
        if not is_place and is_named:
            heads.append((term.start, term.end, device))
    return heads


def _is_no_device(tokens: tuple[Token, ...], term: Term) -> bool:
    """Whether a word only sounds like one of a device: "B line", "left to right shunt"."""
    if term.end - term.start > 1:
        return False
    word = tokens[term.start].word
    before = tokens[term.start - 1].word if term.start else ""
    following = [t.word for t in tokens[term.end : term.end + 3]]
    if word in _HOMOGRAPHS:
        return _HOMOGRAPHS[word](before, following)
    return word == "shunt" and before in SIDED and tokens[max(0, term.start - 2)].word == "to"


def _over_a_wire(tokens: tuple[Token, ...], term: Term) -> bool:
    """Whether a wire is only the means of an exchange: "over a guidewire"."""
    before = [t.word for t in tokens[max(0, term.start - 2) : term.start]]
    return tokens[term.end - 1].word in ("wire", "guidewire") and "over" in before


def _is_line_of_body(before: str, following: Sequence[str]) -> bool:
    """Whether a line is one that anatomy or a film has: "B line", "line of the pleura"."""
    if before in group("no_lines") or following[:1] == ["with"]:
        return True
    of = [w for w in following if w not in _ARTICLES]
    return of[:1] == ["of"] and of[1:2] != [] and of[1] in group("no_lines")


def _is_verb(following: Sequence[str]) -> bool:
    """Whether a word is a verb: "this may lead to", "the tube coils in the pharynx"."""
    return following[:1] != [] and following[0] in group("verb_ends")


def _is_no_endotracheal(following: Sequence[str]) -> bool:
    """Whether "ET" is no tube: it is one only in a list with others ("ET and NG tubes")."""
    return following[:1] == [] or following[0] not in ("and", "/", "&", ",", "+")


_HOMOGRAPHS: Mapping[str, Callable[[str, Sequence[str]], bool]] = {
    "line": _is_line_of_body,
    "coil": lambda before, following: before not in ("", ",", "the") and _is_verb(following),
    "lead": lambda _, following: following[:1] in (["to"], ["time"], ["point"], ["by"]),
    "et": lambda _, following: _is_no_endotracheal(following),
}


def _merged(tokens: tuple[Token, ...], heads: list[Head]) -> list[Head]:
    """Return the heads with those that stand side by side as one ("dual lead" + "pacemaker")."""
    merged: list[Head] = []
    for start, end, device in heads:
        last = merged[-1] if merged else None
        if last and _stand_together(tokens, last, start):
            is_both = last[2] and device and {last[2].name, device.name} == set(CARDIAC)
            merged[-1] = (last[0], end, last[2] if is_general(tokens, start, end) else device)
            if is_both:
                merged[-1] = (last[0], end, device_types()[CARDIAC[1]])
        else:
            merged.append((start, end, device))
    return merged


def _stand_together(tokens: tuple[Token, ...], last: Head, start: int) -> bool:
    """Whether only words of one noun phrase are between two heads ("IJ dual lumen catheter")."""
    between = {t.word for t in tokens[last[1] : start]}
    are_general = is_general(tokens, last[0], last[1]) and is_general(tokens, start, start + 1)
    if between == {"/"} and are_general:
        return True
    if between == {"/"} and last[2] and last[2].name in CARDIAC:
        return tokens[start].word in ("icd", "aicd", "defibrillator", "pacemaker", "pacer")
    if not between.isdisjoint(group("list")) or not between.isdisjoint(group("prefix")):
        return False
    is_site = tokens[last[0]].word in ("ij", "rij", "lij")
    return between <= (group("phrase") - {"of"} if is_site else _APPROACH)


_APPROACH = frozenset(("approach", "access", "tunneled", "tunnelled", "central", "venous"))


def tips(tokens: tuple[Token, ...], heads: list[Head]) -> list[Head]:
    """Return the places of "tip", and of a pronoun after a device, where no head has them."""
    inside = {i for start, end, _ in heads for i in range(start, end)}
    return [
        (i, i + 1, None)
        for i, token in enumerate(tokens)
        if token.word == "tip" and i not in inside and not _is_of(tokens, i, heads)
    ]


def _is_of(tokens: tuple[Token, ...], place: int, heads: list[Head]) -> bool:
    """Whether "tip of the ..." names its device after it."""
    if [t.word for t in tokens[place + 1 : place + 2]] not in (["of"], ["for"]):
        return False
    head = next((h for h in heads if h[0] > place), None)
    return head is not None and head[0] - place <= 8


def sides_alone(tokens: tuple[Token, ...], heads: list[Head]) -> list[Head]:
    """Return the places of a side without a noun, after a device ("the left remains")."""
    if not heads:
        return []
    alone: list[Head] = []
    for place in range(heads[0][1], len(tokens) - 1):
        word = tokens[place].word
        if word not in SIDED or tokens[place + 1].word not in group("side_verbs"):
            continue
        opener = place - 1 - (tokens[place - 1].word in _ARTICLES)
        if tokens[opener].word in group("joints") and tokens[place + 1].word != "in":
            alone.append((place, place + 1, None))
    return alone


def others(tokens: tuple[Token, ...], heads: list[Head], words: Sequence[Word]) -> list[Head]:
    """Return the places of "one" and "the other" where they stand for a device like the last."""
    if not heads:
        return []
    swaps = [w.end for w in words if w.kind == "replaced"]
    found: list[Head] = []
    for place in range(heads[0][1], len(tokens) - 1):
        word, following = tokens[place].word, tokens[place + 1].word
        if word in group("others"):
            is_other = tokens[place - 1].word in (*_ARTICLES, ",", ";", "and")
            if is_other and following in group("side_verbs"):
                found.append((place, place + 1, None))
        elif word == "one" and any(0 <= place - end <= 3 for end in swaps):
            found.append((place, place + 1, None))
    return found


def is_general(tokens: tuple[Token, ...], start: int, end: int) -> bool:
    """Whether a name may mean the device spoken of before: "the tube"."""
    return " ".join(t.word for t in tokens[start:end]) in group("general")


def type_of(tokens: tuple[Token, ...], start: int, end: int, device: Device, general: bool) -> str:
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
        is_pleural = not others.isdisjoint(group("lung_words")) or not near.isdisjoint(SIDED)
        return "chest tube" if is_pleural else device.name
    if not general or device.name not in (OTHER, "external leads"):
        return device.name
    near = {t.word for t in tokens[max(0, start - 4) : start]} - group("joints")
    for name, sites in lexicon.load("device_words")["sites"].items():
        if not near.isdisjoint(sites) and (name == "pacemaker") == (device.name != OTHER):
            return str(name)
    beside = {t.word for t in (*tokens[max(0, start - 1) : start], *tokens[end : end + 2])}
    if device.name != OTHER and not beside.isdisjoint(group("lead_faults")):
        return "pacemaker"
    if device.name != OTHER and not words.isdisjoint(
        lexicon.load("device_words")["sites"]["pacemaker"]
    ):
        return "pacemaker"
    return device.name
