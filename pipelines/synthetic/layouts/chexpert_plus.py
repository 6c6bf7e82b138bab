"""Writes CheXpert Plus as AIMI's download unpacks: its table, label files, DICOM and PNG files.

The table names JPEG files that are nowhere. Texts begin with a line break, and the rows of one
study differ in the dates that replaced the true ones. Of the DICOM files one in twenty has no
HighBit, and some under MONOCHROME1 have a window off the middle of their values.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

import pydicom

from cxr_vlp.pipelines.synthetic.cases.findings import CHEXPERT_LABELS
from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, deal_splits, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.phantom.render import BoxedImage
from cxr_vlp.pipelines.synthetic.reports.report_plan import labels as report_labels
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives, dicom_files
from cxr_vlp.pipelines.synthetic.writing.acquisitions import Acquisition, acquire
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of, sections
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

TABLE = "df_chexpert_plus_240401.csv"
SPLITS = ("train", "valid", "train")  # the collection has no test images
_COLUMNS = (
    "path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id",
    "patient_report_date_order", "report", "section_narrative", "section_clinical_history",
    "section_history", "section_comparison", "section_technique", "section_procedure_comments",
    "section_findings", "section_impression", "section_end_of_impression", "section_summary",
    "section_accession_number", "age", "sex", "race", "ethnicity", "interpreter_needed",
    "insurance_type", "recent_bmi", "deceased", "split",
)  # fmt: skip
_HEADINGS = {
    "section_narrative": "NARRATIVE",
    "section_clinical_history": "CLINICAL HISTORY",
    "section_comparison": "COMPARISON",
    "section_procedure_comments": "PROCEDURE COMMENTS",
    "section_findings": "FINDINGS",
    "section_impression": "IMPRESSION",
    "section_summary": "SUMMARY",
    "section_accession_number": "ACCESSION NUMBER",
}
_UNPARSED = 4  # the study whose report was not divided: all of its text is in `report`
_NO_HIGH_BIT = 3  # of twenty images, the one without HighBit
_DICOM, _PNG = Path("DICOM/Uncompressed"), Path("PNG/PNG")


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    images: Literal["both", "dicom", "png"] = "both",
    index: bool = False,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/chexpertplus` and `out/chexpertplus.truth.jsonl`.

    `images` says in which form they are there; `index=True` puts a column without a name in front.
    """
    persons = people_of("chexpertplus", studies, seed, content or Content())
    splits = deal_splits(persons, seed, SPLITS)
    tree = ChexpertPlusTree(seed, height, splits, images, index)
    written = write_tree(tree, out / "chexpertplus", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "chexpertplus", truth, seed)
    archives.write_jsonl(out / "chexpertplus.truth.jsonl", truth)
    return written


