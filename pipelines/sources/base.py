"""The contract of a collection reader (`Source`), and the steps that readers share.

A reader knows the layout and the faults of one collection. It does not use Beam, pixels or
shards, and opens no image. Write a class with the attributes and the four methods of `Source`. Make
it a frozen dataclass (pydantic's, with `config=STRICT`, where its options should be checked): its
fields are the options under `sources.NAME.reader` in params.yaml. It is pickled and sent to worker
processes. The methods are called in this order:

1. `tables(root)`: once in `scan`. It returns the listings below the root.
2. `rows(root, table)`: once for each listing, in parallel. It yields (study key, row).
3. `assemble(study, rows, rule)`: once for each study key, with the rows of all listings.
4. `report(root, ref)`: for each study with a report, once in `scan` for its digest (skipped if
   the file has not changed since an earlier scan) and once in `texts` for its text.

A minimal reader, for a folder of images STUDY/IMAGE.png with one report STUDY/report.txt each:

    import hashlib, re
    from dataclasses import dataclass
    from typing import ClassVar
    from cxr_vlp.pipelines.files import paths
    from cxr_vlp.pipelines.records import Image, ReportRef, Study
    from cxr_vlp.pipelines.sources import reading
    from cxr_vlp.pipelines.sources.base import Assembled, RawReport, Table, rows_of_files

    IMAGE = re.compile(r"(?:^|/)([a-z0-9]+)/([a-z0-9]+)\\.png\\Z")

    REPORT = re.compile(r"(?:^|/)([a-z0-9]+)/report\\.txt\\Z")

    @dataclass(frozen=True)
    class Folder:
        name: ClassVar[str] = "folder"
        title: ClassVar[str] = "A folder of studies"
        licence: ClassVar[str] = "our own"
        has_reports: ClassVar[bool] = True
        credentialed: ClassVar[bool] = True
        views_from: ClassVar[str] = ""

        def tables(self, root):
            return (Table("files"),)

        def rows(self, root, table):
            yield from rows_of_files(
                root,
                (IMAGE, lambda match: (match[1], {"image": match[2]})),
                (REPORT, lambda match: (match[1], {"report": "1"})),
            )

        def assemble(self, study, rows, rule):
            found = sorted(rows["files"], key=lambda row: row["path"])
            reports = [row["path"] for row in found if "report" in row]
            images = tuple(
                Image(row["image"], row["path"]) for row in found if row.get("image")
            )
            if not images:
                return Assembled(None, listed=0, notes={"study.no_image": 1})
            joined = Study(
                source=self.name, key=study, patient=study, split=rule.split(study),
                images=images, report=ReportRef(reports[0]) if reports else None,
            )
            return Assembled(joined, listed=len(images))

        def report(self, root, ref):
            data = reading.of_file(paths.inside(root, ref.path))
            text, note = reading.text(data)
            return RawReport(text, hashlib.sha256(data).hexdigest(), note)

A file may be a member of a zip or tar, which is a folder of its own name: open it with the path
that `paths.inside` returns (its `open`, `read_bytes` and `stat`), never by its text.

A row that cannot be used has its code in the column `fault`. It is yielded under its study, which
is then refused as a whole, or under NOBODY where it names no study. Codes are those of
pipelines/codes.py. Rows, notes and messages never hold report text, and messages no ids.

The rows of a study must differ from those of an earlier scan if what `assemble` makes of them may
differ. A row that tells of a report in a table has its place as `member` and its digest as
`sha256`; without them, each change of that table costs a full scan.

A reader may have a fifth method, for the lists of `sources.NAME.leave_out`: `named(text, kind)`
returns what a text of another table names in its collection (see `named`). A reader that guesses
columns may have `understood(root)`: (option, columns, how), which `scan --dry-run` shows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

from cxr_vlp.nlp import labels
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import archives, cells, paths
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Lost, ReportRef, Study
from cxr_vlp.pipelines.sources.splits import PatientRule

_FILE = re.compile(r"[/\\]|\.(?:png|jpe?g|dcm|dicom|tiff?|bmp)(?:\.gz)?\Z", re.I)

NOBODY = ""  # the study key of rows that name no study
# The column of a row's number in its table, where only the order of a study's rows matters: a row
# before it changes the number, and not the study. No column of a table begins with a blank.
ORDER = " number"
SHOWN = 5  # how many unusable lines of a table are named in the notes

Rows = Mapping[str, Sequence[Row]]
Report = str | Mapping[str, str]  # raw text, or sections if the collection separates them


class RawReport(NamedTuple):
    """A report, and the sha256 of the bytes it was parsed from.

    Both come from one read: a second read may find another report.
    """

    report: Report
    sha256: str
    note: str = ""  # the code of its encoding, where that is not UTF-8: "report.cp1252"


@dataclass(frozen=True)
class Table:
    """A listing of the collection: a CSV file, a list, or "files", the walk over the tree."""

    name: str  # unique in the collection; `assemble` gets its rows under this name
    path: str = ""  # relative to the root; "" for the walk
    lists: bool = False  # its rows name images: then a row without a study is a lost image
    # its rows are those of `rows_of_files`, and each depends on its own file alone: then a changed
    # file costs the reading of that file. False is never wrong: a changed tree is listed anew
    by_file: bool = False


@dataclass(frozen=True)
class Assembled:
    """A study joined from its rows, with the lost images and with notes.

    Every image that is listed is in `study` or in `lost`: `scan` counts them against `listed`.
    """

    study: Study | None  # None if no image of it can be used
    listed: int  # number of images that the collection lists for the study
    lost: tuple[Lost, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)  # code -> how often


class Source(Protocol):
    """One collection's reader. Implementations are frozen dataclasses of their options."""

    name: str  # short, lower-case letters and digits; every key and file name begins with it
    title: str  # the collection's full name
    licence: str
    has_reports: bool  # False: no study has a report, so a missing one gets no note
    credentialed: bool  # its users signed an agreement; its data may not leave the machine
    views_from: str  # the file of the collection that gives the views, for a message

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the listings below the root.

        Raises ConfigError, with the files that were searched, if the root is not such a collection.
        """

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (study key, row) for each row of one listing.

        A study key has the form [a-z0-9_-]+ and is unique in the collection; a row is a dict of
        strings. A row that cannot be used is yielded with its code as `fault` (see `keyed`).
        Raises DataError if the listing is broken as a whole.
        """

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Return the study that its rows describe, under the source's own ids (ids.py hides them).

        `rows` maps the name of every table to the study's rows in it: the rows may be none and in
        any order, and the result must not depend on the order. `rule` gives the split of a patient
        whom no official list places. A study whose rows contradict each other is refused with a
        code in `lost` or `notes`, and the run continues. Raises nothing: an exception ends the run
        as an internal error.
        """

    def report(self, root: Root, ref: ReportRef) -> RawReport:
        """Return a study's report and its digest, from one read.

        `ref` is what `assemble` put into the study. Raises IngestError report.* for a report that
        cannot be used, DataError report.* for an archive that is broken as a whole.
        """


class Named(NamedTuple):
    """What a text of another table names, in the reader's own keys; "" where it does not tell."""

    patient: str = ""
    study: str = ""
    image: str = ""
    file: str = ""  # of an image: its name, or its path as far as it is known


