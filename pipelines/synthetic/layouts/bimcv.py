"""Writes BIMCV-COVID19+ as its .tgz files unpack: a folder a subject, and a folder a session.

Beside each 16-bit PNG there is a JSON file with the DICOM elements by number. Only there stands
that low values are white (MONOCHROME1). CT volumes lie among the films, and a few films have masks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.synthetic.cases.people import Case, Person, people_of
from cxr_vlp.pipelines.synthetic.cases.real_content import Content
from cxr_vlp.pipelines.synthetic.names import padchest as terms
from cxr_vlp.pipelines.synthetic.seeding import stream
from cxr_vlp.pipelines.synthetic.writing import archives
from cxr_vlp.pipelines.synthetic.writing.case_content import image_of
from cxr_vlp.pipelines.synthetic.writing.dicom_files import stored_values, window_of
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

LABELS = "derivatives/labels/labels_covid19_posi.tsv"
_COLUMNS = (
    "", "PatientID", "ReportID", "Report", "Labels", "Localizations",
    "LabelsLocalizationsBySentence", "labelCUIS", "LocalizationsCUIS",
)  # fmt: skip
_PARTICIPANT = ("participant", "modality_dicom", "body_parts", "age", "gender")
_SESSION = ("session_id", "study_date", "medical_evaluation")
_SERIES = {"PA": "TÓRAX PA", "AP": "TORAX AP PORTATIL", "LATERAL": "W034 TÓRAX LAT."}
_BITS = (12, 14, 10)


def write(
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
    """Write the tree `out/bimcv` and `out/bimcv.truth.jsonl`.

    In the truth an image has its `photometric`.
    """
    persons = people_of("bimcv", studies, seed, Content((content or Content()).images))
    tree = BimcvTree(seed, height)
    written = write_tree(tree, out / "bimcv", persons, workers=workers, advance=advance)
    truth = truth_of(written)
    if faults:
        break_images(out / "bimcv", truth, seed)
    archives.write_jsonl(out / "bimcv.truth.jsonl", truth)
    return written


@dataclass(frozen=True, slots=True)
class BimcvTree:
    """The layout, and the facts of the whole collection that one person needs."""

    seed: int
    height: int

    def write_person(self, root: Path, person: Person) -> Written:
        """Write a subject's sessions, CT volumes and list of sessions."""
        written = Written({"labels": [], "participants": []})
        subject = f"sub-S{3000 + person.number:05d}"
        sessions, kinds = [], set[str]()
        for case in person.cases:
            session = f"ses-E{6200 + case.serial:05d}"
            date = f"20200{3 + case.serial % 4}{1 + case.serial % 28:02d}"
            images = self._write_session(root, case, subject, session, date)
            kinds |= {Path(image["path"]).stem.rpartition("_")[2].upper() for image in images}
            if case.serial % 4 == 1:
                _write_ct(root / subject / session / "mod-ct", f"{subject}_{session}")
                kinds.add("CT")
            sessions.append({"session_id": session, "study_date": date})
            found = terms.terms_of(case.study)
            written.rows["labels"].append(self._report(case, subject, session, found))
            written.truth.append(self._line(case, subject, session, found, images))
        archives.write_csv(
            root / subject / f"{subject}_sessions.tsv", _SESSION, sessions, separator="\t"
        )
        study = person.cases[0].study
        written.rows["participants"].append(
            {
                "participant": subject,
                "modality_dicom": repr(sorted(kinds)),
                "body_parts": "[['chest']]",
                "age": f"[{study.age}]",
                "gender": study.sex,
            }
        )
        return written

    def _line(
        self,
        case: Case,
        subject: str,
        session: str,
        found: Sequence[terms.Term],
        images: Sequence[dict[str, Any]],
    ) -> dict[str, Any]:
        labels = {label: 1 for _, label, _ in found}
        return study_line(
            case,
            source="bimcv",
            study=f"{subject}_{session}".lower(),
            patient=subject.lower(),
            split="",
            labels=labels | ({"COVID-19": -1 if case.serial % 2 else 1} if _covid(case) else {}),
            images=images,
            seed=self.seed,
            reported=False,
        )

    def _write_session(
        self, root: Path, case: Case, subject: str, session: str, date: str
    ) -> list[dict[str, Any]]:
        images = []
        for place, view in enumerate(case.study.views):
            kind = ("cr", "dx")[case.serial % 2]
            acquired = f"_acq-{place + 1}" if place else ""
            # the name of a lateral says pa all the same
            side = "ap" if view == "AP" else "pa"
            stem = f"{subject}_{session}{acquired}_run-1_bp-chest_vp-{side}_{kind}"
            path = root / subject / session / "mod-rx" / f"{stem}.png"
            photometric = ("MONOCHROME2", "MONOCHROME1")[(case.serial + place) % 3 == 0]
            bits = _BITS[case.serial % len(_BITS)]
            drawn = image_of(case, place, height=self.height, seed=self.seed)
            values = stored_values(drawn.pixels, bits=bits, photometric=photometric)
            archives.write_bytes(path, deep_png(values))
            header = _elements(case, view, date, kind.upper(), photometric, bits)
            text = json.dumps(header, sort_keys=True, ensure_ascii=False)
            archives.write_bytes(path.with_suffix(".json"), text.encode())
            line = image_line(path, root, view, drawn.boxes)
            images.append(line | {"photometric": photometric})
        return images

    def _report(
        self, case: Case, subject: str, session: str, found: Sequence[terms.Term]
    ) -> dict[str, str]:
        names = [term for term, _, _ in found]
        names += [("COVID 19", "COVID 19 uncertain")[case.serial % 2]] if _covid(case) else []
        spelt = terms.python_list(names, stream("bimcv", self.seed, case.serial))
        return {
            "PatientID": subject,
            "ReportID": session,
            "Report": terms.spanish(case.study),
            # in some rows there are tabs between the entries, so the cell is quoted
            "Labels": spelt.replace(", ", "\t") if case.serial % 3 == 2 else spelt,
            "Localizations": "['loc right', ' loc basal']",
            "LabelsLocalizationsBySentence": f"[{spelt}]",
            "labelCUIS": "['C0018800' 'C0032227']",
            "LocalizationsCUIS": "[]",
        }

    def write_tables(self, root: Path, written: Sequence[Written]) -> None:
        """Write the reports with their labels, the subjects, and a mask of a film."""
        rows = ({"": str(n), **row} for n, row in enumerate(rows_of(written, "labels")))
        archives.write_csv(root / LABELS, _COLUMNS, rows, separator="\t")
        participants = rows_of(written, "participants")
        archives.write_csv(root / "participants.tsv", _PARTICIPANT, participants, separator="\t")
        roi = root / "derivatives" / "rois" / "sub-S03001_mask.png"
        archives.write_bytes(roi, b"\x89PNG\r\n\x1a\n")


