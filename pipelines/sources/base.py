"""What every reader of a collection offers, and the small steps they share.

A reader turns a raw root into keyed rows (`tables`, `rows`), joins the rows of one study
(`assemble`) and reads a report when `texts` asks for it (`report`). It knows the layout and the
traps of one collection and nothing of Beam, pixels or shards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from nlp import labels as names
from pipelines.faults import IngestError
from pipelines.records import Lost, ReportRef, Study
from pipelines.splits import PatientRule
from pipelines.tables import Row

Rows = Mapping[str, Sequence[Row]]
Report = str | Mapping[str, str]  # raw text, or sections where the collection gives them apart


@dataclass(frozen=True)
class Table:
    """A listing of the collection: a CSV, a list, or "files", the walk over the tree itself."""

    name: str
    path: str = ""  # relative to the root; "" for the walk


@dataclass(frozen=True)
class Assembled:
    """A study joined from its rows; what was lost on the way, and what was odd (`notes`)."""

    study: Study | None
    listed: int  # images that the collection lists for the study
    lost: tuple[Lost, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)  # code -> how often


class Source(Protocol):
    """One collection's reader. Implementations are frozen dataclasses of their options."""

    name: str  # short and lower case; begins every key and file name
    title: str
    licence: str
    has_reports: bool  # False: a study without a report is the rule here and worth no note
    credentialed: bool  # its users signed an agreement; its data may not leave the machine

    def tables(self, root: Path) -> tuple[Table, ...]:
        """Return the listings found below the root. Raises ConfigError where it holds none."""

    def rows(self, root: Path, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (study key, row) of one listing. Raises DataError where the listing is broken."""

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join the rows of one study, under the source's own ids (ids.py hides them).

        Raises DataError where the rows contradict each other.
        """

    def report(self, root: Path, ref: ReportRef) -> tuple[Report, str]:
        """Return a study's report and the sha256 of the bytes it was parsed from.

        One call reads once: a digest of a second read may be that of another report. Raises
        IngestError report.*.
        """


class LabelsOnly:
    """The half of a Source that collections without reports share."""

    has_reports: ClassVar[bool] = False

    def report(self, root: Path, ref: ReportRef) -> tuple[Report, str]:  # noqa: ARG002
        """Raise IngestError report.missing: the collection was released without reports."""
        raise IngestError("report.missing")


# A label cell: 1 positive, 0 negative, -1 uncertain, blank not mentioned (never "negative").
LABEL_VALUES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}


def label_columns(row: Row | None, columns: Iterable[str], notes: Counter[str]) -> dict[str, int]:
    """Return name -> 1, 0, -1 of a row's label columns; another value is noted, not guessed."""
    found = {}
    for column in columns:
        cell = (row or {}).get(column, "").strip()
        if cell in LABEL_VALUES:
            found[names.canonical(column)] = LABEL_VALUES[cell]
        elif cell:
            notes[f"label.bad_value:{column}"] += 1
    return found


def sex_of(text: str) -> str:
    """Return "F", "M" or "" of a sex column."""
    first = text.strip().upper()[:1]
    return first if first in ("F", "M") else ""
