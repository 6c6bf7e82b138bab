"""Clauses: a mixed sentence in, its abnormal part out.

A sentence is cut only at a joint where both sides can be judged ("but", ", no", "without", "and
clear"); where the cut would leave a fragment that says nothing abnormal, it stays whole.
"""

from __future__ import annotations

import re

from cxr_vlp.nlp.status_rules import classify

_JOINT = re.compile(
    r"\s*[,;]?\s+(?=(?:but|however|although|though|without|with no|with otherwise|and no|"
    r"and (?:are |is )?(?:otherwise |grossly )?clear|otherwise)\b)|[,;]\s+"
    r"|\s+(?=and (?:the|no|normal|clear|small|mild|moderate|large|severe|trace|minimal)\b)",
    re.IGNORECASE,
)
_LEADING = re.compile(r"^(?:but|and|however|although|though|,|;)\s+", re.IGNORECASE)


def abnormal_part(sentence: str) -> str:
    """Return `sentence` without its normal clauses, or unchanged where it cannot be cut safely."""
    parts = _parts(sentence)
    kept = [part for part in parts if not _is_normal(part)]
    if len(kept) == len(parts):
        return sentence
    text = _LEADING.sub("", ", ".join(p.strip(" ,;") for p in kept).strip())
    if not text or classify(text).status not in ("abnormal", "uncertain"):
        return sentence
    if _mentions_present(text) != _mentions_present(sentence):
        return sentence  # the cut took an abnormality with it
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _parts(sentence: str) -> list[str]:
    joined = " ".join(sentence.split())  # runs of blanks would cost the pattern their square
    return [p for p in _JOINT.split(joined) if p.strip()]


def _is_normal(part: str) -> bool:
    return classify(_LEADING.sub("", part.strip())).status == "normal"


def _mentions_present(text: str) -> set[tuple[str, str]]:
    return {(m.finding, m.assertion) for m in classify(text).mentions if m.assertion != "absent"}
