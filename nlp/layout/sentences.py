"""Splits the text of a section into sentences, with their places.

It handles hard line wraps, decimals, abbreviations, times, list numbers, bullets, missing blanks
and de-identification masks. `" ".join(text[s.start:s.end].split()) == s.text` for every sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.match import windows

_TITLES = lexicon.words("grammar", "titles")
_UNITS = lexicon.words("grammar", "units")
_INITIALS = lexicon.words("grammar", "initials")
_END = re.compile(r"[.!?]+")
_TIGHT = re.compile(r"[a-z)\]]{2}$")
_MARKER = re.compile(r"(?:\(?\d{1,2}[.)]|[-*•●▪–])(?=\s)")
_BREAK = re.compile(r"\n[ \t]*(?=\n)|\n")
_CLOSERS = "\"')]}"
_OPEN_ENDS = lexicon.words("grammar", "open_ends")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with runs of blanks joined, and its place in the text that was split."""

    text: str
    start: int
    end: int


def split(text: str) -> tuple[Sentence, ...]:
    """Return the sentences of `text` in order; list numbers and bullets belong to none.

    A line end is a sentence end only after a blank line, before a list marker, or where the next
    word would still have fitted into the line (so the line was not wrapped).
    """
    ends = sorted({*_punctuation_ends(text), *_line_ends(text), *_marker_ends(text), len(text)})
    sentences, start = [], 0
    for end in _bounded(text, ends):
        sentence = _trim(text, start, end)
        if sentence is not None:
            sentences.append(sentence)
        start = end
    return tuple(sentences)


def _bounded(text: str, ends: Iterable[int]) -> Iterator[int]:
    """Yield `ends`, and more of them where a sentence is longer than a window."""
    last = 0
    for end in ends:
        yield from (last + cut for _, cut in windows.split(text[last:end]))
        last = end


def _trim(text: str, start: int, end: int) -> Sentence | None:
    """Return text[start:end] without blanks, list marker and doubled full stops; None if empty."""
    while start < end and (text[start].isspace() or text[start] in ".;,"):
        start += 1
    marker = _MARKER.match(text, start, end)
    while marker:
        start = marker.end()
        while start < end and text[start].isspace():
            start += 1
        marker = _MARKER.match(text, start, end)
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > 1 and text[end - 1] == "." and text[end - 2] in ".":
        end -= 1
    if not any(c.isalnum() or c == "_" for c in text[start:end]):
        return None
    if _MARKER.fullmatch(text[start:end] + " ", 0, end - start):
        return None
    return Sentence(" ".join(text[start:end].split()), start, end)


def _punctuation_ends(text: str) -> list[int]:
    """Return the places after full stops, question and exclamation marks that end a sentence."""
    ends = []
    for match in _END.finditer(text):
        end = match.end()
        while end < len(text) and text[end] in _CLOSERS:
            end += 1
        if _is_end(text, match.start(), end, match.group()):
            ends.append(end)
    return ends


def _is_end(text: str, dot: int, end: int, marks: str) -> bool:
    after = text[end : end + 40]
    if not after.strip():
        return True
    if not after[0].isspace():
        return _is_tight_end(text, dot, after)
    if "!" in marks or "?" in marks:
        return not after.lstrip()[0].islower()
    word = re.split(r"[\s(\[/,;:]", text[max(0, dot - 24) : dot])[-1].lower()
    following = after.lstrip()[0]
    if _is_list_number(text, dot):
        return False
    if word in _TITLES:
        return False
    if len(word) == 1 and word.isalpha():  # "T. 12", "L. base", an initial
        return following.isupper() and word not in _INITIALS
    if word in _UNITS:
        return following.isupper() or bool(_MARKER.match(after.lstrip()))
    return True


def _is_tight_end(text: str, dot: int, after: str) -> bool:
    """Whether a stop without a blank after it ends a sentence: "clear.The", "clear.no"."""
    if not _TIGHT.search(text, max(0, dot - 2), dot):
        return False
    word = re.split(r"[\s(\[/]", text[max(0, dot - 24) : dot])[-1]
    if word.lower() in _TITLES or "." in word:
        return False
    return bool(re.match(r"[A-Z][a-z]|[A-Z]\s|[a-z]{2,}\s|\d\.\s", after))


def _is_list_number(text: str, dot: int) -> bool:
    """Whether the stop at `dot` closes a list number: "2." at the start of a line or sentence."""
    digits = re.search(r"\d{1,2}$", text[max(0, dot - 3) : dot])
    if digits is None:
        return False
    before = text[: dot - len(digits.group())].rstrip(" \t(#")
    return not before or before[-1] in "\n.!?:;"


def _marker_ends(text: str) -> list[int]:
    """Return the places where a list number in running text begins: "... lung. 2. No ..."."""
    found = re.finditer(
        r"(?:(?<=[.!?:;])|(?<=[.!?:;]\s)|(?<=[.!?:;]\s\s))\(?\d{1,2}[.)]\s+(?=[A-Za-z_])", text
    )
    return [
        m.start()
        for m in found
        if not re.match(r"\d+\.\s*\d", m.group() + text[m.end() : m.end() + 1])
    ]


def _line_ends(text: str) -> list[int]:
    """Return the line ends that are sentence ends."""
    lines = text.split("\n")
    if len(lines) == 1:
        return []
    width = max(len(line.rstrip()) for line in lines)
    ends, place = [], 0
    for line, following in pairwise(lines):
        place += len(line)
        if _ends_here(line.rstrip(), following.strip(), width):
            ends.append(place)
        place += 1
    return ends


def _ends_here(line: str, following: str, width: int) -> bool:
    if not following or not line.strip():
        return True
    if _MARKER.match(following):
        return True
    if following[0].islower() or line[-1] in ",-/(" or line.split()[-1].lower() in _OPEN_ENDS:
        return False
    return len(line) + 1 + len(following.split()[0]) <= width - 1
