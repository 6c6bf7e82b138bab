"""Reads annotation.json, in which R2Gen and its followers keep MIMIC-CXR and Open-i.

It is one document {train: [...], val: [...], test: [...]} of {id, report, image_path: [...],
split}, for MIMIC-CXR also study_id and subject_id. It says which images there are, their split, and
the report, most often the findings alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import cells, json_entries, paths, places
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.json_entries import Entry
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.sources import placed
from cxr_vlp.pipelines.sources.base import Report, Table

NAMES = ("annotation.json", "mimic_annotation_all.json")
SPLITS = {"train": "train", "val": "validate", "valid": "validate", "validate": "validate",
          "test": "test"}  # fmt: skip
# Some copies hold the whole report in place of its findings.
_HEADED = re.compile(r"(?:^|\n)[ \t]*(?:FINAL REPORT|FINDINGS|IMPRESSION)\b")


def lines(root: Root, table: Table) -> Iterator[Line]:
    """Yield a line for each image of each entry; `number` is that of the entry.

    A row has the entry's id, study_id, subject_id, image (the path as it is given) and split, and
    the place and digest of the report if there is one. Codes: json.entry, split.conflict,
    split.unknown.
    """
    for entry in json_entries.of_lists(paths.inside(root, table.path)):
        try:
            for row in _rows(entry, table.path):
                yield Line(entry.number, row)
        except IngestError as error:
            yield Line(entry.number, {}, error.code)


def _rows(entry: Entry, path: str) -> Iterator[Row]:
    value = entry.value
    if not isinstance(value, dict):
        raise IngestError("json.entry")
    images = value.get("image_path")
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not images or not all(map(_is_name, images)):
        raise IngestError("json.entry")
    row = {name: _word(value.get(name)) for name in ("id", "study_id", "subject_id")}
    row["split"] = _split(entry.key, value.get("split"))
    report = value.get("report")
    if isinstance(report, str) and cells.known(report):
        row |= {"report": "1", "path": path, "member": places.name(entry.start, entry.size),
                "sha256": placed.digest(report)}  # fmt: skip
    for image in images:
        yield row | {"image": image.strip().replace("\\", "/")}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _word(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _split(key: str, stated: Any) -> str:
    """Return the split of an entry: the name of its list, which its own field repeats."""
    split = SPLITS.get(key.strip().lower())
    if split is None:
        raise IngestError("split.unknown")
    if stated is not None and SPLITS.get(str(stated).strip().lower()) != split:
        raise IngestError("split.conflict")
    return split


def report(path: Path, place: str) -> tuple[Report, str]:
    """Return (report, digest): the findings, or the text where it has headings.

    Raises IngestError report.unreadable, report.not_text.
    """
    text = placed.entry(path, place).get("report")
    if not isinstance(text, str):
        raise IngestError("report.unreadable")
    placed.checked(text)
    found: Report = text if _HEADED.search(text) else {"findings": text.strip()}
    return found, placed.digest(text)
