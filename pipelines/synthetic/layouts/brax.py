"""Writes BRAX 1.1.0 as PhysioNet's download is: a spreadsheet, DICOM files and their PNG twins.

The collection has no reports and no splits. Ages are given in steps of five years, the oldest in
words; the words for a view are those of the machines, or there are none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cxr_vlp.pipelines.synthetic.cases.findings import CHEXPERT_LABELS
from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.phantom.render import BoxedImage
from cxr_vlp.pipelines.synthetic.reports.report_plan import labels as report_labels
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives, dicom_files
from cxr_vlp.pipelines.synthetic.writing.acquisitions import acquire
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

_COLUMNS = (
    "DicomPath", "PngPath", "PatientID", "PatientSex", "PatientAge", "AccessionNumber",
    "StudyDate", *CHEXPERT_LABELS, "ViewPosition", "Rows", "Columns", "Manufacturer",
)  # fmt: skip
# By serial: another word for the first view, and the view that it is ("" for none of ours).
_WORDS: Mapping[int, tuple[str, str]] = {
    2: ("AP LLD", ""), 4: ("LT-DECUB", ""), 5: ("RLO", ""), 7: ("", ""), 8: ("LLO", ""),
}  # fmt: skip
_OLDEST = 85  # the group of this age and above has a word


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    images: Literal["both", "dicom", "png"] = "both",
    table: str = "master_spreadsheet_update.csv",
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/brax` and `out/brax.truth.jsonl`.

    `images` says in which form they are there; `table` is the name of the spreadsheet, which one
    release calls master_spreadsheet.csv.
    """
    # this collection has no reports, so real ones change nothing in it
    persons = people_of("brax", studies, seed, Content((content or Content()).images))
    tree = BraxTree(seed, height, images, table)
    written = write_tree(tree, out / "brax", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "brax", truth, seed)
    archives.write_jsonl(out / "brax.truth.jsonl", truth)
    return written


@dataclass(frozen=True, slots=True)
class BraxTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int
    images: str
    table: str

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images and rows."""
        patient = f"id_{self._hash('patient', person.number)}"
        written = Written(Rows({"table": []}))
        for case in person.cases:
            accession = f"Acc_{self._hash('accession', case.serial)}"
            labels = report_labels(case.study)
            images = []
            for place in range(len(case.study.views)):
                line, row = self._write_image(root, case, place, patient)
                images.append(line)
                marks = {name: f"{value:.1f}" for name, value in labels.items()}
                facts = self._facts(case) | {"PatientID": patient, "AccessionNumber": accession}
                written.rows["table"].append(row | facts | marks)
            line = study_line(
                case,
                source="brax",
                study=accession,
                patient=patient,
                split="",
                labels=labels,
                images=images,
                seed=self.seed,
                reported=False,
            )
            written.truth.append(line)
        return written

    def _hash(self, *parts: str | int) -> str:
        text = "/".join(map(str, ("brax", self.seed, *parts)))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _write_image(
        self, root: Path, case: Case, place: int, patient: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        study, series, name = (
            dicom_files.uid_of("brax", str(self.seed), str(case.serial), word)
            for word in ("study", f"series{place}", f"image{place}")
        )
        stem = f"{patient}/Study_{study}/Series_{series}/image-{name}"
        paths = {"dicom": f"Anonymized_DICOMs/{stem}.dcm", "png": f"images/{stem}.png"}
        image = image_of(case, place, height=self.height, seed=self.seed)
        if self.images != "png":
            archives.write_bytes(root / paths["dicom"], self._dicom(case, place, image, stem))
        if self.images != "dicom":
            archives.write_bytes(root / paths["png"], png(eight_bits(image.pixels)))
        view = case.study.views[place]
        word, seen = _WORDS.get(case.serial, (view, view)) if place == 0 else (view, view)
        if word == "LATERAL":
            word = ("RL", "LL", "L")[case.serial % 3]
        high, wide = image.pixels.shape
        path = root / (paths["png"] if self.images == "png" else paths["dicom"])
        row = {
            "DicomPath": paths["dicom"],
            "PngPath": paths["png"],
            "ViewPosition": word,
            "Rows": str(high),
            "Columns": str(wide),
        }
        return image_line(path, root, seen, image.boxes), row

    def _dicom(self, case: Case, place: int, image: BoxedImage, stem: str) -> bytes:
        """Return a DICOM file that states no view: the spreadsheet states it."""
        rng = stream("brax", self.seed, case.serial, place)
        view = case.study.views[place]
        taken = acquire(view, case.study.views, place=case.first + place, rng=rng)
        bits, photometric = taken.storage.bits, taken.storage.photometric
        window = dicom_files.window_of(bits=bits, photometric=photometric)
        patient, study, _, name = stem.split("/")
        header = dicom_files.Header(
            patient=patient,
            study=study[-16:],  # of a StudyID the standard allows 16 letters
            image=name,
            modality=taken.modality,
            windows=(window,) * taken.windows,
            declared_bits=taken.storage.declared,
        )
        values = dicom_files.stored_values(image.pixels, bits=bits, photometric=photometric)
        return dicom_files.file_bytes(
            values, bits=bits, photometric=photometric, syntax=taken.storage.syntax, header=header
        )

    def _facts(self, case: Case) -> dict[str, str]:
        age = case.study.age // 5 * 5
        day = stream("brax", self.seed, case.study.patient).randrange(1, 28)
        return {
            "PatientSex": case.study.sex,
            "PatientAge": "85 or more" if age >= _OLDEST or case.serial == 3 else str(age),
            "StudyDate": f"20{10 + case.study.number:02d}01{day:02d}",
            "Manufacturer": "Synthetic",
        }

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the spreadsheet."""
        archives.write_csv(root / self.table, _COLUMNS, rows_of(written, "table"))
