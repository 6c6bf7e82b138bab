"""The look-alike trees: names, tables and files are those of the collections, and nothing else."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pydicom
import pytest

from pipelines.lookalike import chexpert, mimic, nih, openi
from pipelines.lookalike.__main__ import main
from pipelines.lookalike.faults import IMAGE_FAULTS, PICTURE_FAULTS, REPORT_FAULTS, FaultError

SMALL = {"studies": 30, "seed": 3, "height": 48}
WRITERS = {"mimic": mimic, "chexpert": chexpert, "nih": nih, "openi": openi}
CXR, JPG = "mimic-cxr/2.1.0", "mimic-cxr-jpg/2.1.0"


def table(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    return list(csv.DictReader(io.StringIO(text)))


def first_line(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().split("\n")[0]


def truth(out: Path, source: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / f"{source}.truth.jsonl").read_text().splitlines()]


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four trees, with default options."""
    folder = tmp_path_factory.mktemp("trees")
    for module in WRITERS.values():
        module.write(folder, **SMALL)
    return folder


@pytest.fixture
def variant(tmp_path: Path) -> Callable[..., Path]:
    """One tree with options of the test's own."""

    def write(source: str, **options: Any) -> Path:
        WRITERS[source].write(tmp_path, **(SMALL | options))
        return tmp_path / source

    return write


# --- every tree ---


@pytest.mark.parametrize("source", WRITERS)
def test_truth_has_each_study_once_and_each_image_on_disk(out: Path, source: str):
    lines = truth(out, source)
    assert len({line["study"] for line in lines}) == SMALL["studies"] == len(lines)
    paths = [image["path"] for line in lines for image in line["images"]]
    assert len(set(paths)) == len(paths)
    assert all((out / source / path).is_file() for path in paths)


@pytest.mark.parametrize("source", ["mimic", "chexpert", "nih"])
def test_a_patient_is_in_one_split(out: Path, source: str):
    splits = defaultdict(set)
    for line in truth(out, source):
        splits[line["patient"]].add(line["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert len(set.union(*splits.values())) == (2 if source == "nih" else 3)


@pytest.mark.parametrize("source", WRITERS)
def test_boxes_lie_in_their_picture(out: Path, source: str):
    for line in truth(out, source):
        for image in line["images"]:
            path = out / source / image["path"]
            if path.suffix == ".dcm":
                header = pydicom.dcmread(path, stop_before_pixels=True)
                high, wide = header.Rows, header.Columns
            else:
                high, wide = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).shape
            for box in image["boxes"]:
                assert -0.1 <= box["x"] <= box["x"] + box["w"] <= wide + 0.2
                assert -0.1 <= box["y"] <= box["y"] + box["h"] <= high + 0.2


def test_sentences_of_the_truth_stand_in_the_mimic_reports(out: Path):
    texts = {p.stem[1:]: " ".join(p.read_text().split()) for p in (out / "mimic").rglob("s5*.txt")}
    lines = truth(out, "mimic")
    assert sum(len(line["sentences"]) for line in lines) > 100
    for line in lines:
        for sentence in line["sentences"]:
            assert " ".join(sentence["text"].split()) in texts[line["study"]]


@pytest.mark.parametrize("source", ["chexpert", "nih", "openi"])
def test_faults_of_picture_trees_are_made_and_told(variant, source: str):
    root = variant(source, faults=True)
    images = [image for line in truth(root.parent, source) for image in line["images"]]
    broken = {image["fault"]: root / image["path"] for image in images if "fault" in image}
    assert set(broken) == set(PICTURE_FAULTS)
    assert not broken["missing"].exists()
    assert broken["zero_byte"].read_bytes() == b""
    assert broken["truncated"].stat().st_size > 100


def test_same_bytes_for_any_number_of_workers(out: Path, tmp_path: Path):
    mimic.write(tmp_path, workers=2, **SMALL)
    assert digests(tmp_path / "mimic") == digests(out / "mimic")
    assert truth(tmp_path, "mimic") == truth(out, "mimic")


@pytest.mark.parametrize("source", WRITERS)
def test_same_bytes_on_every_run(out: Path, variant, source: str):
    assert digests(variant(source)) == digests(out / source)


def test_another_seed_is_another_collection(out: Path, variant):
    ours, theirs = digests(variant("nih", seed=4)), digests(out / "nih")
    assert not set(ours.values()) & set(theirs.values())


# --- MIMIC-CXR ---


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


def test_mimic_reports_stand_beside_their_study_folder(out: Path):
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


def test_mimic_faults_are_made_and_told(variant, out: Path):
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


@pytest.mark.parametrize("source", WRITERS)
def test_too_few_studies_for_faults_are_refused(tmp_path: Path, source: str):
    with pytest.raises(FaultError, match="raise --studies"):
        WRITERS[source].write(tmp_path, studies=2, height=32, faults=True)


# --- CheXpert ---

CHEXPERT_LABELS = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
    "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
    "Support Devices"
)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_chexpert_table(out: Path, split: str):
    path = out / "chexpert" / "CheXpert-v1.0" / f"{split}.csv"
    assert first_line(path) == f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT_LABELS}"
    for row in table(path):
        pattern = rf"CheXpert-v1\.0/{split}/patient\d{{5}}/study\d+/view\d+_(frontal|lateral)\.jpg"
        match = re.fullmatch(pattern, row["Path"])
        assert match
        assert (out / "chexpert" / row["Path"]).is_file()
        assert row["Frontal/Lateral"] == match[1].capitalize()
        assert row["AP/PA"] in (("",) if match[1] == "lateral" else ("AP", "PA"))


