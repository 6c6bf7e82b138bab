"""Searches the texts of a set with an index of SQLite (FTS5), made once for each set.

The index is a file of the state folder, named by the digest of the manifest. It holds the words of
the reports, not the reports, and only the user may read it. Images of one study usually have the
same texts, which are indexed once.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.errors import StorageError, as_stop
from cxr_vlp.pipelines.format import fingerprints
from cxr_vlp.pipelines.inspector import stored_sample
from cxr_vlp.pipelines.inspector.opened import OpenSet
from cxr_vlp.pipelines.inspector.stored_sample import UnreadableError

VERSION = 1  # raise it when the content of the index changes
COLUMNS = ("report", "caption", "findings")
_BATCH = 2048  # rows of the table that become Python objects at once
_WORDS = 64  # of one search; thousands of them take minutes
_WORD = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
_TABLES = """
CREATE VIRTUAL TABLE texts USING fts5(report, caption, findings, content='',
    tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE spans (id INTEGER PRIMARY KEY, first INTEGER, last INTEGER);
CREATE TABLE facts (unreadable INTEGER);
"""


# many numbers as one text: a Python object for each of 250,000 takes three times as long
_FIND = "SELECT group_concat(rowid) FROM texts WHERE texts MATCH ?"
_SPANS = """SELECT group_concat(first), group_concat(last)
FROM (SELECT first, last FROM spans ORDER BY id)"""


class SearchError(Exception):
    """A search that holds no word, or that the index does not understand."""


class NotReadyError(Exception):
    """The index is being made; `done` of `total` samples are in it."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__("the index is being made")
        self.done, self.total = done, total


@dataclass
class TextIndex:
    """The index of one set; it is made in a thread of its own at the first search."""

    of: OpenSet
    state: Path
    done: int = 0
    failure: StorageError | None = None
    _thread: threading.Thread | None = None
    _spans: np.ndarray[Any, Any] | None = None  # first, last: places of every indexed text
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def path(self) -> Path:
        """The file of the index; a set without its damaged tars has another one."""
        without = f".{fingerprints.of(sorted(self.of.faults))[:16]}" if self.of.faults else ""
        return self.state / "inspect" / f"{self.of.header['digest']}.{VERSION}{without}.sqlite"

    def start(self) -> None:
        """Begin to make the index if there is none yet."""
        with self._lock:
            if self.path.is_file() or (self._thread and self._thread.is_alive()):
                return
            self.done, self.failure = 0, None
            self._thread = threading.Thread(target=self._make, daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the index, at most for some seconds. Raises StorageError if it failed."""
        if self._thread:
            self._thread.join(seconds)
        if self.failure:
            raise self.failure

    def end(self, seconds: float) -> None:
        """Wait until a stopped command has removed the half index, at most for some seconds."""
        if self._thread:
            self._thread.join(seconds)

    @property
    def ready(self) -> bool:
        """Whether the index can be searched."""
        return self.path.is_file()

    def search(self, query: str) -> np.ndarray[Any, Any]:
        """Return the places of the samples in the set that a query of FTS5 finds, rising."""
        with self._reading() as data:
            ids = np.sort(_numbers(*data.execute(_FIND, (query,)).fetchone())) - 1  # from 1
            if self._spans is None:
                self._spans = np.array([_numbers(each) for each in data.execute(_SPANS).fetchone()])
        first, last = self._spans[:, ids]
        lengths = last - first + 1
        before = np.cumsum(lengths) - lengths  # places of the spans before each span
        return np.repeat(first - before, lengths) + np.arange(lengths.sum())

    def _reading(self) -> contextlib.closing[sqlite3.Connection]:
        return contextlib.closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True))

    def unreadable(self) -> int:
        """Return the number of samples that could not be read and are in no search."""
        with self._reading() as data:
            return int(data.execute("SELECT unreadable FROM facts").fetchone()[0])

    def _make(self) -> None:
        # with the process id: two servers may make the index of one set at the same time
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with contextlib.closing(sqlite3.connect(temporary)) as data:
                self._fill(data)
            temporary.replace(self.path)
        except sqlite3.Error:
            self.failure = StorageError(f"the index of texts cannot be written in {self.state}")
        except OSError as error:
            self.failure = as_stop(error)
        except interrupts.StoppedError:
            pass  # the command ends
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _fill(self, data: sqlite3.Connection) -> None:
        data.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _TABLES)
        unreadable, last, number = 0, None, 0
        for place, texts in enumerate(self._texts()):
            self.done = place + 1
            if texts is None:
                unreadable += 1
            elif texts == last:
                data.execute("UPDATE spans SET last = ? WHERE id = ?", (place, number))
            else:
                number += 1
                data.execute("INSERT INTO texts(rowid, report, caption, findings) "
                             "VALUES (?, ?, ?, ?)", (number, *texts))  # fmt: skip
                data.execute("INSERT INTO spans VALUES (?, ?, ?)", (number, place, place))
            last = texts
        data.execute("INSERT INTO facts VALUES (?)", (unreadable,))
        data.commit()

    def _texts(self) -> Iterator[tuple[str, str, str] | None]:
        """Yield the texts of every sample in the order of the table, None for an unreadable one."""
        columns = ["key", "split", "shard", "json_offset", "json_bytes"]
        for batch in self.of.table.select(columns).to_batches(max_chunksize=_BATCH):
            for row in batch.to_pylist():
                interrupts.check()
                try:
                    yield texts_of(stored_sample.document(self.of.folder, row))
                except (UnreadableError, KeyError, TypeError, AttributeError):
                    yield None


def _numbers(text: str | None) -> np.ndarray[Any, Any]:
    return np.array(text.split(",") if text else [], np.int64)


def texts_of(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what is searched of a sample: its report, its caption, the names of its findings.

    The sentences are parts of the sections, and so are the filtered texts.
    """
    sections = (document["findings"], document["impression"], *document["sections"].values())
    mentions = (each for sentence in document["sentences"] for each in sentence["mentions"])
    names = dict.fromkeys(mention["finding"] for mention in mentions)
    return "\n".join(filter(None, sections)), document["caption"], "\n".join(names)


def fts_query(words: str, column: str = "") -> str:
    """Return the query of FTS5 for what a user typed.

    All words must occur; "..." is a phrase, a leading - excludes, a trailing * is a prefix. Nothing
    else of the language of FTS5 is understood. Raises SearchError if there is no word to find.
    """
    found: dict[str, list[str]] = {"": [], "-": []}
    for minus, phrase, word in _WORD.findall(words.replace("\0", " ")):
        text = phrase or word
        if any(letter.isalnum() for letter in text):
            star = "*" if not phrase and text.endswith("*") else ""
            found[minus].append('"' + text.replace('"', '""') + '"' + star)
    if sum(map(len, found.values())) > _WORDS:
        raise SearchError(f"Type at most {_WORDS} words.")
    if not found[""]:
        raise SearchError("Type at least one word to find.")
    query = f"({' AND '.join(found[''])})"
    if found["-"]:
        query += f" NOT ({' OR '.join(found['-'])})"
    return f"{{{column}}} : ({query})" if column in COLUMNS else query
