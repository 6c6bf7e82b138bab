"""Reads and writes benchmark sets: lists of images with one class each, such as CheXpert-5x200.

A list is a .csv table, or a .json list of objects, with `key`, `dataset`, `patient`, `study` and
`class`. The same file names the images of an evaluation and, under `sources.NAME.leave_out`, the
patients that a training must not see.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format.sample import KEY
from cxr_vlp.train.errors import ConfigError

COLUMNS = ("key", "dataset", "patient", "study", "class")
FORMS = (".csv", ".json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a set: its sample's key and ids, and its class."""

    key: str
    dataset: str
    patient: str
    study: str
    label: str

    def row(self) -> dict[str, str]:
        """Return the entry as a row of the file."""
        return dict(zip(COLUMNS, asdict(self).values(), strict=True))


@dataclass(frozen=True)
class BenchmarkSet:
    """A list of images, sorted by key."""

    name: str
    entries: tuple[Entry, ...]

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of its samples."""
        return frozenset(self.classes)

    @cached_property
    def classes(self) -> Mapping[str, str]:
        """The class of every key."""
        return {entry.key: entry.label for entry in self.entries}

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Its patients as dataset/patient, each once, sorted."""
        return tuple(sorted({f"{entry.dataset}/{entry.patient}" for entry in self.entries}))

    @cached_property
    def digest(self) -> str:
        """The sha256 of its sorted keys, one a line."""
        return hashlib.sha256("".join(f"{key}\n" for key in sorted(self.keys)).encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """Return the number of images of every class, sorted by name."""
        return dict(sorted(Counter(self.classes.values()).items()))

    def facts(self) -> dict[str, Any]:
        """Return what metrics.json records of it."""
        return {
            "name": self.name,
            "digest": self.digest,
            "images": len(self.entries),
            "patients": len(self.patients),
            "classes": self.counts(),
        }

    def require(self, found: Collection[str], where: str) -> None:
        """Raise ConfigError if keys of the set are not among the found ones."""
        missing = len(self.keys - set(found))
        if missing:
            raise ConfigError(
                f"{self.name}: {missing} of its {len(self.keys)} images are not in {where}: give "
                "the shards and the split that the set was made from, or make it again with "
                "cxr-vlp benchmark-set"
            )


def made(name: str, entries: Sequence[Entry]) -> BenchmarkSet:
    """Return the set of these entries, whatever their order."""
    return BenchmarkSet(name, tuple(sorted(entries, key=lambda entry: entry.key)))


def load(path: Path) -> BenchmarkSet:
    """Return the set in a file; its name is the file's.

    Raises ConfigError, with the line or the entry, for a file that is absent or broken, lacks a
    column or a value, or lists a key twice.
    """
    form(path)
    try:
        rows = list(_rows(path))
    except FileNotFoundError:
        raise ConfigError(f"no file at {path}: cxr-vlp benchmark-set writes one") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    entries, seen = [], set[str]()
    for place, row in rows:
        entry = _entry(path, place, row)
        if entry.key in seen:
            raise ConfigError(f"{path}, {place}: a key that is listed before")
        seen.add(entry.key)
        entries.append(entry)
    if not entries:
        raise ConfigError(f"{path}: there is no image in it")
    return made(path.stem, entries)


def write(path: Path, chosen: BenchmarkSet) -> None:
    """Write a set; the name of the file ends with .csv or .json. It appears as a whole."""
    rows = [entry.row() for entry in chosen.entries]
    if form(path) == ".json":
        text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
    else:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = stream.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    partly = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partly.write_text(text, encoding="utf-8")
        partly.replace(path)
    finally:
        partly.unlink(missing_ok=True)


def form(path: Path) -> str:
    """Return the form of a list by its name. Raises ConfigError for another form."""
    found = path.suffix.lower()
    if found not in FORMS:
        raise ConfigError(f"{path}: a benchmark set is a file of {' or '.join(FORMS)}")
    return found


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, row) of the file."""
    if form(path) == ".json":
        yield from _objects(path)
        return
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        try:
            header = next(reader, [])
            lacking = [name for name in COLUMNS if name not in header]
            if lacking:
                raise ConfigError(f"{path}: lacks the columns {', '.join(lacking)}")
            for row in filter(any, reader):
                place = f"line {reader.line_num}"
                if len(row) != len(header):
                    raise ConfigError(f"{path}, {place}: more or fewer fields than the header")
                yield place, dict(zip(header, row, strict=True))
        except csv.Error:
            raise ConfigError(f"{path}, line {reader.line_num}: no valid table") from None


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError):
        raise ConfigError(f"{path}: no valid JSON") from None
    if not isinstance(found, list):
        raise ConfigError(f"{path}: the JSON is no list of objects")
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise ConfigError(f"{path}, entry {number}: no object")
        yield f"entry {number}", row


def _entry(path: Path, place: str, row: Mapping[str, Any]) -> Entry:
    values = [row.get(name) for name in COLUMNS]
    for name, value in zip(COLUMNS, values, strict=True):
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{path}, {place}: no {name}")
    key, *rest = (str(value).strip() for value in values)
    if not KEY.fullmatch(key):
        raise ConfigError(f"{path}, {place}: `key` is no key of a sample")
    return Entry(key, *rest)
