"""Finds two statements of a report that cannot both be true, by reading them again as sentences."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.labels import labels_of
from cxr_vlp.nlp.wording.relations import undeniable_beside

_NARROW = {
    *lexicon.words("statements", "excusing_kinds"), "left", "right", "lobe", "lobes", "base",
    "bases", "apex", "apices", "severe",
}  # fmt: skip


def contradictions(statements: Sequence[str], is_abnormal: bool) -> list[tuple[str, str]]:
    """Return the pairs (denial, what is there), and general denials of an abnormal report."""
    read = [(text, [m for m in mentions(text) if not m.implied]) for text in statements]
    there = [(t, m) for t, ms in read for m in ms if m.assertion != "absent"]
    denied = [(t, m) for t, ms in read for m in ms if m.assertion == "absent"]
    found = [
        (no, yes)
        for no, denial in denied
        for yes, said in there
        if _same(denial, said) and not _NARROW & set(no.rstrip(".").split())
    ]
    general = [(t, "") for t, m in denied if is_abnormal and m.finding == "abnormality"]
    return found + general


def _same(denial: Mention, said: Mention) -> bool:
    if denial.device or said.device:
        return denial.device and denial.finding == said.finding
    if denial.finding == said.finding:
        return True
    held = set(labels_of(said.finding))
    held |= set().union(*(undeniable_beside(label) for label in labels_of(said.finding)[:1]))
    return bool(set(labels_of(denial.finding)[:1]) & held)
