"""Writes VinDr-CXR and VinDr-PCXR as PhysioNet has them, and VinBigData as Kaggle has it.

VinDr-CXR and VinBigData hold the same films under the same ids. Three radiologists read each
training film and contradict each other. No file names a patient.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, deal_splits, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.names import vindr as vindr_names
from cxr_vlp.pipelines.synthetic.phantom.render import BoxedImage
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives, dicom_files
from cxr_vlp.pipelines.synthetic.writing.acquisitions import Storage
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of
from cxr_vlp.pipelines.synthetic.writing.dicom_faults import write_with_truth
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Rows,
    Written,
    no_progress,
    rows_of,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

SPLITS = ("train", "train", "test")  # the folders: there is no validation set
Place = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the DICOM
Marks = Mapping[str, Sequence[Place]]  # what one reader says: finding -> its boxes, () for global
_SIDES = ("x_min", "y_min", "x_max", "y_max")
_AGES = ("007M", "003Y", "009Y", "010D", "")  # of children
_RAW = ExplicitVRLittleEndian
_DECK = (  # a fifth is MONOCHROME1; 12 bits in 16
    Storage(12, "MONOCHROME2", _RAW),
    Storage(12, "MONOCHROME2", JPEG2000Lossless),
    Storage(12, "MONOCHROME1", _RAW),
    Storage(14, "MONOCHROME2", _RAW),
    Storage(12, "MONOCHROME2", JPEG2000Lossless),
)
# What no header of these collections has.
_ABSENT = (
    "PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "SeriesInstanceUID",
    "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    "ViewPosition",
)  # fmt: skip


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    beside: bool = False,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/vindr` and `out/vindr.truth.jsonl`.

    `beside=True` puts the tables into train/ and test/, as some copies have them.
    """
    persons = _people("vindr", studies, seed, content)
    tree = VindrTree(seed, height, deal_splits(persons, seed, SPLITS), beside)
    return write_with_truth(tree, out / "vindr", persons, seed, workers, faults, advance)


