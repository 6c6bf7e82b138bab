"""The dress of a report: sections go in, the text of a collection's report file comes out."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from random import Random

from cxr_vlp.pipelines.synthetic.seeding import stream

_WIDTH = 79
_RULE = " " + "_" * 76
# Headings under which the same section goes in different years and hospitals.
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


def layout_mimic(report: Report, seed: int) -> str:
    """Return the report as MIMIC-CXR writes it: each line after one blank, at most 79 wide.

    A wet read may stand before it and an addendum above it; both repeat or add nothing that the
    sentences do not say.
    """
    luck = stream("layout", seed, *(text for text, _, _ in report.sentences))
    lines = _addendum(luck) if luck.random() < 0.06 else []
    if luck.random() < 0.08:
        lines += _wet_read(report, luck)
    lines.append(" " * 33 + "FINAL REPORT")
    inline, open_up = luck.random() < 0.45, luck.random() < 0.8
    for heading, body in report.sections:
        if heading not in _ALWAYS and luck.random() < 0.2:
            continue
        lines += _section(heading, body, luck, inline)
        if open_up or not heading:
            lines.append("")
    return "".join(f" {line.removeprefix(' ')}".rstrip("\n") + "\n" for line in lines)


def openi_sections(report: Report) -> dict[str, str]:
    """Return the four sections of an Open-i report, each on one line, "" where it is empty."""
    named = {heading.lower() or "findings": " ".join(b.split()) for heading, b in report.sections}
    return {n: named.get(n, "") for n in ("findings", "impression", "indication", "comparison")}


def _section(heading: str, body: str, luck: Random, inline: bool) -> list[str]:
    """Return a section's lines: the text after the heading, or below it."""
    if not heading:
        return ["", *_wrapped(body)]
    name = luck.choice(_HEADINGS[heading])
    if inline or heading not in _ALWAYS:
        return _wrapped(f"{name}:  {body}")
    return [f"{name}: ", "", *_wrapped(body)]


def _wrapped(text: str, width: int = _WIDTH - 1) -> list[str]:
    """Return lines that fit, two blanks after a full stop as a typist would set them."""
    lines: list[str] = []
    for line in text.split("\n"):
        spaced = re.sub(r"(?<!Dr)\. ", ".  ", line) if not line[:1].isdigit() else line
        lines += textwrap.wrap(spaced, width, break_long_words=False, break_on_hyphens=False)
    return lines


def _addendum(luck: Random) -> list[str]:
    """Return an addendum, set off by a full line of underscores from the report it adds to."""
    text = luck.choice(
        (
            "ADDENDUM  The results were communicated to Dr. ___ by telephone at ___.",
            "ADDENDUM:  The date of the comparison study should read ___.",
        )
    )
    return [*_wrapped(text), _RULE]


def _wet_read(report: Report, luck: Random) -> list[str]:
    """Return the resident's first word: a sentence of the report, on the night before it."""
    text = luck.choice(report.sentences)[0]
    said = _wrapped(text[:1].lower() + text[1:], _WIDTH - 2)
    clock = f"{luck.randint(1, 12)}:{luck.randint(0, 59):02d} PM"
    return [f"WET READ: ___ ___ ___ {clock}", *(f"  {line}" for line in said), _RULE]