def test_chexpert_test_labels_have_no_root_and_no_person(out: Path):
    top = out / "chexpert" / "CheXpert-v1.0"
    assert first_line(top / "test.csv") == f"Path,{CHEXPERT_LABELS}"
    assert all((top / row["Path"]).is_file() for row in table(top / "test.csv"))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_chexpert_radiologists_are_never_uncertain(out: Path, split: str):
    for row in table(out / "chexpert" / "CheXpert-v1.0" / f"{split}.csv"):
        assert {row[name] for name in CHEXPERT_LABELS.split(",")} <= {"0.0", "1.0"}


def test_chexpert_train_has_blanks(out: Path):
    rows = table(out / "chexpert" / "CheXpert-v1.0" / "train.csv")
    cells = {row[name] for row in rows for name in CHEXPERT_LABELS.split(",")}
    assert {"", "1.0"} <= cells <= {"", "1.0", "0.0", "-1.0"}


def test_chexpert_small(variant):
    root = variant("chexpert", small=True, studies=4, height=512)
    rows = table(root / "CheXpert-v1.0-small" / "train.csv")
    for row in rows:
        assert row["Path"].startswith("CheXpert-v1.0-small/train/")
        assert cv2.imread(str(root / row["Path"]), cv2.IMREAD_GRAYSCALE).shape[1] <= 390


def test_chexpert_batches_hold_all_pictures(variant):
    root = variant("chexpert", batches=True)
    tables = root / "CheXpert-v1.0 batch 1 (validate & csv)"
    folders = sorted(path for path in root.iterdir() if "(train " in path.name)
    assert len(folders) == 3
    for row in table(tables / "train.csv"):
        file = row["Path"].removeprefix("CheXpert-v1.0/")
        assert sum((folder / file).is_file() for folder in folders) == 1
    for row in table(tables / "valid.csv"):
        assert (tables / row["Path"].removeprefix("CheXpert-v1.0/")).is_file()


# --- NIH ---

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def test_nih_table_and_lists(out: Path):
    root = out / "nih"
    assert first_line(root / "Data_Entry_2017_v2020.csv") == NIH_HEADER
    names = []
    for row in table(root / "Data_Entry_2017_v2020.csv"):
        names.append(row["Image Index"])
        assert int(row["Image Index"][:8]) == int(row["Patient ID"])
        assert row["View Position"] in ("AP", "PA")
        assert row["Patient Age"].isdecimal()
    lists = [(root / n).read_text().split() for n in ("train_val_list.txt", "test_list.txt")]
    assert sorted(lists[0] + lists[1]) == sorted(names)
    assert not {n[:8] for n in lists[0]} & {n[:8] for n in lists[1]}
    assert sorted(p.name for p in (root / "images").iterdir()) == sorted(names)


def test_nih_follow_up_is_not_always_the_suffix(variant):
    rows = table(variant("nih", studies=60, height=32) / "Data_Entry_2017_v2020.csv")
    same = [int(row["Image Index"][9:12]) == int(row["Follow-up #"]) for row in rows]
    assert 0.6 < sum(same) / len(same) < 0.95


def test_nih_pictures_are_square_and_a_few_have_four_channels(out: Path):
    shapes = [
        cv2.imread(str(p), cv2.IMREAD_UNCHANGED).shape for p in (out / "nih/images").iterdir()
    ]
    assert {shape[:2] for shape in shapes} == {(48, 48)}
    assert Counter(len(shape) for shape in shapes) == {2: 29, 3: 1}


def test_nih_box_list(out: Path):
    path = out / "nih" / "BBox_List_2017.csv"
    assert first_line(path) == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    known = {"Atelectasis", "Cardiomegaly", "Effusion", "Infiltrate", "Mass", "Nodule"}
    known |= {"Pneumonia", "Pneumothorax"}
    lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
    assert lines
    assert all(len(line) == 6 and line[1] in known for line in lines)


def test_nih_kaggle(variant):
    root = variant("nih", kaggle=True)
    lines = (root / "Data_Entry_2017.csv").read_text().splitlines()
    assert lines[0] == NIH_HEADER + ","
    rows = [line.split(",") for line in lines[1:]]
    assert all(len(row) == 12 and not row[-1] for row in rows)
    assert all(re.fullmatch(r"\d{3}Y", row[4]) for row in rows)
    assert any(int(row[4][:3]) > 120 for row in rows)
    folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    assert folders == ["images_001", "images_002", "images_003"]
    assert {p.name for p in root.glob("images_*/images/*")} == {row[0] for row in rows}


