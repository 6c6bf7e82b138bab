"""CANDID-PTX by its preset: masks, repeated reports and odd copies by hand, and the look-alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from joining import Joined, join, lay
from stages import PARTS, build, samples

from cxr_vlp.pipelines import sources, verify
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.stages.shard_part import suffix_of
from cxr_vlp.pipelines.synthetic.layouts import candid
from cxr_vlp.pipelines.synthetic.writing import dicom_files

HEAD = "SOPInstanceUID,StudyInstanceUID,EncodedPixels,Report\n"
MASKS = "anon_SOPUID,annotation_ref,mask_rle\n"
A, B = "1.2.826.0.1.3680043.8.498.11", "1.2.826.0.1.3680043.8.498.22"
STUDY = "1.2.826.0.1.3680043.8.498.99"
TEXT = '"CHEST X-RAY\n\nFINDINGS:\nLeft apical pneumothorax.\n"'
# two columns of 10 pixels: x 3, y 5; and x 1000, y 1014 to the corner of the image
ONE, OTHER = "3077 10 1014 10", "1025014 10"


def scanned(root: Path, reports: str, tubes: str = "", ribs: str = "", **files: str) -> Joined:
    lay(root, {
        "Pneumothorax_reports.csv": (files.pop("head", HEAD)) + reports,
        "chest_tube.csv": MASKS + tubes, "acute_rib_fracture.csv": MASKS + ribs,
        f"dataset/{A}": b"1", f"dataset/{B}": b"2", **files,
    })  # fmt: skip
    joined = join(sources.reader("candid", {}), root)
    assert joined.balanced()
    return joined


def sole(joined: Joined):
    [study] = joined.studies.values()
    return study


def test_several_masks_of_an_image_and_their_one_report(tmp_path):
    joined = scanned(tmp_path, f"{A},{STUDY},{ONE},{TEXT}\n{A},{STUDY},{OTHER},{TEXT}\n")
    study = sole(joined)
    [image] = study.images
    assert (study.labels, study.labels_from) == ({"Pneumothorax": 1}, "candid")
    assert (image.view, image.frame) == ("frontal", (1024, 1024))
    assert [(b.label, b.x, b.y, b.w, b.h) for b in image.boxes] == [
        ("Pneumothorax", 3, 5, 2, 10), ("Pneumothorax", 1000, 1014, 1, 10),
    ]  # fmt: skip
    assert study.report is not None
    text = sources.reader("candid", {}).report(tmp_path, study.report).report
    assert isinstance(text, str)
    assert text.splitlines()[-1] == "Left apical pneumothorax."


def test_minus_one_is_no_pneumothorax(tmp_path):
    study = sole(scanned(tmp_path, f"{A},{STUDY},-1,Clear.\n"))
    assert (study.labels, study.images[0].boxes) == ({"Pneumothorax": 0}, ())


@pytest.mark.parametrize(
    ("mask", "labels"), [(ONE, {"Chest Tube": 1}), ("-1", {"Chest Tube": 0}), (None, {})]
)
def test_an_image_that_a_table_of_masks_does_not_name_is_not_negative(tmp_path, mask, labels):
    tubes = f"{A},0,{mask}\n" if mask else f"{B},0,{ONE}\n"
    joined = scanned(tmp_path, f"{A},{STUDY},-1,Clear.\n{B},{STUDY}7,-1,Clear.\n", tubes)
    study = next(s for s in joined.studies.values() if s.patient == STUDY)
    assert {k: v for k, v in study.labels.items() if k != "Pneumothorax"} == labels


def test_the_table_of_rib_fractures_has_two_names(tmp_path):
    scanned(tmp_path, f"{A},{STUDY},-1,Clear.\n", ribs=f"{A},0,{ONE}\n")
    (tmp_path / "acute_rib_fracture.csv").rename(tmp_path / "Rib_fracture_mask_rle.csv")
    study = sole(join(sources.reader("candid", {}), tmp_path))
    assert study.labels == {"Pneumothorax": 0, "Rib Fracture": 1}
    assert [box.label for box in study.images[0].boxes] == ["Rib Fracture"]


def test_the_tables_of_masks_may_have_the_columns_of_the_first(tmp_path):
    scanned(tmp_path, f"{A},{STUDY},-1,Clear.\n")
    head = "SOPInstanceUID,EncodedPixels\n"
    lay(tmp_path, {"chest_tube.csv": f"{head}{A},{ONE}\n",
                   "acute_rib_fracture.csv": f"{head}{A},-1\n"})  # fmt: skip
    study = sole(join(sources.reader("candid", {}), tmp_path))
    assert study.labels == {"Pneumothorax": 0, "Chest Tube": 1, "Rib Fracture": 0}
    assert [box.label for box in study.images[0].boxes] == ["Chest Tube"]


def test_a_copy_without_the_tables_of_masks_says_so(tmp_path):
    scanned(tmp_path, f"{A},{STUDY},{ONE},Clear.\n")
    for name in ("chest_tube.csv", "acute_rib_fracture.csv"):
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=r"chest_tube\.csv.*reader\.also .*\[\]: none"):
        join(sources.reader("candid", {}), tmp_path)
    study = sole(join(sources.reader("candid", {"also": []}), tmp_path))
    assert study.labels == {"Pneumothorax": 1}


def test_a_study_has_the_findings_of_all_its_images(tmp_path):
    study = sole(scanned(tmp_path, f"{A},{STUDY},{ONE},{TEXT}\n{B},{STUDY},-1,{TEXT}\n"))
    assert study.labels == {"Pneumothorax": 1}
    assert [len(image.boxes) for image in study.images] == [1, 0]


@pytest.mark.parametrize("mask", ["3077", "3077 x", "1048570 100", "-5 10", "3077 0"])
def test_a_mask_that_is_none_is_noted(tmp_path, mask):
    joined = scanned(tmp_path, f"{A},{STUDY},{mask},Clear.\n")
    assert sole(joined).labels == {}
    assert joined.notes["mask.bad_value"] == 1


def test_two_reports_of_one_study_are_refused(tmp_path):
    joined = scanned(tmp_path, f"{A},{STUDY},-1,Clear.\n{A},{STUDY},-1,Not clear.\n")
    assert joined.codes() == {"report.conflict": 1}


def test_an_image_in_two_studies_is_refused_in_both(tmp_path):
    joined = scanned(tmp_path, f"{A},{STUDY},-1,Clear.\n{A},{STUDY}7,-1,Clear.\n")
    assert not joined.studies
    assert joined.codes() == {"csv.conflict": 2}


def test_the_patient_is_the_study_unless_the_column_is_there(tmp_path):
    head = HEAD.replace("Report", "Report,filename")
    rows = f"{A},{STUDY},-1,Clear.,P12_001.dcm\n{B},{STUDY}7,-1,Clear.,P12_002.dcm\n"
    joined = scanned(tmp_path, rows, head=head)
    assert {study.patient for study in joined.studies.values()} == {"12"}
    assert sole(scanned(tmp_path / "b", f"{A},{STUDY},-1,Clear.\n")).patient == STUDY


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".dcm"])
def test_copies_have_pictures_named_by_the_uid(tmp_path, suffix):
    study = sole(scanned(tmp_path, f"{A},{STUDY},-1,Clear.\n"))
    assert study.images[0].path == f"dataset/{A}"
    (tmp_path / "dataset" / A).rename(tmp_path / f"{A}{suffix}")
    study = sole(join(sources.reader("candid", {}), tmp_path))
    assert study.images[0].path == f"{A}{suffix}"


@pytest.fixture(scope="module", params=["dicom", "jpg"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the look-alike and its scan, texts and shards."""
    out = tmp_path_factory.mktemp("candid")
    candid.write(out, studies=12, seed=6, height=96, form=request.param)
    build(out / "candid", "candid", out, sources={"candid": {"parts": PARTS}})
    return out


