"""Reads from a sentence what a mention has no field for, but a faithful statement needs.

That is the kind of the finding ("no acute fracture"), its number ("nodules"), the side of a
structure that is called normal ("the right lung is clear"), and how two sizes belong together.
"""

from __future__ import annotations

import functools
import re

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.wording import places
from cxr_vlp.nlp.wording.places import BILATERAL, Place

_BEFORE = 60  # characters; the words of a noun phrase before its noun
_WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*|[^\sA-Za-z]")
_OR = ("or", "nor", "and")
_SHARED_REACH = 5  # words before "or", as in "no acute rib fracture or dislocation"
_STRUCTURE_REACH = 2  # words between a side and its structure, as in "right lower lung"
_SIZES = re.compile(
    r"\d\s*(?:mm|cm|millimeters?|centimeters?)?\s*(?:-\s*)?(x|×|by|to|-)\s*\d", re.IGNORECASE
)


@functools.cache
def _listed(name: str) -> frozenset[str]:
    return lexicon.words("statements", name)


def kinds_of(sentence: str, mention: Mention) -> tuple[str, ...]:
    """Return the words that say which kind of the finding the sentence means, in their order."""
    if mention.device or mention.implied:
        return ()
    before = sentence[max(0, mention.start - _BEFORE) : mention.start].lower()
    word = before[before.rstrip().rfind(" ") + 1 :].strip()
    if word not in _near():
        before = ""  # no kind is said before it: most often
    own = sentence[mention.start : mention.end]
    return _kinds(before, own, mention.finding, mention.assertion == ABSENT)


@functools.cache
def _near() -> frozenset[str]:
    """Return the words that may stand right before a finding whose kind is said."""
    lists = ("denied_kinds", "present_kinds", "regions", "between")
    return frozenset(_OR).union(*map(_listed, lists))


@functools.lru_cache(maxsize=16384)
def _kinds(before: str, own: str, finding: str, denied: bool) -> tuple[str, ...]:
    known = _listed("denied_kinds" if denied else "present_kinds")
    if is_general(finding):
        known = known | _listed("regions")
    inside = [word for word in _words(own) if word in known and word not in finding.split()]
    words = _words(before)
    found = _kinds_before(words, known)
    if denied and words and words[-1] in _OR:
        found = _shared(words[-_SHARED_REACH:-1], finding) + found
    return tuple(dict.fromkeys([*found, *inside]))


@functools.lru_cache(maxsize=512)
def is_general(finding: str) -> bool:
    """Whether the finding says no disease of its own: "abnormality"."""
    entry = terms.findings().get(finding)
    return entry is not None and entry.generic


def _shared(words: list[str], finding: str) -> list[str]:
    """Return the kinds said before "or" that the finding after it has too."""
    if "," in words:
        return []
    known = _listed("shared_kinds")
    if finding in lexicon.load("statements")["scale_of"]["fluid"]:
        known = known | _listed("size_kinds")
    return [word for word in words if word in known]


def _kinds_before(words: list[str], known: frozenset[str]) -> list[str]:
    found: list[str] = []
    for word in reversed(words):
        if word in known:
            found.append(word)
        elif word not in _listed("between"):
            break
    return found[::-1]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


@functools.lru_cache(maxsize=4096)
def is_many(own: str) -> bool:
    """Whether the words of a finding are in the plural."""
    words = _words(own)
    if not words or not words[-1].endswith("s"):  # "nodules", "apices"
        return False
    return _plain(words[-1]) != words[-1]


@functools.lru_cache(maxsize=4096)
def own_word(own: str) -> tuple[str, str] | None:
    """Return the term of these words and its kind of noun, where the finding's name says less."""
    return _own_words().get(_plain(own))


@functools.cache
def _own_words() -> dict[str, tuple[str, str]]:
    rows = lexicon.load("statements")["own_words"]
    return {_plain(term): (term, kind) for kind, terms in rows.items() for term in terms}


def _plain(text: str) -> str:
    return " ".join(token.word for token in tokenize(text))


def structure_side(sentence: str, mention: Mention) -> str:
    """Return the side of a structure that is called normal, "" for both."""
    before = _words(sentence[max(0, mention.start - _BEFORE) : mention.start])
    near = [*before[-_STRUCTURE_REACH:], *_words(sentence[mention.start : mention.end])]
    sides = {word.removesuffix("-sided") for word in near} & {"left", "right"}
    return sides.pop() if len(sides) == 1 else ""


def structure_zone(sentence: str, mention: Mention, side: str) -> tuple[Place, ...]:
    """Return the lung zone that is called clear, () for the whole lung."""
    following = sentence[mention.end : mention.end + _BEFORE].split(maxsplit=1)[:1]  # "lung [apex]"
    own = " ".join([sentence[mention.start : mention.end], *following])
    zone = next((z for z in _zones() if f" {z} " in f" {_plain(own)} "), "")
    if not zone:
        return ()
    return (places.read(zone, side or (BILATERAL if is_many(_as_noun(own)) else "")),)


def _as_noun(words: str) -> str:
    """Return the words without a verb at their end: "lung apices are"."""
    return " ".join(w for w in words.split() if w not in ("is", "are"))


@functools.cache
def _zones() -> list[str]:
    return sorted(lexicon.load("statements")["places"], key=len, reverse=True)


def measured(sizes_mm: tuple[float, ...], sentence: str) -> str:
    """Return the sizes of a finding in words: "8 mm", "14 x 9 mm", "5 to 6 mm"."""
    joints = [match[1].lower() for match in _SIZES.finditer(sentence)]
    word = " and " if sentence and not joints else " x "
    if joints and all(joint in _listed("ranges") for joint in joints):
        word = " to "
    return word.join(f"{size:g}" for size in sizes_mm) + " mm"
