"""Sorts more records than fit into memory, in a file that is removed at the end.

SQLite sorts them: it keeps 16 MB in memory and the rest in files beside the spool.
"""

from __future__ import annotations

import contextlib
import itertools
import marshal
import sqlite3
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines import interrupts

BATCH = 5000  # records that are stored at once
SPEED = ("synchronous = OFF", "journal_mode = OFF", "cache_size = -16384")


class Spool:
    """Records in a file: put in any order, got back in the order of their keys.

    A record holds what `marshal` can write: str, bytes, int, lists and dicts of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        for pragma in SPEED:
            self._database.execute(f"PRAGMA {pragma}")
        with contextlib.suppress(sqlite3.Error):  # SQLite may be built without it
            folder = str(path.parent).replace("'", "''")
            self._database.execute(f"PRAGMA temp_store_directory = '{folder}'")
        self._database.execute("BEGIN")
        self._database.execute("CREATE TABLE records (key BLOB, record BLOB)")

    def put(self, records: Iterable[tuple[str, Any]]) -> Iterator[int]:
        """Store (key, record) pairs; yield how many after each batch. Raises OSError."""
        rows = ((encoded(key), marshal.dumps(record)) for key, record in records)
        while batch := list(itertools.islice(rows, BATCH)):
            interrupts.check()
            with _faults():
                self._database.executemany("INSERT INTO records VALUES (?, ?)", batch)
            yield len(batch)

    def sorted(self) -> Iterator[tuple[str, Any]]:
        """Yield (key, record) by key, and those of one key in the order of `put`."""
        sql = "SELECT key, record FROM records ORDER BY key, rowid"
        with _faults():
            for key, record in self._database.execute(sql):
                yield key.decode("utf-8", "surrogatepass"), marshal.loads(record)  # our own file

    def of(self, keys: Container[str]) -> Iterator[tuple[str, Any]]:
        """Yield (key, record) of some keys, in the order of `put`."""
        sql = "SELECT key, record FROM records ORDER BY rowid"
        with _faults():
            for key, record in self._database.execute(sql):
                name = key.decode("utf-8", "surrogatepass")
                if name in keys:
                    yield name, marshal.loads(record)  # our own file

    def close(self) -> None:
        """Remove the file."""
        self._database.close()
        self._path.unlink(missing_ok=True)


def encoded(key: str) -> bytes:
    """Return a key as bytes, which sort as the text does."""
    return key.encode("utf-8", "surrogatepass")


@contextlib.contextmanager
def spool(path: Path) -> Iterator[Spool]:
    """Yield an empty spool in a new file, which is removed when the block ends."""
    path.unlink(missing_ok=True)
    made = Spool(path)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Turn a full or unreadable disk into an OSError; SQLite's own message names no cell."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(0, f"sorting the rows: {error}") from None
