"""What the filters offer: the values that occur in the opened sets, with their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr_vlp.pipelines.cards.sample_table import LABEL
from cxr_vlp.pipelines.format.sample import SPLITS, VIEWS
from cxr_vlp.pipelines.inspector.filters import CHOICES, UNSET

Count = tuple[str, int]
_ORDER = {name: i for i, name in enumerate((*SPLITS, *VIEWS))}


@dataclass(frozen=True)
class Choices:
    """The values of every filter and how many samples have them."""

    of: Mapping[str, Sequence[Count]]  # dataset, split, view, sex, status, note
    labels: Mapping[str, Mapping[str, int]]  # label -> value -> samples
    present: Mapping[str, int]  # devices, changes, boxes -> samples that have any
    has_reports: bool
    has_ages: bool


def of(table: pa.Table) -> Choices:
    """Return the values in a table of samples that filters can choose."""
    found = {name: _counts(table.column(name)) for name in CHOICES}
    found["sex"] = [(value or "unknown", number) for value, number in found["sex"]]
    found["note"] = _counts(pc.list_flatten(table.column("notes")))
    found["status"] = [(name, n) for name, n in zip(STATUS_NAMES, _statuses(table), strict=True)]
    names = ("devices", "changes", "boxes")
    present = {name: _positive(table.column(name)) for name in names}
    reports = pc.max(table.column("sentences")).as_py() or 0
    ages = table.column("age").null_count < table.num_rows
    return Choices(found, labels(table), present, reports > 0, ages)


def labels(table: pa.Table) -> dict[str, dict[str, int]]:
    """Return label -> value -> number of samples, for all labels that any sample has."""
    found = {}
    for name in (name for name in table.column_names if name.startswith(LABEL)):
        column = table.column(name)
        if column.null_count < table.num_rows:
            found[name.removeprefix(LABEL)] = _values(column, table.num_rows)
    others = pc.list_flatten(table.column("labels_other"))
    names, values = pc.struct_field(others, "name"), pc.struct_field(others, "value")
    for name in sorted(set(names.unique().to_pylist()) - found.keys()):
        found[name] = _values(values.filter(pc.equal(names, name)), table.num_rows)
    return found


def _values(column: pa.ChunkedArray, rows: int) -> dict[str, int]:
    counts = {str(value): number for value, number in _pairs(column) if value is not None}
    return counts | {UNSET: rows - sum(counts.values())}


STATUS_NAMES = ("abnormal", "uncertain", "normal", "nonfinding", "none")


def _statuses(table: pa.Table) -> list[int]:
    """Return the number of samples of every status; the rules are those of filters.STATUSES."""
    return np.bincount(statuses(table), minlength=len(STATUS_NAMES)).tolist()


def statuses(table: pa.Table) -> np.ndarray[Any, Any]:
    """Return the status of every row's report, as a place in STATUS_NAMES."""
    counts = [
        table.column(name).to_numpy()
        for name in ("sentences_abnormal", "sentences_uncertain", "sentences_normal", "sentences")
    ]
    chosen: np.ndarray[Any, Any] = np.select([count > 0 for count in counts], range(4), 4)
    return chosen


def _positive(column: pa.ChunkedArray) -> int:
    return pc.sum(pc.greater(column, 0)).as_py() or 0


def _counts(column: pa.ChunkedArray) -> list[Count]:
    pairs = Counter(dict(_pairs(column)))
    return sorted(pairs.items(), key=lambda pair: (_ORDER.get(pair[0], 99), pair[0]))


def _pairs(column: pa.ChunkedArray) -> list[tuple[Any, int]]:
    return [(each["values"], each["counts"]) for each in column.value_counts().to_pylist()]
