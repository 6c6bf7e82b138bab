"""The annotation layers' layouts and traps, by hand."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joining import lay

from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.records import (
    Encoded,
    Image,
    Placement,
    SourceBox,
    SourceChange,
    Study,
    dumps,
    study_from_json,
)
from cxr_vlp.pipelines.sources import layers
from cxr_vlp.pipelines.sources.ids import Ids
from cxr_vlp.pipelines.sources.layers import base
from cxr_vlp.pipelines.sources.layers.base import OpenLayer, ReadLayer
from cxr_vlp.pipelines.stages.sample_members import boxes as stored_boxes
from cxr_vlp.pipelines.synthetic.layouts.layers import _mask

ONE = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
TWO = "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962"
FILES = "files/p10/p10000032/s50414267"
CSV = "MS_CXR_Local_Alignment_v1.1.0.csv"
JSON = "MS_CXR_Local_Alignment_v1.1.0.json"
HEAD = "dicom_id,category_name,label_text,path,x,y,w,h,image_width,image_height,split"
PAIRS = "MS_CXR_T_temporal_image_classification_v1.0.0.csv"
PAIR_HEAD = (
    "dicom_id,previous_dicom_id,study_id,subject_id,edema_progression,"
    "pleural_effusion_progression,edema_label_quality"
)
OUTLINES, MASKS = "gt_annotations_{}.json", "gt_segmentations_{}.json"
FILM = "patient64622_study1_view1_frontal"


def row(image: str = ONE, label: str = "Edema", phrase: str = "Mild edema", **values) -> str:
    cells = {"x": 10, "y": 20, "w": 30, "h": 40, "image_width": 200, "image_height": 100}
    cells = {"path": f"{FILES}/{image}.jpg"} | cells | {"split": "test"} | values
    return ",".join(map(str, [image, label, phrase, *cells.values()]))


def table(*rows: str, head: str = HEAD) -> str:
    return "\n".join([head, *rows]) + "\n"


def opened(name: str, root: Path) -> OpenLayer:
    return OpenLayer.at(layers.layer(name), str(root), f"sources.x.layers.{name}")


def read(name: str, root: Path, **files: str) -> ReadLayer:
    return base.read(opened(name, lay(root, files)))


def mscxr(root: Path, *rows: str) -> ReadLayer:
    return read("mscxr", root, **{CSV: table(*rows)})


def mscxrt(root: Path, *rows: str) -> ReadLayer:
    return read("mscxrt", root, **{PAIRS: table(*rows, head=PAIR_HEAD)})


def study(key: str = "s1", patient: str = "10000032", *images: Image) -> Study:
    return Study("mimic", key, patient, "train", images)


def codes(found: ReadLayer) -> dict[str, int]:
    """Return the notes without the places of rows."""
    total: dict[str, int] = {}
    for code, number in found.notes.items():
        total[code.split(" ")[0]] = total.get(code.split(" ")[0], 0) + number
    return total


# MS-CXR


def test_several_rows_of_a_phrase_are_several_boxes(tmp_path):
    found = mscxr(tmp_path, row(), row(x=100), row(TWO, "pleural_effusion", '"A, \n  b."'))
    assert found.images[ONE].boxes == (
        SourceBox("Edema", 10, 20, 30, 40, "Mild edema", "mscxr", (200, 100)),
        SourceBox("Edema", 100, 20, 30, 40, "Mild edema", "mscxr", (200, 100)),
    )
    [other] = found.images[TWO].boxes
    assert (other.label, other.phrase) == ("Pleural Effusion", "A, b.")
    assert (found.rows, codes(found)) == (3, {})


def test_the_first_release_has_no_split_and_no_path(tmp_path):
    head = HEAD.replace("path,", "").removesuffix(",split")
    cells = row().replace(f"{FILES}/{ONE}.jpg,", "").removesuffix(",test")
    found = read("mscxr", tmp_path, **{"MS_CXR_Local_Alignment_v0.1.csv": table(cells, head=head)})
    assert found.rows == 1


def coco(*rows: str) -> str:
    """Return the COCO file that says what rows of the table say."""
    names = HEAD.split(",")
    cells = [dict(zip(names, each.split(","), strict=True)) for each in rows]
    return json.dumps({
        "categories": [{"id": 5, "name": "Edema"}],
        "images": [{"id": n, "file_name": f"{c['dicom_id']}.jpg", "path": c["path"],
                    "width": int(c["image_width"]), "height": int(c["image_height"])}
                   for n, c in enumerate(cells)],
        "annotations": [{"id": n, "image_id": n, "category_id": 5, "label_text": c["label_text"],
                         "bbox": [int(c[side]) for side in "xywh"]} for n, c in enumerate(cells)],
    })  # fmt: skip


def test_the_coco_file_says_the_same(tmp_path):
    rows = row(), row(TWO), row(TWO, w=9999)
    of_csv = mscxr(tmp_path / "csv", *rows)
    of_json = read("mscxr", tmp_path / "json", **{JSON: coco(*rows)})
    assert of_json.images == of_csv.images
    assert codes(of_json) == codes(of_csv) == {"layer.box": 1}


def test_an_annotation_of_no_image_of_the_coco_file_is_counted(tmp_path):
    document = json.loads(coco(row(), row(TWO), row(TWO)))
    document["annotations"][1]["image_id"] = 99
    document["annotations"][2]["bbox"] = [1, 2, 3]
    found = read("mscxr", tmp_path, **{JSON: json.dumps(document)})
    assert (found.rows, codes(found)) == (1, {"layer.bad_row": 2})


def test_the_table_is_read_where_both_are_there(tmp_path):
    found = read("mscxr", tmp_path, **{CSV: table(row()), JSON: coco(row(TWO))})
    assert set(found.images) == {ONE}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        pytest.param(row("not an id"), "layer.bad_row", id="no-image"),
        pytest.param(row(label=""), "layer.bad_row", id="no-label"),
        pytest.param(row(x="a"), "layer.bad_row", id="a-word-for-a-number"),
        pytest.param(row(h=""), "layer.bad_row", id="no-height"),
        pytest.param(row(image_width=0), "layer.bad_row", id="an-image-without-width"),
        pytest.param(row(w=0), "layer.box", id="no-area"),
        pytest.param(row(h=-4), "layer.box", id="upside-down"),
        pytest.param(row(w=190.6), "layer.box", id="over-the-right-side"),
        pytest.param(row(y=-0.6), "layer.box", id="over-the-top"),
        pytest.param(row(path=f"{FILES}/{TWO}.jpg"), "layer.conflict", id="two-images-in-a-row"),
        pytest.param(f"{ONE},Edema", "csv.ragged", id="too-few-cells"),
    ],
)
def test_a_row_that_cannot_be_used_is_left_out_and_counted(tmp_path, bad, code):
    found = mscxr(tmp_path, row(TWO), bad)
    assert set(found.images) == {TWO}
    assert dict(found.notes) == {f"{code} {CSV} line 3": 1}


@pytest.mark.parametrize("values", [{"w": 190.5}, {"y": -0.5}, {"x": 0, "w": 200}, {"h": 80}])
def test_half_a_pixel_of_rounding_is_inside(tmp_path, values):
    found = mscxr(tmp_path, row(**values))
    assert (found.rows, codes(found)) == (1, {})


def test_only_the_first_bad_rows_are_named(tmp_path):
    found = mscxr(tmp_path, row(), *[row(w=0, x=n) for n in range(7)])
    assert found.notes["layer.box"] == 2
    assert len(found.notes) == 6
    assert codes(found) == {"layer.box": 7}


def test_two_sizes_of_one_image_contradict_each_other(tmp_path):
    found = mscxr(tmp_path, row(TWO), row(), row(x=11, image_width=201))
    assert set(found.images) == {TWO}
    assert codes(found) == {"layer.conflict": 2}


def test_a_repeated_row_is_one_box(tmp_path):
    found = mscxr(tmp_path, row(), row())
    assert (found.rows, codes(found)) == (1, {"layer.repeated_row": 1})


def test_no_usable_row_stops(tmp_path):
    with pytest.raises(DataError, match=r"layer\.empty: no row of MS-CXR can be used \(1 layer"):
        mscxr(tmp_path, row(w=0))


def test_a_table_without_a_column_stops(tmp_path):
    with pytest.raises(DataError, match=r"csv\.header: .*: no column 'label_text'"):
        read("mscxr", tmp_path, **{CSV: "dicom_id,category_name\n"})


@pytest.mark.parametrize("name", layers.LAYERS)
def test_a_folder_without_the_tables_says_what_was_searched(tmp_path, name):
    with pytest.raises(ConfigError, match=r"this is no folder of .*: no .*_.*\.(csv|json)"):
        opened(name, lay(tmp_path, {"films.csv": "a"}))


def test_a_folder_that_is_not_there_is_named_by_its_key(tmp_path):
    with pytest.raises(ConfigError, match=r"^sources\.x\.layers\.mscxr: no folder at "):
        opened("mscxr", tmp_path / "nowhere")


def test_two_releases_below_the_folder_are_refused(tmp_path):
    files = {"1.0.0/" + CSV.replace("1.1", "1.0"): table(row()), f"1.1.0/{CSV}": table(row())}
    with pytest.raises(ConfigError, match="several releases"):
        opened("mscxr", lay(tmp_path, files))


@given(st.permutations([row(), row(x=1), row(TWO), row(TWO, "Pneumonia"), row(x=1), row(w=0)]))
@settings(max_examples=20)
def test_the_order_of_the_rows_does_not_matter(tmp_path_factory, rows):
    made = [mscxr(tmp_path_factory.mktemp("l"), *each) for each in (rows, sorted(rows))]
    assert made[0].images == made[1].images
    assert list(made[0].images) == list(made[1].images)
    assert codes(made[0]) == codes(made[1])


# MS-CXR-T


def pair(edema: str = "", effusion: str = "", now: str = ONE, earlier: str = TWO) -> str:
    # in the published table the ids are paths
    ends = [f"p10/p10000032/s1/{image}" for image in (now, earlier)]
    return ",".join([*ends, "50414267", "10000032", edema, effusion, "one_expert"])


def test_changes_have_the_words_of_the_format(tmp_path):
    found = mscxrt(tmp_path, pair("improving", "stable"), pair("worsening", now=TWO, earlier=ONE))
    assert found.images[ONE].changes == (
        SourceChange("Edema", "better", TWO, "mscxrt"),
        SourceChange("Pleural Effusion", "stable", TWO, "mscxrt"),
    )
    assert found.images[TWO].changes == (SourceChange("Edema", "worse", ONE, "mscxrt"),)
    assert codes(found) == {}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        pytest.param(pair("bigger"), "layer.bad_value:edema_progression", id="another-word"),
        pytest.param(pair("stable", now="x"), "layer.bad_row", id="no-image"),
        pytest.param(pair("stable", earlier=""), "layer.bad_row", id="no-earlier-image"),
        pytest.param(pair("stable", earlier=ONE), "layer.conflict", id="since-itself"),
    ],
)
def test_a_pair_that_cannot_be_used_is_left_out_and_counted(tmp_path, bad, code):
    found = mscxrt(tmp_path, pair("stable", now=TWO, earlier=ONE), bad)
    assert (set(found.images), codes(found)) == ({TWO}, {code: 1})


def test_two_changes_since_one_image_contradict_each_other(tmp_path):
    found = mscxrt(tmp_path, pair("stable", "stable"), pair("worsening"), pair(effusion="stable"))
    assert [c.label for c in found.images[ONE].changes] == ["Pleural Effusion"]
    assert codes(found) == {"layer.conflict": 2, "layer.repeated_row": 1}


def test_the_table_of_sentence_pairs_is_not_read(tmp_path):
    lay(tmp_path, {"MS_CXR_T_temporal_sentence_similarity_v1.0.0.csv": "sentence_1\na\n"})
    with pytest.raises(ConfigError, match="temporal_image_classification"):
        opened("mscxrt", tmp_path)


def laid(found: ReadLayer, *studies: Study) -> list[Study]:
    """Do what the Beam graph of `scan` does with the studies of one patient."""
    return list(base.find_earlier([base.lay(each, [found])[0] for each in studies], [found]))


@pytest.mark.parametrize("salted", [False, True])
def test_a_change_names_the_sample_of_the_earlier_image(tmp_path, salted):
    found = mscxrt(tmp_path, pair("stable"))
    ids = Ids("mimic", "a salt of this test", salted)
    older = ids.study(study("s1", "1", Image(TWO, f"files/{TWO}.dcm")))
    newer = ids.study(study("s2", "1", Image(ONE, f"files/{ONE}.dcm.gz")))
    made = laid(found, older, newer)
    assert made[0] == older
    [change] = made[1].images[0].changes
    key = f"mimic-{older.key}-{older.images[0].key}"
    assert change == SourceChange("Edema", "stable", key, "mscxrt")
    assert (TWO in dumps(change)) is not salted
    assert study_from_json(dumps(made[1])) == made[1]


def test_an_earlier_image_that_is_not_in_the_collection_is_not_named(tmp_path):
    found = mscxrt(tmp_path, pair("stable"))
    [made] = laid(found, study("s2", "1", Image(ONE, f"{ONE}.jpg")))
    assert made.images[0].changes == (SourceChange("Edema", "stable", "", "mscxrt"),)


# CheXlocalize


def chexlocalize(root: Path, content: dict, name: str = OUTLINES.format("val")) -> ReadLayer:
    return read("chexlocalize", root, **{name: json.dumps(content)})


def film(**findings) -> dict:
    return {FILM: {"img_size": [100, 200], **findings}}


def test_an_outline_becomes_the_box_around_it(tmp_path):
    drawn = [[[10, 20.5], [40, 20], [30, 60]], [[0, 0], [200, 100]]]
    found = chexlocalize(tmp_path, film(**{"Airspace Opacity": drawn}))
    assert found.images[FILM].boxes == (
        SourceBox("Lung Opacity", 0, 0, 200, 100, "", "chexlocalize", (200, 100)),
        SourceBox("Lung Opacity", 10, 20, 30, 40, "", "chexlocalize", (200, 100)),
    )


@pytest.mark.parametrize(
    ("drawn", "code"),
    [
        pytest.param([[[1, 1], [1, 9]]], "layer.box", id="a-line"),
        pytest.param([[[1, 1], [201, 9]]], "layer.box", id="over-the-right-side"),
        pytest.param([[]], "layer.box", id="no-point"),
        pytest.param([[[1, 1], [2]]], "layer.box", id="half-a-point"),
        pytest.param([[["a", 1], [2, 2]]], "layer.box", id="a-word"),
        pytest.param([[[None, 1], [2, 2]]], "layer.box", id="nothing"),
        pytest.param([[[float("nan"), 1], [2, 2]]], "layer.box", id="no-number"),
        pytest.param([[[0, 1], [float("inf"), 2]]], "layer.box", id="without-end"),
        pytest.param("drawn", "layer.bad_row", id="no-list"),
        pytest.param({"size": [9, 9], "counts": [80]}, "layer.bad_row", id="too-short-a-mask"),
        pytest.param({"size": [9, 9], "counts": [-1, 82]}, "layer.bad_row", id="a-run-back"),
        pytest.param({"size": [9, 9], "counts": "~~"}, "layer.bad_row", id="letters-of-no-run"),
        pytest.param({"size": [9], "counts": [81]}, "layer.bad_row", id="a-mask-of-one-side"),
        pytest.param({"size": [1 << 20] * 2, "counts": [1 << 40]}, "layer.bad_row", id="a-bomb"),
        pytest.param({}, "layer.bad_row", id="an-empty-mask"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_counted(tmp_path, drawn, code):
    found = chexlocalize(tmp_path, film(Edema=[[[1, 1], [9, 9]]], Pneumothorax=drawn))
    assert {box.label for box in found.images[FILM].boxes} == {"Edema"}
    assert dict(found.notes) == {f"{code} gt_annotations_val.json image 1": 1}


def test_names_of_no_image_and_sizes_of_none_are_counted(tmp_path):
    good = film(Edema=[[[1, 1], [9, 9]]])
    bad = {"patient1": good[FILM], f"{FILM}x": [], "patient2_study1_view1_frontal": {"Edema": []}}
    found = chexlocalize(tmp_path, good | bad)
    assert (set(found.images), codes(found)) == ({FILM}, {"layer.bad_row": 3})


def test_masks_are_read_where_no_outlines_are_there(tmp_path):
    mask = np.zeros((100, 200), np.uint8)
    mask[20:60, 10:40] = mask[60:70, 40:45] = mask[90:, 150:] = 1  # two of them touch at a corner
    drawn = {"Edema": coded(mask), "Pneumonia": coded(mask * 0)}
    name = MASKS.format("test")
    found = chexlocalize(tmp_path, {FILM: drawn}, name)
    assert [(b.label, b.x, b.y, b.w, b.h, b.frame) for b in found.images[FILM].boxes] == [
        ("Edema", 10, 20, 35, 50, (200, 100)),
        ("Edema", 150, 90, 50, 10, (200, 100)),
    ]
    assert codes(found) == {}
    plain = {"size": [100, 200], "counts": runs_of(mask)}  # COCO's other form, without letters
    assert chexlocalize(tmp_path, {FILM: {"Edema": plain}}, name).images == found.images


def test_of_each_set_the_outlines_are_read(tmp_path):
    one, two = FILM, "patient64741_study1_view1_frontal"
    mask = coded(np.ones((9, 9), np.uint8))
    outlined = json.dumps({one: {"img_size": [9, 9], "Edema": [[[1, 1], [4, 4]]]}})
    files = {OUTLINES.format("val"): outlined}
    files |= {MASKS.format("val"): json.dumps({one: {"Edema": mask}})}
    files |= {MASKS.format("test"): json.dumps({two: {"Edema": mask}})}
    found = read("chexlocalize", tmp_path, **files)
    assert {name: each.boxes[0].w for name, each in found.images.items()} == {one: 3, two: 9}


def test_a_file_that_is_cut_stops(tmp_path):
    with pytest.raises(DataError, match=r"layer\.broken: gt_annotations_val\.json is no JSON"):
        read("chexlocalize", tmp_path, **{OUTLINES.format("val"): '{"patient64622_study1'})


def runs_of(mask: np.ndarray) -> list[int]:
    """Return the lengths of runs of equal values down the columns, zeros first."""
    flat = mask.T.reshape(-1).tolist()
    runs = [(value, len(list(same))) for value, same in itertools.groupby(flat)]
    return [0] * flat[0] + [length for _, length in runs]


def coded(mask: np.ndarray) -> dict:
    """Return a mask as COCO writes it; the look-alike's code, on outlines of single pixels."""
    height, width = mask.shape
    points = [[[x, y]] for y, x in np.argwhere(mask).tolist()]
    return _mask(points, width, height)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_any_mask_gives_the_boxes_of_its_parts(tmp_path_factory, width, height, share, rng):
    mask = np.array(
        [[rng.randrange(10) < share for _ in range(width)] for _ in range(height)], np.uint8
    )
    content = {FILM: {"Edema": coded(mask)}, "patient1_study1_view1_frontal": {
        "Edema": coded(np.ones((9, 9), np.uint8))}}  # fmt: skip
    found = chexlocalize(tmp_path_factory.mktemp("m"), content, MASKS.format("val"))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    wanted = sorted(cv2.boundingRect(c) for c in contours)
    known = found.images.get(FILM)
    boxes = {(b.x, b.y, b.w, b.h) for b in known.boxes} if known else set()
    # a part inside a hole of another has a box of its own, and no outer contour
    assert set(wanted) <= boxes
    assert bool(boxes) == bool(mask.any())


