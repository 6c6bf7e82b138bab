"""Writes two challenges of Kaggle on films of NIH ChestX-ray14: RSNA Pneumonia and SIIM-ACR.

Both hold films of `nih.write` with the same seed and height, as DICOM files of 8 bits under new
names. Neither names a person. The films of the test folder have no labels.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, deal_splits, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of
from cxr_vlp.pipelines.synthetic.writing.dicom_faults import write_with_truth
from cxr_vlp.pipelines.synthetic.writing.dicom_files import uid_of
from cxr_vlp.pipelines.synthetic.writing.image_files import Grey, eight_bits
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Written,
    no_progress,
    rows_of,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

SPLITS = ("train", "train", "test")
FRAME = 1024  # boxes and masks are in pixels of the released films
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
Box = tuple[str, float, float, float, float]
_PNEUMONIA = ("Pneumonia", "Consolidation", "Lung Opacity")  # findings that the readers box
_CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")


def write_rsna(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 1024,
    workers: int = 1,
    content: Content | None = None,
    raw: bool = False,
    mapped: bool = False,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/rsna` and `out/rsna.truth.jsonl`.

    `raw=True` stores the grey values as they are and not as JPEG. `mapped=True` adds the published
    list of the NIH films.
    """
    persons = _people(studies, seed, content)
    tree = RsnaTree(seed, height, deal_splits(persons, seed, SPLITS), raw, mapped)
    return write_with_truth(tree, out / "rsna", persons, seed, workers, faults, advance)


