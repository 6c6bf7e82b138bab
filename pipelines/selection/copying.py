"""Copies samples from the tars of a set into a new tar; no image is decoded.

The members of a sample lie one after the other, so a sample is one read. Image and caption are
copied as they are, and so is the JSON member, except that `split` changes if the sample does.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import tar
from cxr_vlp.pipelines.format.tar import TarWriter
from cxr_vlp.pipelines.records import dumps

_OPEN = 64  # tars that are open at once; a process may open about a thousand files
_BATCH = 4096  # rows that become Python objects at once
_AGAIN = "run cxr-vlp verify on the set, and copy or build it again"


def check_tar(path: Path, sha256: str) -> None:
    """Raise DataError if a tar has another digest than its manifest says."""
    if jsonl.sha256(path) != sha256:
        raise DataError(f"{path}: shard.digest: other bytes than the manifest says; {_AGAIN}")


def write_tar(folder: Path, form: str, rows: pa.Table, split: str, path: Path) -> dict[str, Any]:
    """Write the tar of a part from the samples of a set; return what its manifest line says.

    `folder` is the set, `form` the ending of its images, `rows` the samples in their order
    (`layout.COLUMNS`), `split` the split that they have in the new set. Raises DataError where a
    tar does not hold what the table of samples says.
    """
    notes: Counter[str] = Counter()
    with jsonl.replacing(path) as stream, _Tars(folder) as tars:
        writer = TarWriter(stream)
        for batch in rows.to_batches(max_chunksize=_BATCH):
            for row in batch.to_pylist():
                image, document, caption = tars.members(row, form)
                if row["split"] != split:
                    document = _moved(document, split)
                for ending, data in ((form, image), ("json", document), ("txt", caption)):
                    writer.add(f"{row['key']}.{ending}", data)
                notes.update(row["notes"])
        sha256, size = writer.finish()
    return {
        "name": path.name,
        "split": split,
        "sha256": sha256,
        "bytes": size,
        "samples": rows.num_rows,
        "studies": len(rows.column("study").unique()),
        "patients": len(rows.column("patient").unique()),
        "notes": dict(sorted(notes.items())),
    }


def _moved(document: bytes, split: str) -> bytes:
    """Return a sample's JSON member with another split, in the one form of the format."""
    row = json.loads(document)
    row["split"] = split
    return dumps(row).encode()


class _Tars(contextlib.AbstractContextManager["_Tars"]):
    """Reads samples from the tars of a set; the tars that were used last stay open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Path, int] = {}

    def __exit__(self, *_error: object) -> None:
        for handle in self._open.values():
            os.close(handle)

    def members(self, row: Mapping[str, Any], form: str) -> Iterator[bytes]:
        """Return the image, the JSON and the caption of a sample. Raises DataError."""
        path = self._folder / row["split"] / row["shard"]
        start, end = row["offset"] - tar.BLOCK, row["txt_offset"] + row["txt_bytes"]
        data = os.pread(self._handle(path), end - start, start)
        found = []
        for ending, name in ((form, ""), ("json", "json_"), ("txt", "txt_")):
            at, size = row[f"{name}offset"] - start, row[f"{name}bytes"]
            if data[max(at - tar.BLOCK, 0) : at] != tar.header(f"{row['key']}.{ending}", size):
                raise DataError(f"{path}: not the tar that the table of samples is of; {_AGAIN}")
            found.append(data[at : at + size])
        if len(data) != end - start:
            raise DataError(f"{path}: cut off; {_AGAIN}")
        return iter(found)

    def _handle(self, path: Path) -> int:
        handle = self._open.pop(path, None)
        if handle is None:
            if len(self._open) >= _OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            handle = os.open(path, os.O_RDONLY)
        self._open[path] = handle
        return handle
