"""Writes CANDID-PTX: a table of reports and masks, two further tables of masks, and the images.

`Pneumothorax_reports.csv` has a row a mask and repeats the report, whose cell holds line breaks.
The masks are run lengths as in SIIM: relative starts, column by column, -1 for none. The tables of
tubes and rib fractures name the images that have one, and only a few that have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.writing import archives, dicom_files
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of, sections
from cxr_vlp.pipelines.synthetic.writing.faults import break_images
from cxr_vlp.pipelines.synthetic.writing.image_files import eight_bits, jpeg, png
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

FRAME = 1024  # width and height of the published images, in whose pixels the masks are given
_REPORTS = ("SOPInstanceUID", "StudyInstanceUID", "EncodedPixels", "Report")
_MASKS = ("anon_SOPUID", "annotation_ref", "mask_rle")
_TABLES = {"Chest Tube": "chest_tube.csv", "Rib Fracture": "acute_rib_fracture.csv"}
_NONE = "-1"
Form = Literal["dicom", "png", "jpg"]
Place = tuple[float, float, float, float]


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    form: Form = "dicom",
    patients: bool = False,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/candid` and `out/candid.truth.jsonl`.

    `form`: DICOM files without a suffix in `dataset/`, or pictures in `images/`. `patients=True`
    adds the column `filename`, whose first word is the patient; most copies lack it.
    """
    given = content or Content()
    frontal = tuple(image for image in given.images if image.view != "LATERAL")
    persons = people_of("candid", studies, seed, Content(frontal, given.reports))
    tree = CandidTree(seed, height, form, patients)
    written = write_tree(tree, out / "candid", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "candid", truth, seed)
    archives.write_jsonl(out / "candid.truth.jsonl", truth)
    return written


@dataclass(frozen=True, slots=True)
class CandidTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int
    form: Form
    patients: bool

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images, and their rows in the three tables."""
        written = Written({"reports": [], **{name: [] for name in _TABLES}})
        for case in person.cases:
            study = _uid("candid", str(self.seed), str(case.serial))
            listed = _listed(case)
            images = [
                self._write_image(root, case, place, study, listed, written.rows)
                for place in range(2 if case.serial % 6 == 2 else 1)
            ]
            written.truth.append(
                study_line(
                    case,
                    source="candid",
                    study=study,
                    patient=f"P{person.number}" if self.patients else study,
                    split="",
                    labels={name: int(state) for name, state in listed.items()},
                    images=images,
                    seed=self.seed,
                    left_out=("indication", "comparison"),
                )
            )
        return written

    def _write_image(
        self,
        root: Path,
        case: Case,
        place: int,
        study: str,
        listed: Mapping[str, bool],
        rows: dict[str, list[dict[str, str]]],
    ) -> dict[str, Any]:
        image = _uid(study, str(place))
        drawn = image_of(case, 0, height=self.height, seed=self.seed)
        high, wide = drawn.pixels.shape
        # the second image of a study is the same chest under another exposure
        pixels = drawn.pixels ** (1 + 0.4 * place)
        square = cv2.resize(pixels, (high, high), interpolation=cv2.INTER_AREA)
        path = self._write_file(root, square, case, image)
        found = [(label, _inside(at, wide, high)) for label, *at in drawn.boxes]
        masks = {name: [at for label, at in found if label == _DRAWN[name]] for name in listed}
        report = {
            "SOPInstanceUID": image,
            "StudyInstanceUID": study,
            "Report": _report(case, self.seed),
            "filename": f"P{case.study.patient}_{case.study.number:03d}_{place}.dcm",
        }
        rows["reports"] += [
            report | {"EncodedPixels": code}
            for code in _codes(listed["Pneumothorax"], masks["Pneumothorax"])
        ]
        for name in _TABLES.keys() & listed.keys():
            rows[name] += [
                {"anon_SOPUID": image, "annotation_ref": f"{case.serial}", "mask_rle": code}
                for code in _codes(listed[name], masks[name])
            ]
        scale = self.height / FRAME
        boxes = [
            (name, *(scale * side for side in at))
            for name, places in masks.items()
            for at in places
            if listed[name]
        ]
        return image_line(path, root, case.study.views[0], boxes)

    def _write_file(self, root: Path, pixels: cv2.typing.MatLike, case: Case, image: str) -> Path:
        if self.form == "dicom":
            header = dicom_files.Header(f"P{case.study.patient}", str(case.serial), image)
            path = root / "dataset" / image
            dicom_files.write(
                path, np.asarray(pixels, np.float32), bits=8, photometric="MONOCHROME2",
                syntax=dicom_files.SYNTAXES[0], header=header,
            )  # fmt: skip
            return path
        encoded = png(eight_bits(pixels)) if self.form == "png" else jpeg(eight_bits(pixels))
        path = root / "images" / f"{image}.{self.form}"
        archives.write_bytes(path, encoded)
        return path

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the table of reports, and the two tables of masks."""
        columns = (*_REPORTS, "filename") if self.patients else _REPORTS
        rows = ({c: row[c] for c in columns} for row in rows_of(written, "reports"))
        archives.write_csv(root / "Pneumothorax_reports.csv", columns, rows)
        for name, table in _TABLES.items():
            archives.write_csv(root / table, _MASKS, rows_of(written, name))