@dataclass(frozen=True, slots=True)
class ChexpertPlusTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int
    splits: Mapping[int, str]
    images: str
    index: bool

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images and rows."""
        split, patient = self.splits[person.number], f"patient{person.number:05d}"
        written = Written(Rows({"table": [], "report": [], "impression": [], "findings": []}))
        for visit, case in enumerate(person.cases, start=1):
            folder = f"{split}/{patient}/study{visit}"
            labels = report_labels(case.study)
            images = self._write_images(root, case, folder)
            rows = [
                self._row(case, folder, place, patient, split)
                for place in range(len(case.study.views))
            ]
            # a study's rows are not in the order of its views
            written.rows["table"] += rows[::-1] if case.serial % 3 == 2 else rows
            for row in rows:
                _add_labels(written.rows, row["path_to_image"], labels)
            line = study_line(
                case,
                source="chexpertplus",
                study=f"{patient}/study{visit}",
                patient=patient,
                split=split,
                labels=labels,
                images=images,
                seed=self.seed,
            )
            written.truth.append(line)
        return written

    def _write_images(self, root: Path, case: Case, folder: str) -> list[dict[str, Any]]:
        lines = []
        for place, view in enumerate(case.study.views):
            image = image_of(case, place, height=self.height, seed=self.seed)
            name = f"{folder}/{_name(place, view)}"
            dicom, picture = root / _DICOM / f"{name}.dcm", root / _PNG / f"{name}.png"
            if self.images != "png":
                content = self._dicom(case, place, image, name)
                archives.write_bytes(dicom, content)
                if case.serial % 6 == 1 and place == 0:  # a download that was stopped
                    left = dicom.with_name(f".azDownload-{case.serial:08x}-{dicom.name}")
                    archives.write_bytes(left, content[: len(content) // 3])
            if self.images != "dicom":
                archives.write_bytes(picture, png(eight_bits(image.pixels)))
            path = picture if self.images == "png" else dicom
            lines.append(image_line(path, root, view, image.boxes))
        return lines

    def _dicom(self, case: Case, place: int, image: BoxedImage, name: str) -> bytes:
        """Return a DICOM file; its header says nothing of the view, as the table gives it."""
        rng = stream("chexpertplus", self.seed, case.serial, place)
        number = case.first + place
        view = case.study.views[place]
        taken = acquire(view, case.study.views, place=number, rng=rng)
        storage = taken.storage
        values = dicom_files.stored_values(
            image.pixels, bits=storage.bits, photometric=storage.photometric
        )
        content = dicom_files.file_bytes(
            values,
            bits=storage.bits,
            photometric=storage.photometric,
            syntax=storage.syntax,
            header=_header(taken, name),
        )
        return _without_high_bit(content) if number % 20 == _NO_HIGH_BIT else content

    def _row(self, case: Case, folder: str, place: int, patient: str, split: str) -> dict[str, str]:
        view, age = case.study.views[place], float(case.study.age)
        lateral, name = view == "LATERAL", f"{folder}/{_name(place, view)}"
        rng = stream("chexpertplus", self.seed, case.serial, place, "surrogates")
        text = _texts(case, rng, seed=self.seed)
        return text | {
            "path_to_image": f"{name}.jpg",
            "path_to_dcm": f"{name}.dcm",
            "frontal_lateral": "Lateral" if lateral else "Frontal",
            "ap_pa": "" if lateral else view,
            "deid_patient_id": patient,
            "patient_report_date_order": str(case.study.number),
            "age": str(age),
            "sex": {"F": "Female", "M": "Male"}[case.study.sex],
            "race": "Unknown",
            "ethnicity": "Unknown",
            "interpreter_needed": "",
            "insurance_type": "Private Insurance",
            "recent_bmi": "24.7",
            "deceased": "No",
            "split": split,
        }

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the table and the three label files."""
        rows = list(rows_of(written, "table"))
        columns = ("", *_COLUMNS) if self.index else _COLUMNS
        numbered = ({"": str(place)} | row for place, row in enumerate(rows))
        archives.write_csv(root / TABLE, columns, numbered if self.index else rows)
        for name in ("report", "impression", "findings"):
            archives.write_bytes(
                root / "chexbert_labels" / f"{name}_fixed.json",
                "".join(row["line"] for row in rows_of(written, name)).encode(),
            )


def _name(place: int, view: str) -> str:
    return f"view{place + 1}_{'lateral' if view == 'LATERAL' else 'frontal'}"


def _texts(case: Case, rng: Random, *, seed: int) -> dict[str, str]:
    """Return the report and its sections; each row of a study has other dates."""
    day = f"{rng.randint(1, 12)}/{rng.randint(1, 28)}/20{rng.randint(0, 17):02d}"
    text = sections(case, seed=seed)
    found = {
        "section_narrative": f"RADIOGRAPHIC EXAMINATION OF THE CHEST: {day}",
        "section_clinical_history": text["indication"],
        "section_comparison": f"Chest radiograph of {day}." if case.study.prior else "None.",
        "section_procedure_comments": f"{len(case.study.views)} view(s) of the chest.",
        "section_findings": text["findings"],
        "section_impression": text["impression"],
        "section_summary": f"{rng.randint(1, 4)}-SUMMARY CODE",
        "section_accession_number": str(rng.randint(10**6, 10**7)),
    }
    # each text begins with a line break
    kept = {name: f"\n{value}" for name, value in found.items() if value}
    report = "".join(f"\n{_HEADINGS[name]}:{value}\n" for name, value in kept.items())
    return {"report": report} | ({} if case.serial == _UNPARSED else kept)


def _add_labels(rows: Rows, path: str, labels: Mapping[str, int]) -> None:
    """Add an image's line of each label file: of the report, of its impression, of its findings.

    That of the findings, which are mostly empty, says No Finding nearly everywhere.
    """
    certain = {name: value for name, value in labels.items() if value != 0}
    for file, found in (
        ("report", labels), ("impression", certain), ("findings", {"No Finding": 1}),
    ):  # fmt: skip
        values: dict[str, Any] = {name: found.get(name) for name in CHEXPERT_LABELS}
        rows[file].append({"line": json.dumps({"path_to_image": path, **values}) + "\n"})


def _header(taken: Acquisition, name: str) -> dicom_files.Header:
    patient, study, image = name.split("/")[1:]
    bits, photometric = taken.storage.bits, taken.storage.photometric
    centre, width = dicom_files.window_of(bits=bits, photometric=photometric)
    if photometric == "MONOCHROME1":
        centre += round(0.06 * 2**bits)
    return dicom_files.Header(
        patient=patient,
        study=study,
        image=image,
        modality=taken.modality,
        windows=((centre, width),) if taken.windows else (),
        declared_bits=taken.storage.declared,
    )


def _without_high_bit(content: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(content))
    del dataset.HighBit
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
