"""The look-alikes of PadChest, BIMCV-COVID19+ and CANDID-PTX: headers, files, the same bytes."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import cv2
import pytest
from layouts import digests, truth

from cxr_vlp.pipelines.synthetic.layouts import bimcv, candid, padchest

MODULES = {"padchest": padchest, "bimcv": bimcv, "candid": candid}
SMALL = {"studies": 13, "seed": 3, "height": 48}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees")
    for module in MODULES.values():
        module.write(folder, **SMALL)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_truth_has_each_study_once_and_each_image_on_disk(trees, name):
    lines = truth(trees, name)
    assert len({line["study"] for line in lines}) == SMALL["studies"] == len(lines)
    paths = [image["path"] for line in lines for image in line["images"]]
    assert len(set(paths)) == len(paths)
    assert all((trees / name / path).is_file() for path in paths)


@pytest.mark.parametrize("name", MODULES)
def test_same_bytes_for_any_number_of_workers(trees, tmp_path, name):
    MODULES[name].write(tmp_path, workers=2, **SMALL)
    assert digests(tmp_path / name) == digests(trees / name)
    assert truth(tmp_path, name) == truth(trees, name)


def test_the_header_of_padchest(trees):
    [path] = (trees / "padchest").glob("PADCHEST*.csv.gz")
    first, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert first.startswith(",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,")
    assert first.endswith(",labelCUIS,LocalizationsCUIS")
    assert first.count(",") == 35
    cells = [row[31] for row in csv.reader(rows)]
    for said in ("nan", "exclude", "unchanged", "suboptimal study", "' "):
        assert any(said in cell for cell in cells), said


def test_a_third_of_the_films_of_bimcv_are_inverted(trees):
    kinds = [image["photometric"] for line in truth(trees, "bimcv") for image in line["images"]]
    assert 0 < kinds.count("MONOCHROME1") < len(kinds) / 2
    for line in truth(trees, "bimcv"):
        for image in line["images"]:
            path = trees / "bimcv" / image["path"]
            elements = json.loads(path.with_suffix(".json").read_text())
            assert elements["00280004"]["Value"] == [image["photometric"]]
            assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).dtype == "uint16"


def test_run_lengths_of_candid_fill_a_box():
    runs = list(candid._runs((3, 5, 2, 10)))
    assert runs == [3 * 1024 + 5, 10, 1024 - 10, 10]
