"""Cut rules: a user's file of studies whose sections a parser cannot find, and how to cut them.

MIT-LCP's list for MIMIC-CXR is such a file, in the user's hands, not ours. YAML, one line a study:

    s50000001: {section: impression}          # the last section of the report is an impression
    s50000002: {section: findings, start: 120, end: 480}   # these characters of the raw file
    s50000003: {start: 0, end: 0}             # the report says nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cxr_vlp.nlp.sections import Section, split


@dataclass(frozen=True, slots=True)
class CutRule:
    """How one study's report is to be cut, against what its headings say."""

    section: str = "findings"
    start: int = -1  # -1 = the sections as found, only the last one renamed
    end: int = -1


def load(path: Path) -> Mapping[str, CutRule]:
    """Return study -> rule; ValueError names the entry that cannot be read, by its number."""
    try:
        rows: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML") from error
    if not isinstance(rows, Mapping):
        raise ValueError(f"{path}: expected a line a study")  # noqa: TRY004 - the file is wrong
    return {
        str(study): _rule(row, f"{path}: entry {number}")
        for number, (study, row) in enumerate(rows.items(), start=1)
    }


def _rule(row: Any, where: str) -> CutRule:
    try:
        rule = CutRule(**row)
    except TypeError:
        raise ValueError(f"{where}: wants section, start, end only") from None
    if not all(isinstance(n, int) for n in (rule.start, rule.end)) or not (
        rule.start == rule.end == -1 or 0 <= rule.start <= rule.end
    ):
        raise ValueError(f"{where}: start and end are characters of the file, start first")
    return rule


def cut(text: str, rule: CutRule | None) -> tuple[Section, ...]:
    """Return the sections of a report, by its rule where it has one.

    Character slices index the raw file, so they are cut before anything is normalised.
    """
    if rule is None:
        return split(text)
    if rule.start < 0:
        *others, last = split(text) or (Section("", 0, 0, ""),)
        renamed = Section(rule.section, last.start, last.end, last.text)
        return (*others, renamed) if last.text else ()
    start, end = rule.start, min(rule.end, len(text))
    content = " ".join(text[start:end].split())
    return (Section(rule.section, start, end, content),) if content else ()