def test_a_mask_as_it_is_published_is_read():
    # the empty masks of CheXlocalize's own sample are written so
    from cxr_vlp.pipelines.sources.layers import chexlocalize as reading

    assert reading._runs("PVWX6") == [2320 * 2828]
    assert reading._runs("nefl3") == [2022 * 2021]


# joining


@pytest.mark.parametrize(
    ("name", "text", "image"),
    [
        ("mscxr", f"mimic-cxr/2.1.0/{FILES}/{ONE}.dcm", ONE),
        ("mscxr", f"{FILES}/{ONE.upper()}.DCM.GZ", ONE),
        ("mscxr", f"images/p10/p10000032/s50414267/{ONE}.jpg", ONE),
        ("mscxr", f"s50414267_{ONE}", ONE),
        ("mscxr", f"{FILES}/x{ONE}.jpg", ""),
        ("mscxr", f"{FILES}.txt", ""),
        ("chexlocalize", "CheXpert-v1.0/valid/patient64622/study1/view1_frontal.jpg", FILM),
        ("chexlocalize", "PNG/valid/patient64622/study01/view1_frontal.png", FILM),
        ("chexlocalize", "patient64622_study1_view1_frontal.jpg", FILM),
        ("chexlocalize", "patient64622-study1_view1_frontal", FILM),
        ("chexlocalize", "patient42/study1/view2_lateral.jpg", "patient00042_study1_view2_lateral"),
        ("chexlocalize", "patient64622/study1/view1.txt", ""),
    ],
)
def test_an_image_is_found_by_path_or_ids(name, text, image):
    assert layers.layer(name).image(text) == image


