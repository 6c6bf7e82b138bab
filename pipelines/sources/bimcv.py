"""Reads BIMCV-COVID19+ (and its negative sister set): 16-bit PNGs, each with a JSON file beside it.

The JSON holds the film's DICOM elements by number. Only there stands whether low values are white
(MONOCHROME1): a film without it is refused, because an inverted chest is worse than none. The
labels have PadChest's vocabulary; a report is Spanish, and the labels carry the captions. CT
volumes and masks lie among the films; they are counted, and not read.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, ClassVar

import yaml
from pydantic.dataclasses import dataclass

from cxr_vlp.nlp import labels
from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import cells, csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Line, Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, Lost, ReportRef, Study
from cxr_vlp.pipelines.sources import reading, views
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

TABLES = ("labels_covid19_posi.tsv", "labels_SARS-cov-2_nega.tsv")
_NEEDED = ("PatientID", "ReportID", "Report", "Labels")
_SESSION = r"(?:^|/)(sub-s\d+)/(ses-e\d+)/"
_FILM = re.compile(_SESSION + r"mod-rx/([^/]+_(?:cr|dx))\.png\Z", re.I | re.A)
_HEADER = re.compile(_SESSION + r"mod-rx/([^/]+_(?:cr|dx))\.json\Z", re.I | re.A)
_OTHER = re.compile(r"\.(?:png|nii|nii\.gz)\Z", re.I)
_APART = "other"  # the study key of files that belong to no session
_NAME = re.compile(r"'([^']*)'|\"([^\"]*)\"")  # an entry of a Python list, whatever separates them
_KNOWN = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_")  # of the last two low values are black
_SPECIAL = {"covid 19": ("COVID-19", 1), "covid 19 uncertain": ("COVID-19", -1)}
_PROCEDURES = ("0008103E", "00181030", "00081030")  # names of series, protocol, study
# Codes and words of the hospitals in the name of a series, beside the projection. The `vp-pa` in a
# file's name is not used: it is on laterals too.
_LOCAL = re.compile(r"\b(?:[A-Z]\d{2,4}|PECHO|DIRECTO|CAMILLA|SEDE|BIPE|DEC|SUP|H)\b|\*")


@dataclass(frozen=True, config=STRICT)
class Bimcv:
    """Reader of BIMCV-COVID19; it has no options."""

    name: ClassVar[str] = "bimcv"
    title: ClassVar[str] = "BIMCV-COVID19+"
    licence: ClassVar[str] = "BIMCV-COVID19 Research Use Agreement"
    has_reports: ClassVar[bool] = True
    credentialed: ClassVar[bool] = True
    views_from: ClassVar[str] = "the .json file beside each film"

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the table of reports and labels, and the walk over the films."""
        if not any(map(_FILM.search, paths.walk(root))):
            raise ConfigError(
                "this is no BIMCV-COVID19 tree: no sub-S*/ses-E*/mod-rx/*_cr.png or *_dx.png; "
                f"unpack its .tgz files below the root; {paths.summary(root)}"
            )
        found = [table for name in TABLES if (table := paths.find(root, name))]
        if len(found) > 1:
            raise ConfigError(
                f"bimcv: {TABLES[0]} and {TABLES[1]} are two sets: give each a root and a name of "
                "its own, the second with `preset: bimcv`"
            )
        if not found:
            raise ConfigError(
                f"bimcv: {TABLES[0]} is missing; it is in the archive whose name ends in _head: "
                "unpack it below the root"
            )
        return (Table("labels", found[0]), Table("files", by_file=True))

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (subject_session, row). A row has the place of a report, never its text."""
        if table.name == "files":
            yield from _files(root)
            return
        path = paths.inside(root, table.path)
        lines = map(_placed, csv_tables.read(path, _NEEDED, delimiter="\t"))
        yield from keyed(table, lines, lambda row: _labels_row(row, table.path))

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join one session: its films and their side files are the list of its images."""
        found = rows.get("files", ())
        notes: Counter[str] = Counter()
        notes["file.not_film"] += sum("other" in row for row in found)
        on_disk = OnDisk.of((row for row in found if "image" in row), lambda _: False)
        notes["image.duplicate_file"] += on_disk.copies
        # a side file without its film tells that the download is not whole
        sided = {row["header"] for row in found if "header" in row}
        listed = {*on_disk.paths, *on_disk.faults, *sided}
        if not listed:
            notes["study.no_image"] += bool(rows.get("labels"))
            return Assembled(None, 0, notes=+notes)
        try:
            made, lost = self._study(study, rows, rule, on_disk, notes)
        except IngestError as error:
            return refused(error.code, listed, on_disk, notes)
        lost = (*lost, *on_disk.missing(listed))
        return Assembled(made if made.images else None, len(listed), lost, +notes)

    def _study(
        self, study: str, rows: Rows, rule: PatientRule, on_disk: OnDisk, notes: Counter[str]
    ) -> tuple[Study, tuple[Lost, ...]]:
        """Return the study, and the films whose headers cannot be used."""
        raise_fault(rows.get("labels", ()))
        row, repeats = csv_tables.sole_row(rows.get("labels", ()), ("labels", "sha256"))
        notes["csv.repeated_row"] += repeats
        states = _states(row["labels"], notes) if row else {}
        notes["label.missing"] += not states
        headers = {each["header"]: each for each in rows.get("files", ()) if "header" in each}
        usable = {key: headers[key] for key in on_disk.paths if _is_usable(headers.get(key))}
        images = tuple(
            Image(
                key, on_disk.paths[key], "", header["view"], header["projection"],
                polarity=header["polarity"],
            )
            for key, header in sorted(usable.items())
        )  # fmt: skip
        patient = study.partition("_")[0]
        made = Study(
            source=self.name,
            key=study,
            patient=patient,
            split=rule.split(patient),
            images=images,
            report=ReportRef(row["path"], row["member"]) if row and row["sha256"] else None,
            labels=states,
            labels_from=self.name if states else "",
            sex=_first(usable, "sex"),
            age=cells.years(_first(usable, "age")),
            when=_first(usable, "when"),
        )
        unread = sorted(on_disk.paths.keys() - usable.keys())
        return made, tuple(Lost("image.no_header", key) for key in unread)

    def report(self, root: Root, ref: ReportRef) -> RawReport:  # noqa: ARG002
        """Raise IngestError report.language: all reports are Spanish."""
        raise IngestError("report.language")


