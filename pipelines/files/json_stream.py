"""Reads a JSON file that is one object of many entries, entry by entry, in bounded memory.

The metadata of a collection may be one object of 140,000 studies. `json.load` would hold all of
them at once; here one entry is in memory, and its place in the file, so that it can be read again
alone.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import places

ENTRY = 1 << 22  # bytes of the longest entry, as of the longest row of a table
_BLOCK = 1 << 20  # bytes that are read at once
_MARK = "\xef\xbb\xbf"  # the byte order mark of UTF-8
_BLANKS = " \t\r\n"
_DECODER = json.JSONDecoder(strict=False)  # a line break in a text is no reason to lose the file


class Entry(NamedTuple):
    """One entry of the object, and the place of its value in the file."""

    key: str
    value: dict[str, Any]
    line: int  # where the value begins, from 1
    start: int  # in bytes
    size: int


def entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of an object whose values are objects.

    Raises DataError json.broken for a file that is no such object, is cut, or has an entry of more
    than four million bytes; json.not_file and json.unreadable for one that cannot be read.
    """
    with _opened(path) as stream:
        window = _Window(stream, path.name)
        window.take("{")
        separator = ""
        while window.peek() != "}":
            if separator:
                window.take(separator)
            key, _, _ = window.value('"')
            window.take(":")
            value, start, line = window.value("{")
            yield Entry(_decoded(key), _decoded(value), line, start, len(value))
            separator = ","
        window.take("}")
        if window.peek():
            raise window.broken()


def entry_at(path: Path, start: int, size: int) -> dict[str, Any] | None:
    """Return the value that `entries` found at a place; None if there is no object any more."""
    if not 0 < size <= ENTRY:
        return None
    try:
        with places.opened(path) as stream:
            stream.seek(start)
            found = _decoded(stream.read(size))
    except (OSError, IngestError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _decoded(data: bytes) -> Any:
    return _DECODER.decode(data.decode())


def _opened(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"json.not_file: {path.name} is not a plain file")
        return path.open("rb")
    except PermissionError:
        raise DataError(f"json.unreadable: {path.name}: correct its permissions") from None
    except OSError:
        raise DataError(f"json.unreadable: {path.name} is no longer there") from None


class _Window:
    """The part of a file around the entry that is read, one character for each byte (Latin-1).

    So a place in the text is a place in the file. The values are cut out here, and decoded from
    their bytes as UTF-8.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self._text, self._at = "", 0
        self._before = 0  # bytes of the file before the window
        self._lines = 1  # number of the line at `_at`
        while len(self._text) < len(_MARK) and self._more():
            pass
        self._at = len(_MARK) * self._text.startswith(_MARK)

    def peek(self) -> str:
        """Return the next character that is not a blank, "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                char = self._text[self._at]
                if char not in _BLANKS:
                    return char
                self._lines += char == "\n"
                self._at += 1
            if not self._more():
                return ""

    def take(self, char: str) -> None:
        """Go beyond a character that must come next."""
        if self.peek() != char:
            raise self.broken()
        self._at += 1

    def value(self, first: str) -> tuple[bytes, int, int]:
        """Return (bytes, place, line) of the next value, which must begin with `first`."""
        if self.peek() != first:
            raise self.broken()
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
                break
            except (ValueError, RecursionError):  # broken, or it ends beyond the window
                if len(self._text) - self._at > ENTRY or not self._more():
                    raise self.broken() from None
        found = self._text[self._at : end].encode("latin-1")
        place, line = self._before + self._at, self._lines
        self._lines += found.count(b"\n")
        self._at = end
        try:
            found.decode()
        except UnicodeDecodeError:
            raise self.broken() from None
        return found, place, line

    def broken(self) -> DataError:
        return DataError(
            f"json.broken: {self._name}, line {self._lines}: not whole, or no object of objects; "
            "download it again"
        )

    def _more(self) -> bool:
        """Read a further block, and forget what is before the place that is read."""
        block = self._stream.read(_BLOCK)
        self._before += self._at
        self._text, self._at = self._text[self._at :] + block.decode("latin-1"), 0
        return bool(block)
