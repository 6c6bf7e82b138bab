"""NIH ChestX-ray14: one folder of PNGs (images/), the Kaggle folders (images_001/images/ ...), or
any other folders of PNGs with the collection's names.

The table's header holds commas inside brackets, so its columns are named here by position.
`Follow-up #` is the place in the patient's history, not the number in the file's name (they agree
in 78.5 % of the rows). Labels were mined from reports that were never released.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from nlp import labels as names
from nlp.settings import STRICT
from pipelines import paths, tables, views
from pipelines.decoding import dicoms
from pipelines.faults import ConfigError, DataError
from pipelines.records import Box, Image, Lost, Study
from pipelines.sources.base import Assembled, LabelsOnly, Rows, Table, sex_of
from pipelines.splits import PatientRule
from pipelines.tables import Row

_IMAGE = re.compile(r"(?:^|/)(\d{8})_(\d{3})\.png$")
_ENTRY = (
    "image", "labels", "follow_up", "patient", "age", "sex", "view", "width", "height", "dx", "dy",
)  # fmt: skip
_BOX = ("image", "label", "x", "y", "w", "h")
BOX_FRAME = (1024, 1024)  # BBox_List_2017.csv is in pixels of the released 1024 px pictures

# list -> the split it means; train_val is divided further, by patient
_LISTS = {
    "official": {"train_val_list.txt": "train_val", "test_list.txt": "test"},
    # CheXNet's 70/10/20 lists, patient-disjoint, of all 112,120 images
    "chexnet": {f"chexnet_{n}_list.txt": s for n, s in
                (("train", "train"), ("val", "validate"), ("test", "test"))},
}  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class Nih(LabelsOnly):
    """Reader of ChestX-ray14. `lists`: which published split to use where it is there."""

    lists: Literal["official", "chexnet", "none"] = "official"

    name: ClassVar[str] = "nih"
    title: ClassVar[str] = "NIH ChestX-ray14"
    licence: ClassVar[str] = "NIH Clinical Center: no restrictions, attribution asked"
    credentialed: ClassVar[bool] = False

    def tables(self, root: Path) -> tuple[Table, ...]:
        """Return the label table, boxes and lists below the root."""
        entry = paths.find(
            root, *_either("Data_Entry_2017_v2020.csv"), *_either("Data_Entry_2017.csv")
        )
        if not entry:
            raise ConfigError(
                "this is no ChestX-ray14 tree: no Data_Entry_2017*.csv below the root"
            )
        boxes = paths.find(root, *_either("BBox_List_2017.csv"))
        lists = _LISTS.get(self.lists, {})
        found = {name: paths.find(root, *_either(name)) for name in lists}
        if any(found.values()) and not all(found.values()):
            absent = next(name for name, path in found.items() if not path)
            raise ConfigError(f"nih: {absent} is missing beside its twin; both lists or none")
        listed = tuple(Table(f"list:{lists[n]}", path) for n, path in found.items() if path)
        optional = (Table("boxes", boxes),) if boxes else ()
        return (Table("entry", entry), *optional, *listed, Table("files"))

    def rows(self, root: Path, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (image stem, row): every image is a study of its own."""
        if table.name == "files":
            for path in paths.walk(root):
                if match := _IMAGE.search(path):
                    yield f"{match[1]}_{match[2]}", {"path": path}
        elif table.name.startswith("list:"):
            for name in _listed(root / table.path):
                yield name, {"split": table.name.removeprefix("list:")}
        else:
            columns = _ENTRY if table.name == "entry" else _BOX
            for row in tables.read(root / table.path, columns, columns):
                if not _IMAGE.search(row["image"]):
                    raise DataError(
                        f"csv.image: {table.path}: an image name is not 00000001_000.png"
                    )
                yield row["image"].removesuffix(".png"), row

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join one image's rows; it is listed by the label table."""
        notes: Counter[str] = Counter()
        row, repeats = tables.sole(rows.get("entry", ()), _ENTRY, "an image")
        notes["csv.repeated_row"] += repeats
        files = sorted(file["path"] for file in rows.get("files", ()))
        if row is None:
            return Assembled(None, 0, notes={"image.unlisted": 1} if files else {})
        if not files:
            return Assembled(None, 1, (Lost("image.missing", "0"),), +notes)
        split = _split(rows, rule, row["patient"].strip())
        if split is None:
            return Assembled(None, 1, (Lost("split.unlisted", "0"),), +notes)
        notes["image.duplicate_file"] += len(files) - 1
        view, projection = views.of(row["view"])
        boxes = _boxes(rows)
        image = Image("0", files[0], "", view, projection, boxes, BOX_FRAME if boxes else None)
        result = Study(
            source=self.name,
            key=study,
            patient=row["patient"].strip(),
            split=split,
            images=(image,),
            labels=_labels(row["labels"], notes),
            labels_from="nih",
            sex=sex_of(row["sex"]),
            age=dicoms.years(row["age"]),
            when=row["follow_up"].strip().zfill(6),
        )
        return Assembled(result, 1, (), +notes)


def _either(name: str) -> tuple[str, str]:
    return name, f"{name}.gz"


def _listed(path: Path) -> Iterator[str]:
    """Yield the image stems of a list; CheXNet's lines carry label columns behind the name."""
    with tables.text(path) as lines:
        for number, line in enumerate(lines, 1):
            name = line.split()[0] if line.strip() else ""
            if name and not _IMAGE.search(name):
                raise DataError(f"list.image: {path.name}, line {number}: not an image name")
            if name:
                yield name.removesuffix(".png")


def _split(rows: Rows, rule: PatientRule, patient: str) -> str | None:
    lists = {name: found for name, found in rows.items() if name.startswith("list:")}
    if not lists:
        return rule.split(patient)
    found = {row["split"] for listed in lists.values() for row in listed}
    if len(found) > 1:
        raise DataError("split.conflict: an image stands in two of the lists")
    split = next(iter(found), None)
    return rule.split(patient, held_out=False) if split == "train_val" else split


def _labels(cell: str, notes: Counter[str]) -> dict[str, int]:
    """Return 1 or 0 for each of the 14 names and No Finding: here absent means looked for and not
    found, as the labels are complete for every image. Split on "|": "Mass" is no part of a name."""
    known = {names.canonical(name): name for name in (*names.CHESTXRAY14, "No Finding")}
    found = {names.canonical(name) for name in cell.split("|") if name.strip()}
    for _ in found - set(known):
        notes["label.bad_value:Finding Labels"] += 1
    return {name: int(name in found) for name in known}


def _boxes(rows: Rows) -> tuple[Box, ...]:
    boxes = []
    for row in rows.get("boxes", ()):
        # "Infiltrate" here is "Infiltration" in the label table
        label = names.canonical(row["label"].strip().replace("Infiltrate", "Infiltration"))
        try:
            x, y, w, h = (float(row[side]) for side in "xywh")
        except ValueError:
            raise DataError("csv.number: BBox_List_2017.csv: a box is not four numbers") from None
        boxes.append(Box(label, x, y, w, h))
    return tuple(sorted(boxes, key=lambda b: (b.label, b.x, b.y, b.w, b.h)))
