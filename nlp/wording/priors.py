"""Rewrites a sentence into what a single image can justify: no comparison, no change.

Each sentence gets a text and the edit that led to it:

    kept        nothing tells of an earlier image: the same text
    cut         words are left out: "Unchanged moderate effusion." -> "Moderate effusion."
    reworded    said in another way: "The effusion has resolved." -> "There is no effusion."
    dropped     it only tells of change: "No significant interval change." -> ""

Comparisons go first (wording/comparisons.py), then the words of change (wording/clauses.py). The
result is read again: where it lost a finding, or gained one, it is not used.
CXR-PRO (Ramesh et al., ML4H 2022) had language models do this for MIMIC-CXR.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT
from cxr_vlp.nlp.findings import change
from cxr_vlp.nlp.findings.mentions import Analysis, analyze
from cxr_vlp.nlp.wording import clauses, comparisons

KEPT, CUT, REWORDED, DROPPED = "kept", "cut", "reworded", "dropped"
EDITS = (KEPT, CUT, REWORDED, DROPPED)


class PriorFree(NamedTuple):
    """A sentence as a single image can justify it, "" where nothing is left, and the edit."""

    text: str
    edit: str


@functools.cache
def _triggers() -> frozenset[str]:
    return frozenset(lexicon.load("priors")["triggers"]) | change._single()


@functools.lru_cache(maxsize=32768)
def without_priors(sentence: str) -> PriorFree:
    """Return the sentence without what only an earlier image can tell.

    >>> without_priors("In comparison with the study of ___, there is a new right effusion.")
    PriorFree(text='There is a right effusion.', edit='cut')
    >>> without_priors("The effusion has resolved.")
    PriorFree(text='There is no effusion.', edit='reworded')
    """
    analysis = analyze(sentence)
    words = {token.word for token in analysis.scopes.tokens}
    if _triggers().isdisjoint(words) and not change._phrases().may_be_in(words):
        return PriorFree(sentence, KEPT)
    shorter = comparisons.cut(sentence)
    compared = shorter != sentence or not change._COMPARED.isdisjoint(words)
    text, reworded = clauses.resay(shorter, compared=compared)
    if text == sentence or (shorter == sentence and _is_advice(analysis)):
        return PriorFree(sentence, KEPT)
    text = _tidy(text, sentence)
    if not _is_faithful(analysis, text):
        text = ""
    if not text:
        return PriorFree("", DROPPED)
    return PriorFree(text, REWORDED if reworded else CUT)


def _is_advice(analysis: Analysis) -> bool:
    """Whether a sentence names no finding, and recommends a next step."""
    kinds = ("recommendation", "recommendation_weak")
    return not analysis.mentions and any(kind in analysis.discourse.first for kind in kinds)


def _tidy(text: str, sentence: str) -> str:
    """Return the text with one blank between words, a capital at its start and a mark at its end."""
    text = " ".join(text.split())
    text = re.sub(r"\(\s*\)", "", text)
    text = re.sub(r"\s+([,;:.!?)])", r"\1", text)
    text = re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", text)
    text = re.sub(r"[,;:]+\s*([.!?])", r"\1", text)
    text = re.sub(r"\b([Aa])n (?=[^aeiouAEIOU\W])", r"\1 ", text)
    text = re.sub(r"\b([Aa]) (?=[aeio]|un(?!i)|ul)", r"\1n ", text)
    text = re.sub(r"^\W*without\b", "No", text, flags=re.IGNORECASE)
    text = re.sub(r"^[\s,;:.)\]-]+|^(?:and|but|with|which)\s+", "", text).strip()
    text = _closed(text)
    if not re.search(r"\w", text):
        return ""
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _closed(text: str) -> str:
    """Return the text without a last word that leaves it open: "..., which were"."""
    text = text.rstrip(" ,;:.")
    while text.rpartition(" ")[2].lower() in _open_ends():
        text = text.rpartition(" ")[0].rstrip(" ,;:")
    return text


@functools.cache
def _open_ends() -> frozenset[str]:
    return lexicon.words("priors", "open_ends")


def _is_faithful(before: Analysis, text: str) -> bool:
    """Whether a text says something, and of the findings that the sentence has."""
    after = analyze(text)
    if not after.mentions and not after.normals and not after.devices:
        return False
    there, denied = _findings(before)
    return all(
        m.finding in denied if m.assertion == ABSENT else m.finding in there
        for m in after.mentions
        if not m.device
    )


def _findings(analysis: Analysis) -> tuple[set[str], set[str]]:
    """Return the findings that a sentence has and those that it denies."""
    real = [m for m in analysis.mentions if not m.device]
    there = {m.finding for m in real if m.assertion != ABSENT or m.change not in ("", "resolved")}
    return there, {m.finding for m in real if m.assertion == ABSENT}
