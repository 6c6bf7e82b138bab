"""Stores the facts that scans read from each file, so that only changed files are read again.

A file counts as unchanged if its size, time and inode are the same; a file that was damaged on its
disk keeps all three, and the index cannot detect that. The index is in the state folder (.cxr/), is
never tracked, and may be deleted at any time: then files are read again. So is a file whose row
does not match the row's own digest (row_digest.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import row_digest
from cxr_vlp.pipelines.format import versions

TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, time INTEGER, inode TEXT, facts TEXT, digest TEXT)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS official (path TEXT PRIMARY KEY, sha256 TEXT, digest TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lists (lists TEXT, rows INTEGER, digest TEXT);
"""
FRESH = 2_000_000_000  # nanoseconds: a younger file may change again with the same time stamp
BATCH = 1000  # rows per commit
LOCK_TIMEOUT = 10.0  # seconds to wait for a database that another process has locked
_OPENING = threading.Lock()


class FileIndex:
    """Facts by path, in one SQLite file; safe between threads.

    If the database fails, the index returns nothing instead of raising. Without a path it is in
    memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._path = path
        self._database = _connected(":memory:") if path is None else _opened(path)

    def get(self, path: str, stat: os.stat_result) -> Any:
        """Return the facts of a file; None if the file changed or was never read."""
        sql = "SELECT * FROM files WHERE path = ?"
        row = self._read(sql, (_text(path),))
        if row is None:
            return None
        if row[-1] != row_digest.digest(*row[:-1]):
            row_digest.DISCARDED.add()
            self._write("DELETE FROM files WHERE path = ?", (row[0],), at_once=True)
            return None
        return json.loads(row[4]) if row[1:4] == _state(stat) else None

    def store(self, path: str, stat: os.stat_result, facts: Any) -> None:
        """Store the facts of a file; `stat` is its state before it was read."""
        if time.time_ns() - stat.st_mtime_ns < FRESH:
            return
        row = (_text(path), *_state(stat), json.dumps(facts))
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", _with_digest(*row))

    def official(self, path: str) -> str:
        """Return the digest that the collection's own list gives for a file; "" if none does."""
        found = self._read("SELECT sha256 FROM official WHERE path = ?", (_text(path),))
        return "" if found is None else str(found[0])

    def store_official(self, digest: str, rows: Iterable[tuple[str, str]]) -> None:
        """Store (path, sha256) of the lists, unless those with this digest are stored intact."""
        if self._has_official(digest):
            return
        with self._using() as database:
            database.execute("DELETE FROM official")
            database.execute("DELETE FROM lists")
            lines = (_with_digest(_text(path), sha256) for path, sha256 in rows)
            database.executemany("INSERT OR REPLACE INTO official VALUES (?, ?, ?)", lines)
            (number,) = database.execute("SELECT COUNT(*) FROM official").fetchone()
            database.execute("INSERT INTO lists VALUES (?, ?, ?)", _with_digest(digest, number))
            database.commit()

    def _has_official(self, digest: str) -> bool:
        """Return whether the lists are stored. Checks every row, because a scan uses all rows."""
        known = self._read("SELECT * FROM lists WHERE lists = ?", (digest,))
        if known is None:
            return False
        with self._using() as database:
            rows = database.execute("SELECT * FROM official").fetchall()
            bad = sum(row[-1] != row_digest.digest(*row[:-1]) for row in rows)
            bad += known[-1] != row_digest.digest(*known[:-1])
            row_digest.DISCARDED.add(bad)
            return bad == 0 and len(rows) == known[1]
        return False

    def commit(self) -> None:
        """Write stored rows to the disk."""
        with self._using() as database:
            database.commit()

    def _read(self, sql: str, values: tuple[Any, ...]) -> Any:
        with self._using() as database:
            return database.execute(sql, values).fetchone()
        return None

    def _write(self, sql: str, values: tuple[Any, ...], *, at_once: bool = False) -> None:
        with self._using() as database:
            database.execute(sql, values)
            self._waiting += 1
            if at_once or self._waiting >= BATCH:
                database.commit()
                self._waiting = 0

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """Yield the database. If it fails (locked, damaged), the block has no effect."""
        with self._lock:
            try:
                yield self._database
            except sqlite3.OperationalError:  # intact, but locked by another process, or disk full
                pass
            except sqlite3.DatabaseError:  # a damaged page: start a new database, once a run
                row_digest.DISCARDED.add()
                self._database.close()
                self._database = self._new()

    def _new(self) -> sqlite3.Connection:
        path, self._path = self._path, None
        if path is None:
            return _connected(":memory:")
        row_digest.remove(path)
        return _opened(path)


def _state(stat: os.stat_result) -> tuple[int, int, str]:
    # as text: inodes of network file systems may have 64 bits, and SQLite's integers have 63
    return stat.st_size, stat.st_mtime_ns, str(stat.st_ino)


def _with_digest(*fields: Any) -> tuple[Any, ...]:
    return (*fields, row_digest.digest(*fields))


def path_of(root: Path, state: Path) -> str:
    """Return the path of a tree's index below the state folder."""
    name = f"{root}\0{versions.SCAN}\0{row_digest.VERSION}".encode("utf-8", "surrogateescape")
    place = hashlib.sha256(name).hexdigest()[:16]
    return str(state / "scan" / f"{place}.sqlite")


def shared(path: str) -> FileIndex:
    """Return the index in a file; one object for all threads of a process."""
    with _OPENING:  # two first calls at once would open two, and commit() would save only one
        return _shared(path)


@cache
def _shared(path: str) -> FileIndex:
    return FileIndex(Path(path))


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(path)
        except sqlite3.OperationalError:  # intact, but locked by another process
            raise
        except sqlite3.DatabaseError:  # not a database, or a damaged one: start a new one
            row_digest.DISCARDED.add()
            path.unlink()
            return _connected(path)
    except (sqlite3.Error, OSError):  # locked, or not writable: use memory, for this run only
        return _connected(":memory:")


def _connected(path: Path | str) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, timeout=LOCK_TIMEOUT)
    database.execute("PRAGMA synchronous = OFF")  # rows lost in a crash are read again
    database.executescript(TABLES)
    return database


def _text(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("latin-1")