def _files(root: Root) -> Iterator[tuple[str, Row]]:
    """Yield the rows of films, of their headers, and of the files that are neither."""
    found = rows_of_files(
        root,
        (_FILM, lambda match: (_key(match[1], match[2]), {"image": _image(match)})),
        (_HEADER, lambda match: (_key(match[1], match[2]), {"header": _image(match)})),
        (_OTHER, lambda _: (_APART, {"other": "1"})),
    )
    for study, row in found:
        yield study, _header_row(root, row) if "header" in row else row


def _key(subject: str, session: str) -> str:
    return f"{subject}_{session}".lower()


def _image(match: re.Match[str]) -> str:
    """Return the part of a film's name that is unique in its session: "run-1_bp-chest_vp-pa_cr"."""
    name = match[3].lower().removeprefix(f"{_key(match[1], match[2])}_")
    return re.sub(r"[^a-z0-9_-]", "-", name)


def _header_row(root: Root, row: Row) -> Row:
    """Return the row of a header; with a fault if the file does not say which end is white."""
    try:
        found = json.loads(reading.of_file(paths.inside(root, row["path"])))
    except (IngestError, ValueError, RecursionError):
        found = None
    elements = found.items() if isinstance(found, Mapping) else ()
    header = {str(tag).upper(): value for tag, value in elements}
    photometric = _value(header, "00280004").upper()
    if not photometric.startswith(_KNOWN):
        return row | {"fault": "image.no_header"}
    meaning = _value(_item(header.get("00540220")), "00080104")
    procedures = tuple(_LOCAL.sub(" ", _value(header, tag).upper()) for tag in _PROCEDURES)
    view, projection = views.decide((_value(header, "00185101"), meaning), procedures)
    return row | {
        "polarity": "inverted" if photometric == "MONOCHROME1" else "",
        "view": view,
        "projection": projection,
        "sex": sex_of(_value(header, "00100040")),
        "age": _value(header, "00101010"),
        "when": _value(header, "00080020") + _value(header, "00080030"),
    }


def _item(sequence: object) -> Mapping[str, Any]:
    """Return the first item of a sequence, {} if it has none."""
    first = _first_of(sequence)
    return first if isinstance(first, Mapping) else {}


def _value(header: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an element as text, "" if there is none."""
    first = _first_of(header.get(tag))
    return str(first).strip() if isinstance(first, str | int | float) else ""


def _first_of(element: object) -> object:
    """Return the first value of an element: of its list `Value` (PS3.18 F), or given plainly."""
    values = element.get("Value") if isinstance(element, Mapping) else element
    if isinstance(values, list):
        return values[0] if values else None
    return values


def _is_usable(header: Row | None) -> bool:
    return header is not None and not header.get("fault")


def _first(headers: Mapping[str, Row], name: str) -> str:
    """Return the first value that a session's headers have."""
    return next((row[name] for _, row in sorted(headers.items()) if row[name]), "")


def _placed(line: Line) -> Line:
    return line._replace(row={**line.row, "place": str(line.place)})


def _labels_row(row: Row, path: str) -> tuple[str, Row]:
    subject, session = cells.known(row["PatientID"]), cells.known(row["ReportID"])
    session = session.removeprefix(f"{subject}_")
    if not re.fullmatch(r"sub-s\d+", subject, re.I) or not re.fullmatch(r"ses-e\d+", session, re.I):
        raise IngestError("csv.id")
    text = row["Report"] if cells.known(row["Report"]) else ""
    digest = _sha256(text) if text else ""
    found = {"labels": row["Labels"], "path": path, "member": row["place"], "sha256": digest}
    return _key(subject, session), found


def _states(cell: str, notes: Counter[str]) -> dict[str, int]:
    """Return the labels of a cell: positives, and COVID-19 uncertain where it says so.

    Raises IngestError image.excluded for a report that the collection itself excludes.
    """
    names = [" ".join((a or b).split()) for a, b in _NAME.findall(cell)]
    found: dict[str, int] = {}
    for name in filter(None, names):
        known = name.lower()
        if known == "exclude":
            raise IngestError("image.excluded")
        label, state = _SPECIAL.get(known, (_padchest().get(known, name), 1))
        if label:
            label = labels.canonical(label)
            found[label] = max(state, found.get(label, state))  # certain, where it says both
    if not names and cells.known(cell) not in ("", "[]"):
        notes["label.bad_value:Labels"] += 1
    return found


@functools.cache
def _padchest() -> Mapping[str, str]:
    """Return PadChest's names that have another label here, in lower case; "" for no label."""
    text = (resources.files(__package__) / "presets" / "padchest.yaml").read_text(encoding="utf-8")
    names: Iterable[tuple[str, str]] = yaml.safe_load(text)["labels"]["names"].items()
    return {name.lower(): label for name, label in names}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
