"""Annotate: a report in, everything the engine can say of it out.

    cxr-vlp annotate [--source NAME] [--pretty] < reports.jsonl > statements.jsonl

reads {"id", "text"}, {"id", "sections": {...}} or {"id", "sentence"} a line and writes one JSON
object a line, in order; --pretty prints it for people instead.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cxr_vlp.nlp import labels as label_rules
from cxr_vlp.nlp import sections, sentences, spacy_backend, statements
from cxr_vlp.nlp.cut_rules import CutRule, cut
from cxr_vlp.nlp.findings.mentions import Mention
from cxr_vlp.nlp.nontext import is_text
from cxr_vlp.nlp.report_status import is_normal
from cxr_vlp.nlp.status import Filtered, FilterPolicy, Status, classify, filter_report

READ = ("findings", "impression")
_NESTED = re.compile(r"\b(?:FINDINGS|IMPRESSION)\s*:")
KEEP_ABNORMAL = FilterPolicy()
NOTHING = Filtered((), (), ())


@dataclass(frozen=True, slots=True)
class AnnotatedSentence:
    """A sentence of a report, where it stood, and what it is."""

    text: str
    section: str
    index: int
    status: str
    subtype: str
    rule: str
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, slots=True)
class Annotation:
    """All that is known of a report from its words."""

    sections: dict[str, str] = field(default_factory=dict)
    findings: str = ""
    impression: str = ""
    abnormal: str = ""  # findings and impression as the filter leaves them; "" in a normal report
    sentences: tuple[AnnotatedSentence, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    normal: bool = (
        False  # the whole report, by the convention asked for (cxr_vlp.nlp.report_status)
    )
    statements: tuple[str, ...] = ()
    statement_sentences: tuple[int, ...] = ()  # which of `sentences` each statement comes from
    filtered: Filtered = NOTHING
    code: str = ""  # "" or why there is no usable text


def annotate(
    report: str | Mapping[str, str],
    policy: FilterPolicy = KEEP_ABNORMAL,
    several: str = "last",
    model: str = "",
    convention: str = "indexed",
    rule: CutRule | None = None,
) -> Annotation:
    """Return the annotation of a report: its raw text, or a mapping of sections already cut.

    Findings and impression are read; `body` stands in for the findings where a report has neither.
    `several` says which of several impressions counts (sections.merge), `model` names an installed
    spaCy model that is asked about the sentences the lexicon does not know (models.second_look),
    `convention` what a normal report is (normality.is_normal), `rule` how to cut a raw report
    whose headings mislead.
    """
    raw, code = _sections_of(report, several, rule)
    named = {name: " ".join(text.split()) for name, text in raw.items()}
    findings, impression = _read_sections(raw)
    read = [
        _annotated(text, name, index, judge(text, model))
        for name, section in (("findings", findings), ("impression", impression))
        for index, text in enumerate(_split(section))
    ]
    filtered = filter_report((s.text for s in read), policy, functools.partial(judge, model=model))
    said = _statements(read)
    return Annotation(
        sections=named,
        findings=" ".join(findings.split()),
        impression=" ".join(impression.split()),
        abnormal="" if filtered.fallback else _joined(filtered.kept),
        sentences=tuple(read),
        labels=label_rules.from_sentences(read),
        normal=is_normal(read, convention),
        statements=tuple(said),
        statement_sentences=tuple(said.values()),
        filtered=filtered,
        code=code or ("" if read else "report.no_text"),
    )


def described(
    annotation: Annotation,
    prompts: Sequence[str] = (),
    fallback: Sequence[str] = ("impression", "statements", "prompt"),
) -> tuple[str, str]:
    """Return the text that describes what is abnormal in a picture, and where it comes from.

    The filter's text; else, for a study that others call abnormal though no sentence does, the
    first of `fallback` that has text; ("", "") where there is nothing at all.
    """
    choices = {
        "filter": annotation.abnormal,
        "impression": annotation.impression,
        "statements": " ".join(annotation.statements),
        "prompt": next(iter(prompts), ""),
    }
    origin = next((name for name in ("filter", *fallback) if choices[name]), "")
    return choices.get(origin, ""), origin


def _sections_of(
    report: str | Mapping[str, str], several: str, rule: CutRule | None
) -> tuple[dict[str, str], str]:
    """Return the named sections, line ends kept, and the reason code of a report in either form."""
    if isinstance(report, str):
        code = sections.reason(report)
        code = "" if rule and code == "report.no_text" else code  # the rule knows where it is
        found = () if code else cut(report, rule)
        return sections.merge(found, several, report), code
    named = {name: text for name, text in report.items() if text and text.strip()}
    if not all(map(is_text, named.values())):
        return {}, "report.not_text"
    for name in READ:
        if name in named and _NESTED.search(named[name]):
            named = _unnested(named, name, several)
    return named, "" if named else "report.empty"


def _unnested(named: dict[str, str], name: str, several: str) -> dict[str, str]:
    """Return the sections where one of them holds a whole report again, headings and all.

    Its own findings and impression count where the outer report has none; the rest of it (its
    indication, say) must not be read as a finding.
    """
    inner = sections.merge(sections.split(named[name]), several, named[name])
    outer = {n: text for n, text in named.items() if n != name}
    lead = inner.pop("preamble", "")
    return inner | ({name: lead} if lead and name not in inner else {}) | outer


def _read_sections(named: Mapping[str, str]) -> tuple[str, str]:
    findings, impression = named.get("findings", ""), named.get("impression", "")
    if not findings and not impression:
        findings = named.get("body", "")
    return findings, impression


@functools.lru_cache(maxsize=8192)
def _split(section: str) -> tuple[str, ...]:
    return tuple(s.text for s in sentences.split(section))


def judge(text: str, model: str = "") -> Status:
    """Return the status of a sentence, by the rules and then by the model where one is named."""
    status = classify(text)
    return spacy_backend.second_look(text, status, model) if model else status


def _annotated(text: str, section: str, index: int, status: Status) -> AnnotatedSentence:
    return AnnotatedSentence(
        text, section, index, status.status, status.subtype, status.rule, status.mentions
    )


def _statements(read: list[AnnotatedSentence]) -> dict[str, int]:
    """Return each statement once, with the place of the sentence that says it first."""
    said: dict[str, int] = {}
    for place, sentence in enumerate(read):
        for text in statements.restate(sentence.mentions):
            said.setdefault(text, place)
    return said


def _joined(kept: tuple[str, ...]) -> str:
    """Return the sentences as one text, each once, each closed by a full stop."""
    unique = dict.fromkeys(kept)
    return " ".join(s if s.endswith((".", "!", "?")) else s + "." for s in unique)
