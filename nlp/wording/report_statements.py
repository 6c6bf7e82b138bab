"""Says the findings of a whole report in standard form, without a statement that contradicts it.

A report denies in one sentence what it states in another: "The lungs are clear. Left lower lobe
opacity.". A denial is left out beside a finding that it contradicts, unless it names another side,
another height of the lung or another kind ("no acute fracture"). A denial of everything ("no
abnormality") is said only of a report without an abnormal sentence.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT
from cxr_vlp.nlp.findings.mention import NEW, Mention
from cxr_vlp.nlp.labels import labels_of
from cxr_vlp.nlp.wording import kinds, places, statements
from cxr_vlp.nlp.wording.relations import undeniable_beside
from cxr_vlp.nlp.wording.statements import Content

_ABNORMAL = ("abnormal", "uncertain")
_ANY_DEVICE = "other device"
_ADDENDUM = "addendum"  # the section that has the last word


class SentenceLike(Protocol):
    """A sentence that was read."""

    @property
    def text(self) -> str:
        """The sentence."""

    @property
    def section(self) -> str:
        """The section that it is of."""

    @property
    def status(self) -> str:
        """Normal, abnormal, uncertain or nonfinding."""

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """The findings and devices of the sentence."""


class Said(NamedTuple):
    """A statement and what it says."""

    text: str
    content: Content


def of_report(read: Sequence[SentenceLike]) -> dict[str, int]:
    """Return each statement once, with the index of the sentence that says it first."""
    rows = [_of_sentence(s.text, s.mentions) for s in read]
    is_abnormal = any(s.status in _ABNORMAL for s in read)
    there = _there(read, rows)
    found: dict[str, int] = {}
    for place, row in enumerate(rows):
        for said in row:
            if said.content.assertion == ABSENT:
                is_true = _stands(said.content, there, is_abnormal)
            else:
                is_true = said in there
            if is_true:
                found.setdefault(said.text, place)
    return found


def _there(read: Sequence[SentenceLike], rows: Sequence[tuple[Said, ...]]) -> list[Said]:
    """Return what the report says is there, or may be, without what an addendum takes back."""
    late = [
        said.content
        for sentence, row in zip(read, rows, strict=True)
        if sentence.section == _ADDENDUM
        for said in row
        if said.content.assertion == ABSENT
    ]
    return [
        said
        for sentence, row in zip(read, rows, strict=True)
        for said in row
        if said.content.assertion != ABSENT
        and (sentence.section == _ADDENDUM or not any(_contradict(no, said) for no in late))
    ]


@functools.lru_cache(maxsize=32768)
def _of_sentence(text: str, mentions: tuple[Mention, ...]) -> tuple[Said, ...]:
    """Return the statements of a sentence; the same wording is restated once."""
    return tuple(map(_said, statements.contents_of(mentions, text)))


@functools.lru_cache(maxsize=16384)
def _said(content: Content) -> Said:
    """Return the one object for this content: few are kept, because contents repeat."""
    return Said(statements.written(content), content)


def _stands(denial: Content, there: Iterable[Said], is_abnormal: bool) -> bool:
    """Whether a denial may be said beside all that the report says is there, or may be."""
    if is_abnormal and kinds.is_general(denial.finding) and not denial.name:
        return False
    return not any(_contradict(denial, said) for said in there)


def _contradict(denial: Content, said: Said) -> bool:
    """Whether the two cannot both be true of one image."""
    there = said.content
    if there.device != denial.device or not _holds(there.finding, denial.finding, there.device):
        return False
    if {denial.side, there.side} == {"left", "right"}:
        return False
    if denial.places and there.places and places.apart(denial.places, there.places):
        return False
    return not any(_excuses(kind, said) for kind in denial.kinds)


@functools.lru_cache(maxsize=8192)
def _holds(said: str, denied: str, is_device: bool) -> bool:
    """Whether who has the finding (or device) `said` has what the other name denies as well."""
    if said == denied:
        return True
    if is_device:
        return denied == _ANY_DEVICE or said in lexicon.load("statements")["device_kinds"].get(
            denied, ()
        )
    if denied in lexicon.load("relations")["findings"].get(said, ()):
        return True
    labels = labels_of(said)
    held = {*labels, *undeniable_beside(labels[0])} if labels else set()
    return any(label in held for label in labels_of(denied)[:1])


def _excuses(kind: str, said: Said) -> bool:
    """Whether the finding that is there is not of the denied kind, as far as the report says."""
    table = lexicon.load("statements")
    if kind not in table["excusing_kinds"] or kind in said.content.kinds:
        return False
    if kind in table["size_kinds"]:
        return said.content.severity not in table["large_severities"]
    return not (kind == "new" and said.content.change == NEW)
