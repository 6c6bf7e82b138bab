"""All synthetic trees, and the command that writes them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2
import pydicom
import pytest
from layouts import SMALL, WRITERS, digests, truth

from cxr_vlp.pipelines.synthetic.generate import main
from cxr_vlp.pipelines.synthetic.layouts import mimic
from cxr_vlp.pipelines.synthetic.writing.faults import JPEG_PNG_FAULTS, FaultError


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
def test_boxes_lie_in_their_image(out: Path, source: str):
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


def test_sentences_of_the_truth_are_in_the_mimic_reports(out: Path):
    texts = {p.stem[1:]: " ".join(p.read_text().split()) for p in (out / "mimic").rglob("s5*.txt")}
    lines = truth(out, "mimic")
    assert sum(len(line["sentences"]) for line in lines) > 100
    for line in lines:
        for sentence in line["sentences"]:
            assert " ".join(sentence["text"].split()) in texts[line["study"]]


@pytest.mark.parametrize("source", ["chexpert", "nih", "openi"])
def test_faults_of_image_trees_are_made_and_recorded(variant, source: str):
    root = variant(source, faults=True)
    images = [image for line in truth(root.parent, source) for image in line["images"]]
    broken = {image["fault"]: root / image["path"] for image in images if "fault" in image}
    assert set(broken) == set(JPEG_PNG_FAULTS)
    assert not broken["missing"].exists()
    assert broken["zero_byte"].read_bytes() == b""
    assert broken["truncated"].stat().st_size > 100


def test_same_bytes_for_any_number_of_workers(out: Path, tmp_path: Path):
    mimic.write(tmp_path, workers=2, **SMALL)
    assert digests(tmp_path / "mimic") == digests(out / "mimic")
    assert truth(tmp_path, "mimic") == truth(out, "mimic")


@pytest.mark.parametrize("source", [
    pytest.param(name, marks=[pytest.mark.slow] * (name == "chexpert")) for name in WRITERS
])  # fmt: skip
def test_same_bytes_on_every_run(out: Path, variant, source: str):
    assert digests(variant(source)) == digests(out / source)


def test_another_seed_is_another_collection(out: Path, variant):
    ours, theirs = digests(variant("nih", seed=4)), digests(out / "nih")
    assert not set(ours.values()) & set(theirs.values())


@pytest.mark.parametrize("source", WRITERS)
def test_too_few_studies_for_faults_are_refused(tmp_path: Path, source: str):
    with pytest.raises(FaultError, match="raise --studies"):
        WRITERS[source].write(tmp_path, studies=2, height=32, faults=True)


def test_command_writes_the_sources_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    argv = ["--out", str(tmp_path), "--studies", "3", "--height", "32", "--sources", "nih,openi"]
    assert main(argv) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"nih", "nih.truth.jsonl", "openi", "openi.truth.jsonl"}
    assert "studies" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        pytest.param(["--sources", "mimic,paddchest"], "choose from", id="unknown-source"),
        pytest.param(["--studies", "0"], "of 1 or more", id="no-studies"),
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
    (tmp_path / "images").mkdir()
    assert main(["--out", str(tmp_path / "o"), "--images", str(tmp_path / "images")]) == 2
    assert "no .png or .jpg" in capsys.readouterr().err


def test_command_reports_a_disk_error(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    argv = ["--out", str(tmp_path / "file"), "--studies", "2", "--height", "32"]
    assert main(argv) == 74
    assert "cannot write" in capsys.readouterr().err
