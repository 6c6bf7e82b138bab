"""Decides whether a report as a whole is normal.

What "normal" means of a whole report is a convention of its labels, not of the language, so it is a
parameter:

    findings   no abnormality is stated or suspected; lines, clips and pacemakers may be present.
               This is the convention of CheXpert's No Finding.
    indexed    also, nothing else is named that an indexer would code: no device, no trace of
               surgery, and no structure whose predicate is masked. This is the convention of
               Open-i, whose "normal" is the absence of every other MeSH term (Demner-Fushman et
               al., JAMIA 2016).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Protocol

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.findings.mentions import analyze
from cxr_vlp.nlp.status import JudgedSentence

CONVENTIONS = ("indexed", "findings")


class AnnotatedLike(JudgedSentence, Protocol):
    """A judged sentence with its subtype and mentions."""

    @property
    def section(self) -> str:
        """The section it is in."""

    @property
    def subtype(self) -> str:
        """What a nonfinding is about; "device" also for a normal sentence that names one."""

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """The findings and devices it mentions."""


def is_normal(sentences: Sequence[AnnotatedLike], convention: str = "indexed") -> bool:
    """Return whether a report with these sentences is normal; one without any is not.

    Raises ValueError on an unknown convention.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {CONVENTIONS}, not {convention!r}")
    if not sentences or any(s.status in ("abnormal", "uncertain") for s in sentences):
        return False
    if convention == "findings":
        return True
    return not any(_names_device(s) or _is_masked(s) for s in sentences)


def _names_device(sentence: AnnotatedLike) -> bool:
    """Whether a device or trace of surgery is present; one that was removed is not."""
    if sentence.subtype != "device":
        return False
    states = {m.assertion for m in sentence.mentions if m.device}
    return states != {ABSENT}


@functools.cache
def _masked_predicate() -> re.Pattern[str]:
    verbs = lexicon.pattern("grammar", "predicate_verbs")
    return re.compile(rf"\b(?:{verbs})\s+(?:\[\*\*|X{{3,}}|_{{2,}})")


def _is_masked(sentence: AnnotatedLike) -> bool:
    """Whether a mask hides the predicate of a structure ("The heart is XXXX"): normal or not."""
    if sentence.status != "nonfinding" or not _masked_predicate().search(sentence.text):
        return False
    return any(term.kind == "structure" for term in analyze(sentence.text).terms)
