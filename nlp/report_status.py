"""Normality: a report's sentences in, whether the report as a whole is normal out.

What "normal" means of a whole report is a convention of its labels, not of the language, so it is a
parameter:

    findings   no abnormality is stated or suspected; lines, clips and pacers may stand. This is the
               convention of CheXpert's No Finding.
    indexed    besides, nothing else is named that an indexer would code: no device, no trace of
               surgery, and nothing is said of a structure in words that a mask hides. This is the
               convention of Open-i, whose "normal" is the absence of every other MeSH term
               (Demner-Fushman et al., JAMIA 2016).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from cxr_vlp.nlp.context.scope import ABSENT
from cxr_vlp.nlp.findings.mentions import Mention, read

CONVENTIONS = ("indexed", "findings")
_MASKED_PREDICATE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|appears?|remains?|shows?|demonstrates?)\s+"
    r"(?:\[\*\*|X{3,}|_{2,})"
)


class Judged(Protocol):
    """A sentence with its status, as the engine hands it out."""

    @property
    def text(self) -> str:
        """Its words."""

    @property
    def status(self) -> str:
        """One of status.STATUSES."""

    @property
    def subtype(self) -> str:
        """ "device" where only devices are spoken of, ..."""

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """The findings and devices it mentions."""


def is_normal(sentences: Sequence[Judged], convention: str = "indexed") -> bool:
    """Whether a report with these sentences is normal by `convention`; one without any is not.

    Raises ValueError on an unknown convention.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {CONVENTIONS}, not {convention!r}")
    if not sentences or any(s.status in ("abnormal", "uncertain") for s in sentences):
        return False
    if convention == "findings":
        return True
    return not any(_names_device(s) or _is_hidden(s) for s in sentences)


def _names_device(sentence: Judged) -> bool:
    """Whether a device or trace of surgery is there; one that was removed is not."""
    if sentence.subtype != "device":
        return False
    states = {m.assertion for m in sentence.mentions if m.device}
    return states != {ABSENT}


def _is_hidden(sentence: Judged) -> bool:
    """Whether the predicate of a structure is masked ("The heart is XXXX"): normal or not."""
    if sentence.status != "nonfinding" or not _MASKED_PREDICATE.search(sentence.text):
        return False
    return any(term.kind == "structure" for term in read(sentence.text).terms)