def _covid(case: Case) -> bool:
    return case.serial % 5 in (1, 2)


def _elements(
    case: Case, view: str, date: str, modality: str, photometric: str, bits: int
) -> dict[str, Any]:
    """Return the DICOM elements of a film, as PS3.18 F writes them in JSON."""
    centre, width = window_of(bits=bits, photometric=photometric)
    values: dict[str, tuple[str, Any]] = {
        "00080020": ("DA", date),
        "00080030": ("TM", f"{8 + case.serial % 9:02d}3000"),
        "00080060": ("CS", modality),
        "0008103E": ("LO", _SERIES[view]),
        "00100040": ("CS", case.study.sex),
        "00101010": ("AS", f"{case.study.age:03d}Y"),
        # the position is missing for a third of the films: the name of the series tells it
        **({} if case.serial % 3 == 1 else {"00185101": ("CS", view)}),
        "00280004": ("CS", photometric),
        "00280101": ("US", bits),
        "00281050": ("DS", centre),
        "00281051": ("DS", width),
    }
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items()}


def _write_ct(folder: Path, stem: str) -> None:
    archives.write_bytes(folder / f"{stem}_run-1_bp-chest_ct.nii.gz", archives.gzipped(b"n+1"))
    archives.write_bytes(folder / f"{stem}_run-1_bp-chest_ct.json", b'{"00080060": {}}')
