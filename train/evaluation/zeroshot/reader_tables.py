"""Reads radiologists' readings and measures them beside the model.

A table is csv, tsv, parquet or jsonl, in one of two forms:

wide   a column that names the image (key, image, path or study; CheXpert's test set: Study), and a
       column for each label. A column `reader` names the reader, else the file does (bc4.csv).
long   the columns reader, label and value, and one that names the image

A reading is 1, 0, or empty or -1 (not read). Rows are joined to images by key, path or study, never
by their order; a reading of a study holds for all its images. A row of no measured image is
counted. The files of one evaluation hold different readers, or different images of the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_vlp.nlp.labels import canonical
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.measures.readers import Readers, against
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.models import join, score_table
from cxr_vlp.train.evaluation.models.score_table import Table
from cxr_vlp.train.evaluation.scores import EXCLUDED, ScoreTable, Truth
from cxr_vlp.train.evaluation.tasks.base import TaskResult
from cxr_vlp.train.evaluation.zeroshot.measured import Measurement, Part, averaged

READER, LABEL, VALUE = "reader", "label", "value"


@dataclass(frozen=True, slots=True)
class Reading:
    """One cell of a table: who said what of which image, and where it stands."""

    image: str
    reader: str
    label: str
    value: int
    place: str  # file and line, for messages


def readers(measurement: Measurement, files: Sequence[Path], intervals: Intervals) -> TaskResult:
    """Return the readers beside the model, for every collection that has readings.

    Raises DataError for a table that cannot be read, and where no row names a measured image.
    """
    if not files:
        return TaskResult({})
    readings = [reading for path in files for reading in read(path)]
    found, rows, used = {}, [], set[str]()
    for name, part in measurement.parts.items():
        said = placed(readings, part.table)
        if not said.readers:
            continue
        used |= said.used
        found[name] = _against(part, said, intervals)
        rows += [{"collection": name, **row} for row in found[name].rows()]
    images = {reading.image for reading in readings}
    if not used:
        raise DataError(
            f"{', '.join(map(str, files))}: none of its {len(images)} images is among the measured "
            "ones: is it of another collection or split? Its first column names images by key, "
            "path or study"
        )
    unused = len(images - used)
    notes = (f"readers: {unused} of {len(images)} images are not measured here",) if unused else ()
    metrics = {"readers": {name: _metrics(each) for name, each in found.items()}}
    return TaskResult(metrics, {"readers.csv": rows}, notes=notes)


def _metrics(found: Readers) -> dict[str, object]:
    return {
        "labels": {
            each.label: {"positives": each.positives, "negatives": each.negatives,
                         "left_out": each.left_out, "why": each.why}
            for each in found.labels
        },
        "mean_of": list(found.of),
        "rows": found.rows(),
    }  # fmt: skip


def _against(part: Part, said: Placed, intervals: Intervals) -> Readers:
    table, protocol = part.table, part.protocol
    places = [table.names.index(label) for label in said.labels]
    return against(
        said.readers, table.scores[:, places], table.truth[:, places], said.labels,
        groups=[fact.patient for fact in table.facts], intervals=intervals,
        average=averaged(said.labels, protocol),
        thresholds={n: v for n, v in part.thresholds.items() if n in said.labels},
        least=1,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """Readings of the images of one table: reader -> (N, L); the rows' names that were found."""

    readers: Mapping[str, Truth]
    labels: tuple[str, ...]
    used: frozenset[str]


def placed(readings: Sequence[Reading], table: ScoreTable) -> Placed:
    """Return the readings of a table's images, for the labels that the table has.

    Raises DataError for a reader who says two things of one image and label, and for a row that
    may mean images of several studies.
    """
    index = join.Index(table.facts)
    places = {name: index.find(name) for name in {reading.image for reading in readings}}
    mine = [r for r in readings if places[r.image] and r.label in table.names]
    labels = tuple(name for name in table.names if name in {r.label for r in mine})
    shape = (len(table.facts), len(labels))
    found = {name: np.full(shape, EXCLUDED, np.int8) for name in sorted({r.reader for r in mine})}
    for reading in mine:
        rows = places[reading.image]
        _one_study(rows, table.facts, reading)
        cells = found[reading.reader][rows, labels.index(reading.label)]
        if ((cells != EXCLUDED) & (cells != reading.value)).any():
            raise DataError(f"{reading.place}: the reader says something else of this image before")
        found[reading.reader][rows, labels.index(reading.label)] = reading.value
    return Placed(found, labels, frozenset(r.image for r in mine))


def _one_study(rows: Sequence[int], facts: Sequence[ImageFacts], reading: Reading) -> None:
    if len({facts[row].study for row in rows}) > 1:
        raise DataError(
            f"{reading.place}: may mean images of several studies: give the key or a longer path"
        )


def read(path: Path) -> list[Reading]:
    """Return the readings of a table. Raises DataError for a form that is neither."""
    table = score_table.read(path)
    lowered = {name.lower(): name for name in table.columns}
    named = [lowered[name] for name in join.COLUMNS if name in lowered]
    if not named:
        raise DataError(f"{path}: no column of {', '.join(join.COLUMNS)}, which names the image")
    if LABEL in lowered and VALUE in lowered:
        return _long(table, named[0], lowered)
    return _wide(table, named[0], lowered)


def _long(table: Table, named: str, lowered: Mapping[str, str]) -> list[Reading]:
    if READER not in lowered:
        raise DataError(f"{table.path}: the columns label and value need a column reader")
    images, who = table.texts(named), table.texts(lowered[READER])
    labels = [canonical(label) for label in table.texts(lowered[LABEL])]
    values = _values(table, lowered[VALUE])
    return [
        Reading(image, reader, label, value, f"{table.path}, line {line}")
        for image, reader, label, value, line in zip(
            images, who, labels, values, table.lines, strict=True
        )
    ]


def _wide(table: Table, image: str, lowered: Mapping[str, str]) -> list[Reading]:
    images = table.texts(image)
    who = table.texts(lowered[READER]) if READER in lowered else [table.path.stem] * len(images)
    others = {READER, *join.COLUMNS}
    columns = [name for name in table.columns if name.lower() not in others]
    if not columns:
        raise DataError(f"{table.path}: no column of a label")
    return [
        Reading(image, reader, canonical(name), value, f"{table.path}, line {line}")
        for name in columns
        for image, reader, value, line in zip(
            images, who, _values(table, name), table.lines, strict=True
        )
    ]


def _values(table: Table, column: str) -> list[int]:
    """Return a column of readings: 1, 0, or EXCLUDED for -1 and for an empty cell."""
    found = table.numbers(column, empty=EXCLUDED)
    for value, line in zip(found, table.lines, strict=True):
        if value not in (1, 0, -1):
            raise DataError(
                f"{table.path}, line {line}, column {column!r}: a reading is 1, 0, -1 or empty"
            )
    return [int(value) for value in found]
