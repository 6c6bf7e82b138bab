"""Splits a sentence into tokens: words and marks in a plain form, with their places.

The plain form is lower case and singular, so that one lexicon entry finds "Opacities" and
"opacity". A hyphen between two letters only joins ("non-displaced" is two tokens).
De-identification masks are no tokens.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
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
_OPEN_MASK = "[**"
_new = tuple.__new__  # without the argument handling of a NamedTuple: half the time


class Token(NamedTuple):
    """A word or mark: its plain form and its place (characters of the sentence)."""

    word: str
    start: int
    end: int


@functools.lru_cache(maxsize=32768)
def plain(word: str) -> str:
    """Return the plain form of `word`; a slip of the pen is read as the word that is meant."""
    return corrected(singular(word), word.lower())


def tokenize(text: str) -> tuple[Token, ...]:
    """Return the tokens of `text` in order, without masks, joining hyphens and stops in words."""
    if _OPEN_MASK in text:  # such a mask may have blanks inside
        return tuple(Token(*row) for row in _read(text))
    tokens: list[Token] = []
    place = 0
    for piece in text.split(" "):
        rows = _of_piece(piece)
        for word, start, end in rows:
            tokens.append(_new(Token, (word, place + start, place + end)))
        place += len(piece) + 1
        # what follows the piece decides whether the stop at its end belongs to an abbreviation
        if len(rows) > 1 and rows[-1][0] == "." and _shortens(text, *tokens[-2][1:], place - 1):
            tokens.pop()
    return tuple(tokens)


@functools.lru_cache(maxsize=65536)
def _of_piece(piece: str) -> tuple[tuple[str, int, int], ...]:
    """Return what is between two blanks as `_read` has it; the same pieces come again and again."""
    return tuple(_read(piece))


def _read(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the (word, start, end) of the tokens of a text."""
    before = (0, 0)
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        start, end = match.span()
        if kind == "mask" or (kind == "mark" and _joins(text, start, end)):
            continue
        word = match.group()
        if word == "." and _shortens(text, *before, end):
            continue
        yield _SLASHED[word.lower()] if kind == "slash" else plain(word), start, end
        before = (start, end)


def _joins(text: str, start: int, end: int) -> bool:
    """Whether the mark at `start` is a hyphen between two letters or digits."""
    if text[start:end] not in ("-", "‐", "‑"):
        return False
    return start > 0 and end < len(text) and not text[start - 1].isspace() and text[end].isalnum()


def _shortens(text: str, first: int, last: int, end: int) -> bool:
    """Whether the stop that ends at `end` is of the abbreviation text[first:last]: "pulm. edema".

    At the end of the text, and before a sentence, it is a stop as well.
    """
    if last != end - 1 or text[first:last].lower() not in DOTTED:
        return False
    if not text[end : end + 3].strip():
        return False
    return last - first == 1 or NEW_SENTENCE.match(text, end) is None
