"""Decides at which line ends of a text a sentence ends.

Prose is often wrapped: its lines are broken where the next word did not fit, also before a capital
("Swan-Ganz", "CT"). Telegraph style and templates have one statement a line and no full stop. The
start of the next line decides, and the width of the text where that start can be either.
"""

from __future__ import annotations

import re
from itertools import pairwise

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
_TITLES = lexicon.words("grammar", "titles")
_NAMES = lexicon.words("layout", "names")
_FIRST_WORD = re.compile(r"([A-Z])([a-z]*)(?![A-Z\d])")
_LABEL = re.compile(
    r"(?:[A-Za-z?][\w/&()']*[ -]){0,4}[A-Za-z?][\w/&()']*(?:[ \t]*::?(?=\s|$)|[ \t]+[-–—](?=\s))"
)


def ends(text: str) -> list[int]:
    """Return the places of the line ends in `text` at which a sentence ends, in order."""
    lines = text.split("\n")
    if len(lines) == 1:
        return []
    stripped = [line.strip() for line in lines]
    width = max(len(line.rstrip()) for line in lines)
    is_bare = _is_bare(stripped, width)
    found, place = [], 0
    for (line, full), following in zip(
        zip(stripped, lines, strict=True), stripped[1:], strict=False
    ):
        place += len(full)
        if is_bare or _ends_between(line, following, len(full.rstrip()), width):
            found.append(place)
        place += 1
    return found


def _is_bare(lines: list[str], width: int) -> bool:
    """Whether a text in lower case has one statement a line: it is narrow and has no full stop."""
    if width >= NARROW:
        return False
    said = [line for line in lines if line]
    is_lower = all(line[0].islower() and line[-1] not in ".,-/(:" for line in said)
    return is_lower and not any(_is_open(a) or _is_joined(b) for a, b in pairwise(said))


def _is_joined(line: str) -> bool:
    """Whether a line begins with a word that only goes on ("and", "is", "of")."""
    return line.split()[0] in _OPEN_ENDS - {"no"}


def _ends_between(line: str, following: str, length: int, width: int) -> bool:
    """Whether a sentence ends between a line and the next; `length` counts its indent too."""
    if not following or not line:
        return True
    if MARKER.match(following) or BOX.match(following):
        return True
    if _is_open(line):
        return line[-1] == ":" and _starts_label(following, line)
    if _starts_label(following, line):
        return True
    if following[0].islower():
        return False
    if _starts_sentence(following):
        return True
    return width < NARROW or length + 1 + len(following.split()[0]) <= width - 1


def _is_open(line: str) -> bool:
    """Whether the line cannot be the end of a sentence: "of the", "and", a comma, "Dr."."""
    words = line.split()
    last = words[-1].lower()
    if last == "no" and len(words) > 1 and (words[-1] == "No" or words[-2][-1] in ":-–|"):
        return False  # it answers its label
    return line[-1] in _OPEN_MARKS or last in _OPEN_ENDS or last.rstrip(".") in _TITLES


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
    return plain(match.group()) in lexicon.vocabulary()
