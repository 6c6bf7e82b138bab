"""The look-alikes of the annotation layers have the published layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from layouts import digests, table, truth

from cxr_vlp.pipelines.synthetic import layouts
from cxr_vlp.pipelines.synthetic.layouts import chexpert, mimic


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    for writer in (mimic, chexpert):
        writer.write(folder, studies=30, seed=3, height=48)
    for name in layouts.LAYERS:
        layouts.writer(name)(folder, studies=30, seed=3, height=48)
    return folder


def test_the_same_tree_gives_the_same_bytes(out, tmp_path):
    for name, (_, source) in layouts.LAYERS.items():
        (tmp_path / source).symlink_to(out / source)
        (tmp_path / f"{source}.truth.jsonl").write_bytes(
            (out / f"{source}.truth.jsonl").read_bytes()
        )
        layouts.writer(name)(tmp_path)
        assert digests(tmp_path / name) == digests(out / name)
        (tmp_path / source).unlink()


def test_mscxr_has_the_columns_of_release_1_1_0_and_a_coco_file(out):
    rows = table(out / "mscxr/MS_CXR_Local_Alignment_v1.1.0.csv")
    assert list(rows[0]) == (
        [
            "dicom_id",
            "category_name",
            "label_text",
            "path",
            "x",
            "y",
            "w",
            "h",
            "image_width",
            "image_height",
            "split",
        ]
    )
    coco = json.loads((out / "mscxr/MS_CXR_Local_Alignment_v1.1.0.json").read_bytes())
    assert len(coco["annotations"]) == len(rows) > 8
    phrases: dict[tuple[str, str], int] = {}
    for row in rows:
        assert re.fullmatch(rf"files/p\d\d/p\d{{8}}/s\d{{8}}/{row['dicom_id']}\.jpg", row["path"])
        assert int(row["x"]) + int(row["w"]) <= int(row["image_width"])
        assert int(row["y"]) + int(row["h"]) <= int(row["image_height"])
        phrases[row["dicom_id"], row["label_text"]] = phrases.get(
            (row["dicom_id"], row["label_text"]), 0) + 1  # fmt: skip
    assert max(phrases.values()) > 1  # several rows of a phrase


def test_the_ids_of_mscxrt_are_paths_and_its_second_table_is_there(out):
    rows = table(out / "mscxrt/MS_CXR_T_temporal_image_classification_v1.0.0.csv")
    assert len(rows) == len(truth(out, "mscxrt")) > 0
    for row in rows:
        assert row["dicom_id"].startswith(f"p{row['subject_id'][:2]}/p{row['subject_id']}/s")
        assert row["previous_dicom_id"].split("/")[1] == f"p{row['subject_id']}"
    assert (out / "mscxrt/MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv").is_file()


def test_outlines_and_masks_of_chexlocalize_agree(out):
    folder, findings = out / "chexlocalize/CheXlocalize", 0
    for name in ("val", "test"):
        outlines = json.loads((folder / f"gt_annotations_{name}.json").read_bytes())
        masks = json.loads((folder / f"gt_segmentations_{name}.json").read_bytes())
        assert outlines.keys() == masks.keys()
        for image, drawn in outlines.items():
            size = drawn.pop("img_size")
            assert len(masks[image]) == 10  # a mask of every finding, empty ones too
            assert all(mask["size"] == size for mask in masks[image].values())
            assert all(masks[image][finding]["counts"] for finding in drawn)
            findings += len(drawn)
    assert findings > 5


@pytest.mark.parametrize("number", [0, 1, 15, 16, -1, -16, -17, 31, 32, 6_560_960, -40_000])
def test_a_number_is_written_as_coco_writes_it(number):
    from cxr_vlp.pipelines.sources.layers.chexlocalize import _runs
    from cxr_vlp.pipelines.synthetic.layouts.layers import _letters

    assert _runs(_letters(number)) == [number]
    assert re.fullmatch(r"[0-o]+", _letters(number))


def test_an_empty_mask_is_written_as_published():
    from cxr_vlp.pipelines.synthetic.layouts.layers import _mask

    # CheXlocalize's own sample holds these two
    assert _mask([], 2828, 2320)["counts"] == "PVWX6"
    assert _mask([], 2021, 2022)["counts"] == "nefl3"


def test_the_frames_are_those_of_the_files(out):
    outlines = json.loads(
        (out / "chexlocalize/CheXlocalize/gt_annotations_test.json").read_bytes()
    ) | json.loads((out / "chexlocalize/CheXlocalize/gt_annotations_val.json").read_bytes())
    sizes = {
        "_".join([*path.parent.parts[-2:], path.stem]): np.shape(cv2.imread(str(path), 0))
        for path in (out / "chexpert").rglob("view*.jpg")
    }
    assert outlines
    for image, drawn in outlines.items():
        assert tuple(drawn["img_size"]) == sizes[image]
