"""Splits the text of a section into sentences, with their places.

It handles hard line wraps, decimals, abbreviations, times, list numbers, bullets, missing blanks
and de-identification masks. `" ".join(text[s.start:s.end].split()) == s.text` for every sentence.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.layout import labels, lines
from cxr_vlp.nlp.layout.lines import MARKER
from cxr_vlp.nlp.match import windows
from cxr_vlp.nlp.match.tokens import DOTTED, NEW_SENTENCE, plain

_TITLES = lexicon.words("grammar", "titles")
_UNITS = lexicon.words("grammar", "units")
_FINDING_HEADS = lexicon.words("grammar", "finding_heads")
_INITIALS = lexicon.words("grammar", "initials")
_END = re.compile(r"[.!?]+")
_TIGHT = re.compile(r"[a-z)\]]{2}$")
_NUMBER = re.compile(r"(?<!\d)(\d{1,2})[.)](?=\s+[A-Za-z_])")
_BULLET = re.compile(r"[•●▪◦](?=\s)")  # no sentence has one inside
_AFTER_MARK = re.compile(r"[.!?:;]\s{1,3}$|[a-z)\]][.!?:;]$")
_PART_OF_NUMBER = re.compile(r"\d[.:]$")
_COUNTED = lexicon.words("layout", "counted")
_CLOSERS = "\"')]}"
# a longer word is none that a stop abbreviates, except before a small letter
_LONGEST_SHORT = max(map(len, _TITLES | _UNITS | DOTTED))
_SAID = re.compile(r"\w")
_LONGEST_MARKER = 8  # characters
_BEFORE_WORD = re.compile(r"[\s(\[/,;:]")
_BEFORE_TIGHT_WORD = re.compile(r"[\s(\[/]")
_TIGHT_START = re.compile(r"[A-Z][a-z]|[A-Z]\s|[a-z]{2,}\s|\d\.\s")
_PLURAL_SHORT = re.compile(r"[A-Z]{2,4}s\b")  # "CPAs": the subject of a clause
_LAST_DIGITS = re.compile(r"\d{1,2}$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence with runs of blanks joined, and its place in the text that was split."""

    text: str
    start: int
    end: int


def split(text: str) -> tuple[Sentence, ...]:
    """Return the sentences of `text` in order; list numbers and bullets belong to none.

    `cxr_vlp.nlp.layout.lines` says which line ends are sentence ends.
    """
    numbers = _list_numbers(text)
    stops = set(_punctuation_ends(text)).difference(end for _, end in numbers)
    starts = [start for start, _ in numbers] + [m.start() for m in _BULLET.finditer(text)]
    ends = sorted(stops.union(lines.ends(text), starts, labels.starts(text), (len(text),)))
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
        if end - last <= windows.WIDTH:
            yield end
        else:
            yield from (last + cut for _, cut in windows.split(text[last:end]))
        last = end


def _trim(text: str, start: int, end: int) -> Sentence | None:
    """Return text[start:end] without blanks, list marker and doubled full stops; None if empty."""
    while start < end and (text[start].isspace() or text[start] in ".;,"):
        start += 1
    marker = MARKER.match(text, start, end)
    while marker:
        start = marker.end()
        while start < end and text[start].isspace():
            start += 1
        marker = MARKER.match(text, start, end)
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > 1 and text[end - 1] == "." and text[end - 2] in ".":
        end -= 1
    if not _SAID.search(text, start, end):
        return None
    if end - start <= _LONGEST_MARKER and MARKER.fullmatch(text[start:end] + " ", 0, end - start):
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
    if "?" in marks and _answer().match(after):
        return False
    if "!" in marks or "?" in marks:
        return not after.lstrip()[0].islower()
    if text[dot - 1 : dot].isdigit() and _is_list_number(text, dot):
        return False
    word = _BEFORE_WORD.split(text[max(0, dot - 24) : dot])[-1].lower()
    following = after.lstrip()[0]
    if len(word) > _LONGEST_SHORT and not following.islower():
        return True
    if word in _TITLES:
        return False
    if len(word) == 1 and word.isalpha():  # "T. 12", "L. base", an initial
        if not text[text.rfind("\n", 0, dot) + 1 : dot - 1].strip() and MARKER.match(text, dot - 1):
            return False  # "a. Edema"
        return following.isupper() and word not in _INITIALS
    if word in DOTTED:
        return _starts_after_abbreviation(text, dot, word, after.lstrip())
    if following.islower() and _is_shortened(word):
        return False
    if word in _UNITS:
        return following.isupper() or bool(MARKER.match(after.lstrip()))
    return True


