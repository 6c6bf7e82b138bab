"""Reads the tuberculosis sets of the NLM, Shenzhen and Montgomery, which have no table.

A film is CXR_png/CHNCXR_0001_0.png (Montgomery: MCUCXR_...). The last digit is its label: 1 is
tuberculosis, 0 is normal. ClinicalReadings/<the same name>.txt has sex, age and a line of reading
in several forms. Kaggle's copies have a table of them instead. A film is a person. Files in folders
of masks and annotations are no films, although those of Montgomery have the films' names.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import cells, csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, ReportRef, Study
from cxr_vlp.pipelines.sources import placed, reading, views
from cxr_vlp.pipelines.sources.base import (
    Assembled,
    OnDisk,
    RawReport,
    Rows,
    Table,
    keyed,
    raise_fault,
    refused,
    rows_of_files,
    sex_of,
)
from cxr_vlp.pipelines.sources.splits import PatientRule

_PICTURE = r"(?:png|jpe?g|dcm|dicom)"
_COLUMNS = ("study_id", "findings")
_OPTIONAL = ("sex", "gender", "age")
# ManualMask/leftMask/, mask/, shcxr-lung-mask/, Annotations/, Annotations-2/
_NO_FILMS = re.compile(r"(?:^|/)(?:[^/]*masks?|annotations?[^/]*)/", re.I)
# What stands before a reading, in any order: "male 45yrs", "45-year-old female", "M 45", "male",
# and "Patient's Sex: F", "Patient's Age: 027Y" of Montgomery. Neither "F/U", "M. tuberculosis" nor
# "2 nodules" is a person.
_UNIT = r"y(?:ea)?rs?|y|months?|mos?|weeks?|wks?|days?"
_WHO = re.compile(
    r"[\s,.;:]*(?:"
    r"(?:patient'?s?\s+)?(?:sex|gender)\s*:[ \t]*(?P<stated>(?!age\b)[a-z]*)|"
    r"(?:patient'?s?\s+)?age\s*:[ \t]*(?P<strange>(?!sex\b|gender\b)[a-z]\S*)?|"
    r"(?P<sex>(?:fe\s?male?|male?)(?![a-z])|[fm](?=\s*(?:[,;\d]|age\b|\Z)))|"
    rf"(?:age\s+)?(?P<age>\d{{1,3}}(?:\.\d)?)[\s-]*(?P<unit>{_UNIT})\b(?:[\s-]*old\b)?"
    r"(?:\s*\d{1,2}\s*mo(?:nth)?s?\b)?|"
    r"(?P<bare>(?:age\s+)?\d{1,3}(?=\s*(?:[,;]|\Z|sex\b|gender\b)))"
    r")[\s,.;]*",
    re.I | re.A,
)
_NORMAL = ("normal", "normale")  # the second spelling is in the collection
# One film says that it is not posteroanterior: its marker reads "LT APICAL".
_OTHER_VIEWS = {"mcucxr_0251_1": "APICAL"}


class _Reading(NamedTuple):
    """What a text file says: its reading, and the person it is of."""

    text: str
    sex: str = ""
    age: str = ""  # as DICOM writes it: 045Y


class _Nlm:
    """What the readers of both sets share."""

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str] = "U.S. National Library of Medicine: public, citation asked"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = False
    views_from: ClassVar[str] = "the description of the collection: its films are posteroanterior"
    prefix: ClassVar[str]  # of the films' names
    table: ClassVar[str]  # of Kaggle's copy

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the walk over the films and readings, and the table of Kaggle's copy."""
        film = self._pattern(_PICTURE)
        if not any(film.search(p) for p in paths.walk(root) if not _NO_FILMS.search(p)):
            raise ConfigError(
                f"this is no tree of {self.title}: no CXR_png/{self.prefix}_0001_0.png; "
                + paths.summary(root)
            )
        table = paths.find(root, self.table, f"{self.table}.gz")
        return (*((Table("table", table),) if table else ()), Table("files", by_file=True))

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (film, row): a film, or the facts of its reading. Text is never in a row."""
        if table.name == "table":
            lines = csv_tables.read(paths.inside(root, table.path), _COLUMNS, optional=_OPTIONAL)
            lines = (_placed(line, table.path) for line in lines)
            yield from keyed(table, lines, self._of_table)
            return
        kinds = (
            (self._pattern(_PICTURE), lambda match: (_key(match), {"image": "0", "ill": match[3]})),
            (self._pattern("txt"), lambda match: (_key(match), {"report": "1"})),
        )
        for study, row in rows_of_files(root, *kinds):
            if "report" in row and row["path"]:
                yield study, row | _facts_of_file(root, row["path"])
            elif not _NO_FILMS.search(row.get("path", "")):
                yield study, row

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join a film and its reading; a film on disk counts as listed."""
        notes: Counter[str] = Counter()
        films = [row for row in rows.get("files", ()) if "image" in row]
        on_disk = OnDisk.of(films, lambda path: "cxr_png/" not in path.lower())
        notes["image.duplicate_file"] += on_disk.copies
        listed = set(on_disk.paths) | set(on_disk.faults)
        if not listed:
            return Assembled(None, 0, notes={"study.no_image": 1})
        try:
            result = self._study(study, rows, rule, on_disk, notes)
        except IngestError as error:
            return refused(error.code, listed, on_disk, notes)
        missing = on_disk.missing(listed)
        return Assembled(result if result.images else None, len(listed), missing, +notes)

    def _study(
        self, study: str, rows: Rows, rule: PatientRule, on_disk: OnDisk, notes: Counter[str]
    ) -> Study:
        patient, _, ill = study.rpartition("_")
        if ill not in ("0", "1"):
            raise IngestError("label.bad_value")
        said = _said(rows, notes)
        view = _OTHER_VIEWS.get(study, "PA")
        age = cells.years(said.get("age", ""))
        notes["age.bad_value"] += age is None and bool(cells.known(said.get("age")))
        return Study(
            source=self.name,
            key=study,
            patient=patient,
            split=rule.split(patient),
            images=tuple(Image("0", path, "", *views.of(view)) for path in on_disk.paths.values()),
            report=ReportRef(said["path"], said.get("member", "")) if said else None,
            labels=_labels(int(ill), said.get("normal", ""), notes),
            labels_from="nlm",
            sex=sex_of(said.get("sex", "")),
            age=age,
        )

    def report(self, root: Root, ref: ReportRef) -> RawReport:
        """Return the reading, as the impression: sex and age are not part of it."""
        path = paths.inside(root, ref.path)
        if placed.is_place(ref.member):
            text = _words(placed.row(path, ref.member, _COLUMNS)["findings"])
            return RawReport(_sections(text), placed.digest(text))
        data = reading.of_file(path)
        text, note = reading.text(data)
        return RawReport(_sections(_parsed(text).text), hashlib.sha256(data).hexdigest(), note)

    def _pattern(self, suffix: str) -> re.Pattern[str]:
        """Return the pattern of a file's path; its groups are the prefix, number and digit."""
        name = rf"({self.prefix})_(\d{{1,4}})_(\d)\.{suffix}"
        return re.compile(rf"(?:^|/){name}\Z", re.I | re.A)

    def _of_table(self, row: Row) -> tuple[str, Row]:
        name = cells.known(row["study_id"]).replace("\\", "/").rpartition("/")[2]
        match = self._pattern(_PICTURE).search(name if "." in name else f"{name}.png")
        if match is None:
            raise IngestError("csv.image")
        return _key(match), _facts(
            _Reading(
                _words(row["findings"]), row.get("sex") or row.get("gender", ""), row.get("age", "")
            )
        ) | {name: row[name] for name in ("report", "path", "member")}


