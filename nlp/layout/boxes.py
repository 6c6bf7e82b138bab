"""Reads the boxes and columns of a form: what is ticked is what the report says.

    Consolidation: [ ] yes [x] no      ->  Consolidation: no
    Effusion: left [x] right [ ]       ->  Effusion: left
    [x] Cardiomegaly                   ->  Cardiomegaly
    Pneumothorax | No                  ->  Pneumothorax: No
    Pneumothorax? No                   ->  Pneumothorax: No

A line without a ticked box says nothing and is left out. Any other text stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.layout import tables

BOX = re.compile(r"\[[ \t]{0,4}[xX✓✔✗✘+]?[ \t]{0,4}\]|\([ \t]{0,4}[xX✓✔]?[ \t]{0,4}\)|[☐☑☒□■▢✓✔]")
_CELLS = re.compile(r"[ \t]*\|[ \t]*|\t+[ \t]*|[ \t]{4,}|[ \t]*\.{3,}[ \t]*")
_QUESTION = re.compile(r"(?<=[a-z])[ \t]*\?[ \t]*:?[ \t]+(?=(?:yes|no|none|y|n)\b)", re.IGNORECASE)
_EMPTY = frozenset("[]()☐□▢ \t")
_TEXT_AFTER = re.compile(r"(?<=[.;])\s+|\s+(?=comments?\b|details?\b|describe\b)", re.IGNORECASE)
_ANSWERS = lexicon.words("layout", "box_answers")
_WORDS = {"y": "yes", "n": "no"}
_LETTER = re.compile(r"(?<=[A-Za-z]: )[YN](?=[ \t]{0,8}[.;]?[ \t]{0,8}(?:\r?\n|$))")


class _Option(NamedTuple):
    words: str
    ticked: bool


def read(text: str) -> str:
    """Return `text` with what its boxes, columns and answers say; one without them as it is."""
    has_box, has_cells = bool(BOX.search(text)), any(mark in text for mark in ("|", "\t", "..."))
    if has_cells:
        text = "\n".join(tables.read(text.split("\n")))
    if has_box:
        text = "\n".join(_lines(text.split("\n")))
    if has_cells:
        text = "\n".join(map(_of_cells, text.split("\n")))
    if "?" in text:
        text = _QUESTION.sub(": ", text)
    return _LETTER.sub(lambda match: _word(match.group()), text) if ":" in text else text


def _word(answer: str) -> str:
    return _WORDS.get(answer.lower(), answer)


def _lines(lines: list[str]) -> Iterator[str]:
    """Yield the lines as they are read; boxes below a line "Effusion:" are its options."""
    label = ""
    for place, line in enumerate(lines):
        following = lines[place + 1].strip() if place + 1 < len(lines) else ""
        if BOX.search(line) is None:
            label = line.strip() if _is_label(line, following) else ""
            if not label:
                yield line
            continue
        yield _said(line.strip(), label)


def _is_label(line: str, following: str) -> bool:
    """Whether a line is only the label of the boxes on the lines below it."""
    words = line.strip().rstrip(":").split()
    return line.rstrip().endswith(":") and 0 < len(words) <= 6 and bool(BOX.match(following))


def _said(line: str, above: str) -> str:
    """Return what a line with boxes says; "" where nothing is ticked."""
    label, options = _options(line)
    rest = [part for option in options for part in _TEXT_AFTER.split(option.words)[1:]]
    ticked = [_TEXT_AFTER.split(o.words)[0].strip(" ,;/|") for o in options if o.ticked]
    said = ", ".join(_word(words) for words in ticked if words)
    label = label or above.rstrip(": ")
    if said:
        said = f"{label}: {said}" if label else said
    return ". ".join(part.rstrip(".") for part in (said, *rest) if part.strip(" ."))


def _options(line: str) -> tuple[str, list[_Option]]:
    """Return the label of a line and its options; the box stands before or after each option."""
    marks = list(BOX.finditer(line))
    between = [line[a.end() : b.start()] for a, b in pairwise(marks)]
    head, tail = line[: marks[0].start()], line[marks[-1].end() :]
    label, colon, first = head.rpartition(":")
    if not colon:
        label, first = _head_of(head) if not tail.strip(" .|") else (head, "")
    ticked = [not set(mark.group()) <= _EMPTY for mark in marks]
    if first.strip() and not tail.strip(" .,;|"):  # after it: "yes [ ] no [x]"
        words = [first, *between]
    else:
        label, words = (head if colon and first.strip() else label), [*between, tail]
    label = label.strip(" :-–|\t")
    if len(words) == 1 and not words[0].strip(" .|"):  # "Effusion [x]"
        words = ["yes"]
    return label, [_Option(w.strip(), t) for w, t in zip(words, ticked, strict=True)]


def _head_of(head: str) -> tuple[str, str]:
    """Return (label, first option) of the words before a box that closes its option."""
    label, _, last = head.strip().rpartition(" ")
    return (label, last) if last.lower() in _ANSWERS else (head, "")


def _of_cells(line: str) -> str:
    """Return "Pneumothorax: No" for a row of two columns, the second of which is an answer."""
    cells = [cell for cell in _CELLS.split(line.strip().strip("|").strip()) if cell]
    if len(cells) == 2 and cells[1].rstrip(".").lower() in _ANSWERS:
        return f"{cells[0].rstrip(':')}: {_word(cells[1])}"
    return line