def named(source: Source, text: str, kind: str) -> Named | None:
    """Return what a text names in a collection; None for a text that can be no id of it.

    `kind` is "patient", "study" or "image": what the text names where its form does not tell. A
    reader's own method `named(text, kind)` knows the forms of its collection: p10000032,
    CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg. Without it, a text with the ending
    of an image or with a slash is an image's file, and any other is the id itself (`as_stated`).
    """
    own: Callable[[str, str], Named | None] | None = getattr(source, "named", None)
    return own(text, kind) if own is not None else as_stated(text, kind)


def as_stated(text: str, kind: str) -> Named:
    """Return what a text names for a reader that knows no forms: a file by its form, else an id."""
    if _FILE.search(text):
        return Named(file=text)
    return Named(image=text, file=text) if kind == "image" else Named(**{kind: text})


class LabelsOnly:
    """The part of `Source` that collections without reports share."""

    has_reports: ClassVar[bool] = False

    def report(self, root: Root, ref: ReportRef) -> RawReport:  # noqa: ARG002
        """Raise IngestError report.missing: the collection was released without reports."""
        raise IngestError("report.missing")


def keyed(
    table: Table, lines: Iterable[Line], study_of: Callable[[Row], tuple[str, Row]]
) -> Iterator[tuple[str, Row]]:
    """Yield (study key, row) for each line of a table; `study_of` returns them for a row.

    A line that cannot be used, or for which `study_of` raises IngestError, is yielded under NOBODY.
    Raises DataError csv.no_row for a table that should list images and lists none.
    """
    yield from keyed_lines(table, lines, lambda line: study_of(line.row))


def keyed_lines(
    table: Table, lines: Iterable[Line], study_of: Callable[[Line], tuple[str, Row]]
) -> Iterator[tuple[str, Row]]:
    """Yield as `keyed` does, for a `study_of` that needs the number or the place of a line."""
    line = None
    for line in lines:
        code = line.code
        if not code:
            try:
                yield study_of(line)
                continue
            except IngestError as error:
                code = error.code
        yield NOBODY, _bad(code, table.path.rpartition("/")[2], line.number, table.lists)
    if line is None and table.lists:
        name = table.path.rpartition("/")[2]
        raise DataError(f"csv.no_row: {name} has a header and no row; download it again")


