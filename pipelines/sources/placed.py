"""Returns reports that stand in a row of a table or in an object of a JSON document, by place.

The place is the `member` of a ReportRef, in bytes (files/places.py). The digest is that
of the sections, so that one report has the same digest in every form of its collection.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.nlp.layout.nontext import is_text
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import csv_tables, json_entries, paths, places
from cxr_vlp.pipelines.files.csv_tables import Line, Row


def reference(path: str, line: Line) -> Row:
    """Return the fields of a listed row that say where it stands."""
    return {"report": "1", "path": path, "member": places.name(line.place)}


def is_place(member: str) -> bool:
    """Return whether the `member` of a ReportRef is a place, and not a name in an archive."""
    return places.start_of(member) is not None


def row(path: Path, place: str, columns: Sequence[str] = (), delimiter: str = ",") -> Row:
    """Return the row of a table; its header is read once in each process.

    `columns` are spelt as given. Without a `delimiter` the fields are separated as the header is.
    Raises IngestError report.unreadable if no row stands there.
    """
    start = places.start_of(place)
    found = None
    try:
        names, mark = _form(path, paths.signature(path), tuple(columns), delimiter)
        with places.opened(path) as stream:
            found = csv_tables.row_in(stream, path.name, start or 0, names, mark)
    except (DataError, OSError):
        raise IngestError("report.unreadable") from None
    if found is None:
        raise IngestError("report.unreadable")
    return found


@functools.lru_cache(maxsize=16)
def _form(
    path: Path,
    signature: paths.Signature,  # noqa: ARG001 - a table that was replaced has another
    columns: tuple[str, ...],
    delimiter: str,
) -> tuple[list[str], str]:
    mark = delimiter or csv_tables.delimiter_of(path)
    return csv_tables.names_of(path, columns, mark), mark


def entry(path: Path, place: str) -> dict[str, Any]:
    """Return the object of a JSON document. Raises IngestError report.unreadable."""
    found = json_entries.at(places.read(path, place))
    if not isinstance(found, dict):
        raise IngestError("report.unreadable")
    return found


def checked(text: str) -> str:
    """Return the text of a JSON document as it is. Raises IngestError report.not_text."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        raise IngestError("report.not_text") from None
    if not is_text(text):
        raise IngestError("report.not_text")
    return text


def digest(report: str | Mapping[str, str]) -> str:
    """Return the digest of a report's text, or of its sections."""
    kept = report if isinstance(report, str) else dict(report)
    text = json.dumps(kept, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