_DRAWN = {
    "Pneumothorax": "Pneumothorax",
    "Chest Tube": "Support Devices",
    "Rib Fracture": "Fracture",
}


def _uid(*parts: str) -> str:
    """Return a UID of the form that the tool of the collection gave its files."""
    return "1.2.826.0.1.3680043.8.498." + dicom_files.uid_of(*parts).rpartition(".")[2]


def _listed(case: Case) -> dict[str, bool]:
    """Return the findings that the tables state for a study, and whether it has them.

    A negative rib fracture or tube is in its table for one study of four only.
    """
    kinds = {(f.name, f.zone if f.name == "Fracture" else f.kind) for f in case.study.findings}
    names = {name for name, _ in kinds}
    stated = {"Pneumothorax": "Pneumothorax" in names}
    others = {
        "Chest Tube": ("Support Devices", "tube") in kinds,
        "Rib Fracture": ("Fracture", "ribs") in kinds,
    }
    return stated | {k: v for k, v in others.items() if v or case.serial % 4 == 0}


def _inside(at: Sequence[float], wide: int, high: int) -> Place:
    """Return a box in whole pixels of the published frame."""
    x, y, w, h = at
    left, right = round(x * FRAME / wide), round((x + w) * FRAME / wide)
    top, bottom = round(y * FRAME / high), round((y + h) * FRAME / high)
    left, top = max(0, left), max(0, top)
    return left, top, max(1, min(right, FRAME) - left), max(1, min(bottom, FRAME) - top)


def _codes(present: bool, places: Sequence[Place]) -> list[str]:
    """Return the run lengths of the masks; a whole column where the image has no box for it."""
    if not present:
        return [_NONE]
    return [" ".join(map(str, _runs(place))) for place in places or [(0, 0, 1, FRAME)]]


def _runs(place: Place) -> Iterable[int]:
    """Yield (how many pixels after the end of the run before, how many in the run) of a box."""
    x, y, w, h = map(int, place)
    yield from (x * FRAME + y, h)
    for _ in range(w - 1):
        yield from (FRAME - h, h)


def _report(case: Case, seed: int) -> str:
    """Return a report with line breaks, and stand-ins where a name stood."""
    said = sections(case, seed=seed)
    parts = [f"{name.upper()}:\n{said[name]}" for name in ("findings", "impression") if said[name]]
    return "\n".join(["CHEST X-RAY", "!PERSONALNAME!", "", *parts, ""])