def _bad(code: str, file: str, line: int, lists: bool) -> Row:
    return {"fault": code, "file": file, "line": str(line), "images": str(int(lists))}


def rows_of_files(
    root: Root, *kinds: tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[str, Row]]]
) -> Iterator[tuple[str, Row]]:
    """Yield (study key, row) for every file below the root whose path matches a pattern.

    Each pattern is paired with a function that returns (study key, row) for a match. The file's
    relative path is added to the row as `path`; a path that is not UTF-8 becomes "" with a fault.
    Members of archives and archives that are not read (archive.*) are noted, and no images.
    """
    faults: list[str] = []
    reading = paths.tree(root).reading or paths.Reading()
    for path in paths.walk(root, faults.append):
        reading.at = path
        for pattern, made in kinds:
            if match := pattern.search(path):
                study, row = made(match)
                readable = paths.readable(path)
                yield study, row | ({"path": path} if readable else _UNREADABLE)
                break
    reading.at = ""
    for number, code in enumerate(faults, 1):
        note = {"note": "1"} if code.startswith("archive.") else {}
        yield NOBODY, _bad(code, "", number, lists=False) | note


_UNREADABLE = {"path": "", "fault": "path.encoding"}


@dataclass(frozen=True)
class OnDisk:
    """The files of a study's images, by image key: the file to use, or a code if none is."""

    paths: Mapping[str, str]
    faults: Mapping[str, str]  # codes
    copies: int  # number of files beyond the first of an image

    @classmethod
    def of(cls, rows: Iterable[Row], rank: Callable[[str], bool]) -> OnDisk:
        """Choose for each image the file of lowest `rank`, then an unpacked one, the first by name.

        So an archive beside its unpacked copy changes nothing.
        """
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(row["image"], []).append(row)
        best = {
            image: min(copies, key=lambda row: _preference(row["path"], rank))
            for image, copies in found.items()
        }
        return cls(
            {image: row["path"] for image, row in best.items() if row["path"]},
            {image: row["fault"] for image, row in best.items() if not row["path"]},
            sum(map(len, found.values())) - len(found),
        )

    def missing(self, listed: Iterable[str]) -> tuple[Lost, ...]:
        """Return the listed images without a usable file, each with its code."""
        return tuple(
            Lost(self.faults.get(image, "image.missing"), image)
            for image in sorted(listed)
            if image not in self.paths
        )

    def unlisted(self, listed: Iterable[str]) -> int:
        """Return how many images on the disk are not listed."""
        return len((set(self.paths) | set(self.faults)) - set(listed))


def _preference(path: str, rank: Callable[[str], bool]) -> tuple[bool, bool, bool, str]:
    return not path, rank(path), archives.within(path), path


def refused(
    code: str,
    listed: Iterable[str],
    on_disk: OnDisk,
    notes: Mapping[str, int],
    faulty: Iterable[str] = (),
) -> Assembled:
    """Return the result for a study that cannot be used: its images on disk are lost with `code`.

    The `faulty` images, whose rows do not name an image, are lost too.
    """
    listed, faulty = set(listed), set(faulty)
    here = sorted(listed & (set(on_disk.paths) | faulty))
    lost = tuple(Lost(code, image) for image in here)
    counted = {name: n for name, n in notes.items() if n > 0} | ({} if here else {code: 1})
    return Assembled(None, len(listed), (*lost, *on_disk.missing(listed - faulty)), counted)


def raise_fault(rows: Iterable[Row]) -> None:
    """Raise IngestError with the code of the first row that has a fault."""
    for row in rows:
        if row.get("fault"):
            raise IngestError(row["fault"])


def assembled(source: Source, study: str, rows: Rows, rule: PatientRule) -> Assembled:
    """Return the study that the source assembles; for NOBODY, each row is a lost image."""
    if study != NOBODY:
        return source.assemble(study, rows, rule)
    bad = sorted((row for table in rows.values() for row in table), key=_place)
    lost = tuple(
        Lost(row["fault"], f"{row['file']}:{row['line']}", int(row["images"]))
        for row in bad
        if "note" not in row
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


# A label cell: 1 positive, 0 negative, -1 uncertain, blank not mentioned (which is not negative).

LABEL_VALUES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1}


def label_columns(row: Row | None, columns: Iterable[str], notes: Counter[str]) -> dict[str, int]:
    """Return name -> 1, 0, -1 of a row's label columns; any other value is noted, not guessed."""
    found = {}
    for column in columns:
        cell = cells.known((row or {}).get(column))
        if cell in LABEL_VALUES:
            found[labels.canonical(column)] = LABEL_VALUES[cell]
        elif cell:
            notes[f"label.bad_value:{column}"] += 1
    return found


def sex_of(text: str) -> str:
    """Return "F", "M" or "" of a sex column."""
    first = cells.known(text).upper()[:1]
    return first if first in ("F", "M") else ""
