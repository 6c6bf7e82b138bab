"""Finds the change of a finding by its measures: "9 mm, previously 6 mm" is worse."""

from __future__ import annotations

import re

from cxr_vlp.nlp.context.scope import Scopes
from cxr_vlp.nlp.findings.change import Change
from cxr_vlp.nlp.findings.mention import BETTER, STABLE, WORSE
from cxr_vlp.nlp.findings.sizes import is_measured, owner
from cxr_vlp.nlp.findings.terms import Term

_SIZE = r"(\d+(?:\.\d+)?|\.\d+)(?:\s*[x×]\s*\d+(?:\.\d+)?)*[\s-]*(mm|cm)?\b"
_THEN = r"(?:previously|formerly|was|were|had been|compared (?:to|with)|versus|vs\.?|prior)"
_SMALL = r"(?:\s+(?:measured|measuring|approximately|about|only|a|of|size|size of))*"
_PRIOR = r"(?:\b(?:in|on|at|previously|prior|before|earlier|yesterday)\b)"
_TIME = r"(?:[:/.\d]|days?|weeks?|months?|years?|hours?|views?|am\b|pm\b)"
_NOW_AND_THEN = (
    re.compile(rf"{_SIZE}[\s,;(]*{_THEN}{_SMALL}\s+{_SIZE}", re.IGNORECASE),
    re.compile(
        rf"{_SIZE}[\s,;(]*(?:up |down )?from{_SMALL}\s+{_SIZE}(?!\s*{_TIME})", re.IGNORECASE
    ),
    re.compile(rf"{_SIZE}\s*\({_SIZE}\s*{_PRIOR}[^()]*\)", re.IGNORECASE),
)
_THEN_AND_NOW = (
    re.compile(rf"\bfrom{_SMALL}\s+{_SIZE}\s+to{_SMALL}\s+{_SIZE}", re.IGNORECASE),
    re.compile(rf"{_THEN}{_SMALL}\s+{_SIZE}[\s,;(]*(?:and\s+|is\s+)?now{_SMALL}\s+{_SIZE}",
               re.IGNORECASE),
)  # fmt: skip


def by_measures(scopes: Scopes, found: tuple[Term, ...], term: Term) -> Change | None:
    """Return the change from an earlier measure of the finding to that of now."""
    if not is_measured(term) or sum(t.word[0].isdigit() for t in scopes.tokens) < 2:
        return None
    for patterns, is_now_first in ((_THEN_AND_NOW, False), (_NOW_AND_THEN, True)):
        for match in (m for p in patterns for m in p.finditer(scopes.text)):
            if match[2] is None and match[4] is None:
                continue  # no unit: no measure
            inside = [
                i for i, t in enumerate(scopes.tokens) if match.start() <= t.start < match.end()
            ]
            if inside and owner(scopes.tokens, found, inside[0], inside[-1] + 1) == term:
                return Change(_kind(match, is_now_first), match.group().strip())
    return None


def _kind(match: re.Match[str], is_now_first: bool) -> str:
    """Return whether the later of two measures is larger, smaller or the same."""
    first = _millimetres(match[1], match[2] or match[4])
    second = _millimetres(match[3], match[4] or match[2])
    now, then = (first, second) if is_now_first else (second, first)
    if now == then:
        return STABLE
    return WORSE if now > then else BETTER


def _millimetres(number: str, unit: str) -> float:
    return float(number) * (10 if unit.lower() == "cm" else 1)
