"""Keeps the indices of tars in the state folder: a tar has no directory.

Its index takes a pass over all headers, which is a seek for each member: on a hard disk minutes for
200,000, and every worker process needs it. A file of the state folder that is damaged, or is of a
tar that changed, is made again; so the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.files.archive_index import Index

VERSION = f"2 {sys.byteorder}"  # of the files; those of another version are not read
FRESH = 2_000_000_000  # nanoseconds: a younger tar may change again with the same time stamp

Signature = tuple[int, int, int]  # size, time in nanoseconds, inode


def path_of(folder: Path, archive: Path) -> Path:
    """Return the file that holds an archive's index."""
    name = hashlib.sha256(str(archive).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return folder / f"{name}.tar-index"


def read(path: Path, signature: Signature) -> Index | None:
    """Return the index of an archive with this signature; None without a whole one."""
    try:
        with path.open("rb") as stream:
            head = json.loads(stream.readline())
            data = stream.read()
        said = head.pop("sha256")
        if said != _digest(head, data) or head["version"] != VERSION:
            return None
        if head["signature"] != list(signature):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    index = Index()
    index.faults.update(head["faults"])
    place = 0
    for column in index.columns:
        size = head["members"] * column.itemsize
        column.frombytes(data[place : place + size])
        place += size
    index.names = data[place:].split(b"\0") if head["members"] else []
    return index


def write(path: Path, signature: Signature, index: Index) -> None:
    """Write an index, unless its archive is too young or the folder cannot be written."""
    if time.time_ns() - signature[1] < FRESH:
        return
    columns: tuple[array[int], ...] = index.columns
    # a name holds no NUL
    data = b"".join(column.tobytes() for column in columns) + b"\0".join(index.names)
    head = {
        "version": VERSION,
        "signature": signature,
        "members": len(index.names),
        "faults": index.faults,
    }
    head["sha256"] = _digest(head, data)
    with contextlib.suppress(OSError), jsonl.replacing(path) as stream:
        stream.write(json.dumps(head).encode() + b"\n" + data)


def _digest(head: Mapping[str, Any], data: bytes) -> str:
    """Return the digest of all of an index: a head that was edited is not used."""
    return hashlib.sha256(json.dumps(head, sort_keys=True).encode() + data).hexdigest()