def test_the_samples_say_what_the_truth_says(run):
    lines = (run / "candid.truth.jsonl").read_text().splitlines()
    wanted = {line["patient"]: line for line in map(json.loads, lines)}
    found = dict(samples(run / "shards" / "candid"))
    assert len(found) == sum(len(line["images"]) for line in wanted.values())
    boxed = 0
    for sample in found.values():
        line = wanted[sample["patient"]]
        others = {each["name"]: each["value"] for each in sample["labels_other"]}
        assert sample["labels"] | others == line["labels"]
        image = next(i for i in line["images"] if uid_key(i["path"]) == sample["image"])
        assert len(sample["boxes"]) == len(image["boxes"])
        for box, true in zip(*(sorted(b, key=str) for b in (sample["boxes"], image["boxes"])),
                             strict=True):  # fmt: skip
            assert all(abs(box[side] - true[side]) <= 0.2 for side in "xywh")
        boxed += len(image["boxes"])
        assert {s["text"] for s in sample["sentences"]} >= {
            " ".join(s["text"].split()) for s in line["sentences"]
        } - {s["text"] for s in line["sentences"] if "\n" in s["text"]}
        assert sample["pixels"]["notes"] == []
    assert boxed


def uid_key(path: str) -> str:
    return Path(path).name.removesuffix(".jpg").replace(".", "-")


def test_the_set_is_valid(run):
    assert verify.main([str(run / "shards" / "candid"), "--deep"]) == 0


def test_a_dicom_file_without_a_suffix_has_its_header_read(tmp_path):
    header = dicom_files.Header("P1", "1", "1", view="LATERAL", date="20200101", time="120000")
    pixels = np.linspace(0, 1, 80 * 80, dtype=np.float32).reshape(80, 80)
    dicom_files.write(tmp_path / A, pixels, bits=12, photometric="MONOCHROME2",
                      syntax=dicom_files.SYNTAXES[0], header=header)  # fmt: skip
    lay(tmp_path, {"films.csv": f"uid\n{A}\n"})
    study = sole(
        join(
            sources.reader("own", {"table": "films.csv", "image": "uid"}, preset="table"), tmp_path
        )
    )
    assert [image.view for image in study.images] == ["lateral"]
    assert suffix_of(study.images[0]) == ""
