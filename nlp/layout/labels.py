"""Finds the labels of a template whose lines were joined to one.

    HEART: MILD CARDIOMEGALY LUNGS: NO CONSOLIDATION   ->  a sentence starts at LUNGS

A label is the name of a structure, or of a finding after another finding. It has a capital, and
stands without a mark after the text of the label before it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Set

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings import terms
from cxr_vlp.nlp.match.tokens import plain

_COLON = re.compile(r"(?<=[A-Za-z)]):(?=\s)")
_WORD = re.compile(r"[A-Za-z/&-]+")
_JOINTS = re.compile(r" (?:and|or|&) |/")
_OPEN_ENDS = lexicon.words("grammar", "open_ends")
_LONGEST = 6  # words of a label


def starts(text: str) -> list[int]:
    """Return the places in `text` at which a label in mid-line begins a sentence."""
    if text.count(":") < 2:  # the cheap test
        return []
    return list(_starts(text))


def _starts(text: str) -> Iterator[int]:
    kind, last = "", 0
    for colon in _COLON.finditer(text):
        label = _label(text, last, colon.start())
        if label is not None:
            start, here = label
            if last and (here == "structure" or here == kind) and _is_free(text[last:start]):
                yield start
            kind = here
        last = colon.end()


def _is_free(before: str) -> bool:
    """Whether the text of the label before ends here: it says something and has no open end."""
    words = before.lower().split()
    if not words or not words[-1][-1].isalnum():
        return False
    return words == ["no"] or words[-1] not in _OPEN_ENDS


def _label(text: str, start: int, end: int) -> tuple[int, str] | None:
    """Return the start and the kind of the longest label that ends at `end`; None for none."""
    words = list(_WORD.finditer(text, max(start, end - 80), end))[-_LONGEST:]
    for first in words:
        if first.group()[0].isupper() and text[first.start() - 1 : first.start()] in (
            "",
            " ",
            "\n",
        ):
            kind = _kind(text[first.start() : end])
            if kind:
                return first.start(), kind
    return None


@functools.lru_cache(maxsize=4096)
def _kind(label: str) -> str:
    parts = [" ".join(map(plain, part.split())) for part in _JOINTS.split(label)]
    for kind, names in _names().items():
        if names >= set(parts):
            return kind
    return ""


@functools.cache
def _names() -> dict[str, Set[str]]:
    """Return the names that may be labels, by kind."""
    structures = [term for row in lexicon.load("structures") for term in row["terms"]]
    findings = [t for group in lexicon.load("findings").values() for r in group for t in r["terms"]]
    return {
        kind: {" ".join(map(plain, terms.without_articles(name).split())) for name in names}
        for kind, names in (
            ("structure", [*structures, *lexicon.load("layout")["template_labels"]]),
            ("finding", findings),
        )
    }
