"""Splits a sentence into tokens: words and marks in a plain form, with their places.

The plain form is lower case and singular, so that one lexicon entry finds "Opacities" and
"opacity". A hyphen between two letters only joins ("non-displaced" is two tokens).
De-identification masks are no tokens.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match.spelling import corrected
from cxr_vlp.nlp.match.words import singular

_TOKEN = re.compile(
    r"(?P<mask>\[\*\*.*?\*\*\]|X{3,}|_{2,})"
    r"|(?P<number>\d+(?:[.,:]\d+)*)"
    r"|(?P<slash>\b[wW]/(?:[oO]\b)?|\b[oO]/[wW]\b)"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]{1,2}\b)?)"
    r"|(?P<mark>--+|[^\w\s])"
)
DOTTED = lexicon.words("word_forms", "dotted") | lexicon.words("word_forms", "abbreviations")
_SLASHED = {"w/": "with", "w/o": "without", "o/w": "otherwise"}
NEW_SENTENCE = re.compile(r"\s*[A-Z](?:[a-z]|\s)")


class Token(NamedTuple):
    """A word or mark: its plain form and its place (characters of the sentence)."""

    word: str
    start: int
    end: int


@functools.lru_cache(maxsize=65536)
def plain(word: str) -> str:
    """Return the plain form of `word`; a slip of the pen is read as the word that is meant."""
    return corrected(singular(word), word.lower())


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of `text` in order, without masks, joining hyphens and stops in words."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "mask":
            continue
        if kind == "mark" and _joins(text, match.start(), match.end()):
            continue
        word = match.group()
        if word == "." and tokens and _shortens(text, tokens[-1], match.end()):
            continue
        word = _SLASHED[word.lower()] if kind == "slash" else plain(word)
        tokens.append(Token(word, match.start(), match.end()))
    return tuple(tokens)


def _joins(text: str, start: int, end: int) -> bool:
    """Whether the mark at `start` is a hyphen between two letters or digits."""
    if text[start:end] not in ("-", "‐", "‑"):
        return False
    return start > 0 and end < len(text) and not text[start - 1].isspace() and text[end].isalnum()


def _shortens(text: str, token: Token, end: int) -> bool:
    """Whether the stop that ends at `end` is of the abbreviation before it: "pulm. edema".

    At the end of the text, and before a sentence, it is a stop as well.
    """
    if token.end != end - 1 or text[token.start : token.end].lower() not in DOTTED:
        return False
    if not text[end : end + 3].strip():
        return False
    return token.end - token.start == 1 or NEW_SENTENCE.match(text, end) is None
