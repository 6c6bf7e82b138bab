"""CheXpert v1.0 and v1.0-small, in one folder or in the batches of the AIMI download.

`Path` in the tables carries a root of its own (CheXpert-v1.0/..., CheXpert-v1.0-small/...), and a
batch folder may leave out train/: images are found by patient, study and view, never by the path
as it is written. The collection holds labels and no reports.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from nlp.labels import CHEXPERT14
from nlp.settings import STRICT
from pipelines import paths, tables, views
from pipelines.decoding import dicoms
from pipelines.faults import ConfigError, DataError
from pipelines.records import Image, Lost, Study
from pipelines.sources.base import Assembled, LabelsOnly, Rows, Table, label_columns, sex_of
from pipelines.splits import PatientRule
from pipelines.tables import Row

_IMAGE = re.compile(r"(patient\d+)/(study\d+)/(view\d+_[a-z]+)\.(jpe?g|png)$")
_TABLES = {"train": ("train.csv",), "validate": ("valid.csv",)} | {
    "test": ("test.csv", "test_labels.csv", "groundtruth.csv")  # AIMI's, and the labels' own repo's
}


@dataclass(frozen=True, config=STRICT)
class Chexpert(LabelsOnly):
    """Reader of CheXpert; it has no options."""

    name: ClassVar[str] = "chexpert"
    title: ClassVar[str] = "CheXpert"
    licence: ClassVar[str] = "Stanford University Dataset Research Use Agreement"
    credentialed: ClassVar[bool] = True

    def tables(self, root: Path) -> tuple[Table, ...]:
        """Return train.csv, valid.csv and, where it is there, a test table."""
        found = {split: paths.find(root, *files) for split, files in _TABLES.items()}
        if not found["train"] and not found["validate"]:
            raise ConfigError("this is no CheXpert tree: no train.csv or valid.csv below the root")
        return (*(Table(split, path) for split, path in found.items() if path), Table("files"))

    def rows(self, root: Path, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (patient-study, row) of a table or of the walk."""
        if table.name == "files":
            for path in paths.walk(root):
                if match := _IMAGE.search(path):
                    yield _study(match), {"image": match[3], "path": path}
            return
        labels = (
            "No Finding",
            "Cardiomegaly",
            "Pleural Effusion",
        )  # tells a label table from others
        for row in tables.read(root / table.path, ("Path", *labels)):
            match = _IMAGE.search(row["Path"])
            if not match:
                raise DataError(f"csv.path: {table.path}: a Path is not patient/study/view")
            yield _study(match), {**row, "image": match[3]}

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:  # noqa: ARG002
        """Join one study; its rows repeat the labels once a view."""
        notes: Counter[str] = Counter()
        splits = [split for split in _TABLES if rows.get(split)]
        on_disk: dict[str, str] = {}
        # of several copies the one in the split's own folder: train/patient..., valid/patient...
        for file in sorted(rows.get("files", ()), key=lambda f: not _in_folder(f["path"], splits)):
            notes["image.duplicate_file"] += file["image"] in on_disk
            on_disk.setdefault(file["image"], file["path"])
        if not splits:
            return Assembled(None, 0, notes={"image.unlisted": len(on_disk)})
        if len(splits) > 1:
            raise DataError("split.conflict: a study stands in two of CheXpert's tables")
        listed = {row["image"]: row for row in rows[splits[0]]}
        labelled = [c for c in CHEXPERT14 if c in next(iter(listed.values()))]
        row, _ = tables.sole(listed.values(), labelled, "a study's label table")
        notes["csv.repeated_row"] += len(rows[splits[0]]) - len(listed)
        notes["image.unlisted"] += len(set(on_disk) - set(listed))
        images = tuple(
            Image(name, on_disk[name], "", *_view(name, listed[name]))
            for name in sorted(listed)
            if name in on_disk
        )
        missing = tuple(Lost("image.missing", name) for name in sorted(set(listed) - set(on_disk)))
        patient, number = study.split("-")
        result = Study(
            source=self.name,
            key=study,
            patient=patient,
            split=splits[0],
            images=images,
            labels=label_columns(row, labelled, notes),
            labels_from="chexpert" if splits[0] == "train" else "radiologists",
            sex=sex_of((row or {}).get("Sex", "")),
            age=dicoms.years((row or {}).get("Age", "")) or None,  # 0 stands for unknown
            when=number.removeprefix("study").zfill(6),
        )
        return Assembled(result if images else None, len(listed), missing, +notes)


def _in_folder(path: str, splits: list[str]) -> bool:
    folders = {"train": "train/", "validate": "valid/", "test": "test/"}
    return any(folders[split] in path for split in splits)


def _study(match: re.Match[str]) -> str:
    return f"{match[1]}-{match[2]}"


def _view(name: str, row: Row) -> tuple[str, str]:
    """Return the view by the tables, else by the file's name; AP/PA is blank for a lateral."""
    _, projection = views.of(row.get("AP/PA", ""))
    view, _ = views.first(row.get("Frontal/Lateral", ""), name.split("_")[1])
    return view, projection
