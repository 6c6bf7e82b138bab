"""The forms in which Label Studio writes boxes, in percent and in pixels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr_vlp.pipelines.errors import DataError
from cxr_vlp.pipelines.sources import label_studio

BOX = {"x": 10, "y": 20.5, "width": 30, "height": 40, "rectanglelabels": ["Reticular"]}
SIZE = {"original_width": 400, "original_height": 200}


def read(folder: Path, content: object) -> list[label_studio.Named]:
    path = folder / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return label_studio.boxes(path, "Interstitial Pattern")


@pytest.mark.parametrize(
    "content",
    [
        [{"data": {"image": "s3://a/b/study_1.2.png"},
          "annotations": [{"result": [{**SIZE, "type": "rectanglelabels", "value": BOX}]}]}],
        [{"image": "/data/local-files/?d=x/study_1.2.png", "label": [{**BOX, **SIZE}]}],
        {"study_1.2.png": [BOX]},
        {"study_1.2.png": {"boxes": [BOX | {"label": "Reticular"}]}},
    ],
    ids=["export", "short-export", "object-by-image", "object-of-objects"],
)  # fmt: skip
def test_each_form_gives_the_same_box(tmp_path, content):
    [box] = read(tmp_path, content)
    assert box == ("study_1.2.png", "Reticular", (10.0, 20.5, 30.0, 40.0))


def test_pixels_become_percent_by_the_size_beside_them(tmp_path):
    pixels = {"x": 200, "y": 50, "width": 100, "height": 150} | SIZE
    small = {"x": 40, "y": 20, "width": 4, "height": 2} | SIZE  # could be percent, alone
    boxes = read(tmp_path, {"a_1.png": [pixels], "a_2.png": [small]})
    assert [box.sides for box in boxes] == [(50.0, 25.0, 25.0, 75.0), (10.0, 10.0, 1.0, 1.0)]
    assert [box.label for box in boxes] == ["Interstitial Pattern"] * 2


@pytest.mark.parametrize(
    "change",
    [{"width": 0}, {"x": -1}, {"x": 71}, {"y": None}, {"y": "5"}, {"height": float("nan")}],
)
def test_a_box_that_cannot_be_is_there_without_sides(tmp_path, change):
    [box] = read(tmp_path, {"a_1.png": [BOX | change]})
    assert box.sides is None


def test_pixels_without_a_size_cannot_be_used(tmp_path):
    [box] = read(tmp_path, {"a_1.png": [BOX | {"x": 300}]})
    assert box.sides is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 99_999, '"x"', '{"a_1.png": []}'])
def test_a_file_without_boxes_stops(tmp_path, text):
    with pytest.raises(DataError, match=r"json\.broken: boxes\.json"):
        read(tmp_path, text)
