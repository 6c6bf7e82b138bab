"""Notes on images are counted in the manifest, kept for reused images, and verified."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from stages import build, samples

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.format.sample import Pixels
from cxr_vlp.pipelines.imaging import encode, plausible
from cxr_vlp.pipelines.synthetic.layouts import mimic
from cxr_vlp.pipelines.validate.image import decode


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A MIMIC tree in which every third file says that it shows a hand, and one is black."""
    raw = tmp_path_factory.mktemp("raw")
    mimic.write(raw, studies=12, seed=0, height=160)
    for place, path in enumerate(sorted((raw / "mimic").rglob("*.dcm"))):
        dataset = pydicom.dcmread(path)
        if place % 3 == 0:
            dataset.BodyPartExamined = "HAND"
        if place == 1:
            values = np.zeros(dataset.Rows * dataset.Columns, np.uint16)
            values[:: dataset.Columns + 1] = 4000  # a thin line alone
            dataset.PixelData = values.tobytes()
            dataset["PixelData"].VR = "OW"
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.save_as(path)
    for sums in (raw / "mimic").rglob("SHA256SUMS*"):
        sums.unlink()
    return raw / "mimic"


def test_notes_add_up_and_are_kept_for_reused_images(tree, tmp_path, capsys):
    out = build(tree, "mimic", tmp_path)
    assert "note: dicom.body_part" in capsys.readouterr().out
    header, lines = manifest.read(out)
    found = Counter(note for _, sample in samples(out) for note in sample["pixels"]["notes"])
    assert found["dicom.body_part"] > 2
    assert header["notes"]["dicom.body_part"] == found["dicom.body_part"]
    assert (
        sum(line["notes"].get("dicom.body_part", 0) for line in lines) == found["dicom.body_part"]
    )
    assert header["dropped"]["shards image.implausible"] == 1
    # another caption: every image is copied from the earlier tars, with its notes
    again = build(tree, "mimic", tmp_path, shards={"caption": ["prompt", "impression"]})
    assert manifest.read(again)[0]["notes"] == header["notes"]
    assert verify.check([again], deep=True)["breaches"] == []


def test_with_reject_the_noted_images_are_rejected(tree, tmp_path):
    noted = manifest.read(build(tree, "mimic", tmp_path))[0]["notes"]["dicom.body_part"]
    out = build(tree, "mimic", tmp_path, shards={"body_part": "reject"},
                sources={"mimic": {"parts": {"train": 2, "validate": 1, "test": 1},
                                   "max_rejects": 1.0}})  # fmt: skip
    header = manifest.read(out)[0]
    assert header["dropped"]["shards dicom.body_part"] == noted
    assert "dicom.body_part" not in header["notes"]


def test_a_lower_limit_holds_for_images_that_are_reused():
    """Once they were copied from the earlier tars, and the new limit was not checked."""
    facts = {"source_height": 2000, "source_width": 1000, "notes": ["dicom.modality"]}
    encode.refuse(facts, Shards(max_megapixels=2))
    for shards, code in (
        (Shards(max_megapixels=1), "image.too_large"),
        (Shards(modality="reject"), "dicom.modality"),
    ):
        with pytest.raises(IngestError) as error:
            encode.refuse(facts, shards)
        assert error.value.code == code


def image() -> np.ndarray:
    y, x = np.mgrid[0:160, 0:130]
    grain = np.random.default_rng(0).normal(0, 4, (160, 130))
    soft = 128 + 70 * np.sin(x / 17) * np.cos(y / 23) + grain
    return np.clip(soft, 0, 255).astype(np.uint8)


def cut(levels: np.ndarray, value: int, rows: int) -> np.ndarray:
    levels = levels.copy()
    levels[-rows:] = value
    return levels


def mostly(levels: np.ndarray, value: int) -> np.ndarray:
    levels = levels.copy()
    levels[2:-2, 2:-2] = value
    return levels


BAD = {
    "black": np.zeros((160, 130), np.uint8),
    "mostly-white": mostly(image(), 255),
    "mostly-grey": mostly(mostly(image(), 0) // 2 + 100, 128),
    "stencil": np.where(image() > 128, 255, 0).astype(np.uint8),
    "flat": (image() // 24 + 120).astype(np.uint8),
    "noise": np.random.default_rng(0).integers(0, 255, (160, 130)).astype(np.uint8),
    "lower-half-grey": cut(image(), 128, 80),
    "a-tenth-grey": cut(image(), 128, 16),
    "last-row-repeated": np.concatenate([image()[:100], np.repeat(image()[99:100], 60, 0)]),
}
GOOD = {
    "plain": image(),
    "collimated": cv2.copyMakeBorder(image(), 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=0),
    "dark": image() // 3,
    "bright": 255 - image() // 3,
    "weak": (image() // 6 + 100).astype(np.uint8),
    "lower-part-black": cut(image(), 0, 40),
    "lower-edge-white": cut(image(), 255, 12),
    "a-row-of-grey": cut(image(), 128, 2),
}


@pytest.mark.parametrize("levels", BAD.values(), ids=BAD)
def test_an_implausible_image_is_refused_by_shards_and_by_verify(levels):
    assert plausible.fault(levels)
    encoded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    codes = ("image.implausible", "image.constant")
    assert decode(encoded, Pixels(recipe="voi"))[0] in codes


@pytest.mark.parametrize("levels", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("quality", [100, 95, 50, 10])
def test_an_image_that_shards_accepts_is_accepted_by_verify(levels, quality):
    assert plausible.fault(levels) == ""
    encoded = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    assert decode(encoded, Pixels(recipe="voi"))[0] == ""


def test_verify_reports_notes_that_do_not_add_up(tree, tmp_path):
    out = build(tree, "mimic", tmp_path)
    header, lines = manifest.read(out)
    header["notes"] = {}
    header["digest"] = manifest.digest(header, lines, out / manifest.REJECTS)
    jsonl.write_records(out / manifest.NAME, [header, *lines])
    codes = [breach["code"] for breach in verify.check([out], deep=False)["breaches"]]
    assert codes == ["flow.notes"]
