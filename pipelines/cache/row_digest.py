"""Rows of the state folder, each with a digest of its own fields: what rotted is not believed.

The digest finds a bit that a disk turned over, a row that was cut short, and a careless edit. It is
no protection from the owner of the files, who can compute it as well. Nor can it tell that a *raw*
file rotted: one whose size, time and inode are what they were counts as the file that was read.
Only reading it again would tell (`verify --rederive` does).
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

VERSION = 2  # of what lies in the state folder; rows of another are not read
DIGEST = "digest"


class Thrown:
    """How many rows of this process did not match their digest and were thrown away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def add(self, number: int = 1) -> None:
        """Count rows."""
        with self._lock:
            self._number += number

    def take(self) -> int:
        """Return the number, and begin again."""
        with self._lock:
            number, self._number = self._number, 0
            return number


THROWN = Thrown()


def digest(*fields: Any) -> str:
    """Return the digest of a row's fields: str, int, None and what JSON holds."""
    text = json.dumps([VERSION, *fields], sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file of one row."""
    plain = json.loads(dumps(values))  # as it will be read
    jsonl.write_records(path, [{"version": VERSION, "row": plain, DIGEST: digest(plain)}])


def read(path: Path) -> Any:
    """Return the row of a file; None where there is none that can be believed.

    A row that does not match its digest is counted and removed, one of another version removed.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    try:
        found = json.loads(data)
        if isinstance(found, dict) and found[DIGEST] == digest(found["row"]):
            return found["row"]
        ours = isinstance(found, dict) and found["version"] == VERSION
    except KeyError:  # a row of a release that had no digests
        ours = isinstance(found.get("version", ""), int)
    except (ValueError, TypeError, RecursionError):
        ours = True
    if ours:
        THROWN.add()
    forget(path)
    return None


def forget(path: Path) -> None:
    """Remove a row that is not believed; one that cannot be removed is not believed later."""
    with contextlib.suppress(OSError):
        path.unlink()


def tell(number: int) -> None:
    """Say how many rows were thrown away, where there are any."""
    if number:
        one = "1 row did not match its digest and was thrown away; what it told of"
        many = (
            f"{number:,} rows did not match their digests and were thrown away; what they told of"
        )
        sys.stderr.write(f"state: {one if number == 1 else many} is made or read again\n")
