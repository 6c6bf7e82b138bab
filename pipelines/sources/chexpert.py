"""Reads CheXpert v1.0 and v1.0-small: its tables and images, in one folder or in AIMI's batches.

`Path` in the tables begins with another root (CheXpert-v1.0/..., CheXpert-v1.0-small/...), and
a batch folder may leave out train/: images are found by patient, study and view, never by the whole
path. The collection has labels and no reports. The labels of the training images are those of the
collection, or those that CheXbert or VisualCheXbert gave later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files import cells, csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, Study
from cxr_vlp.pipelines.sources import views
from cxr_vlp.pipelines.sources.base import (
    Assembled,
    LabelsOnly,
    Named,
    OnDisk,
    Rows,
    Table,
    keyed,
    label_columns,
    raise_fault,
    refused,
    rows_of_files,
    sex_of,
)
from cxr_vlp.pipelines.sources.splits import PatientRule

_STUDY = r"(?:^|/)patient(\d+)[/_]study(\d+)"
# _ is for copies in a single folder: patient00001_study1_view1_frontal.jpg
_IMAGE = re.compile(rf"{_STUDY}[/_](view\d+_[a-z]+)\.(?:jpe?g|png|dcm|dicom)\Z", re.I | re.A)
_NO_VIEW = re.compile(rf"{_STUDY}(?:[/_]|\Z)", re.I | re.A)
# names in tables of others, which may have no ending: patient00001_study1_view1_frontal
_PLACE = re.compile(
    r"(?:^|[/\\])patient(\d+)(?:[/\\_-]study(\d+)(?:[/\\_-](view\d+_[a-z]+)(?:\.\w+)*)?)?[/\\]?\Z",
    re.I | re.A,
)
_TABLES = {"train": ("train.csv",), "validate": ("valid.csv",)} | {
    "test": ("test.csv", "test_labels.csv", "groundtruth.csv")  # AIMI's, and the labels' own repo's
}
# The test table of some releases calls Lung Opacity so.
_NAMES = (*CHEXPERT14, "Airspace Opacity")
_OPTIONAL = ("Sex", "Age", "Frontal/Lateral", "AP/PA", *_NAMES)
_LABELERS = {"chexbert": "train_cheXbert.csv", "visualchexbert": "train_visualCheXbert.csv"}
_LABELS = ("No Finding", "Cardiomegaly", "Pleural Effusion")  # a table with these has labels


@dataclass(frozen=True, config=STRICT)
class Chexpert(LabelsOnly):
    """Reader of CheXpert. `labels`: who labelled the reports of the training images."""

    labels: Literal["chexpert", "chexbert", "visualchexbert"] = "chexpert"

    name: ClassVar[str] = "chexpert"
    title: ClassVar[str] = "CheXpert"
    licence: ClassVar[str] = "Stanford University Dataset Research Use Agreement"
    credentialed: ClassVar[bool] = True
    views_from: ClassVar[str] = "Frontal/Lateral and AP/PA in train.csv and valid.csv"

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return train.csv, valid.csv, the chosen labels and, if present, a test table."""
        found = {split: _table(root, names) for split, names in _TABLES.items()}
        labeler = self._labeler(root)
        if labeler and not found["train"]:  # it repeats all columns of train.csv
            found["train"], labeler = labeler, ""
        if not any(found.values()):
            raise ConfigError(
                "this is no CheXpert tree: no train.csv, valid.csv or test table; "
                + paths.summary(root)
            )
        listed = (Table(split, path, lists=True) for split, path in found.items() if path)
        chosen = (Table("labels", labeler),) if labeler else ()
        return (*listed, *chosen, Table("files", by_file=True))

    def _labeler(self, root: Root) -> str:
        """Return the file of another labeler, "" for the collection's own labels.

        Raises ConfigError with the remedy if the file is not there.
        """
        if self.labels == "chexpert":
            return ""
        name = _LABELERS[self.labels]
        found = paths.find(root, name, f"{name}.gz")
        if not found:
            raise ConfigError(
                f"chexpert: `labels: {self.labels}` needs {name}, which is not below the root: it "
                "lies beside the zip files in AIMI's download; or set `labels: chexpert`"
            )
        return found

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (patient-study, row) of a table or of the walk."""
        if table.name == "files":
            yield from rows_of_files(
                root, (_IMAGE, lambda match: (_study(match), {"image": _view(match)}))
            )
            return
        # a test table without labels still lists images
        needed = ("Path",) if table.name == "test" else ("Path", *_LABELS)
        lines = csv_tables.read(paths.inside(root, table.path), needed, optional=_OPTIONAL)
        yield from keyed(table, lines, _of_table)

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:  # noqa: ARG002
        """Join one study; each of its views has a row, and each row repeats the labels."""
        notes: Counter[str] = Counter()
        splits = [split for split in _TABLES if rows.get(split)]
        # of several copies, the one in the split's own folder is used: train/..., valid/...
        on_disk = OnDisk.of(rows.get("files", ()), lambda path: not _in_folder(path, splits))
        notes["image.duplicate_file"] += on_disk.copies
        listed = {row["image"]: row for split in splits for row in rows[split]}
        notes["image.unlisted"] += on_disk.unlisted(listed)
        notes["csv.repeated_row"] += sum(len(rows[split]) for split in splits) - len(listed)
        notes["id.normalised"] += sum(bool(row.get("odd")) for s in splits for row in rows[s])
        if not splits:
            return Assembled(None, 0, notes=+notes)
        try:
            result = self._study(study, rows, listed, on_disk, notes)
        except IngestError as error:
            faulty = (image for image, row in listed.items() if row.get("fault"))
            return refused(error.code, listed, on_disk, notes, faulty)
        missing = on_disk.missing(listed)
        return Assembled(result if result.images else None, len(listed), missing, +notes)

    def named(self, text: str, kind: str) -> Named | None:
        """Return what a path, patient00001, patient00001_study1_view1_frontal or a number name."""
        if match := _PLACE.search(text):
            patient = f"patient{match[1].zfill(5)}"
            study = f"{patient}-study{int(match[2])}" if match[2] else ""
            return Named(patient, study, (match[3] or "").lower())
        try:
            digits = cells.identifier(text)
        except IngestError:
            return None
        return Named(f"patient{digits.zfill(5)}") if kind == "patient" else None

    def _study(
        self,
        study: str,
        tables_of: Rows,
        listed: Mapping[str, Row],
        on_disk: OnDisk,
        notes: Counter[str],
    ) -> Study:
        splits = [split for split in _TABLES if tables_of.get(split)]
        if len(splits) > 1:
            raise IngestError("split.conflict")
        split = splits[0]
        rows = tables_of[split]
        raise_fault(rows)
        other = split == "train" and "labels" in tables_of
        given = tables_of["labels"] if other else rows
        raise_fault(given)
        labelled = [c for c in _NAMES if c in given[0]] if given else []
        # every row counts, also the second row of an image: they must agree
        marks, _ = csv_tables.sole_row(given, labelled)
        notes["label.missing"] += not labelled
        row = min(rows, key=lambda row: row["image"])
        images = tuple(
            Image(name, on_disk.paths[name], "", *_view_of(name, listed[name]))
            for name in sorted(listed)
            if name in on_disk.paths
        )
        patient, number = study.split("-")
        labels = label_columns(marks, labelled, notes)
        return Study(
            source=self.name,
            key=study,
            patient=patient,
            split=split,
            images=images,
            labels=labels,
            labels_from=(self.labels if split == "train" else "radiologists") if labelled else "",
            sex=sex_of(row.get("Sex", "")),
            age=cells.years(row.get("Age", "")) or None,  # 0 stands for unknown
            when=number.removeprefix("study").zfill(6),
        )


def _table(root: Root, names: Sequence[str]) -> str:
    """Return the first table that has labels, else the first one; "" if there is none."""
    found = [path for name in names if (path := paths.find(root, name, f"{name}.gz"))]
    if len(found) < 2:
        return found[0] if found else ""
    return next((path for path in found if _has_labels(root, path)), found[0])


def _has_labels(root: Root, path: str) -> bool:
    try:
        return bool(set(_NAMES) & set(csv_tables.names_of(paths.inside(root, path), _NAMES)))
    except DataError:
        return False


def _in_folder(path: str, splits: list[str]) -> bool:
    folders = {"train": "train/", "validate": "valid/", "test": "test/"}
    return any(folders[split] in path for split in splits)


def _study(match: re.Match[str]) -> str:
    """Return the study's key, with leading zeros, which a copy may have lost."""

    return f"patient{match[1].zfill(5)}-study{int(match[2])}"


def _view(match: re.Match[str]) -> str:
    return match[3].lower()


def _of_table(row: Row) -> tuple[str, Row]:
    """Return (study key, row) of a row, by its Path.

    Raises IngestError csv.path if it names no study.
    """
    stated = cells.known(row["Path"])
    path = stated.replace("\\", "/")
    if match := _IMAGE.search(path):
        return _study(match), row | {"image": _view(match)} | (
            {"odd": "1"} if path != stated else {}
        )
    if match := _NO_VIEW.search(path):
        return _study(match), row | {"image": "no view", "fault": "csv.path"}
    raise IngestError("csv.path")


def _view_of(name: str, row: Row) -> tuple[str, str]:
    """Return the view by the tables, else by the file's name; AP/PA is blank for a lateral."""
    stated = views.of(row.get("Frontal/Lateral", ""))
    view, projection = views.of(row.get("AP/PA", ""))
    by_name = views.of(name.split("_")[1])
    return next((v for v, _ in (stated, by_name) if v != "unknown"), view), projection