def write_siim(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 1024,
    workers: int = 1,
    content: Content | None = None,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/siim` and `out/siim.truth.jsonl`."""
    persons = _people(studies, seed, content)
    tree = SiimTree(seed, height, deal_splits(persons, seed, SPLITS))
    return write_with_truth(tree, out / "siim", persons, seed, workers, faults, advance)


def _people(studies: int, seed: int, content: Content | None) -> tuple[Person, ...]:
    given = content or Content()
    frontal = tuple(image for image in given.images if image.view != "LATERAL")
    return people_of("nih", studies, seed, Content(frontal))


@dataclass(frozen=True, slots=True)
class RsnaTree:
    """The layout of the RSNA Pneumonia Detection Challenge, stage 2."""

    seed: int
    height: int
    splits: Mapping[int, str]
    raw: bool
    mapped: bool

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's films: each under a name of its own that the tables call a patient."""
        split = self.splits[person.number]
        written = Written({"labels": [], "classes": [], "test": [], "mapping": []})
        for case, nih in zip(person.cases, nih_names(person, self.seed), strict=True):
            name = _uuid(f"rsna/{nih}/{self.seed}")
            path = root / f"stage_2_{split}_images" / f"{name}.dcm"
            grey, drawn = _square(case, self.height, self.seed)
            archives.write_bytes(path, film_bytes(grey, case, (name, name, name), raw=self.raw))
            boxes = _whole_boxes(drawn, _PNEUMONIA, self.height)
            kind = self._class(case, boxes)
            labels: dict[str, int] = {}
            if split == "train":
                written.rows["labels"] += _rsna_rows(name, boxes, FRAME / self.height)
                written.rows["classes"] += [{"patientId": name, "class": kind}] * max(1, len(boxes))
                labels = {"Pneumonia": int(bool(boxes)), "No Finding": int(kind == "Normal")}
                labels |= {"Lung Opacity": 1} if boxes else {}
            else:
                written.rows["test"].append(
                    {"patientId": name, "PredictionString": "0.5 0 0 99 99"}
                )
                boxes = []
            written.rows["mapping"].append({"subset_img_id": name, "img_id": nih})
            patient = str(person.number) if self.mapped else name
            named = [("Pneumonia", *place) for _, *place in boxes]
            written.truth.append(
                _line(case, "rsna", name, patient, split, labels, named, path, root, self.seed)
                | {"nih": nih}
            )
        return written

    def _class(self, case: Case, boxes: Sequence[Box]) -> str:
        findings = [f for f in case.study.findings if f.name != "Support Devices"]
        return _CLASSES[2] if boxes else _CLASSES[1 if findings else 0]

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the two tables of train, the sample submission and perhaps the NIH names."""
        columns = ("patientId", "x", "y", "width", "height", "Target")
        archives.write_csv(root / "stage_2_train_labels.csv", columns, rows_of(written, "labels"))
        classes = rows_of(written, "classes")
        names = ("patientId", "class")
        archives.write_csv(root / "stage_2_detailed_class_info.csv", names, classes)
        submission = rows_of(written, "test")
        names = ("patientId", "PredictionString")
        archives.write_csv(root / "stage_2_sample_submission.csv", names, submission)
        if self.mapped:
            rows = [
                {"SOPInstanceUID": str(_uids((row["subset_img_id"],) * 3)[2]), **row}
                for row in rows_of(written, "mapping")
            ]
            archives.write_bytes(root / MAPPING, json.dumps(rows, indent=1).encode())


@dataclass(frozen=True, slots=True)
class SiimTree:
    """The layout of the SIIM-ACR Pneumothorax Segmentation, stage 1."""

    seed: int
    height: int
    splits: Mapping[int, str]

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's films, each in folders of its study and series."""
        split = self.splits[person.number]
        written = Written({"masks": [], "test": []})
        for case, nih in zip(person.cases, nih_names(person, self.seed), strict=True):
            study, series, image = _uids((str(self.seed), nih, "siim"))
            path = root / f"dicom-images-{split}" / study / series / f"{image}.dcm"
            grey, drawn = _square(case, self.height, self.seed)
            ids = (str(self.seed), nih, "siim")
            archives.write_bytes(path, film_bytes(grey, case, ids, _uuid(nih)))
            masks = _masks(_whole_boxes(drawn, ("Pneumothorax",), self.height), FRAME / self.height)
            labels, boxes = {}, []
            if split == "test":
                written.rows["test"].append(_siim_row(image, " 1 2"))
            elif case.serial % 11 != 10:
                blank = " " if case.serial % 2 else ""  # some releases write a blank
                runs = [run_lengths(mask) for mask in masks] or [f"{blank}-1"]
                written.rows["masks"] += [_siim_row(image, run) for run in runs]
                labels = {"Pneumothorax": int(bool(masks))}
                boxes = [_around(mask, self.height / FRAME) for mask in masks]
            line = _line(case, "siim", image, image, split, labels, boxes, path, root, self.seed)
            # of some films no row says anything
            written.truth.append(line | {"nih": nih, "unlisted": not labels})
        return written

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the masks, with the publisher's blank in the header and an id without a file."""
        columns = ("ImageId", " EncodedPixels")
        rows = list(rows_of(written, "masks"))
        stranger = _siim_row(str(uid_of("siim", "nowhere")), "-1")
        archives.write_csv(root / "train-rle.csv", columns, [*rows, stranger])
        submission = ({k.strip(): v for k, v in row.items()} for row in rows_of(written, "test"))
        names = ("ImageId", "EncodedPixels")
        archives.write_csv(root / "sample_submission.csv", names, submission)


def _uuid(key: str) -> str:
    return str(uuid.UUID(archives.sha256(key.encode())[:32]))


def _siim_row(image: str, pixels: str) -> dict[str, str]:
    return {"ImageId": image, " EncodedPixels": pixels}


def nih_names(person: Person, seed: int) -> list[str]:
    """Return the names of the person's films in the tree of `nih.write` with the same seed."""
    skipped = 1 if stream("nih", seed, person.number).random() < 0.21 else 0
    return [f"{person.number:08d}_{n + skipped:03d}.png" for n in range(len(person.cases))]


def _square(case: Case, height: int, seed: int) -> tuple[Grey, list[Box]]:
    """Return the film as NIH has it, and its boxes in pixels of it."""
    image = image_of(case, 0, height=height, seed=seed)
    high, wide = image.pixels.shape
    square = cv2.resize(image.pixels, (high, high), interpolation=cv2.INTER_AREA)
    boxes = [(n, x * high / wide, y, w * high / wide, h) for n, x, y, w, h in image.boxes]
    return eight_bits(square), boxes


def film_bytes(
    grey: Grey, case: Case, ids: tuple[str, str, str], patient: str = "", *, raw: bool = False
) -> bytes:
    """Return a DICOM file of 8 bits without a window, as both challenges have it.

    One film of fifty has an age that is no age, 155.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = _uids(ids)
    dataset.StudyDate, dataset.StudyTime = "19010101", "000000.00"
    dataset.Modality, dataset.ConversionType, dataset.BodyPartExamined = "CR", "WSD", "CHEST"
    dataset.SeriesDescription = f"view: {case.study.views[0]}"
    dataset.PatientName = dataset.PatientID = patient or ids[0]
    dataset.PatientBirthDate, dataset.PatientSex = "", case.study.sex
    dataset.ViewPosition, dataset.PixelSpacing = case.study.views[0], ["0.168", "0.168"]
    age = "155" if case.serial % 50 == 7 else str(case.study.age)
    # without the letter Y that the standard asks for
    dataset.add(DataElement("PatientAge", "AS", age, validation_mode=IGNORE))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = grey.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.file_meta = meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if raw else JPEGBaseline8Bit
    meta.ImplementationClassUID, meta.ImplementationVersionName = uid_of("kaggle"), "LOOKALIKE"
    _set_pixels(dataset, grey, raw=raw)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _set_pixels(dataset: Dataset, grey: Grey, *, raw: bool) -> None:
    if raw:
        data = grey.tobytes()
        dataset.PixelData = data + b"\0" * (len(data) % 2)
    else:
        dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
        coded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        dataset.PixelData = encapsulate([coded])
        dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"


def _uids(ids: tuple[str, ...]) -> tuple[str, str, str]:
    """Return the UIDs of study, series and image."""
    return str(uid_of(*ids)), str(uid_of(*ids, "series")), str(uid_of(*ids, "image"))


def _whole_boxes(drawn: Sequence[Box], names: Sequence[str], side: int) -> list[Box]:
    """Return the boxes of some findings in whole pixels inside the film."""
    found: list[Box] = []
    for name, x, y, w, h in drawn:
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = min(side, round(x + w)), min(side, round(y + h))
        if name in names and right > left and bottom > top:
            found.append((name, left, top, right - left, bottom - top))
    return found


def _rsna_rows(name: str, boxes: Sequence[Box], scale: float) -> list[dict[str, str]]:
    """Return a row for each box, or the one row without a box."""
    sides = ("x", "y", "width", "height")
    rows = [
        dict(zip(sides, (repr(float(v * scale)) for v in place), strict=True)) | {"Target": "1"}
        for _, *place in boxes
    ]
    return [{"patientId": name} | row for row in rows or [{"Target": "0"}]]


def _masks(boxes: Sequence[Box], scale: float) -> list[NDArray[np.bool_]]:
    """Return a mask for each pneumothorax; a large one is in two masks, one above the other."""
    found = []
    for _, *place in boxes:
        x, y, w, h = (round(v * scale) for v in place)
        mask = np.zeros((FRAME, FRAME), np.uint8)
        centre, axes = (x + w // 2, y + h // 2), (max(1, w // 2 - 1), max(1, h // 2 - 1))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, (1,), -1)
        upper, lower = mask.astype(bool), mask.astype(bool)
        upper[centre[1] :], lower[: centre[1] + 4] = False, False
        found += [part for part in (upper, lower) if part.any()]
    return found


def run_lengths(mask: NDArray[np.bool_]) -> str:
    """Return a mask's run lengths: column by column, each start counted from the last run's end."""
    flat = np.concatenate(([0], mask.T.ravel().astype(np.int8), [0]))
    edges = np.flatnonzero(np.diff(flat))
    starts, ends = edges[::2], edges[1::2]
    gaps = starts - np.concatenate(([0], ends[:-1]))
    return " " + " ".join(f"{gap} {n}" for gap, n in zip(gaps, ends - starts, strict=True))


def _around(mask: NDArray[np.bool_], scale: float) -> Box:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    w, h = int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
    return ("Pneumothorax", x * scale, y * scale, w * scale, h * scale)


def _line(
    case: Case,
    source: str,
    study: str,
    patient: str,
    split: str,
    labels: Mapping[str, int],
    boxes: Sequence[Sequence[Any]],
    path: Path,
    root: Path,
    seed: int,
) -> dict[str, Any]:
    return study_line(
        case,
        source=source,
        study=study,
        patient=patient,
        split=split,
        labels=labels,
        images=[image_line(path, root, case.study.views[0], boxes)],
        seed=seed,
        reported=False,
    )
