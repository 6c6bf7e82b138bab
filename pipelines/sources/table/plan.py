"""Finds the tables of a collection, and what their columns mean by the options or by guess.

The listing (`Listing`) is made by one pass over the rows that name images: how many parts of a path
tell images apart, and which study an image belongs to. Then the files on disk are looked up by the
same parts. Both are made once in each process and tree, and made anew when a scan begins.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.sources.base import Table
from cxr_vlp.pipelines.sources.table import formats, guesses, keys, lookup
from cxr_vlp.pipelines.sources.table.label_cells import names_in
from cxr_vlp.pipelines.sources.table.lookup import Disk, Tails
from cxr_vlp.pipelines.sources.table.meaning import Meaning, has_columns, is_header
from cxr_vlp.pipelines.sources.table.options import Also, Options, Tables
from cxr_vlp.pipelines.sources.table.values import SPLITS, pick

FILES = "files"  # the listing of the files on disk
_COLUMNS = re.compile(r"\.(?:csv|tsv|parquet)(?:\.gz)?\Z", re.I)  # files whose columns may be shown
_SHALLOW = 4  # levels of folders in which a table is looked for that the options do not name


class _AbsentError(ConfigError):
    """A table that the options name is not below the root."""


@dataclass(frozen=True)
class Part:
    """One table file: its name among the listings, its path, and what its columns mean."""

    name: str  # "images", "images:1", "also0", ...
    path: str
    meaning: Meaning
    split: str = ""  # of all its rows
    lists: bool = False


@dataclass(frozen=True)
class Plan:
    """The tables of a collection, and the options with the guessed columns filled in."""

    options: Options
    parts: tuple[Part, ...]
    guessed: Mapping[str, str] = field(default_factory=dict)  # option -> columns
    unused: tuple[str, ...] = ()  # columns of the tables of images that nothing reads
    doubtful: Mapping[str, str] = field(default_factory=dict)  # option -> columns it may be

    def part(self, name: str) -> Part:
        """Return the part of a listing."""
        return next(part for part in self.parts if part.name == name)

    def understood(self) -> list[tuple[str, str, str]]:
        """Return (option, columns, how) for each option of the tables that list images."""
        given: dict[str, list[str]] = {}
        for option, each in self.parts[0].meaning.stated():
            name = option.removeprefix("reader.").partition(".")[0]
            if each and name not in self.guessed:
                given.setdefault(name, []).extend(each.named())
        rows = [(name, ", ".join(columns), "given") for name, columns in given.items()]
        rows += [(name, columns, "guessed") for name, columns in self.guessed.items()]
        rows += [(name, columns, "not clear which") for name, columns in self.doubtful.items()]
        return rows + [("", column, "not used") for column in self.unused]

    def tables(self) -> tuple[Table, ...]:
        """Return the listings, in the form of `Source`."""
        return (*(Table(p.name, p.path, p.lists) for p in self.parts), Table(FILES))


def of(options: Options, root: Root) -> Plan:
    """Return the plan of a collection.

    Raises ConfigError where a table is not found or it is not clear which, or which column names
    the images; DataError for a column that no table has, and a broken table.
    """
    files = _files(options.table, root, "reader.table") or [("", _only_table(options, root))]
    headers = {path: formats.header(paths.inside(root, path)) for _, path in files}
    guess = guesses.of(options, _union(headers.values()))
    filled = guess.options
    if not filled.image:
        raise ConfigError(_no_image(headers, guess.doubtful))
    meaning = Meaning.of_images(filled)
    meaning.check({_name(path): header for path, header in headers.items()}, ("image", "study"))
    several = len(files) > 1
    parts = [
        Part(f"images{number if several else ''}", path, meaning, split, lists=True)
        for number, (split, path) in enumerate(files)
    ]
    without = _left_out(filled.table)
    parts += [each for n, also in enumerate(filled.also) for each in _also(n, also, root, without)]
    used = set(meaning.columns())
    unused = tuple(c for c in _union(headers.values()) if c not in used)
    return Plan(filled, tuple(parts), guess.columns, unused, guess.doubtful)


def _also(number: int, also: Also, root: Root, without: frozenset[str]) -> list[Part]:
    if not also.table:
        raise ConfigError(f"also[{number}] names no table")
    try:
        files = _files(also.table, root, f"reader.also[{number}].table", without)
    except _AbsentError as error:
        if also.optional:
            return []
        raise ConfigError(
            f"{error}. For a copy without it, give as reader.also only the tables that it has ([]: "
            "none); what they state is then not known"
        ) from None
    meaning = Meaning.of_also(also)
    if not (meaning.image or meaning.study):
        raise ConfigError(f"also[{number}]: give image or study, by which its rows are joined")
    headers = {_name(path): formats.header(paths.inside(root, path)) for _, path in files}
    meaning.check(headers, ("image", "study"))
    return [
        Part(f"also{number}-{place}", path, meaning, split)
        for place, (split, path) in enumerate(files)
    ]


def _files(
    named: Tables, root: Root, option: str, without: frozenset[str] = frozenset()
) -> list[tuple[str, str]]:
    """Return (split or "", path) of the tables that an option names, in this order.

    `without`: words of splits whose tables are not looked for.
    """
    if not named:
        return []
    if isinstance(named, Mapping):
        found = [
            (SPLITS[word], path)
            for word, name in named.items()
            if name and word not in without
            for path in _of_split(word, name, root, option)
        ]
    else:
        names = (named,) if isinstance(named, str) else named
        found = [("", path) for name in names for path in _matching(name, root, option)]
    return list(dict.fromkeys(found))


def _of_split(word: str, name: str, root: Root, option: str) -> list[str]:
    try:
        return _matching(name, root, option)
    except _AbsentError as error:
        if option != "reader.table":
            raise
        raise _AbsentError(
            f'{error}. For a copy without this split write reader.table: {{{word}: ""}}'
        ) from None


def _left_out(named: Tables) -> frozenset[str]:
    """Return the words of the splits that the tables of images are given without."""
    pairs = named.items() if isinstance(named, Mapping) else ()
    return frozenset(word for word, name in pairs if not name)


def _matching(name: str, root: Root, option: str) -> list[str]:
    """Return the tables of a path, a name or a pattern; a pattern may match several.

    Of names with "|" between them, the first that is there counts.
    """
    if "|" in name:
        return _first(name.split("|"), root, option)
    name = name.replace("\\", "/").removeprefix("./")
    if not any(mark in name for mark in "*?["):
        if "/" in name:
            exact = [p for p in (name, f"{name}.gz") if paths.is_file(root, p)]
            found = exact[0] if exact else _by_end(name, root)
        else:
            found = paths.find(root, name, f"{name}.gz")
        if not found:
            raise _AbsentError(f"{option}: no file {name} below the root; {_seen(root)}")
        return [found]
    matched = paths.unpacked_first(path for path in _all(root) if _fits(path, name))
    if not matched:
        raise _AbsentError(f"{option}: no file below the root fits {name}; {_seen(root)}")
    return matched


def _first(names: Sequence[str], root: Root, option: str) -> list[str]:
    for name in names:
        with contextlib.suppress(_AbsentError):
            return _matching(name, root, option)
    raise _AbsentError(f"{option}: no file {' or '.join(names)} below the root; {_seen(root)}")


def _by_end(name: str, root: Root) -> str:
    ends = (p for p in _all(root) if f"/{p}".removesuffix(".gz").endswith(f"/{name}"))
    found = paths.unpacked_first(ends)
    if len(found) > 1:
        raise ConfigError(
            f"there are {len(found)} files {name} below the root: give the whole path"
        )
    return found[0] if found else ""


def _fits(path: str, pattern: str) -> bool:
    path, pattern = path.lower().removesuffix(".gz"), pattern.lower().removesuffix(".gz")
    return fnmatch(path, pattern) or fnmatch(path, f"*/{pattern}")


def _all(root: Root) -> Iterator[str]:
    return (path for path in paths.walk(root) if formats.TABLE.search(path))


def _only_table(options: Options, root: Root) -> str:
    """Return the only table that has a column of images. Raises ConfigError with what was seen."""
    shallow = paths.unpacked_first(path for path in _all(root) if path.count("/") < _SHALLOW)
    found = [path for path in shallow if _lists(options, root, path)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(map(_name, found))[:10])
        raise ConfigError(
            f"several tables may list the images ({names}): write the one that does as reader.table"
        )
    hint = _hint(options, root, shallow)
    raise ConfigError(f"no table that lists images was found; {_seen(root)}{hint}")


def _hint(options: Options, root: Root, tables: Sequence[str]) -> str:
    """Return what to write where no table is known to list the images."""
    for path in (each for each in tables if _COLUMNS.search(each)):
        try:
            header = formats.header(paths.inside(root, path))
        except (DataError, IngestError):
            continue
        if options.image:
            return f". None has the columns of reader.image: {has_columns(_name(path), header)}"
        return f". {_no_image({path: header}, {})}"
    return (
        ". A table is a CSV file with a header and a line for each image: docs/own-data.md, Images "
        "without a table, has a program that writes one"
    )


def _lists(options: Options, root: Root, path: str) -> bool:
    """Return whether a table has the columns that name the images, as given or guessed."""
    if path.lower().removesuffix(".gz").endswith(".txt"):
        return False
    try:
        header = formats.header(paths.inside(root, path))
        image = options.image or guesses.of(Options(), header).options.image
        return pick(image).among(header)
    except (DataError, IngestError):
        return False
    if options.image:
        return pick(options.image).among(header)
    return bool(guesses.of(Options(), header).options.image)


def _seen(root: Root) -> str:
    """Return which tables are below the root, for a message; reports in .txt are none."""
    names = [_name(p) for p in _all(root) if not p.lower().endswith(".txt")]
    shown = ", ".join(dict.fromkeys(names[:10]))
    if shown:
        return f"the tables there are {shown}"
    sheets = [_name(path) for path in paths.walk(root) if formats.SPREADSHEET.search(path)]
    if sheets:
        return f"{min(sheets)} is a spreadsheet: save it as CSV (UTF-8)"
    return f"it has no table; {paths.summary(root)}"


def _no_image(headers: Mapping[str, Sequence[str]], doubtful: Mapping[str, str]) -> str:
    name, header = next(iter(headers.items()))
    said = has_columns(_name(name), header)
    if not is_header(header):
        return said
    if "image" in doubtful:
        return f"{said}: both {doubtful['image']} may name the images; write one as reader.image"
    return f"{said}: none is known to name the images; write it as reader.image"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _union(headers: Any) -> list[str]:
    return list(dict.fromkeys(column for header in headers for column in header))


@dataclass(frozen=True)
class Listing:
    """Which images the tables list, in which study each is, and which files there are.

    It holds about 300 bytes for each image: 30 MB for 100,000.
    """

    tails: Tails
    studies: Mapping[str, str]  # tail of an image -> study key
    disk: Disk
    names: frozenset[str]  # of labels, where a list of names is complete
    known: frozenset[str]  # study keys
    torn: frozenset[tuple[str, ...]]  # images that rows put into two studies

    @classmethod
    def of(cls, plan: Plan, root: Root) -> Listing:
        """Read the tables and the tree."""
        stated: dict[tuple[str, ...], str] = {}
        names: set[str] = set()
        torn: set[tuple[str, ...]] = set()
        for part in (p for p in plan.parts if p.lists):
            for line in formats.rows(paths.inside(root, part.path), part.meaning.columns()):
                if line.code:
                    continue
                try:
                    image, study = stated_in(part.meaning, line.row)
                except IngestError:  # `rows` gives the code
                    continue
                if stated.setdefault(image, study) != study:
                    torn.add(image)
                names.update(names_in(part.meaning.labels, line.row))
        tails = Tails.of(stated)
        found = {
            tail: study or keys.key(tail) for i, study in stated.items() if (tail := tails.tail(i))
        }
        disk = Disk.of(root, tails, stated, plan.options.files)
        return cls(tails, found, disk, frozenset(names), frozenset(found.values()), frozenset(torn))


def stated_in(meaning: Meaning, row: Row) -> tuple[tuple[str, ...], str]:
    """Return (the parts of the path that a row states, its study key: "" if an image is a study).

    Raises IngestError csv.image, csv.path, csv.id.
    """
    try:
        stated = meaning.image.of(row)
    except IngestError:
        raise IngestError("csv.path") from None
    if not stated:
        raise IngestError("csv.image")
    return lookup.parts_of(stated), study_of(meaning, row)


def study_of(meaning: Meaning, row: Row) -> str:
    """Return the study key of a row, "" if its table names none. Raises IngestError csv.id."""
    return keys.key(keys.restored(meaning.study.of(row))[0]) if meaning.study else ""


_PLANS: dict[tuple[str, str], Plan] = {}
_LISTINGS: dict[tuple[str, str], Listing] = {}
_LOCK = threading.RLock()


def fresh(options: Options, root: Root) -> Plan:
    """Return the plan of a collection that is about to be read: nothing is kept from before."""
    with _LOCK:
        _PLANS.clear()
        _LISTINGS.clear()
        return kept(options, root)


def kept(options: Options, root: Root) -> Plan:
    """Return the plan of a collection, as it was made last in this process."""
    with _LOCK:
        at = _at(options, root)
        if at not in _PLANS:
            _PLANS[at] = of(options, root)
        return _PLANS[at]


def listing(options: Options, root: Root) -> Listing:
    """Return the listing of a collection, as it was made last in this process."""
    with _LOCK:
        at = _at(options, root)
        if at not in _LISTINGS:
            _LISTINGS[at] = Listing.of(kept(options, root), root)
        return _LISTINGS[at]


_LAST: list[tuple[Options, Root, tuple[str, str]]] = []


def _at(options: Options, root: Root) -> tuple[str, str]:
    """Return what stands for options and a tree; that of the last call is kept."""
    if _LAST and _LAST[0][0] is options and _LAST[0][1] == root:
        return _LAST[0][2]
    _LAST[:] = [(options, root, _written(options, root))]
    return _LAST[0][2]


def _written(options: Options, root: Root) -> tuple[str, str]:
    facts = {each.name: getattr(options, each.name) for each in dataclasses.fields(options)}
    return json.dumps(facts, default=repr, sort_keys=True), repr(paths.tree(root))
