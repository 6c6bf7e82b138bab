"""The interface of a collection's reader (`Source`), and functions that readers share.

A reader yields keyed rows of a raw tree (`tables`, `rows`), joins the rows of one study
(`assemble`) and reads a report (`report`). It knows the layout and the pitfalls of one collection,
and nothing of Beam, pixels or shards.

A row that cannot be used has the column `fault` with its code. It is yielded under its study, and
then the whole study is rejected; or under NOBODY, if it names no study.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from cxr_vlp.nlp import labels as names
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import cells, paths
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Lost, ReportRef, Study
from cxr_vlp.pipelines.sources.splits import PatientRule

NOBODY = ""  # the study key of rows that name no study
SHOWN = 5  # lines of a table that are named in the notes, of those that cannot be used

Rows = Mapping[str, Sequence[Row]]
Report = str | Mapping[str, str]  # raw text, or sections where the collection gives them apart


class Read(NamedTuple):
    """A report, and the sha256 of the bytes that it was parsed from.

    Both must come from one read: between two reads the file may change.
    """

    report: Report
    sha256: str
    note: str = ""  # its encoding, if that is not UTF-8, as a note's code


@dataclass(frozen=True)
class Table:
    """A listing of the collection: a CSV, a list, or "files", the walk over the tree."""

    name: str
    path: str = ""  # relative to the root; "" for the walk
    lists: bool = False  # its rows name images: a row that names no study counts as a lost image


@dataclass(frozen=True)
class Assembled:
    """A study joined from its rows, its lost images, and notes on what was unusual."""

    study: Study | None
    listed: int  # images that the collection lists for the study
    lost: tuple[Lost, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)  # code -> how often


class Source(Protocol):
    """The interface of a reader: what a third party implements to add a collection.

    An implementation is a frozen dataclass. Its fields are the options `sources.NAME.reader` of
    params.yaml, each with a type and a default; the attributes below are class variables. A reader
    is pickled and sent to worker processes, so it must be importable there, and it must not depend
    on anything but its fields: the same tree and options must give the same rows and studies.
    Messages of what it raises must not hold report text, patient names or ids.
    `examples/own_collection` implements it for a collection of one table and two folders.
    """

    name: str  # lower case letters and digits; begins every sample key and file name
    title: str  # of the collection, for people
    licence: str  # an SPDX identifier, or its name
    has_reports: bool  # False: reports were never released, so a missing one is not noted
    credentialed: bool  # True: users signed an agreement, and outputs are made private to the user
    views_from: str  # which file of the collection states an image's view, for a message

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the listings below the root, among them `Table("files")` for the walk.

        Raises ConfigError, which says what was looked for, if the root is not such a collection.
        """

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (study key, row) of one listing; a row maps column names to text.

        A study key matches [a-z0-9_-]+. `keyed` and `files` make the rows of a table and of the
        walk, and give a row that cannot be used its code. Raises DataError for a listing that is
        broken as a whole.
        """

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join the rows of one study; `rows` maps a table's name to the rows under this key.

        The ids are the collection's own (ids.py hides them later). `rule.split(patient)` gives the
        split of a patient whom no official list places. A study whose rows contradict each other
        is rejected with a code (`refused`), and the run continues. Each listed image must be in
        the study or in `lost`: scan stops if the numbers do not add up.
        """

    def report(self, root: Root, ref: ReportRef) -> Read:
        """Return the report of a study, and the digest of the bytes read for it.

        Raises IngestError with a code report.* if it cannot be read. A collection without reports
        inherits `LabelsOnly`.
        """


class LabelsOnly:
    """The part of a Source that collections without reports have in common."""

    has_reports: ClassVar[bool] = False

    def report(self, root: Root, ref: ReportRef) -> Read:  # noqa: ARG002
        """Raise IngestError report.missing: the collection was released without reports."""
        raise IngestError("report.missing")


def keyed(
    table: Table, lines: Iterable[Line], study_of: Callable[[Row], tuple[str, Row]]
) -> Iterator[tuple[str, Row]]:
    """Yield (study key, row) of a table's lines; `study_of` makes them of a row.

    A line that cannot be used, or for which `study_of` raises IngestError, goes to NOBODY.
    Raises DataError csv.no_row for a table that should list images and has none.
    """
    line = None
    for line in lines:
        code = line.code
        if not code:
            try:
                yield study_of(line.row)
                continue
            except IngestError as error:
                code = error.code
        yield NOBODY, _bad(code, table.path.rpartition("/")[2], line.number, table.lists)
    if line is None and table.lists:
        name = table.path.rpartition("/")[2]
        raise DataError(f"csv.no_row: {name} has a header and no row; download it again")


