"""The synthetic MIMIC-CXR: names, tables and files are those of the collection."""

from __future__ import annotations

import re
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from layouts import CXR, JPG, SMALL, digests, first_line, table, truth

from cxr_vlp.pipelines.synthetic.writing.faults import IMAGE_FAULTS, REPORT_FAULTS


def test_mimic_record_list_is_what_is_on_disk(out: Path):
    root = out / "mimic" / CXR
    rows = table(root / "cxr-record-list.csv.gz")
    listed = {row["path"] for row in rows}
    assert listed == {p.relative_to(root).as_posix() for p in root.rglob("*.dcm")}
    for row in rows:
        subject, study, image = row["subject_id"], row["study_id"], row["dicom_id"]
        assert re.fullmatch(r"1999\d{4}", subject)
        assert re.fullmatch(r"5\d{7}", study)
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}", image)
        assert row["path"] == f"files/p19/p{subject}/s{study}/{image}.dcm"


def test_mimic_reports_are_beside_their_study_folder(out: Path):
    root = out / "mimic" / CXR
    listed = {row["path"] for row in table(root / "cxr-study-list.csv.gz")}
    assert listed == {p.relative_to(root).as_posix() for p in root.rglob("s5*.txt")}
    assert len(listed) == SMALL["studies"] - 1  # one study has no report


def test_mimic_report_lines_are_short_and_start_with_a_blank(out: Path):
    for path in (out / "mimic" / CXR).rglob("s5*.txt"):
        lines = path.read_text().splitlines()
        assert all(len(line) <= 79 for line in lines)
        assert all(line.startswith(" ") for line in lines if line)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        (f"{CXR}/cxr-record-list.csv.gz", "subject_id,study_id,dicom_id,path"),
        (f"{CXR}/cxr-study-list.csv.gz", "subject_id,study_id,path"),
        (f"{JPG}/mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split"),
        (
            f"{JPG}/mimic-cxr-2.0.0-metadata.csv.gz",
            "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,"
            "Columns,StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,"
            "ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning",
        ),
        (
            f"{JPG}/mimic-cxr-2.0.0-chexpert.csv.gz",
            "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,"
            "Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,No Finding,"
            "Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices",
        ),
    ],
)
def test_mimic_headers(out: Path, name: str, header: str):
    assert first_line(out / "mimic" / name) == header


def test_mimic_metadata_agrees_with_the_files(out: Path):
    root = out / "mimic"
    paths = {p.stem: p for p in (root / CXR).rglob("*.dcm")}
    rows = table(root / JPG / "mimic-cxr-2.0.0-metadata.csv.gz")
    assert len(rows) == len(paths)
    for row in rows:
        dataset = pydicom.dcmread(paths[row["dicom_id"]])
        assert (str(dataset.Rows), str(dataset.Columns)) == (row["Rows"], row["Columns"])
        assert dataset.get("ViewPosition", "") == row["ViewPosition"]
        assert dataset.PatientID == row["subject_id"]
        assert float(dataset.StudyTime) == float(row["StudyTime"])
        assert dataset.pixel_array.std() > 0


def test_mimic_metadata_has_the_quirks(variant):
    root = variant("mimic", studies=60, height=32)
    rows = table(root / JPG / "mimic-cxr-2.0.0-metadata.csv.gz")
    times = [row["StudyTime"] for row in rows]
    assert any(len(time.split(".")[0]) < 6 for time in times)  # zeros lost
    assert any(not time.endswith(".0") for time in times)
    empty = [row for row in rows if not row["ViewPosition"]]
    assert any(row["ViewCodeSequence_CodeMeaning"] for row in empty)
    assert {row["ViewPosition"] for row in rows} >= {"AP", "PA", "LATERAL", "LL", ""}


def test_mimic_studies_of_a_patient_follow_in_time_not_by_id(out: Path):
    rows = table(out / "mimic" / JPG / "mimic-cxr-2.0.0-metadata.csv.gz")
    history = defaultdict(dict)
    for row in rows:
        history[row["subject_id"]][row["study_id"]] = row["StudyDate"]
    several = [days for days in history.values() if len(days) > 1]
    assert several
    assert all(list(days.values()) == sorted(days.values()) for days in several)
    assert any(list(days) != sorted(days) for days in several)


def test_mimic_jpg_is_made_from_its_dicom_the_published_way(out: Path):
    root = out / "mimic"
    for path in sorted((root / CXR).rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        values = dataset.pixel_array.astype(np.float64)
        grey = ((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            grey = 255 - grey
        _, expected = cv2.imencode(".jpg", cv2.equalizeHist(grey), [cv2.IMWRITE_JPEG_QUALITY, 95])
        twin = root / JPG / path.relative_to(root / CXR).with_suffix(".jpg")
        assert twin.read_bytes() == expected.tobytes()


def test_mimic_labels_lack_a_study_or_two(out: Path):
    root = out / "mimic" / JPG
    labelled = {row["study_id"] for row in table(root / "mimic-cxr-2.0.0-chexpert.csv.gz")}
    studies = {row["study_id"] for row in table(root / "mimic-cxr-2.0.0-split.csv.gz")}
    assert len(studies - labelled) in (1, 2)
    assert labelled == {row["study_id"] for row in table(root / "mimic-cxr-2.0.0-negbio.csv.gz")}
    cells = Counter(
        cell
        for row in table(root / "mimic-cxr-2.0.0-chexpert.csv.gz")
        for name, cell in row.items()
        if not name.endswith("_id")
    )
    assert set(cells) <= {"1.0", "0.0", "-1.0", ""}


@pytest.mark.parametrize("release", [CXR, JPG])
def test_mimic_checksums(out: Path, release: str):
    root = out / "mimic" / release
    lines = (root / "SHA256SUMS.txt").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = digests(root)
    del found["SHA256SUMS.txt"]
    assert listed == found


def test_mimic_reports_in_a_zip(variant, out: Path):
    root = variant("mimic", reports="zip") / CXR
    assert not list(root.rglob("s5*.txt"))
    with zipfile.ZipFile(root / "mimic-cxr-reports.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    plain = out / "mimic" / CXR
    assert packed == {
        p.relative_to(plain).as_posix(): p.read_bytes() for p in plain.rglob("s5*.txt")
    }


def test_mimic_without_twins_keeps_its_tables(variant):
    root = variant("mimic", twins=False) / JPG
    assert not list(root.rglob("*.jpg"))
    assert table(root / "mimic-cxr-2.0.0-split.csv.gz")


def test_mimic_faults_are_made_and_recorded(variant, out: Path):
    root = variant("mimic", faults=True, studies=40)
    lines = truth(root.parent, "mimic")
    images = {
        i["fault"]: root / i["path"] for line in lines for i in line["images"] if "fault" in i
    }
    assert set(images) == {*IMAGE_FAULTS, "truncated_j2k"}
    assert {line["fault"] for line in lines if "fault" in line} == set(REPORT_FAULTS)
    assert not images["missing"].exists()
    assert images["zero_byte"].stat().st_size == 0
    assert "PixelData" not in pydicom.dcmread(images["no_pixels"])
    assert np.ptp(pydicom.dcmread(images["blank"]).pixel_array) == 0
    assert images["headless"].read_bytes()[128:132] != b"DICM"
    assert pydicom.dcmread(images["headless"], force=True).Rows == 48
    listed = {row["path"] for row in table(root / CXR / "cxr-record-list.csv.gz")}
    found = {p.relative_to(root / CXR).as_posix() for p in (root / CXR).rglob("*.dcm")}
    assert len(found - listed) == len(listed - found) == 1