def test_an_image_whose_path_says_nothing_is_found_by_its_key(tmp_path):
    found = mscxr(tmp_path, row())
    plain = study("s1", "1", Image(ONE, "part.tar"))
    for each in (plain, Ids("mimic", "a salt of this test", salted=True).study(plain)):
        made, matched = base.lay(each, [found])
        assert matched == {"mscxr": [ONE]}
        assert made.images[0].boxes == found.images[ONE].boxes


def test_boxes_of_the_collection_come_first_and_keep_their_frame(tmp_path):
    found = mscxr(tmp_path, row())
    own = SourceBox("Mass", 0, 0, 512, 512)
    image = Image(ONE, f"{ONE}.png", boxes=(own,), frame=(1024, 1024))
    made, _ = base.lay(study("s1", "1", image), [found])
    encoded = Encoded(b"", {"source_width": 400, "source_height": 200}, Placement(0.5, 0.5))
    first, second = stored_boxes(made.images[0], encoded)
    assert dataclasses.astuple(first) == ("Mass", 0, 0, 100, 50, "", "")
    assert dataclasses.astuple(second) == ("Edema", 10, 20, 30, 40, "Mild edema", "mscxr")


def test_a_box_of_a_few_pixels_has_an_area_in_a_small_image(tmp_path):
    found = mscxr(tmp_path, row(w=1, h=1, image_width=4000, image_height=4000))
    made, _ = base.lay(study("s1", "1", Image(ONE, f"{ONE}.png")), [found])
    facts = {"source_width": 4000, "source_height": 4000}
    [box] = stored_boxes(made.images[0], Encoded(b"", facts, Placement(0.02, 0.02)))
    assert box.w == box.h == 0.1


