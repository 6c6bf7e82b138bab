"""Finds findings that stand under another heading, or under none.

Where a report has no findings section, its findings may follow an indication or a comparison
without a heading of their own. They begin at the first sentence that says what is seen. What was
asked for ("Evaluate for pneumonia") names findings too, so after an indication they must begin on
a line of their own or name their subject, and one sentence must state something for certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.boundaries import VERBS
from cxr_vlp.nlp.layout import sentences
from cxr_vlp.nlp.layout.sentences import Sentence
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.status import classify

ABOUT_IMAGE = ("preamble", "comparison", "technique", "examination")
ABOUT_PATIENT = ("indication", "history", "end")
_GAP = re.compile(r"\n[ \t]*\n")
_ASKING = re.compile(rf"\W*(?:{lexicon.pattern('layout', 'asking')})\b", re.IGNORECASE)
_BEFORE_PROSE = re.compile(
    rf"{_ASKING.pattern}|\W*(?:{lexicon.pattern('layout', 'patient_starts')}"
    r"|\d+[ -]?(?:years?|y|yo|f|m))\b|\W*\?",
    re.IGNORECASE,
)
_SUBJECT = re.compile(rf"(?:{lexicon.pattern('layout', 'prose_starts')})\b", re.IGNORECASE)
_REFERENCE = re.compile(rf"\b(?:{lexicon.pattern('layout', 'references')})\b", re.IGNORECASE)


def start(name: str, text: str, after_gap: bool = False) -> int:
    """Return where findings begin in the text of the section `name`; -1 where there are none.

    after_gap: the report has an impression too. Below an indication they then begin only after a
    blank line.
    """
    found = sentences.split(text)
    if name in ABOUT_PATIENT:
        places = [i for i, s in enumerate(found) if i and _may_begin(text, s, after_gap)]
    else:
        places = [i for i, s in enumerate(found) if i or not _is_reference(name, s.text)]
    is_strict = name in ABOUT_PATIENT or after_gap
    if not places or (is_strict and not _is_certain(found[places[0] :])):
        return -1
    first = next((i for i in places if _says(found[i].text)), -1)
    return found[_paragraph(text, found, first)].start if first >= 0 else -1


def after_request(text: str) -> int:
    """Return where a text without headings goes on after what was asked for ("Hx ?pneumonia")."""
    found = sentences.split(text)
    asked = next((i for i, s in enumerate(found) if not _ASKING.match(s.text)), 0)
    return found[asked].start if asked else 0


def _may_begin(text: str, sentence: Sentence, after_gap: bool) -> bool:
    blanks = text[len(text[: sentence.start].rstrip()) : sentence.start]
    if after_gap:
        return bool(_GAP.search(blanks))
    return "\n" in blanks or bool(_SUBJECT.match(sentence.text))


def _is_reference(name: str, sentence: str) -> bool:
    """Whether the first sentence only names a study: "CT of 3 May with a nodule"."""
    return name != "preamble" and bool(_REFERENCE.search(sentence)) and not _has_verb(sentence)


def _says(sentence: str) -> bool:
    """Whether a sentence says what is seen: a finding, a normal structure, a device."""
    if _BEFORE_PROSE.match(sentence):
        return False
    status = classify(sentence)
    return status.status != "nonfinding" or status.rule.startswith("device.")


def _is_certain(found: Iterable[Sentence]) -> bool:
    """Whether sentences state something for certain, as a request or a history does not.

    One says that something is normal, or that something is there, or two say where.
    """
    placed = 0
    for sentence in found:
        status = classify(sentence.text)
        if _BEFORE_PROSE.match(sentence.text) or status.status not in ("normal", "abnormal"):
            continue
        if status.status == "normal" or _has_verb(sentence.text):
            return True
        placed += any(m.side or m.anatomy for m in status.mentions)
    return placed > 1


def _has_verb(sentence: str) -> bool:
    return any(token.word in VERBS for token in tokenize(sentence))


def _paragraph(text: str, found: Sequence[Sentence], place: int) -> int:
    """Return the first sentence of the paragraph of `place`; `place` in the first paragraph."""
    for first in range(place, 0, -1):
        if _BEFORE_PROSE.match(found[first].text):
            return place
        if _GAP.search(text, found[first - 1].end, found[first].start):
            return first
    return place
