"""Formats a report as the text file of MIMIC-CXR or as the sections of Open-i."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from cxr_vlp.pipelines.synthetic.cases.real_content import SECTIONS
from cxr_vlp.pipelines.synthetic.seeding import stream

_WIDTH = 79
_RULE = " " + "_" * 76
# The headings that one section has in different years and hospitals.
_HEADINGS = {
    "EXAMINATION": ("EXAMINATION", "EXAMINATION", "EXAM", "STUDY"),
    "INDICATION": ("INDICATION", "INDICATION", "HISTORY", "REASON FOR EXAM", "CLINICAL HISTORY"),
    "TECHNIQUE": ("TECHNIQUE",),
    "COMPARISON": ("COMPARISON", "COMPARISON", "COMPARISONS"),
    "FINDINGS": ("FINDINGS", "FINDINGS", "FINDINGS", "FINDING"),
    "IMPRESSION": ("IMPRESSION", "IMPRESSION", "IMPRESSION", "CONCLUSION"),
}
_ALWAYS = frozenset(("", "FINDINGS", "IMPRESSION"))


@dataclass(frozen=True, slots=True)
class Report:
    """A report: (heading, body) in order, and (text, section, status) of each sentence.

    The body of an impression may hold line breaks between its numbered points. A heading "" is a
    paragraph under no heading, whose sentences are of the section "body".
    """

    sections: tuple[tuple[str, str], ...]
    sentences: tuple[tuple[str, str, str], ...]


def mimic_text(report: Report, seed: int) -> str:
    """Return the report as MIMIC-CXR writes it: each line has one blank before it.

    A line has at most 79 characters. An addendum and a wet read may be above the report. Neither
    states a finding that the sentences do not state.
    """
    rng = stream("layout", seed, *(text for text, _, _ in report.sentences))
    lines = _addendum(rng) if rng.random() < 0.06 else []
    if rng.random() < 0.08:
        lines += _wet_read(report, rng)
    lines.append(" " * 33 + "FINAL REPORT")
    inline, open_up = rng.random() < 0.45, rng.random() < 0.8
    for heading, body in report.sections:
        if heading not in _ALWAYS and rng.random() < 0.2:
            continue
        lines += _section(heading, body, rng, inline)
        if open_up or not heading:
            lines.append("")
    return "".join(f" {line.removeprefix(' ')}".rstrip("\n") + "\n" for line in lines)


def real_mimic_text(sections: Mapping[str, str]) -> str:
    """Return a real report as MIMIC text.

    Each line starts with one blank and has at most 79 characters; `XXXX` becomes `___`.
    """
    blocks = [" " * 33 + "FINAL REPORT"]
    for name in SECTIONS:
        body = re.sub(r"X{4,}", "___", sections[name])
        if body:
            blocks.append(_filled(f"{name.upper()}:  {body}"))
    return "\n \n".join(blocks) + "\n"


def openi_sections(report: Report) -> dict[str, str]:
    """Return the four sections of an Open-i report, each on one line, "" if it is empty."""
    named = {heading.lower() or "findings": " ".join(b.split()) for heading, b in report.sections}
    return {n: named.get(n, "") for n in ("findings", "impression", "indication", "comparison")}


def _section(heading: str, body: str, rng: Random, inline: bool) -> list[str]:
    """Return a section's lines: the text after the heading, or below it."""
    if not heading:
        return ["", *_wrapped(body)]
    name = rng.choice(_HEADINGS[heading])
    if inline or heading not in _ALWAYS:
        return _wrapped(f"{name}:  {body}")
    return [f"{name}: ", "", *_wrapped(body)]


def _wrapped(text: str, width: int = _WIDTH - 1) -> list[str]:
    """Return lines of at most `width` characters, with two blanks after a full stop as typed."""
    lines: list[str] = []
    for line in text.split("\n"):
        spaced = re.sub(r"(?<!Dr)\. ", ".  ", line) if not line[:1].isdigit() else line
        lines += textwrap.wrap(spaced, width, break_long_words=False, break_on_hyphens=False)
    return lines


def _addendum(rng: Random) -> list[str]:
    """Return an addendum, separated from the report below it by a line of underscores."""
    text = rng.choice(
        (
            "ADDENDUM  The results were communicated to Dr. ___ by telephone at ___.",
            "ADDENDUM:  The date of the comparison study should read ___.",
        )
    )
    return [*_wrapped(text), _RULE]


def _wet_read(report: Report, rng: Random) -> list[str]:
    """Return a resident's preliminary reading: one sentence of the report."""
    text = rng.choice(report.sentences)[0]
    said = _wrapped(text[:1].lower() + text[1:], _WIDTH - 2)
    clock = f"{rng.randint(1, 12)}:{rng.randint(0, 59):02d} PM"
    return [f"WET READ: ___ ___ ___ {clock}", *(f"  {line}" for line in said), _RULE]


def _filled(paragraph: str) -> str:
    return textwrap.fill(
        paragraph,
        width=79,
        initial_indent=" ",
        subsequent_indent=" ",
        break_on_hyphens=False,
        drop_whitespace=True,
    )