# --- Open-i ---


def openi_reports(root: Path) -> dict[str, ET.Element]:
    with tarfile.open(root / "NLMCXR_reports.tgz") as archive:
        members = {m.name: archive.extractfile(m) for m in archive if m.isfile()}
        return {name: ET.fromstring(file.read()) for name, file in members.items() if file}


def test_openi_reports(out: Path):
    reports = openi_reports(out / "openi")
    assert set(reports) == {f"ecgen-radiology/{n}.xml" for n in range(1, 31)}
    for name, root in reports.items():
        assert root.find("uId").get("id") == f"CXR{Path(name).stem}"
        labels = [text.get("Label") for text in root.iter("AbstractText")]
        assert labels == ["COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"]
        assert list(root.iter("major"))


def test_openi_images_are_those_of_the_reports(out: Path):
    reports = openi_reports(out / "openi")
    named = [{i.get("id") for i in root.iter("parentImage")} for root in reports.values()]
    found = {path.stem for path in (out / "openi" / "NLMCXR_png").iterdir()}
    assert set.union(*named) == found
    assert {len(names) for names in named} >= {0, 1, 2, 3}


def test_openi_has_the_known_oddities(out: Path):
    reports = openi_reports(out / "openi")
    first = reports["ecgen-radiology/1.xml"]
    assert all(i.get("id").startswith("CXR1_1_IM-0001-") for i in first.iter("parentImage"))

    def filled(number: int) -> set[str]:
        texts = reports[f"ecgen-radiology/{number}.xml"].iter("AbstractText")
        return {t.get("Label") for t in texts if t.text} & {"FINDINGS", "IMPRESSION"}

    assert "FINDINGS" not in filled(4)
    assert filled(9) == set()
    assert "IMPRESSION" not in filled(11)


def test_openi_truth_leaves_out_what_the_report_does(out: Path):
    lines = {line["study"]: line for line in truth(out, "openi")}
    assert all(s["section"] != "findings" for s in lines["CXR4"]["sentences"])
    assert lines["CXR9"]["sentences"] == []


def test_openi_reports_hold_the_sentences_of_the_truth(out: Path):
    reports = openi_reports(out / "openi")
    for line in truth(out, "openi"):
        root = reports[f"ecgen-radiology/{line['study'][3:]}.xml"]
        texts = {t.get("Label").lower(): t.text or "" for t in root.iter("AbstractText")}
        assert all(s["text"] in texts[s["section"]] for s in line["sentences"])


def test_openi_as_xml_files(variant, out: Path):
    root = variant("openi", reports="xml")
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.xml")}
    with tarfile.open(out / "openi" / "NLMCXR_reports.tgz") as archive:
        packed = {m.name: archive.extractfile(m).read() for m in archive}
    assert files == packed


def test_openi_kaggle(variant):
    root = variant("openi", kaggle=True)
    reports, shown = table(root / "indiana_reports.csv"), table(root / "indiana_projections.csv")
    assert first_line(root / "indiana_reports.csv") == (
        "uid,MeSH,Problems,image,indication,comparison,findings,impression"
    )
    assert {row["projection"] for row in shown} == {"Frontal", "Lateral"}
    assert {row["uid"] for row in reports} == {row["uid"] for row in shown}  # none without picture
    files = {p.name for p in (root / "images" / "images_normalized").iterdir()}
    assert files == {row["filename"] for row in shown}
    assert all(re.fullmatch(r"\d+_IM-\d{4}-\d{4}(-\d{4})?\.dcm\.png", name) for name in files)
    heads = {row["uid"]: row["MeSH"].split("/")[0].split(";")[0] for row in reports}
    assert all(row["Problems"].startswith(heads[row["uid"]]) for row in reports)


# --- the command ---


def test_command_writes_the_sources_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["--out", str(tmp_path), "--studies", "3", "--height", "32", "--sources", "nih,openi"]
    assert main(argv) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"nih", "nih.truth.jsonl", "openi", "openi.truth.jsonl"}
    assert "studies" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        pytest.param(["--sources", "mimic,padchest"], "choose from", id="unknown-source"),
        pytest.param(["--studies", "0"], "from 1 on", id="no-studies"),
        pytest.param(["--height", "8"], "give 32", id="too-small"),
        pytest.param(["--images", "/nowhere"], "does not exist", id="no-folder"),
    ],
)
def test_command_refuses_bad_flags(tmp_path: Path, capsys, flags: list[str], says: str):
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path), *flags])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err


def test_command_refuses_an_empty_folder(tmp_path: Path, capsys):
    (tmp_path / "films").mkdir()
    assert main(["--out", str(tmp_path / "o"), "--images", str(tmp_path / "films")]) == 2
    assert "no .png or .jpg" in capsys.readouterr().err


def test_command_says_when_the_disk_refuses(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    argv = ["--out", str(tmp_path / "file"), "--studies", "2", "--height", "32"]
    assert main(argv) == 74
    assert "cannot write" in capsys.readouterr().err
