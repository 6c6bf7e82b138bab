"""Reads NIH ChestX-ray14: its label table, boxes and split lists, and PNGs in any folders.

The PNGs are in one folder (images/), in the folders of Kaggle (images_001/images/ ...), or in any
other folders under the collection's file names. Kaggle's sample of 5,606 images has a table of its
own, sample_labels.csv. The header of the table holds commas inside brackets, so its columns are
named here by position. `Follow-up #` is the place in the patient's history, not the number in the
file's name (they agree in 78.5 % of the rows). The labels were mined from reports that were never
released.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from cxr_vlp.nlp import labels
from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines.errors import ConfigError, IngestError
from cxr_vlp.pipelines.files import cells, csv_tables, paths
from cxr_vlp.pipelines.files.csv_tables import Row
from cxr_vlp.pipelines.files.paths import Root
from cxr_vlp.pipelines.records import Image, SourceBox, Study
from cxr_vlp.pipelines.sources import views
from cxr_vlp.pipelines.sources.base import (
    Assembled,
    LabelsOnly,
    Named,
    OnDisk,
    Rows,
    Table,
    keyed,
    raise_fault,
    refused,
    rows_of_files,
    sex_of,
)
from cxr_vlp.pipelines.sources.splits import PatientRule

_IMAGE = re.compile(r"(?:^|/)(\d{8})_(\d{3})\.(?:png|jpe?g)\Z", re.I | re.A)
# A name in a table may have lost zeros to a spreadsheet, and its suffix to a copy in JPEG.
_NAME = re.compile(r"(\d{1,8})_(\d{1,3})(?:\.(?:png|jpe?g))?", re.I | re.A)
_ENTRY = (
    "image", "labels", "follow_up", "patient", "age", "sex", "view", "width", "height", "dx", "dy",
)  # fmt: skip
_BOX = ("image", "label", "x", "y", "w", "h")
# How their headers begin; "Patient Gender" has another name in some releases.
_STATED = {
    "entry": ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "",
              "View Position"),
    "boxes": ("Image Index", "Finding Label"),
}  # fmt: skip
BOX_FRAME = (1024, 1024)  # BBox_List_2017.csv is in pixels of the released images of 1024 px

# list -> its split; train_val is divided further, by patient
_LISTS = {
    "official": {"train_val_list.txt": "train_val", "test_list.txt": "test"},
    # CheXNet's 70/10/20 lists, patient-disjoint, of all 112,120 images
    "chexnet": {f"chexnet_{n}_list.txt": s for n, s in
                (("train", "train"), ("val", "validate"), ("test", "test"))},
}  # fmt: skip


@dataclass(frozen=True, config=STRICT)
class Nih(LabelsOnly):
    """Reader of ChestX-ray14. `lists`: the published split to use, if its lists are present."""

    lists: Literal["official", "chexnet", "none"] = "official"

    name: ClassVar[str] = "nih"
    title: ClassVar[str] = "NIH ChestX-ray14"
    licence: ClassVar[str] = "NIH Clinical Center: no restrictions, attribution asked"
    credentialed: ClassVar[bool] = False
    views_from: ClassVar[str] = "View Position in Data_Entry_2017*.csv"

    def tables(self, root: Root) -> tuple[Table, ...]:
        """Return the label table, the boxes and the split lists below the root."""
        names = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "sample_labels.csv")
        entry = paths.find(root, *(either for name in names for either in _either(name)))
        if not entry:
            raise ConfigError(
                "this is no ChestX-ray14 tree: no Data_Entry_2017*.csv and no sample_labels.csv; "
                + paths.summary(root)
            )
        boxes = paths.find(root, *_either("BBox_List_2017.csv"))
        lists = _LISTS.get(self.lists, {})
        found = {name: paths.find(root, *_either(name)) for name in lists}
        if any(found.values()) and not all(found.values()):
            absent = next(name for name, path in found.items() if not path)
            raise ConfigError(
                f"nih: {absent} is missing, and another list of this split is present: "
                "provide all of them, or none"
            )
        listed = tuple(Table(f"list:{lists[n]}", path) for n, path in found.items() if path)
        optional = (Table("boxes", boxes),) if boxes else ()
        return (Table("entry", entry, lists=True), *optional, *listed, Table("files", by_file=True))

    def rows(self, root: Root, table: Table) -> Iterator[tuple[str, Row]]:
        """Yield (image stem, row): every image is its own study."""
        if table.name == "files":
            yield from rows_of_files(root, (_IMAGE, lambda m: (f"{m[1]}_{m[2]}", {"image": "0"})))
            return
        path = paths.inside(root, table.path)
        if table.name.startswith("list:"):
            # CheXNet's lines have label columns after the name
            split = table.name.removeprefix("list:")
            found = keyed(
                table, csv_tables.listed(path), lambda row: _named(row["name"], "list.image")
            )
            yield from ((stem, row | {"split": split}) for stem, row in found)
        else:
            columns = _ENTRY if table.name == "entry" else _BOX
            lines = csv_tables.read(path, columns, columns, stated=_STATED[table.name])
            yield from keyed(table, lines, _of_table)

    def assemble(self, study: str, rows: Rows, rule: PatientRule) -> Assembled:
        """Join one image's rows; the label table lists it."""
        notes: Counter[str] = Counter()
        # of a PNG and its copy in JPEG, the PNG is used
        on_disk = OnDisk.of(rows.get("files", ()), lambda path: not path.lower().endswith(".png"))
        entries = rows.get("entry", ())
        if not entries:
            return Assembled(None, 0, notes={"image.unlisted": 1} if rows.get("files") else {})
        notes["id.normalised"] += sum(bool(row.get("odd")) for row in entries)
        notes["image.duplicate_file"] += on_disk.copies
        try:
            result = self._study(study, rows, rule, on_disk, notes)
        except IngestError as error:
            return refused(error.code, "0", on_disk, notes)
        missing = on_disk.missing("0")
        return Assembled(result if result.images else None, 1, missing, +notes)

    def named(self, text: str, kind: str) -> Named | None:
        """Return what an image's name, with folders or without its ending, or a number name."""
        try:
            stem, _ = _named(text, "csv.image")
        except IngestError:
            try:
                digits = cells.identifier(text)
            except IngestError:
                return None
            return Named(str(int(digits))) if kind == "patient" else None
        return Named(str(int(stem[:8])), stem, "0")

    def _study(
        self, study: str, rows: Rows, rule: PatientRule, on_disk: OnDisk, notes: Counter[str]
    ) -> Study:
        row, repeats = csv_tables.sole_row(rows["entry"], _ENTRY[1:])
        assert row is not None  # without a row `assemble` returns earlier
        raise_fault((row,))
        notes["csv.repeated_row"] += repeats
        split = _split(rows, rule, row["patient"])
        if split is None:
            raise IngestError("split.unlisted")
        boxes = _boxes(rows, notes)
        frame = BOX_FRAME if boxes else None
        age, turn = cells.years(row["age"]), cells.number(row["follow_up"])
        notes["age.bad_value"] += age is None and bool(cells.known(row["age"]))
        notes["csv.number"] += turn is None
        return Study(
            source=self.name,
            key=study,
            patient=row["patient"],
            split=split,
            images=tuple(
                Image("0", path, "", *views.of(row["view"]), boxes, frame)
                for path in on_disk.paths.values()
            ),
            labels=_labels(row["labels"], notes),
            labels_from="nih",
            sex=sex_of(row["sex"]),
            age=age,
            when="" if turn is None else f"{turn:06.0f}",
        )


