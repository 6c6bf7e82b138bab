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
from cxr_vlp.nlp.findings import change, terms
from cxr_vlp.nlp.findings.mention import RESOLVED, Mention
from cxr_vlp.nlp.findings.mentions import Analysis, analyze
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.match.windows import WIDTH
from cxr_vlp.nlp.priors import clauses, comparisons

KEPT, CUT, REWORDED, DROPPED = "kept", "cut", "reworded", "dropped"
_OLDER = frozenset(("compare", "comparison", "prior", "previou", "older"))  # as tokens have them
_SURE = frozenset(("no", "not", "without", "resolved", "cleared", "gone", "resolution"))
EDITS = (KEPT, CUT, REWORDED, DROPPED)


class PriorFree(NamedTuple):
    """A sentence as a single image can justify it, "" where nothing is left, and the edit."""

    text: str
    edit: str


@functools.cache
def _triggers() -> frozenset[str]:
    listed = lexicon.load("priors")["triggers"]
    return frozenset(token.word for word in listed for token in tokenize(word))


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
    is_plain = _triggers().isdisjoint(words) and not change.may_tell(words)
    if is_plain or len(sentence) > WIDTH:  # no sentence is that long
        return PriorFree(sentence, KEPT)
    shorter = sentence if comparisons.words().isdisjoint(words) else comparisons.cut(sentence)
    compared = shorter != sentence or not change.COMPARED.isdisjoint(words)
    if shorter == sentence:
        text, reworded = clauses.resay(sentence, analysis.scopes.tokens, analysis.terms, compared)
    else:
        tokens = tokenize(shorter)
        text, reworded = clauses.resay(shorter, tokens, terms.find(tokens), compared)
    if shorter == sentence and (text == sentence or _is_advice(analysis)):
        is_advice = _is_advice(analysis) and words.isdisjoint(_OLDER)
        is_kept = not _compares(sentence) or is_advice
        return PriorFree(sentence, KEPT) if is_kept else PriorFree("", DROPPED)
    text = _tidy(text)
    is_sure = _is_only_shorter(analysis, words, text)
    if not text or _compares(text) or not (is_sure or _is_faithful(analysis, text)):
        return PriorFree("", DROPPED)
    return PriorFree(text, REWORDED if reworded else CUT)


def _compares(text: str) -> bool:
    """Whether a word of change or comparison is left that no single image justifies."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    banned = lexicon.words("priors", "banned")
    if banned.isdisjoint(words):
        return False
    return not any(f" {phrase} " in f" {' '.join(words)} " for phrase in _allowed())


@functools.cache
def _allowed() -> tuple[str, ...]:
    return tuple(lexicon.load("priors")["allowed"])


def _is_advice(analysis: Analysis) -> bool:
    """Whether a sentence names no finding, and recommends a next step."""
    kinds = ("recommendation", "recommendation_weak")
    return not analysis.mentions and any(kind in analysis.discourse.first for kind in kinds)


# what cut words leave behind, in this order: (what is left, what it becomes)
_TIDIED = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\(\s*\)", ""),
        (r"\s+([,;:.!?)])", r"\1"),
        (r"([,;:])(?:\s*[,;:])+", r"\1"),
        (r"[,;:]+\s*([.!?])", r"\1"),
        (r"\b([Aa])n (?=[^aeiouAEIOU\W])", r"\1 "),
        (r"\b([Aa]) (?=[aeio]|un(?!i)|ul)", r"\1n "),
        (r"^\W*[Ww]ithout\b", "No"),
        (r"^[\s,;:.)\]-]+|^(?:[Aa]nd|[Bb]ut|[Ww]ith|[Ww]hich)\s+", ""),
    )
)


def _tidy(text: str) -> str:
    """Return the text with single blanks, a capital at its start and a mark at its end."""
    text = " ".join(text.split())
    for pattern, new in _TIDIED:
        text = pattern.sub(new, text)
    text = _closed(text.strip())
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


def _is_only_shorter(analysis: Analysis, words: set[str], text: str) -> bool:
    """Whether a text lacks only words of change or comparison, in a sentence that denies nothing.

    Then its findings are those of the sentence, and it need not be read again.
    """
    if not _SURE.isdisjoint(words) or not any(not m.implied for m in analysis.mentions):
        return False
    lost = words - {token.word for token in tokenize(text)}
    return lost <= _unsaid()


@functools.cache
def _unsaid() -> frozenset[str]:
    """Return words that leave the findings of a sentence as they are when they are cut."""
    return clauses.ATTRIBUTES | comparisons.vocabulary()


def _is_faithful(before: Analysis, text: str) -> bool:
    """Whether a text says something, and of the findings that the sentence has."""
    after = analyze(text)
    if not after.mentions and not after.normals and not after.devices:
        return False
    there, denied = _findings(before)
    return all(
        not {m.finding, _said(after, m)}.isdisjoint(denied if m.assertion == ABSENT else there)
        for m in after.mentions
        if not m.device
    )


def _said(analysis: Analysis, mention: Mention) -> str:
    """Return the words of a mention in capitals: "ENLARGED" may be of another structure now."""
    return analysis.scopes.text[mention.start : mention.end].upper()


def _findings(analysis: Analysis) -> tuple[set[str], set[str]]:
    """Return the findings that a sentence has and those that it denies, and the words for them."""
    there: set[str] = set()
    denied: set[str] = set()
    for m in analysis.mentions:
        if not m.device:
            is_there = m.assertion != ABSENT or m.change not in ("", RESOLVED)
            (there if is_there else denied).update((m.finding, _said(analysis, m)))
    return there, denied
