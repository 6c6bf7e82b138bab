"""Rewrites a sentence into what a single image can justify: no comparison, no change.

Each sentence gets a text and the edit that led to it:

    kept        nothing tells of an earlier image: the same text
    cut         words are left out: "Unchanged moderate effusion." -> "Moderate effusion."
    reworded    said in another way: "The effusion has resolved." -> "There is no effusion."
    dropped     it only tells of change: "No significant interval change." -> ""

Comparisons go first (comparisons.py), then the words of change (clauses.py). The result is read
again: where a word of change is left, or a finding is lost or gained, parts of the sentence are
tried (parts.py).
CXR-PRO (Ramesh et al., ML4H 2022) had language models do this for MIMIC-CXR.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT
from cxr_vlp.nlp.findings import change, terms
from cxr_vlp.nlp.findings.mention import REMOVED, RESOLVED, Mention
from cxr_vlp.nlp.findings.mentions import Analysis, analyze
from cxr_vlp.nlp.match.tokens import tokenize
from cxr_vlp.nlp.match.windows import WIDTH
from cxr_vlp.nlp.priors import clauses, comparisons, leftovers, parts
from cxr_vlp.nlp.priors.draft import VERBS

KEPT, CUT, REWORDED, DROPPED = "kept", "cut", "reworded", "dropped"
_OLDER = frozenset(("compare", "comparison", "prior", "previou", "older"))  # as tokens have them
_SURE = frozenset(("no", "not", "without", "resolved", "cleared", "gone", "resolution"))
_OPEN = VERBS | {"which", "that", "may", "be", "could", "likely", "from", "to"}
_NAMES = ("finding", "support", "hardware", "structure")
EDITS = (KEPT, CUT, REWORDED, DROPPED)


class PriorFree(NamedTuple):
    """A sentence as a single image can justify it, "" where nothing is left, and the edit."""

    text: str
    edit: str


_NOTHING = PriorFree("", DROPPED)


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
    if not analysis.mentions and not analysis.normals and not analysis.devices:
        names = any(t.kind in ("structure", "quality") for t in analysis.terms)
        if leftovers.is_idle(sentence, words, names) and not _is_advice(analysis, words):
            return _NOTHING
    elif _is_only_removal(analysis):
        return _NOTHING
    is_plain = _triggers().isdisjoint(words) and not change.may_tell(words)
    if is_plain or len(sentence) > WIDTH or _is_advice(analysis, words):  # none is that long
        return PriorFree(sentence, KEPT)
    found, lost = _said_again(sentence, analysis, words)
    if found.text and not lost:
        return found
    return _parts_of(sentence, analysis, lost) or found


def _said_again(sentence: str, analysis: Analysis, words: set[str]) -> tuple[PriorFree, set[str]]:
    """Return the whole sentence said again, and the findings that it lost."""
    shorter = sentence if comparisons.words().isdisjoint(words) else comparisons.cut(sentence)
    compared = shorter != sentence or not change.COMPARED.isdisjoint(words)
    if shorter == sentence:
        text, reworded = clauses.resay(sentence, analysis.scopes.tokens, analysis.terms, compared)
    else:
        tokens = tokenize(shorter)
        text, reworded = clauses.resay(shorter, tokens, terms.find(tokens), compared)
    if text == sentence:
        return (_NOTHING if leftovers.left(sentence) else PriorFree(sentence, KEPT)), set()
    text = _tidy(text)
    if not text or leftovers.left(text):
        return _NOTHING, set()
    if _is_only_shorter(analysis, words, text):
        return PriorFree(text, REWORDED if reworded else CUT), set()
    is_faithful, lost = _compared(analysis, text)
    if not is_faithful and shorter != sentence:  # a comparison may name what was there then
        is_faithful, lost = _compared(analyze(shorter), text)
    return (PriorFree(text, REWORDED if reworded else CUT) if is_faithful else _NOTHING), lost


def _parts_of(sentence: str, analysis: Analysis, lost: set[str]) -> PriorFree | None:
    """Return what parts of a sentence say that keep more of its findings, None where none do."""
    if not any(not m.implied for m in analysis.mentions) and not analysis.normals:
        return None
    text = _tidy(parts.segments(sentence, _part))
    choices = [(text, CUT)] if text else []
    if not leftovers.is_gone(sentence):
        choices.append((_tidy(parts.noun_phrases(analysis)), REWORDED))
    for text, edit in choices:
        if text and not leftovers.left(text):
            is_faithful, missing = _compared(analysis, text)
            if is_faithful and (not lost or missing < lost):
                return PriorFree(text, edit)
    return None


def _part(piece: str) -> str:
    """Return what is left of a part of a sentence, "" where it names nothing."""
    analysis = analyze(piece)
    if not analysis.mentions or not any(t.kind in _NAMES for t in analysis.terms):
        return ""
    if analysis.scopes.tokens[0].word in _OPEN:
        return ""  # "..., is larger"
    words = {token.word for token in analysis.scopes.tokens}
    return "" if _is_only_removal(analysis) else _said_again(piece, analysis, words)[0].text


def _is_only_removal(analysis: Analysis) -> bool:
    """Whether a sentence tells only of devices that are no longer there."""
    return bool(analysis.mentions) and all(m.position == REMOVED for m in analysis.mentions)


def _is_advice(analysis: Analysis, words: set[str]) -> bool:
    """Whether a sentence names no finding, and recommends a next step, not an older image."""
    kinds = ("recommendation", "recommendation_weak")
    is_advice = not analysis.mentions and any(k in analysis.discourse.first for k in kinds)
    return is_advice and words.isdisjoint(_OLDER)


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


def _compared(before: Analysis, text: str) -> tuple[bool, set[str]]:
    """Return whether a text says only findings of the sentence, and those that it lost."""
    after = analyze(text)
    there, denied = _findings(before)
    tokens = before.scopes.tokens
    qualities = {tokens[t.start].start for t in before.terms if t.kind == "quality"}
    lost = {
        m.finding
        for m in before.mentions
        if m.assertion != ABSENT and m.position != REMOVED and m.start not in qualities
    } - {m.finding for m in after.mentions}
    if not after.mentions and not after.normals and not after.devices:
        is_known = bool(before.mentions or before.normals or before.devices)
        return not is_known and _says_of_structure(after), lost
    return all(
        not {m.finding, _said(after, m)}.isdisjoint(denied if m.assertion == ABSENT else there)
        for m in after.mentions
        if not m.device and not (m.implied and before.normals)
    ), lost


def _says_of_structure(analysis: Analysis) -> bool:
    """Whether words that the lexicon does not know are said of a structure: "the hilum is full"."""
    verbs = {token.word for token in analysis.scopes.tokens} & {"is", "are"}
    return bool(verbs) and any(t.kind == "structure" for t in analysis.terms)


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
