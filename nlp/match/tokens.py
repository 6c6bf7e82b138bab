"""Splits a sentence into tokens: words and marks in a plain form, with their places.

The plain form is lower case and singular, so that one lexicon entry finds "Opacities" and
"opacity". A hyphen between two letters only joins ("non-displaced" is two tokens).
De-identification masks are no tokens.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from cxr_vlp.nlp import lexicon

_TOKEN = re.compile(
    r"(?P<mask>\[\*\*.*?\*\*\]|X{3,}|_{2,})"
    r"|(?P<number>\d+(?:[.,:]\d+)*)"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]{1,2}\b)?)"
    r"|(?P<mark>--+|[^\w\s])"
)
_IRREGULAR: Mapping[str, str] = lexicon.load("word_forms")["irregular"]
_NEGATED = lexicon.words("word_forms", "negated")


class Token(NamedTuple):
    """A word or mark: its plain form and its place (characters of the sentence)."""

    word: str
    start: int
    end: int


@functools.lru_cache(maxsize=65536)
def plain(word: str) -> str:
    """Return `word` in lower case and singular.

    A wrong singular does no harm: the lexicon's words go through the same function.
    """
    word = word.lower().replace("’", "'")
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _NEGATED:
        return "not"
    word = word.removesuffix("'s")
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is", "ous")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "shes", "ches")):
        return word[:-2]
    return word[:-1]


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of `text` in order, without masks and joining hyphens."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "mask":
            continue
        if kind == "mark" and _joins(text, match.start(), match.end()):
            continue
        tokens.append(Token(plain(match.group()), match.start(), match.end()))
    return tuple(tokens)


def _joins(text: str, start: int, end: int) -> bool:
    """Whether the mark at `start` is a hyphen between two letters or digits."""
    if text[start:end] not in ("-", "‐", "‑"):
        return False
    return start > 0 and end < len(text) and not text[start - 1].isspace() and text[end].isalnum()
