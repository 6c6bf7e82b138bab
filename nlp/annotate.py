"""Annotates a report: its sections, sentences, statuses, mentions, labels and statements.

`annotate` returns all of it, `filter_report` only what is kept of the report and why. The command
`cxr-vlp annotate` is in `cxr_vlp.nlp.cli`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cxr_vlp.nlp import labels as label_rules
from cxr_vlp.nlp import lexicon, spacy_backend
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.layout import boxes, language, lines, sections, sentences
from cxr_vlp.nlp.layout.nontext import is_text
from cxr_vlp.nlp.layout.sections import CutRule
from cxr_vlp.nlp.priors import rewriting
from cxr_vlp.nlp.report_status import is_normal
from cxr_vlp.nlp.status import Filtered, FilterPolicy, Status, classify, filter_sentences
from cxr_vlp.nlp.wording import report_statements

READ = ("findings", "impression", "addendum")  # in the order in which they are read
_NESTED = re.compile(r"\b(?:FINDINGS|IMPRESSION)\s*:")
KEEP_ABNORMAL = FilterPolicy()
NOTHING = Filtered()


@dataclass(frozen=True, slots=True)
class AnnotatedSentence:
    """A sentence of a report: its section, its place in it (from 0), its status and mentions."""

    text: str
    section: str
    index: int
    status: str
    subtype: str
    rule: str
    mentions: tuple[Mention, ...]
    prior_free: str = ""  # as a single image can justify it (cxr_vlp.nlp.priors.rewriting)
    edit: str = rewriting.KEPT


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the engine found in a report.

    `sections` holds every section under its name; `findings` and `impression` are those that were
    read. `sentences` also has those of an addendum, or of a wet read that is all there is.
    `labels`: label -> 1 (positive), 0 (negative) or -1 (uncertain); a label that is not mentioned
    has no key.
    """

    sections: dict[str, str] = field(default_factory=dict)
    findings: str = ""
    impression: str = ""
    abnormal: str = ""  # findings and impression as the filter leaves them; "" in a normal report
    prior_free: str = ""  # findings and impression without what only an earlier image can tell
    sentences: tuple[AnnotatedSentence, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    normal: bool = False  # the whole report, by the given convention (cxr_vlp.nlp.report_status)
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

    Findings and impression are read; `body` is read as the findings where a report has neither, and
    a wet read where it has no other text. An addendum is read too: what it says of a finding
    decides the label.

    policy: what the filter keeps (status.FilterPolicy).
    several: which of several impressions counts, last, first or join (sections.merge).
    model: an installed spaCy or scispaCy pipeline for sentences that the rules cannot decide
        (spacy_backend.second_look).
    convention: what a normal report is, indexed or findings (report_status.is_normal).
    rule: how to cut a raw report whose headings mislead (sections.CutRule).

    A text that is no report, or is in another language than English, gives an annotation without
    sentences, with the reason in `code`.
    Raises ValueError for an unknown `several` or `convention`, or a model that is not installed.

    >>> found = annotate("FINDINGS: Hyperinflated but clear lungs. IMPRESSION: Possible nodule.")
    >>> [(sentence.text, sentence.status) for sentence in found.sentences]
    [('Hyperinflated but clear lungs.', 'abnormal'), ('Possible nodule.', 'uncertain')]
    >>> found.abnormal
    'Hyperinflated. Possible nodule.'
    >>> found.labels["Nodule"], found.labels["No Finding"]
    (-1, 0)
    >>> found.statements[-1]
    'There may be a lung nodule.'
    """
    raw, code = _sections_of(report, several, rule)
    read_from = _read_sections(raw)
    if code in ("", "report.no_text") and _is_foreign(report, read_from):
        raw, read_from, code = {}, {}, "report.language"
    named = {name: " ".join(text.split()) for name, text in raw.items()}
    read = _annotated_sentences(named, read_from, model)
    standing = label_rules.standing(read)
    filtered, said = filter_sentences(read, policy), _statements(read)
    return Annotation(
        sections=named,
        findings=" ".join(read_from.get("findings", "").split()),
        impression=" ".join(read_from.get("impression", "").split()),
        abnormal="" if filtered.fallback else _joined(filtered.kept),
        prior_free=_joined(tuple(s.prior_free for s in read if s.prior_free)),
        sentences=tuple(read),
        labels=label_rules.from_sentences(read),
        normal=is_normal(standing, convention),
        statements=tuple(said),
        statement_sentences=tuple(said.values()),
        filtered=filtered,
        code=code or ("" if read else "report.no_text"),
    )


def filter_report(
    report: str | Mapping[str, str], policy: FilterPolicy = KEEP_ABNORMAL, model: str = ""
) -> Filtered:
    """Return which sentences of a report are kept and dropped, with the reason for each.

    `report`, `policy` and `model` are those of `annotate`. A report without an abnormal sentence
    keeps its normal ones (`fallback` is then "normal_report").

    >>> report = "Heart size is normal. Small left effusion, no pneumothorax. AP view."
    >>> found = filter_report(report)
    >>> for decision in found.decisions:
    ...     print(f"{decision.reason:<14} {decision.sentence} -> {decision.kept!r}")
    drop:normal    Heart size is normal. -> ''
    cut:mixed      Small left effusion, no pneumothorax. -> 'Small left effusion.'
    drop:technique AP view. -> ''
    >>> found.kept
    ('Small left effusion.',)
    """
    return annotate(report, policy, model=model).filtered


def described(
    annotation: Annotation,
    prompts: Sequence[str] = (),
    fallback: Sequence[str] = ("impression", "statements", "prompt"),
) -> tuple[str, str]:
    """Return the text that describes what is abnormal in an image, and where it comes from.

    It is the filter's text. Where that is empty, although the study's labels call it abnormal, it
    is the first of `fallback` that has text; ("", "") where none has.
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
    """Return the named sections, with their line ends, and the reason code of a report."""
    if isinstance(report, str):
        code = sections.reason(report)
        code = "" if rule and code == "report.no_text" else code  # the rule says where the text is
        found = () if code else sections.cut(report, rule)
        return sections.merge(found, several, report), code
    named = {name: text for name, text in report.items() if text and text.strip()}
    if not all(map(is_text, named.values())):
        return {}, "report.not_text"
    for name in ("findings", "impression"):
        if name in named and _NESTED.search(named[name]):
            named = _unnested(named, name, several)
    return named, "" if named else "report.empty"


def _unnested(named: dict[str, str], name: str, several: str) -> dict[str, str]:
    """Return the sections where the section `name` holds a whole report with headings.

    The inner findings and impression count where the outer report has none. The rest of the inner
    report (its indication, for example) must not be read as a finding.
    """
    inner = sections.merge(sections.split(named[name]), several, named[name])
    outer = {n: text for n, text in named.items() if n != name}
    lead = inner.pop("preamble", "")
    return inner | ({name: lead} if lead and name not in inner else {}) | outer


def _read_sections(named: Mapping[str, str]) -> dict[str, str]:
    """Return the texts that are read, by the section that their sentences will name, in order."""
    found = {name: named[name] for name in READ if named.get(name)}
    if "findings" in found or "impression" in found:
        return found
    first = {"findings": named.get("body", "")}
    if not first["findings"]:
        first = {"wet_read": named.get("wet_read", "")}
    return {name: text for name, text in (first | found).items() if text}


def _is_foreign(report: str | Mapping[str, str], read: Mapping[str, str]) -> bool:
    """Whether what is read of a report is in another language; all of it where nothing is read."""
    texts = read or ({"": report} if isinstance(report, str) else report)
    return language.of("\n".join(texts.values())) != lexicon.LANGUAGE


@functools.lru_cache(maxsize=8192)
def _split(section: str) -> tuple[str, ...]:
    return tuple(s.text for s in sentences.split(boxes.read(lines.whole_words(section))))


def judge(text: str, model: str = "", known: spacy_backend.LongForms = ()) -> Status:
    """Return the status of a sentence, by the rules, and by the model where one is named.

    `known`: the abbreviations that the report defines (spacy_backend.long_forms).
    """
    status = classify(text)
    return spacy_backend.second_look(text, status, model, known) if model else status


def _annotated_sentences(
    named: Mapping[str, str], read: Mapping[str, str], model: str
) -> list[AnnotatedSentence]:
    """Return the sentences that are read; a model learns its abbreviations from all sections."""
    known = spacy_backend.long_forms(" ".join(named.values()), model) if model else ()
    return [
        _annotated(text, name, index, judge(text, model, known))
        for name, section in read.items()
        for index, text in enumerate(_split(section))
    ]


def _annotated(text: str, section: str, index: int, status: Status) -> AnnotatedSentence:
    alone = rewriting.without_priors(text)
    return AnnotatedSentence(
        text, section, index, status.status, status.subtype, status.rule, status.mentions,
        alone.text, alone.edit,
    )  # fmt: skip


def _statements(read: list[AnnotatedSentence]) -> dict[str, int]:
    """Return each statement once, with the index of the sentence that says it first."""
    return report_statements.of_report(read)


def _joined(kept: tuple[str, ...]) -> str:
    """Return the sentences as one text, each once, each with a mark at its end."""
    unique = dict.fromkeys(kept)
    return " ".join(s if s.endswith((".", "!", "?")) else s + "." for s in unique)
