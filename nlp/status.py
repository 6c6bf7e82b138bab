"""Decides whether a sentence is normal, abnormal, uncertain or no finding, and filters by it.

Three steps, each a part of this module:

    classify           one sentence -> its status, and the rule that decided
    abnormal_part      a mixed sentence -> the part of it that is abnormal
    filter_sentences   the judged sentences of a report -> what is kept of each, and why

The filter is OFF-CLIP's (Park et al., arXiv 2503.01794) with an explicit policy: a normal sentence
in an abnormal report teaches a model nothing about that image, so it is dropped; an uncertain one
is kept. The texts stage and the training loader both call it, so that a shard's `abnormal` and a
recipe's `filtered` texts agree.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cxr_vlp.nlp import lexicon, uncertainty
from cxr_vlp.nlp.context.scope import ABSENT, PRESENT, UNCERTAIN
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.findings.mentions import Analysis, analyze
from cxr_vlp.nlp.match.tokens import tokenize

STATUSES = ("normal", "abnormal", "uncertain", "nonfinding")
MODEL = "model"  # the rules of cxr_vlp.nlp.spacy_backend are named model.*
_NAME_WORDS = lexicon.words("grammar", "name_words")
_FINDING_NOUNS = lexicon.words("grammar", "finding_nouns")
_NEXT_STEP = ("recommendation", "recommendation_weak", "purpose", "blind")
_TALK = ("communication", "quality", "technique", "comparison", "history")
_SUBTYPES = {"structure.stable": "stability", "structure.named": "heading", "nothing.known": ""}


@dataclass(frozen=True, slots=True)
class Status:
    """What a sentence is, why, and the mentions it was decided from."""

    status: str  # one of STATUSES
    subtype: str  # of a nonfinding: device, recommendation, technique, ...
    mentions: tuple[Mention, ...]
    rule: str  # kind.rule: finding.present, structure.normal, talk.technique, ...
    mixed: bool = False  # an abnormal sentence that also calls something normal


@functools.lru_cache(maxsize=32768)
def classify(sentence: str) -> Status:
    """Return the status of one sentence by itself. No text raises an exception.

    >>> found = classify("Possible small left effusion.")
    >>> found.status, found.rule
    ('uncertain', 'finding.hedged')
    """
    analysis = analyze(sentence)
    status, rule = _decide(analysis)
    subtype = subtype_of(rule) if status == "nonfinding" else ""
    if status == "normal" and analysis.devices:
        subtype = "device"
    mixed = status == "abnormal" and _says_normal(analysis)
    return Status(status, subtype, analysis.mentions, rule, mixed)


def subtype_of(rule: str) -> str:
    """Return what a nonfinding sentence is about, by its rule: device, technique, ..., or ""."""
    kind, _, name = rule.partition(".")
    return "device" if kind == "device" else _SUBTYPES.get(rule, name)


def _decide(analysis: Analysis) -> tuple[str, str]:
    """Return status and rule: the first rule that holds, those that prevent costly errors first."""
    body = [m for m in analysis.mentions if not m.device]
    states = {m.assertion for m in body}
    if PRESENT in states:
        return "abnormal", "finding.present"
    if analysis.misplaced == PRESENT:
        return "abnormal", "device.malpositioned"
    if UNCERTAIN in states:
        if analysis.versus:
            return "abnormal", "finding.versus"
        return "uncertain", "finding.hedged"
    if analysis.misplaced == UNCERTAIN:
        return "uncertain", "device.malpositioned"
    if _only_device_trouble_denied(analysis, body):
        return "nonfinding", "device.sound"
    if ABSENT in states or analysis.normals:
        return "normal", _normal_rule(body)
    return _no_finding(analysis)


def _only_device_trouble_denied(analysis: Analysis, body: list[Mention]) -> bool:
    is_trouble = all(m.finding == "complication" for m in body)
    return bool(analysis.devices) and bool(body) and is_trouble and not analysis.normals


def _normal_rule(body: list[Mention]) -> str:
    if any(m.assertion == ABSENT and not m.implied for m in body):
        return "finding.denied"
    return "structure.normal"


def _no_finding(analysis: Analysis) -> tuple[str, str]:
    """Decide a sentence that names no finding and calls nothing normal."""
    talk = analysis.discourse.first
    kinds = {t.kind for t in analysis.terms}
    if any(kind in talk for kind in _NEXT_STEP):
        return "nonfinding", "talk.recommendation"
    if analysis.hypothetical:
        return "nonfinding", "talk.history"
    if _only_denies(analysis) and any(t.word in _FINDING_NOUNS for t in analysis.scopes.tokens):
        return "normal", "denial.unknown"
    if analysis.devices:
        return "nonfinding", "device.named"
    if "stable" in kinds:
        if "communication" not in talk and _names_unknown(analysis):
            return "abnormal", "claim.unknown"
        return "nonfinding", "structure.stable"
    for kind in _TALK:
        if kind in talk:
            return "nonfinding", f"talk.{kind}"
    if "structure" in kinds:
        return _unknown(analysis)
    return "nonfinding", "nothing.known"


def _unknown(analysis: Analysis) -> tuple[str, str]:
    """Decide a sentence on a structure whose predicate is unknown or masked.

    A bare name ("Left knee.") is a heading. A sentence that only denies ("no acute thoracic XXXX")
    is normal. Anything else may be an abnormality, and losing one is the costly error.
    """
    scopes = analysis.scopes
    covered = {i for t in analysis.terms for i in range(t.start, t.end)}
    others = [t.word for i, t in enumerate(scopes.tokens) if i not in covered]
    if all(w in _NAME_WORDS or not w.isalpha() for w in others):
        return "nonfinding", "structure.named"
    if _only_denies(analysis):
        return "normal", "denial.unknown"
    return "abnormal", "claim.unknown"


@functools.cache
def _known_words() -> frozenset[str]:
    """Return the plain words that say nothing new in a sentence on what did not change."""
    names = ("cues", "discourse", "modifiers", "grammar", "structures", "normals", "qualities")
    phrases = [phrase for name in names for phrase in _leaves(lexicon.load(name))]
    return frozenset(token.word for token in tokenize(" ".join(phrases)))


def _leaves(node: Any) -> Iterable[str]:
    if isinstance(node, str):
        yield node
    else:
        for child in node.values() if isinstance(node, dict) else node:
            yield from _leaves(child)


def _names_unknown(analysis: Analysis) -> bool:
    """Whether what did not change has a name that no list holds: "unchanged aspergilloma"."""
    covered = {i for t in analysis.terms for i in range(t.start, t.end)}
    return any(
        i not in covered and len(t.word) > 2 and t.word.isalpha()
        and not t.word.endswith("ly") and t.word not in _known_words()
        for i, t in enumerate(analysis.scopes.tokens)
    )  # fmt: skip


def _only_denies(analysis: Analysis) -> bool:
    cues = {value for cue in analysis.scopes.cues for value in cue.values}
    return "absent_after" in cues and not any(c.startswith(("present", "uncertain")) for c in cues)


def _says_normal(analysis: Analysis) -> bool:
    return bool(analysis.normals) or any(m.assertion == ABSENT for m in analysis.mentions)


# --- mixed sentences -----------------------------------------------------------------------------


@functools.cache
def _joint() -> re.Pattern[str]:
    """Return the pattern of the places where a sentence may be cut (lexicon/en/clauses.yaml)."""
    starts = lexicon.pattern("clauses", "starts")
    after_and = lexicon.pattern("clauses", "after_and")
    first = "".join(sorted({phrase[0] for phrase in lexicon.load("clauses")["starts"]} | {"a"}))
    # the set of first letters changes nothing, but makes the search twice as fast
    return re.compile(
        rf"[,;] | (?=[{first}])(?=(?:{starts})\b|and (?:{after_and})\b)", re.IGNORECASE
    )


@functools.cache
def _dropped_start() -> re.Pattern[str]:
    starts = lexicon.pattern("clauses", "dropped_starts")
    return re.compile(rf"^(?:{starts}|,|;)\s+", re.IGNORECASE)


@functools.lru_cache(maxsize=32768)
def abnormal_part(sentence: str) -> str:
    """Return a mixed sentence without its normal clauses; any other sentence as it is.

    It is cut only where both sides can be judged, and stays whole where a cut would lose a finding
    or leave a fragment that says nothing abnormal.

    >>> abnormal_part("Hyperinflated but clear lungs.")
    'Hyperinflated.'
    >>> abnormal_part("Lungs are clear apart from a granuloma.")
    'Lungs are clear apart from a granuloma.'
    """
    parts = _parts(sentence)
    if len(parts) < 2 or not classify(sentence).mixed:  # the first test is the cheap one
        return sentence
    kept = [part for part in parts if not _is_normal(part)]
    if len(kept) == len(parts):
        return sentence
    text = _dropped_start().sub("", ", ".join(p.strip(" ,;") for p in kept).strip())
    if not text or classify(text).status not in ("abnormal", "uncertain"):
        return sentence
    if _not_denied(text) != _not_denied(sentence):
        return sentence  # the cut would lose a finding
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _parts(sentence: str) -> list[str]:
    joined = " ".join(sentence.split())  # the pattern has single blanks
    return [p for p in _joint().split(joined) if p.strip()]


def _is_normal(part: str) -> bool:
    return classify(_dropped_start().sub("", part.strip())).status == "normal"


def _not_denied(text: str) -> set[tuple[str, str]]:
    return {(m.finding, m.assertion) for m in classify(text).mentions if m.assertion != ABSENT}


# --- the filter ----------------------------------------------------------------------------------


class JudgedSentence(Protocol):
    """What the filter needs of a sentence: of an annotation, or of a sample in a shard."""

    @property
    def text(self) -> str:
        """Its words."""

    @property
    def status(self) -> str:
        """One of STATUSES."""

    @property
    def rule(self) -> str:
        """The rule that decided, as in Status."""


@dataclass(frozen=True, slots=True)
class FilterPolicy:
    """What the filter does with each kind of sentence."""

    drop_normal: bool = True
    drop_nonfinding: bool = True  # technique, comparison, recommendations
    keep_devices: bool = True  # a device is no finding, but it is visible in the image
    keep_uncertain: bool = True
    cut_mixed: bool = True  # "hyperinflated but clear" -> "hyperinflated"
    normal_report: str = "keep"  # keep: a report with nothing abnormal keeps its normal sentences
    uncertain: str = "keep"  # what uncertain sentences count as (cxr_vlp.nlp.uncertainty)


@dataclass(frozen=True, slots=True)
class FilterDecision:
    """What the filter decided on one sentence."""

    sentence: str
    kept: str  # the sentence, the abnormal part of it, or "" where it is dropped
    reason: str  # keep:abnormal, cut:mixed, drop:normal, drop:technique, ...


@dataclass(frozen=True, slots=True)
class Filtered:
    """The filter's answer: one decision a sentence, in order."""

    decisions: tuple[FilterDecision, ...] = ()
    fallback: str = ""  # normal_report: nothing is abnormal; nothing_left: nothing is kept; or ""

    @property
    def kept(self) -> tuple[str, ...]:
        """What is kept, in order; a mixed sentence is cut."""
        return tuple(d.kept for d in self.decisions if d.kept)

    @property
    def dropped(self) -> tuple[str, ...]:
        """The sentences that are dropped, in order."""
        return tuple(d.sentence for d in self.decisions if not d.kept)

    @property
    def why(self) -> tuple[str, ...]:
        """The reasons, one a sentence, in order."""
        return tuple(d.reason for d in self.decisions)


