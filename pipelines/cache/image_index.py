"""Finds in which earlier tar an image is, when its study moved to another part.

An index of the newest tar of every part: fingerprint of the image -> part and key. It is made from
the entries, before a run, and only for tars that are new since the last time. A damaged or lost
index costs time only: what it names is compared with the whole fingerprint before it is used.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from cxr_vlp.pipelines.cache.entries import Entries
from cxr_vlp.pipelines.storage.place import is_remote

BUSY = 60.0  # seconds to wait for another run of the same collection
TABLES = """
CREATE TABLE IF NOT EXISTS tars (part TEXT PRIMARY KEY, fingerprint TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images
  (part TEXT, key TEXT, image TEXT, PRIMARY KEY (part, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_image ON images (image);
"""


class Found(NamedTuple):
    """Where an image is: the part, the fingerprint of its tar, the key of the sample."""

    part: str
    fingerprint: str
    key: str


@dataclass(frozen=True)
class ImageIndex:
    """The images of the newest tars of one source: STATE/receipts/STAGE/SOURCE.images."""

    path: str  # "": there is none, as for a state folder in an object store

    @classmethod
    def of_source(cls, entries: Entries, source: str) -> ImageIndex:
        """Return the index of a source beside its entries."""
        return cls("" if is_remote(entries.folder) else f"{entries.folder}/{source}.images")

    def copied(self, folder: Path) -> ImageIndex:
        """Return a copy of the index in another folder: what is new in it is not kept."""
        copy = folder / "images"
        if self.path and Path(self.path).is_file():
            shutil.copyfile(self.path, copy)
        return ImageIndex(str(copy) if self.path else "")

    def refresh(self, entries: Entries, source: str) -> None:
        """Bring the index up to the entries; a damaged index is made again."""
        if not self.path:
            return
        for _ in range(2):
            try:
                self._refresh(entries, source)
            except sqlite3.DatabaseError:
                Path(self.path).unlink(missing_ok=True)
            else:
                return

    def find(self, image: str) -> list[Found]:
        """Return where the image with this fingerprint may be; nothing without an index."""
        if not self.path or not Path(self.path).exists():
            return []
        with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(self._open()) as base:
            rows = base.execute(
                "SELECT part, fingerprint, key FROM images JOIN tars USING (part) WHERE image = ?",
                (image[:16],),
            )
            return sorted(Found(*row) for row in rows)
        return []

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(self.path)}?mode=ro", uri=True, timeout=BUSY)

    def _refresh(self, entries: Entries, source: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY)) as base, base:
            base.executescript(TABLES)
            known = dict(base.execute("SELECT part, fingerprint FROM tars"))
            for part in {*known, *entries.parts(source)}:
                newest = entries.newest_fingerprint(part)
                if newest != known.get(part):
                    base.execute("DELETE FROM images WHERE part = ?", (part,))
                    base.executemany(
                        "INSERT INTO images VALUES (?, ?, ?)", _rows(entries, part, newest)
                    )
                    base.execute("INSERT OR REPLACE INTO tars VALUES (?, ?)", (part, newest))


def _rows(entries: Entries, part: str, fingerprint: str) -> Iterator[tuple[str, str, str]]:
    entry = entries.of(part, fingerprint) if fingerprint else None
    for sample in entries.samples(entry) if entry else ():
        if sample.written:
            yield part, sample.key, sample.image
