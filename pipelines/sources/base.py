"""What every reader of a collection offers, and the small steps they share.

A reader turns a raw root into keyed rows (`tables`, `rows`), joins the rows of one study
(`assemble`) and reads a report when `texts` asks for it (`report`). It knows the layout and the
traps of one collection and nothing of Beam, pixels or shards.

A row that cannot be used carries its code as the column `fault`: under its study, which is then
refused as a whole, or under NOBODY where it names none.
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
    """A report, and the sha256 of the bytes it was parsed from.

    Both come from one read: the digest of a second read may be that of another report.
    """

    report: Report
    sha256: str
    note: str = ""  # how it is written, where that is not UTF-8


@dataclass(frozen=True)
class Table:
    """A listing of the collection: a CSV, a list, or "files", the walk over the tree itself."""

    name: str
    path: str = ""  # relative to the root; "" for the walk
    lists: bool = False  # its rows name images: one that names no study is an image lost


@dataclass(frozen=True)
class Assembled:
    """A study joined from its rows; what was lost on the way, and what was odd (`notes`)."""

    study: Study | None
    listed: int  # images that the collection lists for the study
    lost: tuple[Lost, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)  # code -> how often


class Source(Protocol):
    """One collection's reader. Implementations are frozen dataclasses of their options."""

    name: str  # short and lower case; begins every key and file name
    title: str
    licence: str
    has_reports: bool  # False: a study without a report is the rule here and worth no note
    credentialed: bool  # its users signed an agreement; its data may not leave the machine
    views_from: str  # which file of the collection tells the view of an image, for a message

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the listings found below the root. Raises ConfigError where it holds none."""

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (study key, row) of one listing. Raises DataError where the listing is broken."""

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join the rows of one study, under the source's own ids (ids.py hides them).

        A study whose rows contradict each other is refused with a code, and the run goes on.
        """

    def report(self, root: Root, ref: ReportRef) -> Read:
        """Return a study's report as one read gave it. Raises IngestError report.*."""


class LabelsOnly:
    """The half of a Source that collections without reports share."""

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
