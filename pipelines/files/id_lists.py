"""Reads a list of ids from the files people have them in: text, CSV, TSV or JSON.

    .txt                      one id a line; blank lines and lines that begin with # are comments
    .csv .tsv (also .gz)      a column of ids; tables of sample keys have `key` and `other_key`
    .json                     a list of ids, a list of objects, or an object whose keys are the ids;
                              of a COCO file, the objects are its images

A message gives the file and the line, or the place in a JSON list, and never an id.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import cells

KEYS = ("key", "other_key")  # columns of sample keys, each beside the collection of its key:
DATASETS = {"key": "dataset", "other_key": "other_dataset"}
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
FORMS = (".txt", *TABLES, ".json")


class ListedId(NamedTuple):
    """An id of a list, and where it is: "line 3"."""

    text: str
    place: str
    is_key: bool = False  # of a column of sample keys
    dataset: str = ""  # the collection that the table names beside a sample key


def form(path: Path) -> str:
    """Return the form of a list, by its name. Raises ConfigError for another form."""
    found = [each for each in FORMS if path.name.lower().endswith(each)]
    if not found:
        raise ConfigError(f"{path}: a list of ids is a file of {', '.join(FORMS)}")
    return max(found, key=len)


def read(path: Path, column: str = "") -> Iterator[ListedId]:
    """Yield the ids of a list, from the column or the key of objects named `column`.

    Raises ConfigError for a file that is absent or broken, lacks the column, or has a row or an
    entry without an id.
    """
    kind = form(path)
    try:
        if kind in TABLES:
            yield from _table(path, column)
        elif column:
            yield from _objects(path, column) if kind == ".json" else _no_column(path)
        else:
            yield from _entries(path) if kind == ".json" else _lines(path)
    except FileNotFoundError:
        raise ConfigError(f"no file at {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise ConfigError(f"{path}: the gzip file is broken") from None


def _no_column(path: Path) -> Iterator[ListedId]:
    raise ConfigError(f"{path}: a text file has no columns, leave out `column`")


def _lines(path: Path) -> Iterator[ListedId]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield ListedId(text, f"line {number}")


def _table(path: Path, column: str) -> Iterator[ListedId]:
    with _opened(path) as stream:
        rows = csv.reader(stream, delimiter="\t" if ".tsv" in path.name.lower() else ",")
        try:
            names = [name.strip().lower() for name in next(rows, [])]
            chosen = _columns(path, names, column)
            for row in filter(any, rows):
                place = f"line {rows.line_num}"
                if len(row) != len(names):
                    raise ConfigError(f"{path}, {place}: more or fewer fields than the header")
                for name in chosen:
                    yield _cell(path, dict(zip(names, row, strict=True)), name, place)
        except csv.Error:
            raise ConfigError(f"{path}, line {rows.line_num}: no valid table") from None


def _opened(path: Path) -> TextIO:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"  # browsers unpack a .gz and keep its name
    # newline="": a line break inside a quoted cell is part of the cell
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _columns(path: Path, names: Sequence[str], column: str) -> tuple[str, ...]:
    """Return the columns to read: the named one, else those of sample keys."""
    chosen = (column.strip().lower(),) if column else tuple(n for n in KEYS if n in names)
    if not chosen or not set(chosen) <= set(names):
        wanted = f"there is no column {column!r}" if column else "say which `column` has the ids"
        raise ConfigError(f"{path}: {wanted}; its columns are {', '.join(filter(None, names))}")
    if any(names.count(name) > 1 for name in chosen):
        raise ConfigError(f"{path}: there are two columns {chosen[0]!r}")
    return chosen


def _cell(path: Path, row: dict[str, str], name: str, place: str) -> ListedId:
    text = cells.known(row[name])
    if not text:
        raise ConfigError(f"{path}, {place}: no id in the column {name!r}")
    is_key = name in KEYS
    return ListedId(text, place, is_key, row.get(DATASETS[name], "").strip() if is_key else "")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError) as error:
        at = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{path}{at}: no valid JSON") from None


def _entries(path: Path) -> Iterator[ListedId]:
    """Yield the texts of a list, or the keys of an object."""
    found = _json(path)
    if not isinstance(found, list | dict):
        raise ConfigError(f"{path}: the JSON is no list and no object")
    if isinstance(found, dict) and {"images", "annotations"} <= found.keys():
        raise ConfigError(f"{path}: a COCO file: say which `column` of its images has the id")
    for number, text in enumerate(found, 1):
        if isinstance(text, dict):
            raise ConfigError(f"{path}: entry {number} is an object: say which `column` has the id")
        yield _entry(path, text, number)


def _objects(path: Path, column: str) -> Iterator[ListedId]:
    found = _json(path)
    objects = list(found.values()) if isinstance(found, dict) else found
    if isinstance(found, dict) and {"images", "annotations"} <= found.keys():  # a COCO file
        objects = found["images"]
    if not (isinstance(objects, list) and all(isinstance(each, dict) for each in objects)):
        raise ConfigError(f"{path}: the JSON is no list of objects with the key {column!r}")
    for number, each in enumerate(objects, 1):
        yield _entry(path, each.get(column), number)


def _entry(path: Path, value: Any, number: int) -> ListedId:
    whole = isinstance(value, int) and not isinstance(value, bool)
    text = cells.known(str(value)) if isinstance(value, str) or whole else ""
    if not text:
        raise ConfigError(f"{path}: entry {number} has no id")
    return ListedId(text, f"entry {number}")
