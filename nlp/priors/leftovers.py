"""Finds words that no single image justifies: a text without priors has none of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.tokens import Token
from cxr_vlp.nlp.match.trie import Phrases
from cxr_vlp.nlp.priors.draft import words

_WORD = re.compile(r"[^\W\d_]+")
_OLDER = frozenset(("prior", "previous", "last"))  # before a word for an image


@functools.cache
def _listed(group: str) -> frozenset[str]:
    return lexicon.words("priors", group)


@functools.cache
def _older_image() -> re.Pattern[str]:
    """Return the pattern of an image called prior; "prior sternotomy" is no comparison."""
    noun = lexicon.pattern("priors", "study_nouns").replace(r"\ ", r"\s+")
    between = r"(?:(?:ap|pa|chest|portable|radiographic|outside|recent|same day)\s+)*"
    return re.compile(
        rf"\b(?:prior|previous|last)\b(?=\s*(?:(?:_{{2,}}|X{{3,}})?\s*(?:[.,;:)]|$)|{between}(?:{noun})\b"
        r"(?!\s+(?:surgery|operation|procedure|wall|tube|trauma|injury|drain))|night|evening|week|month"
        r"|year))",
        re.IGNORECASE,
    )


@functools.cache
def names() -> Phrases:
    """Return the table of names that have a word of change in them: "persistent left SVC"."""
    return Phrases((name, name) for name in lexicon.load("priors")["names"])


@functools.cache
def _name_pattern() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{lexicon.pattern('priors', 'names')})", re.IGNORECASE)


def left(text: str) -> frozenset[str]:
    """Return the words of change or comparison of a text that no single image justifies.

    Advice has none: "follow up to document resolution".
    """
    said = frozenset(_WORD.findall(text.lower()))
    found = said & _listed("banned")
    if not _OLDER.isdisjoint(said) and _older_image().search(text):
        found |= said & _OLDER
    if found and is_advice(text):
        found &= _OLDER | {"compare", "compared", "comparison", "older", "priors"}
    if "since" in found and _is_cause(text):
        found -= {"since"}
    if found:
        found &= frozenset(_WORD.findall(_name_pattern().sub(" ", text.lower())))
    return found


_CAUSE = re.compile(r"\bsince\s+(?:the\s+patient|there|this|these|it|he|she|they|only)\b", re.I)


def _is_cause(text: str) -> bool:
    """Whether "since" gives a reason: "since the patient is rotated"."""
    return _CAUSE.search(text) is not None


def is_advice(text: str) -> bool:
    """Whether a text recommends a next step: "follow up to document resolution"."""
    return not _listed("advice").isdisjoint(_WORD.findall(text.lower()))


def is_gone(text: str) -> bool:
    """Whether words tell that something is gone: then what is named need not be there."""
    return not _listed("gone").isdisjoint(_WORD.findall(text.lower()))


_IDLE, _IDLE_OF_STUDY, _STUDY = words("idle"), words("idle_of_study"), words("study_words")


def is_idle(text: str, said: Collection[str], names_structure: bool) -> bool:
    """Whether a sentence without a finding tells of an older image, or of the course of time."""
    is_course = not _IDLE.isdisjoint(said) or text.rstrip(" .").endswith(" change")
    if is_course and not names_structure:
        return True
    return not _STUDY.isdisjoint(said) and not _IDLE_OF_STUDY.isdisjoint(said)


def named(tokens: tuple[Token, ...]) -> frozenset[int]:
    """Return the places of the tokens of such names."""
    return frozenset(p for m in names().find(tokens) for p in range(m.start, m.end))
