"""The trees of CheXpert Plus, BRAX and ReXGradient-160K: the same bytes, and their traps."""

from __future__ import annotations

import json

import pydicom
import pytest
from layouts import digests, first_line, table, truth

from cxr_vlp.pipelines.synthetic.layouts import brax, chexpert_plus, rexgradient

SMALL = {"studies": 12, "seed": 3, "height": 48}
MODULES = {"chexpertplus": chexpert_plus, "brax": brax, "rexgradient": rexgradient}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plus")
    for module in MODULES.values():
        module.write(folder, **SMALL)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_two_processes_write_the_same_bytes_and_another_seed_others(out, tmp_path, name):
    MODULES[name].write(tmp_path / "two", **SMALL, workers=2)
    assert digests(tmp_path / "two" / name) == digests(out / name)
    MODULES[name].write(tmp_path / "other", **(SMALL | {"seed": 4}))
    assert digests(tmp_path / "other" / name) != digests(out / name)


@pytest.mark.parametrize("name", MODULES)
def test_the_truth_names_every_image_and_every_study(out, name):
    lines = truth(out, name)
    assert len(lines) == SMALL["studies"]
    assert all((out / name / image["path"]).is_file() for line in lines for image in line["images"])


def test_chexpert_plus_has_27_columns_and_rows_that_differ_in_dates(out):
    path = out / "chexpertplus" / chexpert_plus.TABLE
    assert len(first_line(path).split(",")) == 27
    rows = table(path)
    assert all(row["path_to_image"].endswith(".jpg") for row in rows)
    assert all(row["report"].startswith("\n") for row in rows)
    studies: dict[str, set[str]] = {}
    for row in rows:
        study = row["path_to_image"].rpartition("/")[0]
        studies.setdefault(study, set()).add(row["report"])
    assert max(map(len, studies.values())) == 2
    assert any(not row["section_impression"] and not row["section_findings"] for row in rows)


def test_chexpert_plus_has_files_without_high_bit_and_leftovers(out):
    files = sorted((out / "chexpertplus/DICOM").rglob("*.dcm"))
    left = [path for path in files if path.name.startswith(".azDownload-")]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files if path not in left]
    assert left
    assert any("HighBit" not in header for header in headers)
    labels = (out / "chexpertplus/chexbert_labels/report_fixed.json").read_text().splitlines()
    assert {v for line in labels for k, v in json.loads(line).items() if k != "path_to_image"} == {
        None, 0, 1, -1,
    }  # fmt: skip


def test_brax_has_groups_of_ages_and_words_of_machines(out):
    rows = table(out / "brax/master_spreadsheet_update.csv")
    assert "85 or more" in {row["PatientAge"] for row in rows}
    assert {"AP LLD", "LT-DECUB", "RLO", "LLO", "", "RL", "LL"} <= {r["ViewPosition"] for r in rows}
    assert all((out / "brax" / row[name]).is_file() for row in rows for name in list(row)[:2])


def test_rexgradient_has_paths_that_lead_out_of_the_metadata(out):
    folder = out / "rexgradient/metadata"
    views, ages, texts = set(), set(), set()
    for split in ("train", "valid", "test"):
        studies = json.loads((folder / f"{split}_metadata_view_position.json").read_text())
        for study in studies.values():
            assert all((folder / path).is_file() for path in study["ImagePath"])
            views |= set(study["ImageViewPosition"])
            ages.add(study["PatientAge"])
            texts |= {study["Findings"], study["Impression"]}
        assert len(table(folder / f"{split}_metadata.csv")) == len(studies)
    assert {"UNKNOWN", "N/A", None, "POSTERO_ANTERIOR", "LL"} <= views
    assert {"007Y", "002D"} <= ages
    assert "None" in texts