@functools.cache
def _answer() -> re.Pattern[str]:
    """Return the pattern of a whole sentence that answers a question: "I doubt it."."""
    answers = "|".join(sorted(lexicon.load("layout")["question_answers"], reverse=True))
    return re.compile(rf"\s+(?:{answers})\s*(?:[.;]|$)", re.IGNORECASE)


@functools.lru_cache(maxsize=4096)
def _is_shortened(word: str) -> bool:
    """Whether a word that the lexicon does not have is the start of one it has: "cardiopulm."."""
    if len(word) < 3 or not word.isalpha():
        return False
    known = _sorted_vocabulary()
    place = bisect.bisect_left(known, word)
    longer = known[place] if place < len(known) else ""
    return len(longer) > len(word) + 1 and longer.startswith(word) and plain(word) not in known


@functools.cache
def _sorted_vocabulary() -> Sequence[str]:
    return sorted(lexicon.vocabulary())


def _starts_after_abbreviation(text: str, dot: int, word: str, after: str) -> bool:
    """Whether a sentence starts after "effs."; "pulm. HTN" goes on with a word in capitals."""
    if MARKER.match(after):
        return True
    if text[dot - 1].isupper():  # capitals throughout: the name of a finding ends a sentence
        return after[0].isupper() and plain(word) in _FINDING_HEADS
    if _PLURAL_SHORT.match(after) and plain(word) in _FINDING_HEADS:
        return True  # "consol. CPAs sharp"; "dens. RUL" and "pulm. HTN" go on
    return bool(NEW_SENTENCE.match(after))


def _is_tight_end(text: str, dot: int, after: str) -> bool:
    """Whether a stop without a blank after it ends a sentence: "clear.The", "clear.no"."""
    if not _TIGHT.search(text, max(0, dot - 2), dot):
        return False
    word = _BEFORE_TIGHT_WORD.split(text[max(0, dot - 24) : dot])[-1]
    if word.lower() in _TITLES or "." in word:
        return False
    return bool(_TIGHT_START.match(after))


def _is_list_number(text: str, dot: int) -> bool:
    """Whether the stop at `dot` closes a list number: "2." at the start of a line or sentence.

    The minutes of a clock time ("at 10:30.") and the places of a decimal ("3.5.") do not.
    """
    digits = _LAST_DIGITS.search(text[max(0, dot - 3) : dot])
    if digits is None:
        return False
    first = dot - len(digits.group())
    before = text[:first].rstrip(" \t(#")
    if not before:
        return True
    is_tight = len(before) == first
    return before[-1] in "\n.!?:;" and not (is_tight and _PART_OF_NUMBER.search(before))


def _list_numbers(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of the list numbers in running text: "... lung. 2. No ...".

    After a mark any number may be one. Without a mark only the one that follows the last is, before
    a capital ("1. Edema 2. Effusion").
    """
    found, expected = [], 0
    for match in _NUMBER.finditer(text):
        number, start, end = int(match[1]), match.start(), match.end()
        start -= text[start - 1 : start] == "("
        before = text[max(0, start - 24) : start]
        after_mark = bool(_AFTER_MARK.search(before))
        if before.strip(" \t") and not after_mark and before[-1] != "\n":
            is_next = number == expected and text[end:].lstrip()[0].isupper()
            if not is_next or not before[-1].isspace() or _is_counted(before):
                continue
        found.append((start, end))
        expected = number + 1
    return found


def _is_counted(before: str) -> bool:
    """Whether the number after these words belongs to them: "rib 7", "level 3", "measures 2"."""
    last = re.split(r"[\s(]", before.rstrip())[-1].lower()
    return last in _COUNTED or not last.isalpha()