def _named(cell: str, code: str) -> tuple[str, Row]:
    """Return (image stem, row) of an image's name. Raises IngestError `code` for another name."""
    match = _NAME.fullmatch(cells.known(cell).replace("\\", "/").rpartition("/")[2])
    if match is None:
        raise IngestError(code)
    stem = f"{match[1].zfill(8)}_{match[2].zfill(3)}"
    return stem, {} if match[0].startswith(stem) else {"odd": "1"}


def _of_table(row: Row) -> tuple[str, Row]:
    stem, odd = _named(row["image"], "csv.image")
    if "patient" not in row:
        return stem, row
    # the name holds the patient too, so a number missing in the table is still known
    patient = str(int(stem[:8]))
    given = cells.known(row["patient"])
    row = row | odd | ({"odd": "1"} if given != patient else {}) | {"patient": patient}
    try:
        stated = int(cells.identifier(given)) if given else int(patient)
    except IngestError as error:
        return stem, row | {"fault": error.code}
    return stem, row if stated == int(patient) else row | {"fault": "study.two_patients"}


def _either(name: str) -> tuple[str, str]:
    return name, f"{name}.gz"


def _split(rows: Rows, rule: PatientRule, patient: str) -> str | None:
    lists = {name: found for name, found in rows.items() if name.startswith("list:")}
    if not lists:
        return rule.split(patient)
    found = {row["split"] for listed in lists.values() for row in listed}
    if len(found) > 1:
        raise IngestError("split.conflict")
    split = next(iter(found), None)
    return rule.split(patient, held_out=False) if split == "train_val" else split


def _labels(cell: str, notes: Counter[str]) -> dict[str, int]:
    """Return 1 or 0 for each of the 14 names and No Finding.

    An absent label means that the finding was not found: the labels are complete for every image.
    Names are separated by "|" and compared whole. A word that is no label may be any of the 14 in
    another spelling: then no label is set to 0.
    """
    known = {labels.canonical(name): 0 for name in (*labels.CHESTXRAY14, "No Finding")}
    found = {labels.canonical(name) for name in cells.known(cell).split("|") if cells.known(name)}
    strange = found - set(known)
    notes["label.bad_value:Finding Labels"] += len(strange)
    if not found & set(known):  # no known label is given, so none is set to 0 either
        notes["label.missing"] += 1
        return {}
    return {name: int(name in found) for name in known if name in found or not strange}


def _boxes(rows: Rows, notes: Counter[str]) -> tuple[SourceBox, ...]:
    """Return the boxes inside the image; an impossible box is noted and left out."""
    boxes = set()
    for row in rows.get("boxes", ()):
        # "Infiltrate" here is "Infiltration" in the label table
        label = labels.canonical(cells.known(row["label"]).replace("Infiltrate", "Infiltration"))
        sides = [cells.number(row[side]) for side in "xywh"]
        if label and None not in sides and _in_frame(*sides):  # type: ignore[arg-type]
            boxes.add(SourceBox(label, *sides))  # type: ignore[arg-type]
        else:
            notes["box.bad_value"] += 1
    return tuple(sorted(boxes, key=lambda b: (b.label, b.x, b.y, b.w, b.h)))


def _in_frame(x: float, y: float, w: float, h: float) -> bool:
    """Return whether a box has an area and is inside the frame, to half a pixel of rounding."""

    width, height = (side + 0.5 for side in BOX_FRAME)
    return w > 0 and h > 0 and x >= -0.5 and y >= -0.5 and x + w <= width and y + h <= height