def _bad(code: str, file: str, line: int, lists: bool) -> Row:
    return {"fault": code, "file": file, "line": str(line), "images": str(int(lists))}


def files(
    root: Root, *kinds: tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[str, Row]]]
) -> Iterator[tuple[str, Row]]:
    """Yield (study key, row) of every file below the root whose path matches a pattern.

    Each pattern comes with what makes (study key, row) of a match; the file's path is added to the
    row, or "" and a fault where no inventory can hold the path.
    """
    faults: list[str] = []
    for path in paths.walk(root, faults.append):
        for pattern, made in kinds:
            if match := pattern.search(path):
                study, row = made(match)
                readable = paths.readable(path)
                yield study, row | ({"path": path} if readable else _UNREADABLE)
                break
    for number, code in enumerate(faults, 1):
        yield NOBODY, _bad(code, "", number, lists=False)


_UNREADABLE = {"path": "", "fault": "path.encoding"}


@dataclass(frozen=True)
class OnDisk:
    """The files of a study's images, by image key: the one to use, or why there is none."""

    paths: Mapping[str, str]
    faults: Mapping[str, str]
    copies: int  # files beyond the first of an image

    @classmethod
    def of(cls, rows: Iterable[Row], rank: Callable[[str], bool]) -> OnDisk:
        """Choose the file of lowest `rank`, then by name, for each image."""
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(row["image"], []).append(row)
        best = {
            image: min(copies, key=lambda row: (not row["path"], rank(row["path"]), row["path"]))
            for image, copies in found.items()
        }
        return cls(
            {image: row["path"] for image, row in best.items() if row["path"]},
            {image: row["fault"] for image, row in best.items() if not row["path"]},
            sum(map(len, found.values())) - len(found),
        )

    def missing(self, listed: Iterable[str]) -> tuple[Lost, ...]:
        """Return what is lost of the listed images, each with its code."""
        return tuple(
            Lost(self.faults.get(image, "image.missing"), image)
            for image in sorted(listed)
            if image not in self.paths
        )

    def unlisted(self, listed: Iterable[str]) -> int:
        """Return how many images lie on the disk that are not listed."""
        return len((set(self.paths) | set(self.faults)) - set(listed))


def refused(
    code: str,
    listed: Iterable[str],
    on_disk: OnDisk,
    notes: Mapping[str, int],
    faulty: Iterable[str] = (),
) -> Assembled:
    """Return what stands for a study that cannot be used: its images at hand are lost with it.

    So are the `faulty` ones, whose rows do not say which image they mean.
    """
    listed, faulty = set(listed), set(faulty)
    here = sorted(listed & (set(on_disk.paths) | faulty))
    lost = tuple(Lost(code, image) for image in here)
    counted = {name: n for name, n in notes.items() if n > 0} | ({} if here else {code: 1})
    return Assembled(None, len(listed), (*lost, *on_disk.missing(listed - faulty)), counted)


def fault_of(rows: Iterable[Row]) -> None:
    """Raise IngestError with the code of the first row that carries a fault."""
    for row in rows:
        if row.get("fault"):
            raise IngestError(row["fault"])


def assembled(source: Source, study: str, rows: Rows, rule: PatientRule) -> Assembled:
    """Return what the source joins of a study; of NOBODY, the rows that are lost for themselves."""
    if study != NOBODY:
        return source.assemble(study, rows, rule)
    bad = sorted((row for table in rows.values() for row in table), key=_place)
    lost = tuple(
        Lost(row["fault"], f"{row['file']}:{row['line']}", int(row["images"])) for row in bad
    )
    notes: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for row in bad:
        shown[row["file"]] += 1
        where = f" {row['file']} line {row['line']}" if row["file"] else ""
        notes[row["fault"] + (where if shown[row["file"]] <= SHOWN else "")] += 1
    return Assembled(None, sum(one.images for one in lost), lost, notes)


def _place(row: Row) -> tuple[str, int, str]:
    return row["file"], int(row["line"]), row["fault"]


# A label cell: 1 positive, 0 negative, -1 uncertain, blank not mentioned (never "negative").
LABEL_VALUES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}


def label_columns(row: Row | None, columns: Iterable[str], notes: Counter[str]) -> dict[str, int]:
    """Return name -> 1, 0, -1 of a row's label columns; another value is noted, not guessed."""
    found = {}
    for column in columns:
        cell = cells.known((row or {}).get(column))
        if cell in LABEL_VALUES:
            found[names.canonical(column)] = LABEL_VALUES[cell]
        elif cell:
            notes[f"label.bad_value:{column}"] += 1
    return found


def sex_of(text: str) -> str:
    """Return "F", "M" or "" of a sex column."""
    first = cells.known(text).upper()[:1]
    return first if first in ("F", "M") else ""