def write_vinbigdata(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/vinbigdata`: the films of `write` with the same seed and height."""
    persons = _people("vindr", studies, seed, content)
    tree = VinbigdataTree(seed, height, deal_splits(persons, seed, SPLITS))
    return write_with_truth(tree, out / "vinbigdata", persons, seed, workers, faults, advance)


def write_pcxr(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/vindrpcxr` and its truth, which has the children's ages too."""
    persons = _people("vindrpcxr", studies, seed, content)
    tree = PcxrTree(seed, height, deal_splits(persons, seed, SPLITS))
    return write_with_truth(tree, out / "vindrpcxr", persons, seed, workers, faults, advance)


def _people(source: str, studies: int, seed: int, content: Content | None) -> tuple[Person, ...]:
    given = content or Content()
    frontal = tuple(image for image in given.images if image.view != "LATERAL")
    persons = people_of(source, studies, seed, Content(frontal))
    return tuple(
        replace(p, cases=tuple(replace(c, study=replace(c.study, views=("PA",))) for c in p.cases))
        for p in persons
    )


@dataclass(frozen=True, slots=True)
class Film:
    """One written film: its id, its size in pixels, and the boxes of its findings."""

    name: str
    path: Path
    size: tuple[int, int]  # width, height
    marks: Marks  # as the truth has them


@dataclass(frozen=True, slots=True)
class VindrTree:
    """The layout of VinDr-CXR."""

    seed: int
    height: int
    splits: Mapping[int, str]
    beside: bool

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's films, each of which is a patient of its own here."""
        split = self.splits[person.number]
        written = Written({})
        for case in person.cases:
            film = _film(root, "vindr", case, split, self.height, self.seed)
            opinions = opinions_of(film, self.seed, readers=3 if split == "train" else 1)
            _add(written.rows, f"labels_{split}", _label_rows(film, opinions, split))
            _add(written.rows, f"boxes_{split}", _box_rows(film, opinions, split))
            line = _line(case, "vindr", film, root, split, self.seed, _kept(opinions.values()))
            line["labels"] = majority(opinions.values(), vindr_names.LABELS)
            line["opinions"] = [sorted(marks) for marks in opinions.values()]
            written.truth.append(line)
        return written

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the four tables; only those of train have a column of readers."""
        for split in ("train", "test"):
            folder = root / (split if self.beside else "annotations")
            reader = ("rad_id",) if split == "train" else ()
            last = "Other diseases" if split == "train" else "Other disease"
            columns = ("image_id", *reader, *vindr_names.columns(last))
            rows = rows_of(written, f"labels_{split}")
            archives.write_csv(folder / f"image_labels_{split}.csv", columns, rows)
            boxes = ("image_id", *reader, "class_name", *_SIDES)
            rows = rows_of(written, f"boxes_{split}")
            archives.write_csv(folder / f"annotations_{split}.csv", boxes, rows)


@dataclass(frozen=True, slots=True)
class VinbigdataTree:
    """The layout of Kaggle's VinBigData: one table, in which boxes are the only labels."""

    seed: int
    height: int
    splits: Mapping[int, str]

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's films; those of the test folder have no row but in the submission."""
        split = self.splits[person.number]
        written = Written({})
        for case in person.cases:
            film = _film(root, "vindr", case, split, self.height, self.seed)
            if split == "test":
                _add(written.rows, "submission", [
                    {"image_id": film.name, "PredictionString": "14 1 0 0 1 1"}
                ])  # fmt: skip
            opinions = {
                reader: vindr_names.of_vinbigdata(marks)
                for reader, marks in opinions_of(film, self.seed, readers=3).items()
            }
            kept = _kept(opinions.values())
            line = _line(case, "vinbigdata", film, root, split, self.seed, kept)
            if split == "train":
                _add(written.rows, "boxes", _class_rows(film, opinions))
                line["labels"] = majority(opinions.values(), vindr_names.VINBIGDATA)
            written.truth.append(line)
        return written

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write train.csv, its rows in no order, and the sample submission."""
        rows = list(rows_of(written, "boxes"))
        stream("vinbigdata", self.seed).shuffle(rows)
        columns = ("image_id", "class_name", "class_id", "rad_id", *_SIDES)
        archives.write_csv(root / "train.csv", columns, rows)
        submission = rows_of(written, "submission")
        names = ("image_id", "PredictionString")
        archives.write_csv(root / "sample_submission.csv", names, submission)


@dataclass(frozen=True, slots=True)
class PcxrTree:
    """The layout of VinDr-PCXR: films of children, one reader each, names with typing errors."""

    seed: int
    height: int
    splits: Mapping[int, str]

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's films."""
        split = self.splits[person.number]
        written = Written({})
        for case in person.cases:
            age = stream("pcxr", self.seed, case.serial).choice(
                ("007M", "003Y", "009Y", "010D", "")
            )
            film = _film(root, "vindrpcxr", case, split, self.height, self.seed, age)
            diseases, local = vindr_names.of_child(film.marks)
            row = {"image_id": film.name, "rad_ID": f"R{1 + case.serial % 3}"}
            stated = {name: "1.0" if name in diseases else "0.0" for name in vindr_names.CHILD}
            _add(written.rows, f"labels_{split}", [row | stated])
            marked = [row | _corners(name, place) for name in local for place in local[name]]
            blank = [row | {"class_name": "No finding"}]
            _add(written.rows, f"boxes_{split}", marked or blank)
            boxes = [(vindr_names.spelt(n), place) for n in local for place in local[n]]
            line = _line(case, "vindrpcxr", film, root, split, self.seed, boxes)
            line["labels"] = vindr_names.child_labels(diseases, local)
            written.truth.append(line | {"age": age})
        return written

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the four tables at the root."""
        for split in ("train", "test"):
            columns = ("image_id", "rad_ID", *vindr_names.CHILD)
            rows = rows_of(written, f"labels_{split}")
            archives.write_csv(root / f"image_labels_{split}.csv", columns, rows)
            boxes = ("image_id", "rad_ID", "class_name", *_SIDES)
            rows = rows_of(written, f"boxes_{split}")
            archives.write_csv(root / f"annotations_{split}.csv", boxes, rows)


def _add(rows: Rows, table: str, more: Sequence[dict[str, str]]) -> None:
    rows.setdefault(table, []).extend(more)


def _film(
    root: Path, source: str, case: Case, split: str, height: int, seed: int, age: str = "058Y"
) -> Film:
    """Write a film and return it; its id depends on its place in the collection alone."""
    name = archives.sha256(f"{source}/{seed}/{case.serial}".encode())[:32]
    path = root / split / f"{name}.dicom"
    image = image_of(case, 0, height=height, seed=seed)
    archives.write_bytes(path, _dicom(image, name, case, age))
    high, wide = image.pixels.shape
    return Film(name, path, (wide, high), vindr_names.marks(case.study, image.boxes, (wide, high)))


def _dicom(image: BoxedImage, name: str, case: Case, age: str) -> bytes:
    """Return the file: a window over the whole range, sex and age, and no id of a patient."""
    storage = _DECK[case.serial % len(_DECK)]
    top = 2**storage.bits
    window = () if case.serial % 25 == 24 else ((top / 2, float(top - 1)),)
    content = dicom_files.file_bytes(
        dicom_files.stored_values(image.pixels, bits=storage.bits, photometric=storage.photometric),
        bits=storage.bits,
        photometric=storage.photometric,
        syntax=storage.syntax,
        header=dicom_files.Header("", "", name, modality="DX", windows=window),
    )
    dataset = pydicom.dcmread(io.BytesIO(content))
    for keyword in _ABSENT:
        if keyword in dataset:
            del dataset[keyword]
    dataset.PatientSex, dataset.PatientAge = case.study.sex, age
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def opinions_of(film: Film, seed: int, *, readers: int) -> dict[str, Marks]:
    """Return what each reader says of a film. One of three misses or adds a finding.

    So of three readers two always agree with the truth, and in every second film the third says the
    opposite of them about "No finding", too.
    """
    rng = stream("readers", seed, film.name)
    names = [f"R{n}" for n in sorted(rng.sample(range(1, 18), 3))]
    if readers == 1:
        return {"": film.marks}
    opinions: dict[str, Marks] = {name: _drawn_again(film.marks, film.size, rng) for name in names}
    odd = rng.choice(names)
    if film.marks:
        opinions[odd] = {} if rng.random() < 0.5 else dict(list(opinions[odd].items())[1:])
    elif rng.random() < 0.5:
        opinions[odd] = {"Calcification": (_moved((0.4, 0.3, 0.5, 0.4), film.size, rng),)}
    return opinions


def _drawn_again(marks: Marks, size: tuple[int, int], rng: Random) -> dict[str, Sequence[Place]]:
    """Return a reader's own boxes, some pixels beside the true ones."""
    wide, high = size
    return {
        name: tuple(
            _moved((x / wide, y / high, right / wide, bottom / high), size, rng)
            for x, y, right, bottom in places
        )
        for name, places in marks.items()
    }


def _moved(place: Place, size: tuple[int, int], rng: Random) -> Place:
    wide, high = size
    left, top, right, bottom = (round((v + rng.uniform(-0.01, 0.01)) * s)
                                for v, s in zip(place, (wide, high) * 2, strict=True))  # fmt: skip
    left, top = max(0, min(left, wide - 2)), max(0, min(top, high - 2))
    return left, top, min(wide, max(left + 1, right)), min(high, max(top + 1, bottom))


def majority(opinions: Any, names: Sequence[str]) -> dict[str, int]:
    """Return 1 for what more than half of the readers say, else 0, and No Finding from these."""
    opinions = list(opinions)
    votes = {name: sum(name in marks for marks in opinions) for name in names}
    found = {vindr_names.spelt(n): int(2 * v > len(opinions)) for n, v in votes.items()}
    return found | {"No Finding": int(not any(found.values()))}


def _kept(opinions: Any) -> list[tuple[str, Place]]:
    """Return the boxes of the findings that the majority saw, of all readers who drew them."""
    opinions = list(opinions)
    return [
        (vindr_names.spelt(name), place)
        for marks in opinions
        for name, places in marks.items()
        if 2 * sum(name in other for other in opinions) > len(opinions)
        for place in places
    ]


def _label_rows(film: Film, opinions: Mapping[str, Marks], split: str) -> list[dict[str, str]]:
    last = "Other diseases" if split == "train" else "Other disease"
    rows = []
    for reader, marks in opinions.items():
        row = {name: str(int(name in marks)) for name in vindr_names.columns(last)}
        row |= {"image_id": film.name, "No finding": str(int(not marks))}
        rows.append(row | ({"rad_id": reader} if reader else {}))
    return rows


def _box_rows(film: Film, opinions: Mapping[str, Marks], split: str) -> list[dict[str, str]]:
    """Return a row for each box, and one without a box where a reader found nothing."""
    rows: list[dict[str, str]] = []
    for reader, marks in opinions.items():
        row = {"image_id": film.name} | ({"rad_id": reader} if split == "train" else {})
        found = [row | _corners(name, place) for name in marks for place in marks[name]]
        blank = dict.fromkeys(_SIDES, "") | {"class_name": "No finding"}
        rows += found or ([row | blank] if not marks else [])
    return rows


def _class_rows(film: Film, opinions: Mapping[str, Marks]) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for reader, marks in opinions.items():
        row = {"image_id": film.name, "rad_id": reader}
        found = [
            row | _corners(name, place) | {"class_id": str(vindr_names.VINBIGDATA.index(name))}
            for name in marks
            for place in marks[name]
        ]
        rows += found or [row | {"class_name": "No finding", "class_id": "14"}]
    return rows


def _corners(name: str, place: Place) -> dict[str, str]:
    return {"class_name": name} | dict(zip(_SIDES, map(str, place), strict=True))


def _line(
    case: Case,
    source: str,
    film: Film,
    root: Path,
    split: str,
    seed: int,
    boxes: Sequence[tuple[str, Place]],
) -> dict[str, Any]:
    sized = [(name, x, y, right - x, bottom - y) for name, (x, y, right, bottom) in boxes]
    return study_line(
        case,
        source=source,
        study=film.name,
        patient=film.name,
        split=split,
        labels={},
        images=[image_line(film.path, root, "PA", sized)],
        seed=seed,
        reported=False,
    )
