"""Makes the ids, file names and rows of the six tables of MIMIC-CXR and MIMIC-CXR-JPG.

The ids have the form of MIMIC's and belong to nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random

from cxr_vlp.pipelines.synthetic.writing.acquisitions import Acquisition
from cxr_vlp.pipelines.synthetic.writing.dicom_files import Header
from cxr_vlp.pipelines.synthetic.writing.tree_writer import Rows
from cxr_vlp.pipelines.synthetic.writing.truth import LABELS

CXR, JPG = Path("mimic-cxr/2.1.0"), Path("mimic-cxr-jpg/2.1.0")
SPLITS = ("train", "validate", "test")

_META = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)
_LABEL_COLUMNS = ("subject_id", "study_id", *LABELS)
TABLES: Mapping[str, tuple[Path, Sequence[str]]] = {
    "record": (CXR / "cxr-record-list.csv.gz", ("subject_id", "study_id", "dicom_id", "path")),
    "study": (CXR / "cxr-study-list.csv.gz", ("subject_id", "study_id", "path")),
    "metadata": (JPG / "mimic-cxr-2.0.0-metadata.csv.gz", _META),
    "split": (
        JPG / "mimic-cxr-2.0.0-split.csv.gz",
        ("dicom_id", "study_id", "subject_id", "split"),
    ),
    "chexpert": (JPG / "mimic-cxr-2.0.0-chexpert.csv.gz", _LABEL_COLUMNS),
    "negbio": (JPG / "mimic-cxr-2.0.0-negbio.csv.gz", _LABEL_COLUMNS),
}
# Part of the bytes of every tree, so its words stay as they were first written.
LICENSE = (
    b"Synthetic look-alike of a collection's layout. Nobody in it exists: the ids are made up,\n"
    b"and unless real content was given on purpose, the pictures are drawn and the reports\n"
    b"invented. It holds nothing of MIMIC-CXR and may be used freely for tests.\n"
)


def subject_id(number: int) -> str:
    """Return a fake subject id: 19999001 and on; past the 999th, down from 19998999."""
    return str(19_999_000 + number if number < 1000 else 19_999_999 - number)


def study_id(serial: int, seed: int) -> str:
    """Return a fake study id: eight digits that begin with 5, unique, not in the order of time."""
    # 7919317 and 10**7 have no common factor, so serials below 10**7 give different ids
    return str(50_000_000 + (serial * 7_919_317 + seed * 104_729 + 273_641) % 10_000_000)


def dicom_id(*key: str | int) -> str:
    """Return a fake image id: five groups of eight hex digits."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).hexdigest()
    return "-".join(digest[i : i + 8] for i in range(0, 40, 8))


def study_folder(subject: str, study: str) -> str:
    """Return the study's folder below a release; its report is this name with .txt."""
    return f"files/p{subject[:2]}/p{subject}/s{study}"


def study_days(studies: int, rng: Random) -> list[tuple[str, str]]:
    """Return (StudyDate, StudyTime) of a patient's studies: shifted far ahead, and rising."""
    day = date(2110, 1, 1) + timedelta(days=rng.randrange(80 * 365))
    days = []
    for _ in range(studies):
        clock = "".join(f"{rng.randrange(top):02d}" for top in (24, 60, 60))
        days.append((f"{day:%Y%m%d}", f"{clock}.{rng.choice((0, rng.randrange(1000))):03d}"))
        day += timedelta(days=rng.randrange(1, 400))
    return days


def list_image(
    rows: Rows, header: Header, acquisition: Acquisition, *, shape: tuple[int, ...], split: str
) -> None:
    """Add an image's rows to the record list, the split list and the metadata."""
    ids = {"subject_id": header.patient, "study_id": header.study, "dicom_id": header.image}
    folder = study_folder(header.patient, header.study)
    rows["record"].append(ids | {"path": f"{folder}/{header.image}.dcm"})
    rows["split"].append(ids | {"split": split})
    seen = {
        "PerformedProcedureStepDescription": acquisition.procedure,
        "ViewPosition": acquisition.view,
        "Rows": str(shape[0]),
        "Columns": str(shape[1]),
        "StudyDate": header.date,
        "StudyTime": str(float(header.time)),  # a number in the table, so leading zeros are lost
        "ProcedureCodeSequence_CodeMeaning": acquisition.procedure,
        "ViewCodeSequence_CodeMeaning": acquisition.view_meaning,
        "PatientOrientationCodeSequence_CodeMeaning": acquisition.orientation,
    }
    rows["metadata"].append(ids | seen)


def list_labels(
    rows: Rows, subject: str, study: str, labels: Mapping[str, int], rng: Random
) -> None:
    """Add a study's rows to both label tables.

    Where the first labeler is uncertain, the second one is positive in 30 % of cases.
    """
    ids = {"subject_id": subject, "study_id": study}
    other = {n: 1 if v < 0 and rng.random() < 0.3 else v for n, v in sorted(labels.items())}
    rows["chexpert"].append(ids | {name: f"{value:.1f}" for name, value in labels.items()})
    rows["negbio"].append(ids | {name: f"{value:.1f}" for name, value in other.items()})