@dataclass(frozen=True, config=STRICT)
class Shenzhen(_Nlm):
    """Reader of the Shenzhen set; it has no options."""

    name: ClassVar[str] = "shenzhen"
    title: ClassVar[str] = "Shenzhen Hospital chest X-rays"
    prefix: ClassVar[str] = "CHNCXR"
    table: ClassVar[str] = "shenzhen_metadata.csv"


@dataclass(frozen=True, config=STRICT)
class Montgomery(_Nlm):
    """Reader of the Montgomery County set; it has no options."""

    name: ClassVar[str] = "montgomery"
    title: ClassVar[str] = "Montgomery County chest X-rays"
    prefix: ClassVar[str] = "MCUCXR"
    table: ClassVar[str] = "montgomery_metadata.csv"


def _key(match: re.Match[str]) -> str:
    """Return the film's name without suffix; zeros that a copy has lost are restored."""
    return f"{match[1].lower()}_{match[2].zfill(4)}_{match[3]}"


def _placed(line: Line, path: str) -> Line:
    if line.code:
        return line
    return line._replace(row=line.row | placed.reference(path, line))


def _words(cell: str) -> str:
    """Return the reading of a table's cell; pandas writes `nan` for a missing one."""
    return " ".join(cells.known(cell).split())


def _sections(text: str) -> dict[str, str]:
    return {"impression": text} if text else {}


