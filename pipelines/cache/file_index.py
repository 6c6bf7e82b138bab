"""What earlier scans read from each file, so that only changed files are read again.

A file counts as unchanged if its size, time and inode are the same; a file that was damaged on its
disk keeps all three, and nothing here can detect that (`verify --rederive` does). The rows are in
the table `files` of an index (scan_index.py), each with a digest of its own; a row that does not
match it is counted and not used.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import row_digest

FRESH = 2_000_000_000  # nanoseconds: a younger file may change again with the same time stamp
TABLE = """CREATE TABLE IF NOT EXISTS files (
    name BLOB PRIMARY KEY, size INTEGER, time INTEGER, inode TEXT, facts TEXT, digest BLOB)
    WITHOUT ROWID"""
State = tuple[int, int, str]  # size in bytes, time in nanoseconds, inode as text
Row = tuple[bytes, int, int, str, str]  # name, state, facts as JSON


@dataclass
class FileIndex:
    """Facts by name, of the files of one piece of work; what is read anew is in `new`.

    A name is a path below the root, or a path and a member of it, with NUL between.
    """

    known: dict[str, tuple[State, Any]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # path -> the collection's own digest
    new: dict[str, tuple[State, Any]] = field(default_factory=dict)

    def get(self, name: str, stat: os.stat_result) -> Any:
        """Return the facts of a file; None if the file changed or was never read."""
        found, facts = self.known.get(name, (None, None))
        return facts if found == state(stat) else None

    def store(self, name: str, stat: os.stat_result, facts: Any) -> None:
        """Store the facts of a file; `stat` is its state before it was read."""
        if not fresh(stat.st_mtime_ns):
            self.known[name] = self.new[name] = state(stat), facts

    def official(self, path: str) -> str:
        """Return the digest that the collection's own list gives for a file; "" if none does."""
        return self.digests.get(path, "")


def fresh(mtime: int) -> bool:
    """Return whether a file is so young that it may change without another time stamp."""
    return time.time_ns() - mtime < FRESH


def state(stat: os.stat_result) -> State:
    """Return the state of a file."""
    # as text: inodes of network file systems may have 64 bits, and SQLite's integers have 63
    return stat.st_size, stat.st_mtime_ns, str(stat.st_ino)


def name_of(text: str) -> bytes:
    """Return a name as the database holds it: file names need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def rows(found: Iterable[tuple[str, Any, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of (name, state, facts), each with its digest."""
    for name, (size, mtime, inode), facts in found:
        row = (name_of(name), size, mtime, inode, json.dumps(facts))
        yield (*row, row_digest.short(*row))


def kept(row: tuple[Any, ...]) -> tuple[State, Any] | None:
    """Return (state, facts) of a row; None if the row does not match its digest."""
    if row[-1] != row_digest.short(*row[:-1]):
        row_digest.DISCARDED.add()
        return None
    return (row[1], row[2], row[3]), json.loads(row[4])


def facts(index: Path, name: str, stat: os.stat_result) -> Any:
    """Return what an index knows of a file in this state; None if nothing, or without an index."""
    try:
        database = _opened(index, index.stat().st_ino)
        row = database.execute("SELECT * FROM files WHERE name = ?", (name_of(name),)).fetchone()
    except (OSError, sqlite3.Error):
        return None
    found = kept(row) if row else None
    return found[1] if found and found[0] == state(stat) else None


@lru_cache(maxsize=2)
def _opened(index: Path, _inode: int) -> sqlite3.Connection:
    """Return the open index. A file of an index never changes: a scan puts another in its place."""
    return reading(index)


def reading(index: Path) -> sqlite3.Connection:
    """Open an index to read it; no file is made beside it, and none is needed."""
    address = f"{index.absolute().as_uri()}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True, check_same_thread=False)
