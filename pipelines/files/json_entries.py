"""Reads one large JSON document of objects, object by object, with the place of each.

The document is `{"train": [{...}, ...], "val": [...], ...}`, or an object of objects,
`{"study 1": {...}, ...}`. It may hold 277,000 objects: only the one that is being read is in
memory. The place of an object, in bytes, lets it be read again alone.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import paths

BLOCK = 1 << 20  # bytes that are read at once
LONGEST = 1 << 22  # characters of one object; the longest report has 11 kB
_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(strict=False)  # a line break in a text is no reason to lose the file
_NO_LISTS = "is not an object of lists of objects, as {train: [...], val: [...], test: [...]}"
_NO_OBJECTS = "is not an object of objects"


class Entry(NamedTuple):
    """One object of the document."""

    number: int  # in the whole document, from 1
    key: str  # the name of its list, or its own
    value: Any  # of an object of objects, always a dict
    start: int  # bytes from the begin of the file
    size: int  # bytes


def of_lists(path: Path) -> Iterator[Entry]:
    """Yield what the lists of an object hold, in the document's order.

    Raises DataError json.broken for a file that is no such document, is cut, or has an entry of
    more than four million characters; json.not_file, json.unreadable for one that cannot be read.
    """
    number = 0
    with _opened(path, _NO_LISTS) as text:
        for key in text.names():
            text.take("[")
            while not text.took("]"):
                number += 1
                yield Entry(number, key, *text.value())
                text.separator("]")


def of_object(path: Path) -> Iterator[Entry]:
    """Yield the objects of an object of objects, in the document's order. Raises as `of_lists`."""
    with _opened(path, _NO_OBJECTS) as text:
        for number, key in enumerate(text.names(), 1):
            text.ahead("{")
            yield Entry(number, key, *text.value())


def at(data: bytes) -> Any:
    """Return the object that these bytes hold.

    Raises IngestError report.unreadable if they hold none: the document was changed.
    """
    try:
        return _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        raise IngestError("report.unreadable") from None


@contextmanager
def _opened(path: Path, wrong: str) -> Iterator[_Text]:
    """Open a document; `wrong` says what another one is not."""
    try:
        paths.must_be_plain(path, "json")
        stream = path.open("rb")
    except IngestError:
        raise DataError(f"json.not_file: {path.name} is not a plain file") from None
    except FileNotFoundError:
        raise DataError(f"json.unreadable: {path.name} is no longer there") from None
    except OSError:
        raise DataError(f"json.unreadable: {path.name}: correct its permissions") from None
    with stream:
        yield _Text(stream, path.name, wrong)


class _Text:
    """The text of a document from the place that was reached; reads on as it is needed."""

    def __init__(self, stream: BinaryIO, name: str, wrong: str) -> None:
        self._stream = stream
        self._name = name
        self._wrong = wrong
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0  # characters of the text that are done
        # the place in the file, in bytes
        self._offset = len(codecs.BOM_UTF8) if stream.read(3) == codecs.BOM_UTF8 else 0
        stream.seek(0)

    def names(self) -> Iterator[str]:
        """Yield the names in an object; the caller reads the value of each before the next."""
        self.take("{")
        while not self.took("}"):
            self.ahead('"')
            key, _, _ = self.value()
            self.take(":")
            yield key
            self.separator("}")
        if self._follows():
            raise self._broken("something follows the document")

    def _broken(self, what: str) -> DataError:
        """Return the error of a document that is not as it should be."""
        return DataError(
            f"json.broken: {self._name}, near byte {self._offset:,}: {what}; download it again"
        )

    def take(self, mark: str) -> None:
        """Pass a mark that must follow."""
        self.ahead(mark)
        self._advance(self._at + len(mark))

    def ahead(self, mark: str) -> None:
        """Check that a mark follows."""
        if not self._follows():
            raise self._broken("it is cut")
        if not self._text.startswith(mark, self._at):
            raise self._broken(self._wrong)

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
            raise self._broken("it is cut")
        if not self._text.startswith(end, self._at):
            raise self._broken("a comma is missing")

    def value(self) -> tuple[Any, int, int]:
        """Return the next value, its place in the file and its size, in bytes."""
        self._follows()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
                break
            except (ValueError, RecursionError):
                if len(self._text) - self._at > LONGEST or not self._more():
                    raise self._broken("it is no JSON there, or is cut") from None
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
            raise self._broken("it is not UTF-8 text") from None
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(data)