def _facts_of_file(root: Root, path: str) -> Row:
    """Return the facts of a reading; none of one that cannot be read, which `scan` counts."""
    try:
        text, _ = reading.text(reading.of_file(paths.inside(root, path)))
    except IngestError:
        return {}
    return _facts(_parsed(text))


def _facts(said: _Reading) -> Row:
    words = said.text.strip().strip(".").casefold()
    normal = "" if not words else str(int(words in _NORMAL))
    return {"sex": said.sex, "age": said.age, "normal": normal}


def _parsed(text: str) -> _Reading:
    """Return the reading, and the person that the words before it describe."""
    who = {"sex": "", "age": ""}
    kept: list[str] = []
    for line in text.splitlines():
        words = line if kept else _without_person(line, who)
        kept += words.split()
    return _Reading(cells.known(" ".join(kept)), **who)


def _without_person(line: str, who: dict[str, str]) -> str:
    """Return a line from where it is reading; the sex and age before it are put into `who`."""
    place = 0
    while match := _WHO.match(line, place):
        stated = {"sex": match["stated"] or match["sex"] or "", "age": _age(match)}
        found = {name: value for name, value in stated.items() if value}
        if (not place and (match["bare"] or "").isdigit()) or any(who[name] for name in found):
            break  # a number alone, or a second person
        who |= found
        place = match.end()
    return line[place:]


def _age(match: re.Match[str]) -> str:
    """Return an age as DICOM writes it, "" where none is stated."""
    if match["bare"]:
        return match["bare"].split()[-1]
    return f"{match['age']}{match['unit'][0].upper()}" if match["age"] else match["strange"] or ""


def _said(rows: Rows, notes: Counter[str]) -> Mapping[str, str]:
    """Return the row of the film's reading: a text file, else Kaggle's table; {} without any."""
    texts = sorted(
        (r for r in rows.get("files", ()) if "report" in r and r["path"]), key=lambda r: r["path"]
    )
    listed = rows.get("table", ())
    raise_fault(listed)
    row, repeats = csv_tables.sole_row(listed, ("sex", "age", "normal"))
    notes["csv.repeated_row"] += repeats
    notes["report.other_form"] += bool(texts and row)
    found = texts[0] if texts else row
    notes["report.missing"] += found is None
    return found or {}


def _labels(ill: int, normal: str, notes: Counter[str]) -> dict[str, int]:
    """Return the label of the name; No Finding is 1 only where the reading is "normal" as well.

    A film without tuberculosis may show something else.
    """
    labels = {"Tuberculosis": ill}
    if ill and normal == "1":
        notes["label.reading"] += 1
    elif ill or normal:
        labels["No Finding"] = 0 if ill else int(normal)
    return labels
