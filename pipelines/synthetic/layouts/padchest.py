"""Writes PadChest as its 52 zips unpack: 16-bit PNGs in numbered folders, and one table.

The table has a row an image. Its first column is an index without a name. Reports are Spanish,
stemmed and in lower case; labels are Python lists as text. Most PNGs use a part of their 16 bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.names import padchest as terms
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of
from cxr_vlp.pipelines.synthetic.writing.dicom_files import stored_values
from cxr_vlp.pipelines.synthetic.writing.faults import break_images
from cxr_vlp.pipelines.synthetic.writing.image_files import deep_png
from cxr_vlp.pipelines.synthetic.writing.tree_writer import (
    Written,
    no_progress,
    rows_of,
    truth_of,
    write_tree,
)
from cxr_vlp.pipelines.synthetic.writing.truth import image_line, study_line

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
_COLUMNS = (
    "", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth",
    "PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric",
    "Modality_DICOM", "Manufacturer_DICOM", "PhotometricInterpretation_DICOM",
    "PixelRepresentation_DICOM", "PixelAspectRatio_DICOM", "SpatialResolution_DICOM",
    "BitsStored_DICOM", "WindowCenter_DICOM", "WindowWidth_DICOM", "Rows_DICOM", "Columns_DICOM",
    "XRayTubeCurrent_DICOM", "Exposure_DICOM", "ExposureInuAs_DICOM", "ExposureTime",
    "RelativeXRayExposure_DICOM", "ReportID", "Report", "MethodLabel", "Labels", "Localizations",
    "LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS",
)  # fmt: skip
_PROJECTIONS = {"PA": "PA", "AP": "AP_horizontal", "LATERAL": "L"}
# ViewPosition_DICOM as the machines wrote it; it is often empty, and not to be trusted
_POSITIONS = {
    "PA": ("POSTEROANTERIOR", "", "LATERAL"),
    "AP": ("ANTEROPOSTERIOR", "GENERICA"),
    "LATERAL": ("LATERAL", "LL", ""),
}
_BITS = (16, 12, 10)  # that a PNG of 16 bits uses
# the place among the tree's studies, modulo 12: what is odd about it
UNCHANGED, EXCLUDED, UNLABELLED, SUBOPTIMAL, EMPTY, COSTAL, LEFT_OUT = 3, 5, 6, 7, 8, 9, 10


def write(
    out: Path,
    *,
    studies: int = 60,
    seed: int = 0,
    height: int = 512,
    workers: int = 1,
    content: Content | None = None,
    flat: bool = False,
    packed: bool = True,
    faults: bool = False,
    advance: Callable[[int], None] = no_progress,
) -> list[Written]:
    """Write the tree `out/padchest` and `out/padchest.truth.jsonl`.

    `flat=True` puts all images into `images/`, as many copies have them; `packed=False` writes the
    table as .csv and not as .csv.gz. In the truth an image that the collection itself excludes has
    `excluded`.
    """
    persons = people_of("padchest", studies, seed, Content((content or Content()).images))
    tree = PadchestTree(seed, height, flat, packed)
    written = write_tree(tree, out / "padchest", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "padchest", truth, seed)
    archives.write_jsonl(out / "padchest.truth.jsonl", truth)
    return written


@dataclass(frozen=True, slots=True)
class PadchestTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int
    flat: bool
    packed: bool

    def write_person(self, root: Path, person: Person) -> Written:
        """Write the person's images and rows."""
        written = Written({"images": []})
        patient = _digits("patient", self.seed, person.number)
        for case in person.cases:
            odd, study = case.serial % 12, _digits("study", self.seed, case.serial)
            rng = stream("padchest", self.seed, case.serial)
            found = [] if odd in (UNCHANGED, UNLABELLED, EXCLUDED) else terms.terms_of(case.study)
            shared = self._of_study(case, odd, [term for term, _, _ in found], rng)
            shared |= {"StudyID": study, "PatientID": patient}
            images = self._write_images(root, case, odd, shared, written.rows["images"])
            written.truth.append(
                study_line(
                    case,
                    source="padchest",
                    study=study,
                    patient=patient,
                    split="",
                    labels={label: 1 for _, label, _ in found},
                    images=images,
                    seed=self.seed,
                    reported=False,
                )
                | {"method": shared["MethodLabel"]}
            )
        return written

    def _of_study(self, case: Case, odd: int, found: Sequence[str], rng: Random) -> dict[str, str]:
        """Return the cells that all rows of a study share."""
        names = {UNCHANGED: ["unchanged"], EXCLUDED: ["exclude"]}.get(odd, list(found))
        names += ["suboptimal study"] if odd == SUBOPTIMAL else []
        year = 2009 + case.serial % 9
        birth = year - case.study.age
        spelt = terms.python_list(names, rng)
        return {
            "StudyDate_DICOM": f"{year}{1 + case.serial % 12:02d}15",
            "PatientBirth": f"{birth}.0" if case.serial % 2 else str(birth),
            "PatientSex_DICOM": case.study.sex,
            "Pediatric": "PED" if case.study.age < 18 else "No",
            "ReportID": str(4_765_777 + case.serial),
            "Report": "" if odd == EMPTY else terms.stemmed(case.study),
            "MethodLabel": ("Physician", "RNN_model")[case.serial % 2],
            "Labels": "nan" if odd == UNLABELLED else spelt,
            "Localizations": "['loc right', ' loc basal']",
            "LabelsLocalizationsBySentence": f"[{spelt}, ['loc right']]",
            "labelCUIS": "['C0018800' 'C0032227']",
            "LocalizationsCUIS": "[]",
        }

    def _write_images(
        self, root: Path, case: Case, odd: int, shared: dict[str, str], rows: list[dict[str, str]]
    ) -> list[dict[str, Any]]:
        images = []
        projections = [_PROJECTIONS[view] for view in case.study.views]
        if odd in (COSTAL, LEFT_OUT):  # one more image, of the first view
            projections.append("COSTAL" if odd == COSTAL else "EXCLUDE")
        for place, projection in enumerate(projections):
            of = place % len(case.study.views)
            name = f"{_digits('image', self.seed, case.serial, place)}_{_letters(case, place)}.png"
            folder = str((case.first + place) % 51 if case.serial % 25 else 54)
            path = root / "images" / (name if self.flat else f"{folder}/{name}")
            drawn = image_of(case, of, height=self.height, seed=self.seed)
            bits = _BITS[case.serial % len(_BITS)]
            # an image beyond the views is the same chest under another exposure
            pixels = drawn.pixels ** (1.0 if place == of else 1.4)
            values = stored_values(pixels, bits=bits, photometric="MONOCHROME2")
            archives.write_bytes(path, deep_png(values))
            rows.append(shared | self._row(case, place, name, folder, projection, bits))
            line = image_line(path, root, projection, drawn.boxes)
            left = projection == "EXCLUDE" or odd == EXCLUDED
            images.append(line | ({"excluded": True} if left else {}))
        return images

    def _row(
        self, case: Case, place: int, name: str, folder: str, projection: str, bits: int
    ) -> dict[str, str]:
        view = case.study.views[place % len(case.study.views)]
        positions = _POSITIONS[view]
        photometric = "MONOCHROME1" if case.serial % 5 == 0 else "MONOCHROME2"
        return {
            "ImageID": name,
            "ImageDir": folder,
            "ViewPosition_DICOM": positions[case.serial % len(positions)],
            "Projection": projection,
            "MethodProjection": "Manual review of DICOM fields",
            "Modality_DICOM": ("CR", "DX")[case.serial % 2],
            "Manufacturer_DICOM": "PhilipsMedicalSystems",
            # the PNG of such a film is published with its bones white all the same
            "PhotometricInterpretation_DICOM": photometric,
            "BitsStored_DICOM": str(bits),
            "WindowCenter_DICOM": str(1 << (bits - 1)),
            "WindowWidth_DICOM": str(1 << bits),
            "ExposureTime": "None",
        }

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the table, with a running number in its first column."""
        rows = ({"": str(n), **row} for n, row in enumerate(rows_of(written, "images")))
        archives.write_csv(root / (TABLE + ".gz" * self.packed), _COLUMNS, rows)


def _digits(*parts: object) -> str:
    """Return an id of 38 digits, as the collection's hashes are."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
    return str(int(digest, 16))[:38]


def _letters(case: Case, place: int) -> str:
    """Return the end of an image's name: six letters, or three numbers in older ones."""
    if case.serial % 3 == 0:
        return f"{case.serial % 100:02d}-{place:03d}-{case.first % 1000:03d}"
    digest = hashlib.sha256(f"end/{case.serial}/{place}".encode()).hexdigest()
    return digest[:6]