def shows_in_image(sentence: JudgedSentence) -> bool:
    """Return whether a sentence describes something visible in the image.

    A nonfinding does so only if it names a device: a tube or pacemaker can be seen, while who was
    called, or how the image was taken, cannot.
    """
    return sentence.status != "nonfinding" or subtype_of(sentence.rule) == "device"


def filter_sentences(
    sentences: Iterable[JudgedSentence], policy: FilterPolicy = FilterPolicy()
) -> Filtered:
    """Return what is kept of a report's sentences under `policy`.

    A report without an abnormal sentence is normal (fallback "normal_report"). It keeps its normal
    sentences; where it has none, those on devices; where it has none of these, all. Otherwise a
    study would be left without text.
    """
    judged = [(s, uncertainty.status(s.status, policy.uncertain)) for s in sentences]
    if not any(status in ("abnormal", "uncertain") for _, status in judged):
        return _of_normal_report(judged, policy)
    decisions = tuple(_decision(sentence, status, policy) for sentence, status in judged)
    return Filtered(decisions, "" if any(d.kept for d in decisions) else "nothing_left")


def _of_normal_report(
    judged: Sequence[tuple[JudgedSentence, str]], policy: FilterPolicy
) -> Filtered:
    if policy.normal_report == "empty":
        dropped = (FilterDecision(s.text, "", "drop:normal_report") for s, _ in judged)
        return Filtered(tuple(dropped), "nothing_left")
    kept = [status == "normal" for _, status in judged]
    if not any(kept):
        kept = [shows_in_image(s) for s, _ in judged]
    if not any(kept):
        kept = [True] * len(judged)
    decisions = (
        FilterDecision(s.text, s.text, "keep:normal_report")
        if keep
        else FilterDecision(s.text, "", "drop:nonfinding")
        for (s, _), keep in zip(judged, kept, strict=True)
    )
    return Filtered(tuple(decisions), "normal_report")


def _decision(sentence: JudgedSentence, status: str, policy: FilterPolicy) -> FilterDecision:
    """Return the decision on one sentence of an abnormal report."""
    text = sentence.text
    if status == "abnormal":
        by_model = sentence.rule.startswith(f"{MODEL}.")  # its clauses cannot be judged by rules
        part = abnormal_part(text) if policy.cut_mixed and not by_model else text
        return FilterDecision(text, part, "keep:abnormal" if part == text else "cut:mixed")
    if status == "nonfinding":
        subtype = subtype_of(sentence.rule)
        is_kept = policy.keep_devices and subtype == "device"
        return _whole(text, subtype or status, keep=is_kept or not policy.drop_nonfinding)
    keep = policy.keep_uncertain if status == "uncertain" else not policy.drop_normal
    return _whole(text, status, keep=keep)


def _whole(text: str, reason: str, *, keep: bool) -> FilterDecision:
    if keep:
        return FilterDecision(text, text, f"keep:{reason}")
    return FilterDecision(text, "", f"drop:{reason}")
