"""Writes CheXpert v1.0 as Stanford's download, or Kaggle's small one, unpacks.

`CheXpert-v1.0/` holds train, valid and test images, train.csv (a labeler's 1, 0, -1 and blanks),
valid.csv and test.csv (radiologists' 0 and 1). AIMI's download has the labels of two more labelers
beside it. `radiologists/` holds what three more readers said of each test study, a file each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.synthetic.cases.findings import CHEXPERT_LABELS
from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, deal_splits, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.reports.report_plan import labels as report_labels
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of
from cxr_vlp.pipelines.synthetic.writing.faults import break_images
from cxr_vlp.pipelines.synthetic.writing.image_files import chexpert_jpg
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line, true_labels

SPLITS = ("train", "valid", "test")
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS)
_LAST = {"train": 0, "valid": 64_540, "test": 64_740}  # the number before each split's first
_BATCHES = {
    "valid": "CheXpert-v1.0 batch 1 (validate & csv)",
    "test": "CheXpert-v1.0 batch 1 (validate & csv)",
}
# reader -> the share of findings that he sees, and of what is not there that he calls absent
READERS = {"bc4": (0.85, 0.97), "bc6": (0.75, 0.99), "bc8": (0.8, 0.96)}
LABELERS = {"chexbert": "train_cheXbert.csv", "visualchexbert": "train_visualCheXbert.csv"}
_SMALL = 390  # columns of an image in the small release


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    small: bool = False,
    batches: bool = False,
    labelers: bool = False,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/chexpert` and `out/chexpert.truth.jsonl`.

    `small=True` writes CheXpert-v1.0-small (390 columns); `batches=True` spreads the images over
    the folders of the large download; the paths in the tables stay the same. `labelers=True` adds
    train_cheXbert.csv and train_visualCheXbert.csv, and names the test table as the repository of
    its labels does. In the truth, `labels_of` has the labels of each.
    """
    # this collection has no reports, so real ones change nothing in it
    persons = people_of("chexpert", studies, seed, Content((content or Content()).images))
    name = "CheXpert-v1.0-small" if small else "CheXpert-v1.0"
    splits = deal_splits(persons, seed, SPLITS)
    width = _SMALL if small else 0
    tree = ChexpertTree(name, seed, height, splits, _numbers(splits), width, batches, labelers)
    written = write_tree(tree, out / "chexpert", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "chexpert", truth, seed)
    archives.write_jsonl(out / "chexpert.truth.jsonl", truth)
    return written


def _numbers(splits: Mapping[int, str]) -> dict[int, int]:
    """Return every person's number: counted within the split, so that no two splits share one."""
    last = dict(_LAST)
    numbers = {}
    for person in sorted(splits):
        last[splits[person]] += 1
        numbers[person] = last[splits[person]]
    return numbers


