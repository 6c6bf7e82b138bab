"""Cuts a selection into the parts of the new set: a study's part is the hash of its key."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from cxr_vlp.pipelines import parts
from cxr_vlp.pipelines.format.sample import SPLITS
from cxr_vlp.pipelines.selection.source_sets import NEW

SAMPLES = 1000  # of a tar, about
MOST = 100_000  # tars of a split: their names have five digits
COLUMNS = ("key", "study", "patient", "split", "shard", "notes", "offset", "bytes",
           "json_offset", "json_bytes", "txt_offset", "txt_bytes")  # fmt: skip


def counts(table: pa.Table, given: Mapping[str, int], samples: int) -> dict[str, int]:
    """Return the number of parts of every split: as given, else by the samples of a tar."""
    there = Counter(table.column(NEW).to_pylist())
    return {
        split: given.get(split) or max(1, math.ceil(there[split] / samples)) for split in SPLITS
    }


def cut(source: str, table: pa.Table, numbers: Mapping[str, int]) -> dict[str, pa.Table]:
    """Return the rows of every part that has some, in the order of the new tar: by key."""
    rows: dict[str, list[int]] = {}
    columns = (table.column(name).to_pylist() for name in (NEW, "study"))
    for place, (split, study) in enumerate(zip(*columns, strict=True)):
        rows.setdefault(parts.of(source, split, study, numbers), []).append(place)
    keys, short = table.column("key").to_pylist(), table.select(COLUMNS).combine_chunks()
    return {
        name: short.take(pa.array(sorted(places, key=keys.__getitem__), pa.int64()))
        for name, places in rows.items()
    }
