"""What earlier scans read of each file, so that only files that moved are read again.

A file counts as unmoved when its size, time and inode are what they were; one that rotted on its
disk keeps all three, and nothing here can know. The memory lies in the state folder (.cxr/), is
never tracked, and may be lost at any time: then files are read again. So is a file whose row does
not match the row's own digest (sealed.py).
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
        self._path = path
        self._base = _connected(":memory:") if path is None else _opened(path)

    def get(self, path: str, stat: os.stat_result) -> Any:
        """Return what was kept of the file; None where it moved or was never seen."""
        sql = "SELECT * FROM files WHERE path = ?"
        row = self._ask(sql, (_text(path),))
        if row is None:
            return None
        if row[-1] != row_digest.digest(*row[:-1]):
            row_digest.THROWN.add()
            self._do("DELETE FROM files WHERE path = ?", (row[0],), at_once=True)
            return None
        return json.loads(row[4]) if row[1:4] == _state(stat) else None

    def keep(self, path: str, stat: os.stat_result, facts: Any) -> None:
        """Remember what was read of a file whose state was `stat` before it was read."""
        if time.time_ns() - stat.st_mtime_ns < FRESH:
            return
        row = (_text(path), *_state(stat), json.dumps(facts))
        self._do("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", _sealed(*row))

    def official(self, path: str) -> str:
        """Return the digest that the collection's own list gives for a file; "" where none does."""
        found = self._ask("SELECT sha256 FROM official WHERE path = ?", (_text(path),))
        return "" if found is None else str(found[0])

    def learn_official(self, digest: str, rows: Iterable[tuple[str, str]]) -> None:
        """Take in (path, sha256) of the lists, unless those of this digest are in, and sound."""
        if self._knows_official(digest):
            return
        with self._trying() as base:
            base.execute("DELETE FROM official")
            base.execute("DELETE FROM lists")
            lines = (_sealed(_text(path), sha256) for path, sha256 in rows)
            base.executemany("INSERT OR REPLACE INTO official VALUES (?, ?, ?)", lines)
            (number,) = base.execute("SELECT COUNT(*) FROM official").fetchone()
            base.execute("INSERT INTO lists VALUES (?, ?, ?)", _sealed(digest, number))
            base.commit()

    def _knows_official(self, digest: str) -> bool:
        """Tell whether the lists are in; every row is looked at, for a scan believes them all."""
        known = self._ask("SELECT * FROM lists WHERE lists = ?", (digest,))
        if known is None:
            return False
        with self._trying() as base:
            rows = base.execute("SELECT * FROM official").fetchall()
            bad = sum(row[-1] != row_digest.digest(*row[:-1]) for row in rows)
            bad += known[-1] != row_digest.digest(*known[:-1])
            row_digest.THROWN.add(bad)
            return bad == 0 and len(rows) == known[1]
        return False

    def commit(self) -> None:
        """Put on the disk what was kept."""
        with self._trying() as base:
            base.commit()

    def _ask(self, sql: str, values: tuple[Any, ...]) -> Any:
        with self._trying() as base:
            return base.execute(sql, values).fetchone()
        return None

    def _do(self, sql: str, values: tuple[Any, ...], *, at_once: bool = False) -> None:
        with self._trying() as base:
            base.execute(sql, values)
            self._waiting += 1
            if at_once or self._waiting >= BATCH:
                base.commit()
                self._waiting = 0

    @contextlib.contextmanager
    def _trying(self) -> Iterator[sqlite3.Connection]:
        """Yield the base; where it fails (locked by another process, damaged), nothing is known."""
        with self._lock:
            try:
                yield self._base
            except sqlite3.OperationalError:  # sound, but another process holds it, or no room
                pass
            except sqlite3.DatabaseError:  # a damaged page: begin again, at most once a run
                row_digest.THROWN.add()
                self._base.close()
                self._base = self._anew()

    def _anew(self) -> sqlite3.Connection:
        path, self._path = self._path, None
        if path is None:
            return _connected(":memory:")
        row_digest.forget(path)
        return _opened(path)


def _state(stat: os.stat_result) -> tuple[int, int, str]:
    # as text: inodes of network file systems may have 64 bits, and SQLite's integers have 63
    return stat.st_size, stat.st_mtime_ns, str(stat.st_ino)


def _sealed(*fields: Any) -> tuple[Any, ...]:
    return (*fields, row_digest.digest(*fields))


def of_tree(root: Path, state: Path) -> str:
    """Return the file below the state folder in which scans of a tree remember what they read."""
    name = f"{root}\0{versions.SCAN}\0{row_digest.VERSION}".encode("utf-8", "surrogateescape")
    place = hashlib.sha256(name).hexdigest()[:16]
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
            row_digest.THROWN.add()
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
