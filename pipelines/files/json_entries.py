"""Reads one large JSON document of lists of objects, object by object, with the place of each.

The document is `{"train": [{...}, ...], "val": [...], ...}`. It may hold 277,000 objects: only the
one that is being read is in memory. The place of an object, in bytes, lets it be read again alone.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cxr_vlp.pipelines.errors import DataError, IngestError

BLOCK = 1 << 20  # bytes that are read at once
LONGEST = 1 << 22  # characters of one object; the longest report has 11 kB
_BLANK = re.compile(r"[ \t\r\n]*")
_NO_LIST = "is not an object of lists of objects, as {train: [...], val: [...], test: [...]}"


class Entry(NamedTuple):
    """One object of a list."""

    number: int  # in the whole document, from 1
    key: str  # the name of its list
    value: Any
    start: int  # bytes from the begin of the file
    size: int  # bytes


def read(path: Path) -> Iterator[Entry]:
    """Yield the objects of a document in its order.

    Raises DataError json.document for a file that is no such document, is cut, or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            yield from _entries(_Text(stream, path.name))
    except OSError:
        raise DataError(
            f"json.document: {path.name} cannot be read; correct its permissions"
        ) from None


def at(data: bytes) -> Any:
    """Return the object that these bytes hold.

    Raises IngestError report.unreadable if they hold none: the document was changed.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise IngestError("report.unreadable") from None


def _entries(text: _Text) -> Iterator[Entry]:
    number = 0
    text.take("{")
    while not text.took("}"):
        key, _, _ = text.value()
        if not isinstance(key, str):
            raise text.broken(_NO_LIST)
        text.take(":")
        text.take("[")
        while not text.took("]"):
            number += 1
            value, start, size = text.value()
            yield Entry(number, key, value, start, size)
            text.separator("]")
        text.separator("}")
    text.end()


class _Text:
    """The text of a document from the place that was reached; reads on as it is needed."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._text = ""
        self._at = 0  # characters of the text that are done
        # the place in the file, in bytes
        self._offset = len(codecs.BOM_UTF8) if stream.read(3) == codecs.BOM_UTF8 else 0
        stream.seek(0)

    def broken(self, what: str) -> DataError:
        """Return the error of a document that is not as it should be."""
        return DataError(
            f"json.document: {self._name}, near byte {self._offset:,}: {what}; download it again"
        )

    def take(self, mark: str) -> None:
        """Pass a mark that must follow."""
        if not self.took(mark):
            raise self.broken(_NO_LIST if self._follows() else "it is cut")

    def took(self, mark: str) -> bool:
        """Pass a mark if it follows."""
        there = self._follows() and self._text.startswith(mark, self._at)
        if there:
            self._advance(self._at + len(mark))
        return there

    def separator(self, end: str) -> None:
        """Pass the comma between two values; none stands before `end`."""
        if self.took(","):
            return
        if not self._follows():
            raise self.broken("it is cut")
        if not self._text.startswith(end, self._at):
            raise self.broken("a comma is missing")

    def end(self) -> None:
        """Check that nothing follows."""
        if self._follows():
            raise self.broken("something follows the document")

    def value(self) -> tuple[Any, int, int]:
        """Return the next value, its place in the file and its size, in bytes."""
        self._follows()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
                break
            except (ValueError, RecursionError):
                if len(self._text) - self._at > LONGEST or not self._more():
                    raise self.broken("it is no JSON there, or is cut") from None
        start = self._offset
        self._advance(end)
        return value, start, self._offset - start

    def _follows(self) -> bool:
        """Skip blanks, and return whether something follows."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._advance(blank.end() if blank else self._at)
            if self._at < len(self._text):
                return True
            if not self._more():
                return False

    def _advance(self, end: int) -> None:
        done = self._text[self._at : end]
        self._offset += len(done) if done.isascii() else len(done.encode())
        self._at = end

    def _more(self) -> bool:
        data = self._stream.read(BLOCK)
        try:
            more = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise self.broken("it is not UTF-8 text") from None
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(data)
