"""Reads the members of chosen samples from the tars of a set; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.errors import DataError

_BATCH = 4096  # rows of a table that become Python objects at once


@dataclass(frozen=True, slots=True)
class Stored:
    """A sample as it is stored: its row of the table of samples, and the bytes of its members."""

    row: dict[str, Any]
    image: bytes
    document: bytes
    caption: bytes


def samples(folder: Path, table: pa.Table) -> Iterator[Stored]:
    """Yield the samples of a set that a table lists, in the order of the table.

    A table in the order of `sample_table.build` reads every tar once and from its start to its end.
    Raises DataError for a tar that has become shorter than the table says.
    """
    for (split, shard), rows in groupby(_rows(table), key=itemgetter("split", "shard")):
        path = folder / split / shard
        with path.open("rb") as tar:
            for row in rows:
                image, document, caption = (
                    tar.seek(row[f"{name}offset"]) and tar.read(row[f"{name}bytes"])
                    for name in ("", "json_", "txt_")
                )
                if len(caption) < row["txt_bytes"]:
                    raise DataError(f"{path}: cut off; run cxr-vlp verify on the set")
                yield Stored(row, image, document, caption)


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=_BATCH):
        yield from batch.to_pylist()
