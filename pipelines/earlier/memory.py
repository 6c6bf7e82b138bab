"""What earlier scans read of each file, so that only files that moved are read again.

A file counts as unmoved when its size, time and inode are what they were. The memory lies in the
state folder (.cxr/), is never tracked, and may be lost at any time: then files are read again.
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

from pipelines import epochs

TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, time INTEGER, inode INTEGER, facts TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS official (path TEXT PRIMARY KEY, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lists (digest TEXT);
"""
FRESH = 2_000_000_000  # nanoseconds: a file as young as this may change again within its time stamp
BATCH = 1000  # rows to a commit
PATIENCE = 10.0  # seconds for a base that another process holds
_OPENING = threading.Lock()


class Memory:
    """Facts by path, in one SQLite file; safe between threads. It forgets rather than fails.

    Without a path it remembers as long as it lives.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._base = _connected(":memory:") if path is None else _opened(path)

    def get(self, path: str, stat: os.stat_result) -> Any:
        """Return what was kept of the file; None where it moved or was never seen."""
        sql = "SELECT facts FROM files WHERE path = ? AND size = ? AND time = ? AND inode = ?"
        found = self._ask(sql, (_text(path), stat.st_size, stat.st_mtime_ns, stat.st_ino))
        return None if found is None else json.loads(found[0])

    def keep(self, path: str, stat: os.stat_result, facts: Any) -> None:
        """Remember what was read of a file whose state was `stat` before it was read."""
        if time.time_ns() - stat.st_mtime_ns < FRESH:
            return
        row = (_text(path), stat.st_size, stat.st_mtime_ns, stat.st_ino, json.dumps(facts))
        with self._trying() as base:
            base.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row)
            self._waiting += 1
            if self._waiting >= BATCH:
                base.commit()
                self._waiting = 0

    def official(self, path: str) -> str:
        """Return the digest that the collection's own list gives for a file; "" where none does."""
        found = self._ask("SELECT sha256 FROM official WHERE path = ?", (_text(path),))
        return "" if found is None else str(found[0])

    def learn_official(self, digest: str, rows: Iterable[tuple[str, str]]) -> None:
        """Take in (path, sha256) of the lists, unless those of this digest are in already."""
        if self._ask("SELECT digest FROM lists WHERE digest = ?", (digest,)) is not None:
            return
        with self._trying() as base:
            base.execute("DELETE FROM official")
            base.execute("DELETE FROM lists")
            lines = ((_text(path), sha256) for path, sha256 in rows)
            base.executemany("INSERT OR REPLACE INTO official VALUES (?, ?)", lines)
            base.execute("INSERT INTO lists VALUES (?)", (digest,))
            base.commit()

    def commit(self) -> None:
        """Put on the disk what was kept."""
        with self._trying() as base:
            base.commit()

    def _ask(self, sql: str, values: tuple[Any, ...]) -> Any:
        with self._trying() as base:
            return base.execute(sql, values).fetchone()
        return None

    @contextlib.contextmanager
    def _trying(self) -> Iterator[sqlite3.Connection]:
        """Yield the base; where it fails (locked by another process, damaged), nothing is known."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            yield self._base


def of_tree(root: Path, state: Path) -> str:
    """Return the file below the state folder in which scans of a tree remember what they read."""
    place = hashlib.sha256(f"{root}\0{epochs.SCAN}".encode()).hexdigest()[:16]
    return str(state / "scan" / f"{place}.sqlite")


def at(path: str) -> Memory:
    """Return the memory in a file; one for all threads of a process."""
    with _OPENING:  # two first calls at once would open two, and commit() would save only one
        return _shared(path)


@cache
def _shared(path: str) -> Memory:
    return Memory(Path(path))


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connected(path)
        except sqlite3.OperationalError:  # sound, but another process holds it
            raise
        except sqlite3.DatabaseError:  # not a base, or a damaged one: begin again
            path.unlink()
            return _connected(path)
    except (sqlite3.Error, OSError):  # held, or nowhere to write: remember for this run only
        return _connected(":memory:")


def _connected(path: Path | str) -> sqlite3.Connection:
    base = sqlite3.connect(path, check_same_thread=False, timeout=PATIENCE)
    base.execute("PRAGMA synchronous = OFF")  # what a crash loses is read again
    base.executescript(TABLES)
    return base


def _text(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("latin-1")
