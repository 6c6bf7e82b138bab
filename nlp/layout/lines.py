"""Decides at which line ends of a text a sentence ends.

Prose is often wrapped: its lines are broken where the next word did not fit, also before a capital
("Swan-Ganz", "CT"). Telegraph style and templates have one statement a line and no full stop. The
start of the next line decides, and the width of the text where that start can be either.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.layout.boxes import BOX
from cxr_vlp.nlp.match.tokens import plain

MARKER = re.compile(
    r"(?:\(?\d{1,2}[.)]|\(?(?:[a-h]|[ivx]{1,4})\)|[a-h]\.|[A-H]\)|[A-H]\.(?=\s+[A-Z])|--|[-*•●▪–·◦>])"
    r"(?=\s)|[-*•●▪–·◦>](?=[A-Z])"
)
NARROW = 50  # characters; no printer or screen wraps prose at less
_OPEN_MARKS = ",-/(:&+"
_OPEN_ENDS = lexicon.words("grammar", "open_ends")
_INNER = (
    (_OPEN_ENDS - {"no"})
    | lexicon.words("grammar", "verbs")
    | lexicon.words("grammar", "list_tail")
)
_TITLES = lexicon.words("grammar", "titles")
_NAMES = lexicon.words("layout", "names")
_LIST_NUMBER = re.compile(r"(?:^|[\s(])\d{1,2}[.)]$")
_FIRST_WORD = re.compile(r"([A-Z])([a-z]*)(?![A-Z\d])")
_NO_NAME = re.compile(r"(?:ly|ous|al|ic|ary|ive|sis|ity|tion)$")  # names do not end so
_BROKEN_WORD = re.compile(r"(?<=[a-z]{2}-)[ \t\r]*\n[ \t]*(?=[a-z])(?!(?:and|or|to)\b)")
_LABEL = re.compile(
    r"(?:[A-Za-z?][\w/&()']*[ -]){0,4}[A-Za-z?][\w/&()']*(?:[ \t]*::?(?=\s|$)|[ \t]+[-–—](?=\s))"
)


def ends(text: str) -> list[int]:
    """Return the places of the line ends in `text` at which a sentence ends, in order."""
    if "\n" not in text:
        return []
    lines = [line.rstrip() for line in text.split("\n")]
    page = _page(lines)
    found, place = [], 0
    for full, (line, following) in zip(text.split("\n"), pairwise(lines), strict=False):
        place += len(full)
        if _ends_between(line, following.strip(), page):
            found.append(place)
        place += 1
    return found


def whole_words(text: str) -> str:
    """Return `text` without the line ends inside words: "non-" / "displaced"."""
    return _BROKEN_WORD.sub("", text) if "-" in text and "\n" in text else text


class _Page(NamedTuple):
    """How the lines of a text are set."""

    width: int
    bare: bool  # all in lower case, one statement a line
    listed: bool  # most lines end without a full stop, and before they are full

    def has_room(self, line: str, following: str) -> bool:
        """Whether the next line's first word had fitted: then the line was not wrapped."""
        return len(line) + 1 + len(following.split()[0]) <= self.width - 1


def _page(lines: list[str]) -> _Page:
    width = max(map(len, lines))
    said = [line for line in lines if line.strip()]
    page = _Page(width, _is_bare([line.strip() for line in said], width), listed=False)
    short = sum(
        page.has_room(a, b) and a[-1] not in ".!?" and not b.lstrip()[0].islower()
        for a, b in pairwise(said)
    )
    return page._replace(listed=short > 0 and 2 * short >= len(said) - 1)


def _is_bare(said: list[str], width: int) -> bool:
    """Whether a text in lower case has one statement a line: it is narrow and has no full stop."""
    if width >= NARROW or any(not line[0].islower() or line[-1] in ".,-/(:" for line in said):
        return False
    return not any(_is_open(a) or _goes_on(b) for a, b in pairwise(said))


def _goes_on(line: str) -> bool:
    """Whether a line begins with a word that begins no sentence ("and", "is", "seen")."""
    return line.split()[0] in _INNER


def _ends_between(line: str, following: str, page: _Page) -> bool:
    """Whether a sentence ends between a line, with its indent, and the next."""
    said = line.strip()
    if not following or not said or page.bare:
        return True
    if MARKER.match(following) or BOX.match(following):
        return True
    if _is_open(said):
        return said[-1] == ":" and _starts_label(following, said)
    if _starts_label(following, said):
        return True
    if following[0].islower():
        return page.listed and page.has_room(line, following) and not _goes_on(following)
    if _starts_sentence(following) or page.listed or page.width < NARROW:
        return True
    return page.has_room(line, following)


def _is_open(line: str) -> bool:
    """Whether the line cannot be the end of a sentence: "of the", "and", a comma, "Dr."."""
    words = line.split()
    last = words[-1].lower()
    if last == "no" and len(words) > 1 and (words[-1] == "No" or words[-2][-1] in ":-–|"):
        return False  # it answers its label
    if last.rstrip(".") in _TITLES or _LIST_NUMBER.search(line):
        return True
    return line[-1] in _OPEN_MARKS or last in _OPEN_ENDS


def _starts_label(following: str, line: str) -> bool:
    """Whether the next line begins with a label: "Pneumothorax: No", "Heart - normal".

    A label in lower case is one only after another label.
    """
    if not _LABEL.match(following):
        return False
    return not following[0].islower() or bool(_LABEL.match(line))


def _starts_sentence(following: str) -> bool:
    """Whether a line begins with an everyday word in a capital: inside a sentence it has none."""
    match = _FIRST_WORD.match(following)
    if match is None or match.group().lower() in _NAMES:
        return False
    if not match[2]:  # "A small nodule"; "I", "T 12", capitals throughout
        return match[1] == "A" and following[1:3].strip().islower()
    word = plain(match.group())
    return bool(_NO_NAME.search(word)) or word in lexicon.vocabulary()
