"""Stores rows of the state folder with a digest of their fields, and discards damaged rows.

The digest finds a bit that changed on a disk, a row that was cut short, and an edit by hand. It
does not protect against the owner of the files, who can compute it too. It cannot find a damaged
*raw* file either: a file with the same size, time and inode counts as the file that was read. Only
reading the file again would find that (`verify --rederive` does).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.records import dumps

VERSION = 2  # of the rows in the state folder; rows of another version are not read
DIGEST = "digest"


class DiscardedRows:
    """The number of rows that did not match their digest and were discarded by this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def add(self, number: int = 1) -> None:
        """Count rows."""
        with self._lock:
            self._number += number

    def take(self) -> int:
        """Return the number and set it to 0."""
        with self._lock:
            number, self._number = self._number, 0
            return number


DISCARDED = DiscardedRows()


def digest(*fields: Any) -> str:
    """Return the digest of a row's fields: str, int, None and JSON values."""
    text = json.dumps([VERSION, *fields], sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def short(*fields: Any) -> bytes:
    """Return a digest of 8 bytes, for the many rows of a database: str, bytes, int and None."""
    return hashlib.blake2b(repr(fields).encode("utf-8", "replace"), digest_size=8).digest()


def of_bytes(name: bytes, value: bytes) -> bytes:
    """Return a digest of 8 bytes in a quarter of the time of `short`; `name` has no NUL."""
    return hashlib.blake2b(b"%b\0%b" % (name, value), digest_size=8).digest()


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file of one row."""
    plain = json.loads(dumps(values))  # the values that `read` will return
    jsonl.write_records(path, [{"version": VERSION, "row": plain, DIGEST: digest(plain)}])


def read(path: Path) -> Any:
    """Return the row of a file; None if there is no valid row.

    A row that does not match its digest is counted and removed; one of another version is removed.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        found = json.loads(data)
        if isinstance(found, dict) and found[DIGEST] == digest(found["row"]):
            return found["row"]
        damaged = isinstance(found, dict) and found["version"] == VERSION
    except KeyError:  # a row of a release without digests
        damaged = isinstance(found.get("version", ""), int)
    except (ValueError, TypeError, RecursionError):
        damaged = True
    if damaged:
        DISCARDED.add()
    remove(path)
    return None


def remove(path: Path) -> None:
    """Remove the file of a row; a file that cannot be removed is found invalid again later."""
    with contextlib.suppress(OSError):
        path.unlink()


def report(number: int) -> None:
    """Print how many rows were discarded, if any."""
    if number:
        one = "1 row did not match its digest and was discarded; what it described"
        many = (
            f"{number:,} rows did not match their digests and were discarded; what they described"
        )
        sys.stderr.write(f"state: {one if number == 1 else many} is made or read again\n")
