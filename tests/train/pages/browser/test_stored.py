"""The images and rows of the chosen samples, and the files that hold them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_vlp.nlp.status import FilterPolicy
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.pages.browser import data_files, rows, stored
from cxr_vlp.train.pages.browser.choice import Place
from tests.train.conftest import add
from tests.train.pages.browser.made_site import record

BOX = {"label": "Edema", "x": 100.0, "y": 150.0, "w": 50.0, "h": 30.0}


def encoded(height, width, kind="jpg", dtype=np.uint8, flat=False):
    top = np.iinfo(dtype).max
    noise = np.random.default_rng(0).integers(0, top, (height, width), dtype=dtype)
    return cv2.imencode(f".{kind}", noise * 0 if flat else noise)[1].tobytes()


def read(tmp_path, image, kind="jpg", **changes):
    """Return the one sample of a tar, as the browser reads it."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        add(tar, f"alpha-s0.{kind}", image)
        add(tar, "alpha-s0.json", json.dumps(record("alpha", 0, **changes)).encode())
        add(tar, "alpha-s0.txt", b"A caption.")
    (found,) = stored.read([Place("alpha-s0", "s0", "train", path)])
    return found


def test_a_small_image_is_taken_as_it_is(tmp_path):
    image = encoded(72, 64)
    found = read(tmp_path, image)
    assert (found.image, found.ending, found.width, found.height) == (image, "jpg", 64, 72)
    png = encoded(72, 64, "png")
    assert read(tmp_path, png, "png").image == png


@pytest.mark.parametrize(
    ("kind", "dtype"), [("jpg", np.uint8), ("png", np.uint8), ("png", np.uint16)]
)
def test_a_large_image_is_encoded_again_and_its_boxes_stay_right(tmp_path, kind, dtype):
    image = encoded(1000, 500, kind, dtype)
    assert len(image) > stored.LARGEST
    found = read(tmp_path, image, kind, boxes=[BOX])
    pixels = cv2.imdecode(np.frombuffer(found.image, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.shape[:2] == (stored.SIDE, stored.SIDE // 2)
    assert pixels.mean() == pytest.approx(127, abs=3)  # 16 bits are scaled, not cut off
    assert found.ending == "jpg"
    # the frame of the boxes is the stored image, whatever is shown
    (box,) = rows.row(found, "i.jpg", FilterPolicy(), text=True)["boxes"]
    assert (box["x"], box["y"], box["w"], box["h"]) == (20.0, 15.0, 10.0, 3.0)


def test_both_sides_of_the_largest_file_that_is_kept(tmp_path):
    # a JPEG may have bytes after its end: the size alone decides
    base = encoded(72, 64)
    at_limit = base + bytes(stored.LARGEST - len(base))
    assert read(tmp_path, at_limit).image == at_limit
    assert len(read(tmp_path, at_limit + b"\0").image) < stored.LARGEST


def test_an_image_that_cannot_be_decoded_is_refused_without_its_key(tmp_path):
    with pytest.raises(DataError, match=r"sample [0-9a-f]{16}: the image cannot be dec") as refused:
        read(tmp_path, b"no image")
    assert "alpha-s0" not in str(refused.value)


def test_a_sample_without_an_image_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not have one image"):
        read(tmp_path, b"", "gif")


def test_the_filter_is_that_of_the_set():
    given = {"keep_uncertain": False, "cut_mixed": False, "fallback": ["impression"]}
    assert rows.policy({"texts": {"filter": given}}) == FilterPolicy(
        keep_uncertain=False, cut_mixed=False
    )
    assert rows.policy({}) == FilterPolicy()


def test_a_row_says_what_the_sets_filter_keeps(tmp_path):
    report = "FINDINGS: Possible nodule. Large effusion. No pneumothorax."
    found = read(tmp_path, encoded(72, 64), sentences=record("a", 0, report)["sentences"])
    fates = [s[2] for s in rows.row(found, "", FilterPolicy(), text=True)["sentences"]]
    assert fates == ["keep", "keep", "drop"]
    strict = FilterPolicy(keep_uncertain=False, drop_normal=False)
    fates = [s[2] for s in rows.row(found, "", strict, text=True)["sentences"]]
    assert fates == ["drop", "keep", "keep"]


@pytest.mark.parametrize(
    "text", ["</script>", "<!--", "a\u2028b", "'\"`&", "\\", "\ud800", "🫁", "\x00\x7f"]
)
def test_data_files_are_ascii_without_signs_of_html(tmp_path, text):
    path = tmp_path / "x" / "rows.js"
    data_files.write(path, "rows", 3, [{text: text}])
    written = path.read_bytes()
    assert written.isascii()
    assert not set(b"<>&'`") & set(written)
    value = written.decode().removeprefix('cxr.receive("rows",3,').removesuffix(");\n")
    assert json.loads(value) == [{text: text}]


@pytest.mark.parametrize("name", ["mimic-s50-02aa_1", "a" * 60])
def test_a_plain_name_is_a_path_as_it_is(name):
    assert data_files.part_of_path(name) == name


@pytest.mark.parametrize("name", ["../x", "a b", "A", "", "a" * 61, "a/b", "é", "%2e", "a.b"])
def test_any_other_name_becomes_a_hash(name):
    found = data_files.part_of_path(name)
    assert len(found) == 16
    assert Path(found).name == found
