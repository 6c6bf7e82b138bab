"""Decision: a sentence's reading in, normal / abnormal / uncertain / nonfinding out, and the rule.

`status` is the door to it; it stands apart because the cutting of mixed sentences needs it too.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN
from cxr_vlp.nlp.findings.mentions import Mention, Reading, read

STATUSES = ("normal", "abnormal", "uncertain", "nonfinding")
_NAME_WORDS = lexicon.words("grammar", "name_words")
_NEXT_STEP = ("recommendation", "recommendation_weak", "purpose")
_TALK = ("communication", "quality", "technique", "comparison", "history")


@dataclass(frozen=True, slots=True)
class Status:
    """What a sentence is, why, and the mentions it was decided from."""

    status: str
    subtype: str
    mentions: tuple[Mention, ...]
    rule: str
    mixed: bool = False


@functools.lru_cache(maxsize=32768)
def classify(sentence: str) -> Status:
    """Return the status of one sentence taken alone; never an exception, whatever the text."""
    reading = read(sentence)
    status, subtype, rule = _decide(reading)
    mixed = status == "abnormal" and _says_normal(reading)
    return Status(status, subtype, reading.mentions, rule, mixed)


def _decide(reading: Reading) -> tuple[str, str, str]:
    """Return status, subtype and rule: the first that holds, the costly errors first."""
    body = [m for m in reading.mentions if not m.device]
    states = {m.assertion for m in body}
    if PRESENT in states:
        return "abnormal", "", "finding.present"
    if UNCERTAIN in states:
        if reading.versus:
            return "abnormal", "", "finding.versus"
        return "uncertain", "", "finding.hedged"
    if _only_device_trouble_denied(reading, body):
        return "nonfinding", "device", "device.sound"
    if ABSENT in states or reading.normals:
        return "normal", "device" if reading.devices else "", _normal_rule(body)
    return _no_finding(reading)


def _only_device_trouble_denied(reading: Reading, body: list[Mention]) -> bool:
    is_trouble = all(m.finding == "complication" for m in body)
    return bool(reading.devices) and bool(body) and is_trouble and not reading.normals


def _normal_rule(body: list[Mention]) -> str:
    if any(m.assertion == ABSENT and not m.implied for m in body):
        return "finding.denied"
    return "structure.normal"


def _no_finding(reading: Reading) -> tuple[str, str, str]:
    """Decide a sentence that names no finding and calls nothing normal."""
    talk = reading.discourse.first
    kinds = {t.kind for t in reading.terms}
    if any(kind in talk for kind in _NEXT_STEP) or "blind" in talk:
        return "nonfinding", "recommendation", "talk.recommendation"
    if reading.hypothetical:
        return "nonfinding", "history", "talk.history"
    if _only_denies(reading) and any(t.word == "finding" for t in reading.scopes.tokens):
        return "normal", "", "denial.unknown"
    if reading.devices:
        return "nonfinding", "device", "device.named"
    if "stable" in kinds:
        return "nonfinding", "stability", "structure.stable"
    for kind in _TALK:
        if kind in talk:
            return "nonfinding", kind, f"talk.{kind}"
    if "structure" in kinds:
        return _unknown(reading)
    return "nonfinding", "", "nothing.known"


def _unknown(reading: Reading) -> tuple[str, str, str]:
    """Decide a sentence on a structure whose predicate we do not know, or that a mask hides.

    A bare name ("Left knee.") is a heading; what only denies ("no acute thoracic XXXX") denies; all
    else may be an abnormality, and losing one is the costly error.
    """
    scopes = reading.scopes
    covered = {i for t in reading.terms for i in range(t.start, t.end)}
    others = [t.word for i, t in enumerate(scopes.tokens) if i not in covered]
    if all(w in _NAME_WORDS or not w.isalpha() for w in others):
        return "nonfinding", "heading", "structure.named"
    if _only_denies(reading):
        return "normal", "", "denial.unknown"
    return "abnormal", "", "claim.unknown"


def _only_denies(reading: Reading) -> bool:
    cues = {value for cue in reading.scopes.cues for value in cue.values}
    return "absent_after" in cues and not any(c.startswith(("present", "uncertain")) for c in cues)


def _says_normal(reading: Reading) -> bool:
    return bool(reading.normals) or any(m.assertion == ABSENT for m in reading.mentions)
