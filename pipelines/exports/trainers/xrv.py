"""For torchxrayvision: the tables and folders that its MIMIC_Dataset reads, one pair a split.

The class makes the path of an image from its ids: pAB/pABC/sSTUDY/IMAGE.jpg. Ids here begin with
the name of the collection: ids of two collections stay apart, and pandas takes none for a number.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from cxr_vlp.pipelines.exports.base import Request, Result
from cxr_vlp.pipelines.exports.trainers import items, tables
from cxr_vlp.pipelines.exports.trainers.items import CHEXPERT, Item, Writer
from cxr_vlp.pipelines.exports.trainers.tables import Tables

CHECKED = "torchxrayvision 1.5.7"
Study = tuple[str, str, str]  # dataset, patient, study
_SEX = {"M": (1, 0), "F": (0, 1), "": ("", "")}


class Xrv:
    """Writes images/, and SPLIT.csv (labels) and SPLIT-metadata.csv (images) of each split."""

    about = "torchxrayvision: xrv.datasets.MIMIC_Dataset, nan for what is not mentioned"

    def write(self, request: Request) -> Result:
        """Write the files into `request.out`. Raises DataError for a broken sample."""
        writer = Writer(request)
        written: dict[Study, list[str]] = {}  # the rows of labels of each study
        with tables.writing(request.out) as made:
            for item in items.of(request):
                _add(made, writer, item, written)
        tables.page(request.out, "torchxrayvision", CHECKED, [_commands(made), _NOTES], made)
        return writer.result


def _add(made: Tables, writer: Writer, item: Item, written: dict[Study, list[str]]) -> None:
    """Add an image, and the labels of its study if they are not there yet.

    A study has several rows where its images have different labels. Its images may be in two sets.
    """
    labels = {name: item.label(name) for name in CHEXPERT}
    sample = item.sample
    told = written.setdefault((sample.dataset, sample.patient, sample.study), [])
    values = ",".join(map(str, labels.values()))
    new = values not in told
    if new:
        told.append(values)
    ids = ids_of(item, told.index(values))
    if new:
        made.add(f"{item.split}.csv", ids | labels)
    writer.add(item, path_of(item, ids))
    made.add(f"{item.split}-metadata.csv", ids | _facts(item))


def ids_of(item: Item, number: int = 0) -> dict[str, Any]:
    """Return patient and study; `number` counts the sets of labels of a study."""
    sample = item.sample
    study = f"{sample.dataset}-{sample.study}" + (f"-labels{number + 1}" if number else "")
    return {
        "subject_id": quote(f"{sample.dataset}-{sample.patient}", safe=""),
        "study_id": quote(study, safe=""),
    }


def path_of(item: Item, ids: dict[str, Any]) -> str:
    """Return the path that its class makes; it calls every image .jpg."""
    patient, study = ids["subject_id"], ids["study_id"]
    return f"images/p{patient[:2]}/p{patient}/s{study}/{item.key}.jpg"


def _facts(item: Item) -> dict[str, Any]:
    sample = item.sample
    male, female = _SEX[sample.sex]
    return {
        "dicom_id": item.key,
        "ViewPosition": view_of(item),
        "StudyDate": "" if sample.order is None else sample.order,
        "age_years": "" if sample.age is None else sample.age,
        "sex_male": male,
        "sex_female": female,
        "dataset": sample.dataset,
    }


def view_of(item: Item) -> str:
    """Return AP, PA, L (lateral) or UNKNOWN, as torchxrayvision names views."""
    sample = item.sample
    if sample.view == "lateral":
        return "L"
    known = sample.view == "frontal" and sample.projection in ("AP", "PA")
    return sample.projection if known else "UNKNOWN"


def _commands(made: Tables) -> str:
    lines = ["import torchxrayvision as xrv", ""]
    for name in items.SPLIT_NAMES.values():
        if f"{name}.csv" in made.rows:
            lines += [
                f"{name} = xrv.datasets.MIMIC_Dataset(",
                f'    imgpath=f"{{EXPORT}}/images", csvpath=f"{{EXPORT}}/{name}.csv",',
                f'    metacsvpath=f"{{EXPORT}}/{name}-metadata.csv", views=["PA", "AP"],',
                "    unique_patients=False,",
                ")",
            ]
    return "\n".join(["```python", *lines, "```"])


_NOTES = """
- EXPORT is the path of this folder. The class scales the images by `xrv.datasets.normalize(img,
  255)`.
- `views`: PA, AP, L (lateral), UNKNOWN, or `["*"]` for all. By default the class takes PA alone,
  and one image a patient (`unique_patients`).
- 1, 0, -1 (uncertain), blank (not mentioned) of CheXpert's 14 labels; the class makes nan of -1
  and of blanks, and 0 of all labels of a row with No Finding 1. Labels of other names are not in
  the table.
- `StudyDate`, which the class calls `offset_day_int`, is the place of the study in the patient's
  history, from 0: no dates are in a set.
- The class names every file .jpg; images of a PNG set are PNG under that name, which skimage
  reads.
"""