def test_an_image_that_no_row_names_is_as_it_was(tmp_path):
    before = study("s1", "1", Image(TWO, f"{TWO}.png"))
    assert base.lay(before, [mscxr(tmp_path, row())]) == (before, {})


def test_rows_of_images_that_are_not_there_are_counted(tmp_path):
    found = mscxr(tmp_path, row(), row(TWO), row(TWO, x=1))
    assert base.unmatched(found, [TWO, TWO]) == 1
    with pytest.raises(DataError) as caught:
        base.unmatched(found, [])
    said = str(caught.value)
    assert said.startswith("layer.unmatched: none of the 2 images that MS-CXR names is in the")
    assert "MIMIC-CXR" in said
    assert "remove `mscxr` from `layers`" in said
    assert ONE not in said


def test_no_message_or_note_quotes_a_phrase_or_an_id(tmp_path):
    rng = random.Random(4)
    rows = [row(phrase="CANARY", w=rng.choice([0, 30, 500]), x=n) for n in range(9)]
    found = mscxr(tmp_path, *rows, f"{ONE},CANARY", row(path=f"{FILES}/{TWO}.jpg", phrase="CANARY"))
    noted = json.dumps(dict(found.notes))
    assert len(found.notes) > 2
    assert "CANARY" not in noted
    assert ONE not in noted
    assert RawTree(tmp_path).root.name not in noted
