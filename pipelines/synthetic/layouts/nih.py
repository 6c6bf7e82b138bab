"""Writes NIH ChestX-ray14 as the Box download or Kaggle's copy unpacks.

The tree holds PNG images, the data entry table with its irregular header, the box list and the
official split lists. A study has one frontal image and no report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2

from cxr_vlp.pipelines.synthetic.cases.patients import Study
from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, deal_splits, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of
from cxr_vlp.pipelines.synthetic.writing.faults import break_images
from cxr_vlp.pipelines.synthetic.writing.image_files import eight_bits, png
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Rows,
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

SPLITS = ("train", "train", "test")  # the official lists know train_val and test only
# The brackets hold unquoted commas, so the header has two more cells than names.
_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
_COLUMNS = tuple(_HEADER.split(","))
_SAMPLE_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
)
_BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
_BOX_COLUMNS = ("Image Index", "Finding Label", "x", "y", "w", "h")  # of the rows, not the header
_BOX_FRAME = 1024  # the list is in pixels of the released 1024 px images, also in smaller copies
# The box list has eight findings (with Mass and Nodule), one of them under another name.
_BOXED = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Pleural Effusion": "Effusion",
    "Lung Opacity": "Infiltrate",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
}
_NIH_NAMES: Mapping[str, tuple[str, ...]] = {
    "Pleural Effusion": ("Effusion",),
    "Pleural Other": ("Pleural_Thickening",),
    "Lung Opacity": ("Infiltration",),
    "Pneumonia": ("Consolidation", "Pneumonia"),
    "Fracture": (),
    "Support Devices": (),
    "Enlarged Cardiomediastinum": (),
}


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    kaggle: bool = False,
    form: Literal["box", "sample"] = "box",
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/nih` and `out/nih.truth.jsonl`.

    `kaggle=True` writes images_001/images/ and so on, and the 2017 table: each line has one comma
    more, and ages are such as `058Y`, one of them 412 years. `form="sample"` writes Kaggle's
    sample: sample_labels.csv twice, the same kind of ages, no lists and no boxes.
    """
    given = content or Content()
    frontal = tuple(image for image in given.images if image.view != "LATERAL")
    persons = people_of("nih", studies, seed, Content(frontal))
    total = sum(len(p.cases) for p in persons)
    tree = NihTree(seed, height, deal_splits(persons, seed, SPLITS), kaggle, total, form)
    written = write_tree(tree, out / "nih", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "nih", truth, seed)
    archives.write_jsonl(out / "nih.truth.jsonl", truth)
    return written


@dataclass(frozen=True, slots=True)
class NihTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int
    splits: Mapping[int, str]
    kaggle: bool
    total: int  # images in all
    form: str = "box"

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images, square as all images of this collection."""
        rows: Rows = {"entry": [], "box": [], "train": [], "test": []}
        written = Written(rows)
        rng = stream("nih", self.seed, person.number)
        # for one patient of five the number in the file name is not the follow-up number
        skipped = 1 if rng.random() < 0.21 else 0
        split = self.splits[person.number]
        for follow_up, case in enumerate(person.cases):
            name = f"{person.number:08d}_{follow_up + skipped:03d}.png"
            path = root / self._folder(case.serial) / name
            view = case.study.views[0]
            boxes = self._write_image(path, case)
            rows[split].append({"name": name})
            rows["entry"].append(self._entry(name, follow_up, case, rng.choice(_SIZES)))
            rows["box"] += _box_rows(name, case, boxes, _BOX_FRAME / self.height)
            written.truth.append(
                study_line(
                    case,
                    source="nih",
                    study=name.removesuffix(".png"),
                    patient=f"{person.number:08d}",
                    split=split,
                    labels=dict.fromkeys(nih_labels(case.study), 1),
                    images=[image_line(path, root, view, boxes)],
                    seed=self.seed,
                    reported=False,
                )
            )
        return written

    def _folder(self, serial: int) -> str:
        """Return the folder of an image. Kaggle's first folder holds half as many as the others."""
        if self.form == "sample":
            return "sample/images"
        if not self.kaggle:
            return "images"
        share = max(1, self.total // 5)
        return f"images_{1 + (serial + share) // (2 * share):03d}/images"

    def _write_image(self, path: Path, case: Case) -> list[tuple[Any, ...]]:
        """Write the image; return its boxes in pixels of the square."""
        image = image_of(case, 0, height=self.height, seed=self.seed)
        high, wide = image.pixels.shape
        square = cv2.resize(image.pixels, (high, high), interpolation=cv2.INTER_AREA)
        content = png(eight_bits(square), rgba=case.serial % 25 == 11)
        archives.write_bytes(path, content)
        return [(b[0], b[1] * high / wide, b[2], b[3] * high / wide, b[4]) for b in image.boxes]

    def _entry(
        self, name: str, follow_up: int, case: Case, size: tuple[int, int, float]
    ) -> dict[str, str]:
        age = str(case.study.age)
        if self.kaggle or self.form == "sample":
            age = "412Y" if case.serial == 5 else f"{case.study.age:03d}Y"
        values = (
            name,
            "|".join(nih_labels(case.study)),
            str(follow_up),
            str(case.study.patient),
            age,
            case.study.sex,
            case.study.views[0],
            *map(str, (*size, size[2])),
        )
        return dict(zip(_COLUMNS, values, strict=True))

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the data entry table, the box list and the two split lists."""
        if self.form == "sample":
            for folder in (root, root / "sample"):
                rows = rows_of(written, "entry")
                archives.write_csv(
                    folder / "sample_labels.csv", _COLUMNS, rows, header=_SAMPLE_HEADER
                )
            return
        if self.kaggle:
            columns: Sequence[str] = (*_COLUMNS, "")
            table, header = "Data_Entry_2017.csv", f"{_HEADER},"
        else:
            columns, table, header = _COLUMNS, "Data_Entry_2017_v2020.csv", _HEADER
        archives.write_csv(root / table, columns, rows_of(written, "entry"), header=header)
        boxes = rows_of(written, "box")
        archives.write_csv(root / "BBox_List_2017.csv", _BOX_COLUMNS, boxes, header=_BOX_HEADER)
        for split, name in (("train", "train_val_list.txt"), ("test", "test_list.txt")):
            names = "".join(row["name"] + "\n" for row in rows_of(written, split))
            archives.write_bytes(root / name, names.encode())


# Width, height and pixel spacing of the images before they were made square.
_SIZES = ((2500, 2048, 0.168), (2048, 2500, 0.171), (2992, 2991, 0.143), (3056, 2544, 0.139))


def nih_labels(study: Study) -> list[str]:
    """Return the study's ChestX-ray14 labels, sorted; `["No Finding"]` if there is none.

    The set has no label for fractures, devices or a wide mediastinum, and two labels for lesions.
    """
    names: set[str] = set()
    for finding in study.findings:
        if finding.name == "Lung Lesion":
            names.add(finding.kind.capitalize())
        else:
            names.update(_NIH_NAMES.get(finding.name, (finding.name,)))
    return sorted(names) or ["No Finding"]


def _box_rows(
    name: str, case: Case, boxes: Sequence[tuple[Any, ...]], scale: float
) -> list[dict[str, str]]:
    """Return the rows of an image's boxes, of the eight findings that the list has."""
    lesions = {f.name: f.kind.capitalize() for f in case.study.findings if f.name == "Lung Lesion"}
    words = _BOXED | lesions
    found = [(words[label], place) for label, *place in boxes if label in words]
    return [
        dict(zip(_BOX_COLUMNS, (name, word, *(repr(v * scale) for v in place)), strict=True))
        for word, place in found
    ]
