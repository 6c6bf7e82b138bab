"""Finds the report of a row, and reads it again: from its row, or from a file of its own.

A row of an inventory has the place of a report and its digest. In a CSV file or JSON lines the
place is the row's first byte. A packed file or Parquet has no such place: then the texts are copied
once in each process to an unnamed temporary file.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import ReportRef
from cxr_vlp.pipelines.sources import placed, reading
from cxr_vlp.pipelines.sources.base import RawReport, Report
from cxr_vlp.pipelines.sources.table import formats
from cxr_vlp.pipelines.sources.table.meaning import Meaning
from cxr_vlp.pipelines.sources.table.plan import Part


def in_row(meaning: Meaning, row: Row) -> Report:
    """Return the report that a row holds, as sections or as text; "" or {} if it has none.

    With both, the text counts where the sections have neither findings nor impression.
    """
    named = {name: pick.of(row) for name, pick in meaning.sections.items()}
    found = {name: text for name, text in named.items() if text}
    if "findings" in found or "impression" in found:
        return found
    return meaning.text.of(row, plain=False) or found


def place_of(part: Part, line: Line, *, seekable: bool) -> dict[str, str]:
    """Return where a row's report is and its digest, under the names of `facts`."""
    meaning = part.meaning
    if meaning.report_file:
        stated = meaning.report_file.of(line.row)
        return {"report": stated} if stated else {"report_blank": "1"}
    if not meaning.has_text:
        return {}
    report = in_row(meaning, line.row)
    if not report:
        return {"report_blank": "1"}
    place = f"at {line.place}" if seekable else f"row {line.number}"
    return {"report": part.path, "member": f"{part.name} {place}", "sha256": placed.digest(report)}


def read(part: Part, root: Root, ref: ReportRef) -> RawReport:
    """Return a report that is in a row. Raises IngestError report.*, and DataError."""
    path = paths.inside(root, ref.path)
    kind, _, place = ref.member.partition(" ")[2].partition(" ")
    if kind == "at":
        report = in_row(part.meaning, _row_at(path, place))
    else:
        spool = Spool.of(path, part.name, _Hidden(part.meaning), paths.signature(path))
        report = spool.read(place)
    if not report:
        raise IngestError("report.unreadable")
    return RawReport(report, placed.digest(report))


def read_file(root: Root, ref: ReportRef) -> RawReport:
    """Return a report in a file of its own. Raises IngestError report.*, path.*."""
    data = reading.of_file(paths.inside(root, ref.path))
    text, note = reading.text(data)
    return RawReport(text, hashlib.sha256(data).hexdigest(), note)


def _row_at(path: Path, place: str) -> Row:
    if formats.is_csv(path):
        return placed.row(path, place, delimiter="")
    return formats.row_at(path, int(place)) or {}


@dataclass(frozen=True, eq=False)
class _Hidden:
    """A meaning that a cache does not compare: the name of the part stands for it."""

    meaning: Meaning

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hidden) and repr(other.meaning) == repr(self.meaning)


@dataclass(frozen=True)
class Spool:
    """The reports of a table in an unnamed temporary file: row number -> place and size."""

    stream: BufferedRandom
    places: Mapping[str, tuple[int, int]]

    @classmethod
    @functools.lru_cache(maxsize=2)
    def of(cls, path: Path, part: str, hidden: _Hidden, signature: paths.Signature) -> Spool:  # noqa: ARG003
        """Copy the reports of a table. Raises DataError for a table that is broken as a whole."""
        stream = tempfile.TemporaryFile()  # noqa: SIM115 - open for the life of the process
        places = {}
        for line in formats.rows(path, hidden.meaning.columns()):
            report = "" if line.code else in_row(hidden.meaning, line.row)
            if report:
                data = json.dumps(report).encode()
                places[str(line.number)] = (stream.tell(), len(data))
                stream.write(data)
        stream.flush()
        return cls(stream, places)

    def read(self, number: str) -> Report:
        """Return the report of a row. Raises IngestError report.unreadable."""
        if number not in self.places:
            raise IngestError("report.unreadable")
        place, size = self.places[number]
        report: Report = json.loads(os.pread(self.stream.fileno(), size, place))
        return report