@dataclass(frozen=True, slots=True)
class ChexpertTree:
    """The layout, and the facts of the whole collection that one person needs."""

    name: str
    seed: int
    height: int
    splits: Mapping[int, str]
    numbers: Mapping[int, int]  # person -> the collection's patient number
    width: int  # of the small release; 0: as drawn
    batches: bool
    labelers: bool

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images."""
        split = self.splits[person.number]
        patient = f"patient{self.numbers[person.number]:05d}"
        written = Written({name: [] for name in (*SPLITS, *LABELERS)})
        for visit, case in enumerate(person.cases, start=1):
            labels = report_labels(case.study) if split == "train" else true_labels(case.study)
            study = f"{patient}/study{visit}"
            line = study_line(
                case,
                source="chexpert",
                study=study,
                patient=patient,
                split=split,
                labels=labels,
                images=self._write_images(
                    root, case, f"{split}/{study}", labels, written.rows[split]
                ),
                seed=self.seed,
                reported=False,
            )
            if self.labelers and split == "train":
                line |= {"labels_of": _labels_of(case, labels)}
                self._list_labels(written, line["labels_of"], line["images"])
            written.truth.append(line)
        return written

    def _write_images(
        self,
        root: Path,
        case: Case,
        folder: str,
        labels: Mapping[str, int],
        rows: list[dict[str, str]],
    ) -> list[dict[str, Any]]:
        images, split = [], folder.split("/")[0]
        for place, view in enumerate(case.study.views):
            side = "lateral" if view == "LATERAL" else "frontal"
            file = f"{folder}/view{place + 1}_{side}.jpg"
            image = image_of(case, place, height=self.height, seed=self.seed)
            path = self._folder(root, split, case.study.patient) / file
            archives.write_bytes(path, chexpert_jpg(image.pixels, width=self.width))
            rows.append(self._row(case, file, split, view, labels))
            scale = min(1.0, self.width / image.pixels.shape[1]) if self.width else 1.0
            boxes = [(b[0], *(scale * v for v in b[1:])) for b in image.boxes]
            images.append(image_line(path, root, view, boxes))
        return images

    def _folder(self, root: Path, split: str, number: int) -> Path:
        """Return the folder that holds `train/`, `valid/` or `test/` for this person."""
        if not self.batches:
            return root / self.name
        # the training set is in three batches, 2 to 4
        half = number % 3 + 1
        return root / _BATCHES.get(split, f"CheXpert-v1.0 batch {half + 1} (train {half})")

    def _row(
        self, case: Case, file: str, split: str, view: str, labels: Mapping[str, int]
    ) -> dict[str, str]:
        marks = {name: f"{value:.1f}" for name, value in labels.items()}
        if (
            split == "test"
        ):  # the test labels came later, without the root in the path and without sex and age
            return {"Path": file} | marks
        lateral = view == "LATERAL"
        unknown = case.serial == 7  # the collection has one row of unknown sex, and ages of 0
        return marks | {
            "Path": f"{self.name}/{file}",
            "Sex": "Unknown" if unknown else {"F": "Female", "M": "Male"}[case.study.sex],
            "Age": "0" if unknown else str(case.study.age),
            "Frontal/Lateral": "Lateral" if lateral else "Frontal",
            "AP/PA": "" if lateral else view,
        }

    def _list_labels(
        self,
        written: Written,
        labels: Mapping[str, Mapping[str, int]],
        images: Sequence[Mapping[str, Any]],
    ) -> None:
        """Add the rows of the study's images to the tables of the other labelers."""
        rows = written.rows["train"][-len(images) :]
        for name in LABELERS:
            kept = [{k: v for k, v in row.items() if k not in CHEXPERT_LABELS} for row in rows]
            marks = {label: f"{value:.1f}" for label, value in labels[name].items()}
            written.rows[name] += [row | marks for row in kept]

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write train.csv, valid.csv and test.csv, and the tables of the other labelers."""
        top = root / (_BATCHES["valid"] if self.batches else self.name)
        for split in SPLITS:
            columns = ("Path", *CHEXPERT_LABELS) if split == "test" else _COLUMNS
            rows = list(rows_of(written, split))
            if self.labelers and split == "test":
                self._write_ground_truth(root, rows)
            else:
                archives.write_csv(top / f"{split}.csv", columns, rows)
        for name, file in LABELERS.items() if self.labelers else ():
            archives.write_csv(root / file, _COLUMNS, rows_of(written, name))
        self._write_readings(root / "radiologists", list(rows_of(written, "test")))

    def _write_readings(self, folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
        """Write a table for each reader, with a row for each test study."""
        truth = {f"CheXpert-v1.0/{row['Path'].rpartition('/')[0]}": row for row in rows}
        for reader in READERS:
            readings = [
                {"Study": study} | _reading(reader, self.seed, study, row)
                for study, row in truth.items()
            ]
            archives.write_csv(folder / f"{reader}.csv", ("Study", *CHEXPERT_LABELS), readings)

    def _write_ground_truth(self, root: Path, rows: Sequence[Mapping[str, str]]) -> None:
        """Write the test table of the labels' own repository, in another order and spelling."""
        names = {name: name for name in CHEXPERT_LABELS} | {"Lung Opacity": "Airspace Opacity"}
        columns = ("Path", *names.values())
        turned = [
            {names.get(k, k): f"CheXpert-v1.0/{v}" if k == "Path" else v for k, v in row.items()}
            for row in reversed(rows)
        ]
        archives.write_csv(root / "groundtruth.csv", columns, turned)


def _reading(reader: str, seed: int, study: str, truth: Mapping[str, str]) -> dict[str, str]:
    """Return what a reader says of a study: the truth, but for findings missed or seen too much."""
    rng, (sees, clears) = stream("radiologist", reader, seed, study), READERS[reader]
    right = {name: rng.random() < (sees if truth[name] == "1.0" else clears)
             for name in CHEXPERT_LABELS}  # fmt: skip
    said = {name: (truth[name] == "1.0") == right[name] for name in CHEXPERT_LABELS}
    # nobody writes No Finding beside a finding
    findings = [name for name in said if name not in ("No Finding", "Support Devices")]
    said["No Finding"] = not any(said[name] for name in findings)
    return {name: f"{float(value):.1f}" for name, value in said.items()}


def _labels_of(case: Case, labels: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return the labels of the other labelers: one guesses where CheXpert's is uncertain, and one
    says what the image shows.
    """
    guessed = {name: 1 if value < 0 else value for name, value in labels.items()}
    return {"chexbert": guessed, "visualchexbert": true_labels(case.study)}
