"""What the columns of a row become: ids, splits, views, labels, boxes, masks, reports."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import csv, images, lines, reader, scanned

from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError
from cxr_vlp.pipelines.files.paths import RawTree
from cxr_vlp.pipelines.format.sample import KEY
from cxr_vlp.pipelines.sources.table import box_cells, keys, values
from cxr_vlp.pipelines.sources.table.options import Masks

BASE = {"table": "t.csv", "image": "image"}


def one(tmp_path, head, *rows, files=("a.png", "b.png"), **options):
    """Scan one table of two images; return what was found."""
    table = csv(head, *rows)
    return scanned(tmp_path, {"t.csv": table, **images(*files)}, **{**BASE, **options})


def test_facts_of_a_row(tmp_path):
    row = "a.png,P1,valid,AP supine,female,058Y,2019-03-02"
    joined = one(tmp_path, "image,pid,set,pos,sex,age,day", row, patient="pid", split="set",
                 view="pos", sex="sex", age="age", date="day")  # fmt: skip
    [study] = joined.studies.values()
    assert (study.patient, study.split, study.sex, study.age) == ("P1", "validate", "F", 58)
    assert (study.images[0].view, study.images[0].projection) == ("frontal", "AP")
    assert study.when.startswith("20190302")


@pytest.mark.parametrize(
    ("text", "key"),
    [("a_b-1", "a_b-1"), ("1.2.840.5", "1-2-840-5"), ("50414267", "50414267")],
)
def test_short_ids_of_the_usual_letters_are_their_own_keys(text, key):
    assert keys.key(text) == key


@pytest.mark.parametrize(("length", "whole"), [(keys.LONGEST, True), (keys.LONGEST + 1, False)])
def test_a_long_id_becomes_a_digest(length, whole):
    text = "a" * length
    assert (keys.key(text) == text) is whole
    assert len(keys.key(text)) <= keys.LONGEST


@given(st.lists(st.text(min_size=1, max_size=60), min_size=2, max_size=6, unique=True))
def test_different_ids_have_different_keys_of_the_allowed_letters(ids):
    made = [keys.key(text) for text in ids]
    assert len(set(made)) == len(ids)
    assert all(KEY.fullmatch(key) and len(key) <= keys.LONGEST for key in made)


@pytest.mark.parametrize(("cell", "code"), [("5.04E+07", "csv.id"), ("", "csv.id")])
def test_a_rounded_or_missing_patient_refuses_the_study(tmp_path, cell, code):
    joined = one(tmp_path, "image,pid", f"a.png,{cell}", "b.png,7", patient="pid")
    assert joined.codes() == {code: 1}
    assert list(joined.studies) == ["b"]


def test_an_id_that_became_a_number_is_restored(tmp_path):
    joined = one(tmp_path, "image,pid", "a.png,50414267.0", "b.png,50414267", patient="pid")
    assert {study.patient for study in joined.studies.values()} == {"50414267"}
    assert joined.notes["id.normalised"] == 1


def test_two_patients_in_one_study_are_refused(tmp_path):
    joined = one(tmp_path, "image,s,pid", "a.png,1,x", "b.png,1,y", study="s", patient="pid")
    assert joined.codes() == {"study.two_patients": 2}


def test_one_image_in_two_studies_is_refused(tmp_path):
    joined = one(tmp_path, "image,s", "a.png,1", "a.png,2", study="s")
    assert set(joined.codes()) == {"csv.conflict"}


def test_a_study_without_a_patient_is_counted(tmp_path):
    joined = one(tmp_path, "image,s", "a.png,1", "b.png,1", study="s")
    assert joined.studies["1"].patient == "1"
    assert joined.notes["patient.unknown"] == 1
    assert sorted(image.key for image in joined.studies["1"].images) == ["a", "b"]


def test_a_part_of_a_column_is_a_value(tmp_path):
    path = "train/patient7/study2/a.png"
    joined = one(tmp_path, "image", path, files=[path],
                 patient={"column": "image", "pattern": "(patient\\d+)/"},
                 study={"column": "image", "pattern": "(patient\\d+)/(study\\d+)"})  # fmt: skip
    assert joined.studies["patient7-study2"].patient == "patient7"


@pytest.mark.parametrize(
    ("word", "split"),
    [("TRAIN", "train"), ("dev", "validate"), ("eval", "test"), ("hold-out", "test")],
)
def test_words_of_splits(tmp_path, word, split):
    joined = one(tmp_path, "image,s", f"a.png,{word}", split="s", splits={"hold-out": "test"})
    assert [study.split for study in joined.studies.values()] == [split]


def test_an_unknown_split_refuses_the_study(tmp_path):
    joined = one(tmp_path, "image,s", "a.png,fold 3", "b.png,train", split="s")
    assert joined.codes() == {"split.unknown": 1}


def test_a_file_for_each_split(tmp_path):
    files = {"a.csv": csv("image", "a.png"), "b.csv": csv("image", "b.png"), **images("a.png")}
    files |= images("b.png")
    joined = scanned(tmp_path, files, table={"train": "a.csv", "test": "b.csv"}, image="image")
    assert {key: study.split for key, study in joined.studies.items()} == {
        "a": "train", "b": "test",
    }  # fmt: skip


def test_one_image_in_two_splits_is_refused(tmp_path):
    files = {"a.csv": csv("image", "a.png"), "b.csv": csv("image", "a.png"), **images("a.png")}
    joined = scanned(tmp_path, files, table={"train": "a.csv", "test": "b.csv"}, image="image")
    assert joined.codes() == {"split.conflict": 1}


def test_label_columns_and_their_words(tmp_path):
    labels = {"columns": ["Mass", "effusion", "x"], "values": {"yes": 1, "maybe": -1},
              "names": {"x": "Nodule"}}  # fmt: skip
    joined = one(tmp_path, "image,Mass,effusion,x", "a.png,YES,0.0,maybe", "b.png,2,,1",
                 labels=labels)  # fmt: skip
    assert joined.studies["a"].labels == {"Mass": 1, "Nodule": -1, "Pleural Effusion": 0}
    assert joined.studies["b"].labels == {"Nodule": 1}
    assert joined.notes["label.bad_value:Mass"] == 1


@pytest.mark.parametrize(
    "cell", ["Mass|Nodule", "\"['mass', ' nodule']\"", '"[""Mass"", ""Nodule"", null]"']
)
def test_lists_of_names(tmp_path, cell):
    joined = one(tmp_path, "image,l", f"a.png,{cell}", labels={"list": "l"})
    assert joined.studies["a"].labels == {"Mass": 1, "Nodule": 1}
    assert joined.studies["a"].labels_from == "clinic"


def test_a_complete_family_of_all_names_in_the_table(tmp_path):
    labels = {"list": "l", "family": "complete"}
    joined = one(tmp_path, "image,l", "a.png,Mass", "b.png,Nodule", labels=labels)
    assert joined.studies["a"].labels == {"Mass": 1, "Nodule": 0}


def test_a_strange_name_sets_no_label_to_0(tmp_path):
    labels = {"list": "l", "family": "complete", "of": ["Mass", "Nodule"]}
    joined = one(tmp_path, "image,l", "a.png,Mass|Nodul", "b.png,Nodule", labels=labels)
    assert joined.studies["a"].labels == {"Mass": 1, "Nodul": 1}
    assert joined.studies["b"].labels == {"Mass": 0, "Nodule": 1}


def test_rows_of_one_image_that_contradict_each_other_are_refused(tmp_path):
    joined = one(tmp_path, "image,Mass", "a.png,1", "a.png,0", "b.png,1",
                 labels=["Mass"])  # fmt: skip
    assert joined.codes() == {"csv.conflict": 1}


READERS = ["a.png,r1,1", "a.png,r2,1", "a.png,r3,0"]


@pytest.mark.parametrize(
    ("merge", "rows", "value"),
    [
        ("any", READERS, 1), ("majority", READERS, 1), ("unanimous", READERS, -1),
        ("majority", READERS[1:], -1), ("unanimous", READERS[:2], 1), ("any", READERS[2:], 0),
        ("any", ["a.png,r1,-1", "a.png,r2,0"], -1),
    ],
)  # fmt: skip
def test_several_readers(tmp_path, merge, rows, value):
    joined = one(tmp_path, "image,who,Mass", *rows, labels=["Mass"],
                 readers={"column": "who", "merge": merge})  # fmt: skip
    assert joined.studies["a"].labels == {"Mass": value}


def test_no_finding_follows_from_the_merged_labels(tmp_path):
    labels = {"columns": ["Mass", "No finding"], "no_finding": "derived"}
    joined = one(tmp_path, "image,who,Mass,No finding", "a.png,1,1,0", "a.png,2,0,1",
                 "a.png,3,0,1", labels=labels, readers={"column": "who"})  # fmt: skip
    assert joined.studies["a"].labels == {"Mass": 0, "No Finding": 1}


def test_boxes_of_outvoted_labels_are_dropped_and_counted(tmp_path):
    head = "image,who,l,x,y,X,Y"
    rows = ["a.png,1,Mass,1,2,11,22", "a.png,2,Nodule,1,2,11,22", "a.png,3,Mass,2,2,11,22"]
    joined = one(tmp_path, head, *rows, labels={"list": "l", "family": "complete"},
                 readers={"column": "who"},
                 boxes={"corners": ["x", "y", "X", "Y"], "label": "l"})  # fmt: skip
    [image] = joined.studies["a"].images
    assert [(box.label, box.x, box.w, box.h) for box in image.boxes] == [
        ("Mass", 1.0, 10.0, 20.0), ("Mass", 2.0, 9.0, 20.0),
    ]  # fmt: skip
    assert joined.notes["box.outvoted"] == 1


@pytest.mark.parametrize(
    ("cells", "bad"),
    [("0,0,100,200", 0), ("0,0,101,200", 1), ("5,5,0,9", 1), ("5,5,9,0", 1), (",,,", 0),
     ("1,,2,3", 1), ("-1,0,9,9", 1)],
)  # fmt: skip
def test_boxes_outside_the_frame_are_noted(tmp_path, cells, bad):
    boxes = {"sides": ["x", "y", "w", "h"], "name": "Mass", "frame": [100, 200]}
    joined = one(tmp_path, "image,x,y,w,h", f"a.png,{cells}", boxes=boxes)
    assert joined.notes["box.bad_value"] == bad


def test_fractions_are_of_a_frame_of_one(tmp_path):
    boxes = {"sides": ["x", "y", "w", "h"], "name": "Mass", "unit": "fraction"}
    joined = one(tmp_path, "image,x,y,w,h", "a.png,0.1,0.2,0.3,0.8", boxes=boxes)
    [image] = joined.studies["a"].images
    assert image.frame == (1, 1)
    assert image.boxes[0].h == 0.8


@pytest.mark.parametrize(
    ("runs", "options", "box"),
    [
        # 10 wide, 20 high, down the columns: pixel 22 is column 1, row 2
        ("22 3", {}, (1, 2, 1, 3)),
        ("22 3 17 4", {}, (1, 2, 2, 4)),  # relative: the second begins at 25 + 17 = 42
        ("22 3 42 4", {"start": "absolute"}, (1, 2, 2, 4)),
        ("23 3", {"start": "absolute", "first": 1}, (1, 2, 1, 3)),
        ("22 3", {"order": "rows"}, (2, 2, 3, 1)),
        ("19 2", {}, (0, 0, 2, 20)),  # over the end of a column
        ("0 200", {}, (0, 0, 10, 20)),
        ("0 201", {}, None),
        ("5", {}, None),
        ("5 0", {}, None),
        ("x 2", {}, None),
    ],
)
def test_masks(tmp_path, runs, options, box):
    masks = {"column": "m", "name": "Pneumothorax", "frame": [10, 20], **options}
    joined = one(tmp_path, "image,m", f"a.png,{runs}", "b.png, -1", masks=masks)
    boxes = joined.studies["a"].images[0].boxes
    assert [(b.x, b.y, b.w, b.h) for b in boxes] == ([box] if box else [])
    assert joined.notes["mask.bad_value"] == (box is None)
    assert joined.studies["a"].labels == ({"Pneumothorax": 1} if box else {})
    assert joined.studies["b"].labels == {"Pneumothorax": 0}


@given(st.data())
def test_the_box_of_a_mask_is_the_smallest_around_its_pixels(data):
    width, height = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    pixels = data.draw(st.sets(st.integers(0, width * height - 1), min_size=1))
    order = data.draw(st.sampled_from(["columns", "rows"]))
    runs = " ".join(f"{place} 1" for place in sorted(pixels))
    options = Masks(column="m", name="x", start="absolute", order=order, frame=(width, height))
    _, [box] = box_cells.mask_in(options, {"m": runs}, Counter())
    line = height if order == "columns" else width
    places = [divmod(pixel, line) for pixel in pixels]
    xs, ys = zip(*places if order == "columns" else [(b, a) for a, b in places], strict=True)
    expected = (min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1)
    assert box.sides == expected


REPORT = 'FINDINGS: Clear, "normal" lungs.\nIMPRESSION: No change.'


def parquet(*rows):
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), stream)
    return stream.getvalue()


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


ROWS = ({"image": "a.png", "r": "first"}, {"image": "b.png", "r": REPORT})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", csv("image,r", "a.png,first", f"b.png,{quoted(REPORT)}")),
        ("t.csv", "\ufeff" + csv("image;r", "a.png;first", f"b.png;{quoted(REPORT)}")),
        ("t.csv", csv("image,r", "a.png,first", f"b.png,{quoted(REPORT)}").replace("\n", "\r\n")),
        ("t.tsv", csv("image\tr", "a.png\tfirst", f"b.png\t{quoted(REPORT)}")),
        ("t.csv.gz", csv("image,r", "a.png,first", f"b.png,{quoted(REPORT)}")),
        ("t.jsonl", lines(*ROWS)),
        ("t.jsonl.gz", gzip.compress(lines(*ROWS).encode())),
        ("t.json", json.dumps(ROWS)),
        ("t.parquet", parquet(*ROWS)),
    ],
    ids=["csv", "semicolons", "crlf", "tsv", "gz", "jsonl", "jsonl-gz", "json", "parquet"],
)
def test_reports_are_read_again_from_their_row(tmp_path, name, content):
    joined = scanned(tmp_path, {name: content, **images("a.png", "b.png")}, table=name,
                     image="image", text="r")  # fmt: skip
    ref = joined.studies["b"].report
    again = reader(table=name, image="image", text="r").report(RawTree(tmp_path.resolve()), ref)
    assert again.report.replace("\r\n", "\n") == REPORT
    assert again.sha256 == ref.sha256 != ""
    assert "normal" not in str(joined.studies)


def test_reports_of_a_study_that_differ_are_refused_unless_the_first_counts(tmp_path):
    rows = ("image,s,r", "a.png,1,One.", "b.png,1,Two.")
    joined = one(tmp_path, *rows, study="s", text="r")
    assert joined.codes() == {"report.conflict": 2}
    joined = one(tmp_path, *rows, study="s", text="r", reports="first")
    source = reader(**BASE, study="s", text="r")
    report = source.report(RawTree(tmp_path.resolve()), joined.studies["1"].report)
    assert report.report == "One."


def test_sections_and_a_further_table_of_studies(tmp_path):
    files = {
        "t.csv": csv("image,s", "a.png,1", "b.png,2"),
        "r.csv": csv("s,find,imp", "1,Clear.,nan", "9,Nodule.,x"), **images("a.png", "b.png"),
    }  # fmt: skip
    also = [{"table": "r.csv", "study": "s", "sections": {"findings": "find", "impression": "imp"}}]
    joined = scanned(tmp_path, files, **BASE, study="s", also=also)
    source = reader(**BASE, study="s", also=also)
    assert source.has_reports
    report = source.report(RawTree(tmp_path.resolve()), joined.studies["1"].report)
    assert report.report == {"findings": "Clear."}
    assert joined.studies["2"].report is None
    assert joined.notes["csv.unmatched"] == 1


def test_a_join_on_nothing_stops(tmp_path):
    files = {"t.csv": csv("image,s", "a.png,1"), "r.csv": csv("s,l", "9,Mass"), **images("a.png")}
    also = [{"table": "r.csv", "study": "s", "labels": {"list": "l"}}]
    with pytest.raises(DataError, match=r"csv\.unmatched: no row of r\.csv has the study"):
        scanned(tmp_path, files, **BASE, study="s", also=also)


def test_report_files(tmp_path):
    files = {"sub/t.csv": csv("image,s", "a.png,1", "b.png,2"), "sub/r/1.txt": "Clear.\n"}
    joined = scanned(tmp_path, {**files, **images("a.png", "b.png")}, **BASE, study="s",
                     report_file="r/{s}.txt")  # fmt: skip
    assert joined.studies["1"].report.path == "sub/r/1.txt"
    assert joined.studies["2"].report is None
    assert joined.notes["report.missing"] == 1


def test_the_order_of_rows_does_not_matter(tmp_path):
    rows = ["a.png,1,1,F", "b.png,1,1,F", "b.png,1,,F", "a.png,1,1,"]
    options = {"study": "s", "labels": ["Mass"], "sex": "sex"}
    first = one(tmp_path, "image,s,Mass,sex", *rows, **options)
    again = one(tmp_path, "image,s,Mass,sex", *reversed(rows), **options)
    assert first.studies == again.studies
    assert first.notes == again.notes


def test_birth_and_date_give_the_age(tmp_path):
    joined = one(tmp_path, "image,born,day", "a.png,1950,20190302", "b.png,1950-12-31,2019-03-02",
                 birth="born", date="day")  # fmt: skip
    assert [joined.studies[key].age for key in "ab"] == [69, 68]


def test_a_column_that_no_table_has_stops_and_names_those_there_are(tmp_path):
    with pytest.raises(DataError, match=r"no column 'pid' \(option reader\.patient\).*image, PID2"):
        one(tmp_path, "image,PID2", "a.png,1", patient="pid")


def test_a_table_that_is_not_there_stops_and_names_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"table: no file x\.csv.*the tables there are t\.csv"):
        one(tmp_path, "image", "a.png", table="x.csv")


NO_LISTS = ["['Mass'", "{'a': 1}", "[1, 2", "[0, 3]", "{Mass,Nodule}", "['Mass', ['x']]", "x" * 200]


@pytest.mark.parametrize("cell", [*NO_LISTS, "0", "3.0", "yes", "Mass, Nodule", "Mass;Nodule"])
def test_a_cell_that_is_no_list_of_names_is_noted(tmp_path, cell):
    joined = one(tmp_path, "image,l", f'a.png,"{cell}"', "b.png,Mass", labels={"list": "l"})
    assert joined.studies["b"].labels == {"Mass": 1}
    assert joined.studies["a"].labels == {}
    assert joined.notes["label.bad_value:l"] == 1


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("['Mass' 'Nodule']", {}),  # as numpy writes it; Python would join the two
        ("['Mass'\n 'Nodule' None]", {}),
        ("['Mass', nan, 'Nodule']", {}),
        ("('Mass', 'Nodule')", {}),
        ("{'Mass', 'Nodule'}", {}),
        ("Mass, Nodule", {"separator": ","}),
        ("0|1", {"names": {"0": "Mass", "1": "Nodule"}}),
    ],
)
def test_the_forms_of_a_list(tmp_path, cell, options):
    joined = one(tmp_path, "image,l", f'a.png,"{cell}"', labels={"list": "l", **options})
    assert joined.studies["a"].labels == {"Mass": 1, "Nodule": 1}
    assert joined.notes["label.bad_value:l"] == 0


@pytest.mark.parametrize("name", ["opacity, faint", "(old) scar", "(old)"])
def test_marks_inside_a_name(tmp_path, name):
    joined = one(tmp_path, "image,l", f'a.png,"{name}"', labels={"list": "l", "names": {name: "X"}})
    assert joined.studies["a"].labels == {"X": 1}


def test_a_column_of_1_and_0_is_no_list_of_names(tmp_path):
    joined = scanned(tmp_path, {"t.csv": csv("image,label", "a.png,1"), **images("a.png")},
                     guess=True)  # fmt: skip
    assert joined.studies["a"].labels == {}
    assert joined.notes["label.bad_value:label"] == 1


def test_blanks_around_the_names_of_columns_in_parquet(tmp_path):
    files = {"t.parquet": parquet({" image": "a.png", "Mass ": 1}), **images("a.png")}
    joined = scanned(tmp_path, files, table="t.parquet", image="image", labels=["Mass"])
    assert joined.studies["a"].labels == {"Mass": 1}
    files["t.parquet"] = parquet({"image": "a.png", "Mass ": 1, "Mass": 0})
    with pytest.raises(DataError, match=r"csv\.duplicate_column: t\.parquet"):
        scanned(tmp_path, files, table="t.parquet", image="image", labels=["Mass"])


@pytest.mark.parametrize(
    ("first", "second", "view"),
    [("PA", "frontal", ("frontal", "PA")), ("PA", "", ("frontal", "PA")),
     ("x", "lateral", ("lateral", "LATERAL"))],
)  # fmt: skip
def test_rows_of_one_image_may_state_parts_of_its_view(tmp_path, first, second, view):
    joined = one(tmp_path, "image,v", f"a.png,{first}", f"a.png,{second}", view="v")
    [image] = joined.studies["a"].images
    assert (image.view, image.projection) == view


@pytest.mark.parametrize("second", ["lateral", "AP"])
def test_two_views_of_one_image_are_refused(tmp_path, second):
    joined = one(tmp_path, "image,v", "a.png,PA", f"a.png,{second}", view="v")
    assert joined.codes() == {"csv.conflict": 1}


@pytest.mark.parametrize(("cells", "bad"), [("0.1,0.2,0.3,0.4", 1), ("0,0,1,1", 1), ("0,0,2,1", 0)])
@pytest.mark.parametrize("frame", [(), (100, 100)])
def test_fractions_are_no_pixels(tmp_path, cells, bad, frame):
    boxes = {"sides": ["x", "y", "w", "h"], "name": "Mass", "frame": list(frame)}
    joined = one(tmp_path, "image,x,y,w,h", f"a.png,{cells}", boxes=boxes)
    assert joined.notes["box.bad_value"] == bad


def test_a_box_whose_label_is_a_number_is_noted(tmp_path):
    boxes = {"sides": ["x", "y", "w", "h"], "label": "l"}
    joined = one(tmp_path, "image,l,x,y,w,h", "a.png,3,1,2,3,4", boxes=boxes)
    assert joined.notes["box.bad_value"] == 1
    assert not joined.studies["a"].images[0].boxes


def test_a_phrase_of_a_box(tmp_path):
    boxes = {"sides": ["x", "y", "w", "h"], "name": "Mass", "phrase": "p"}
    joined = one(tmp_path, "image,p,x,y,w,h", "a.png,a round mass,1,2,3,4", boxes=boxes)
    assert joined.studies["a"].images[0].boxes[0].phrase == "a round mass"


@pytest.mark.parametrize(
    ("cell", "when"),
    [
        ("2.3.2019 10:15", "20190302101500"), ("02.03.2019", "20190302000000"),
        ("02032019", ""), ("20190230", ""), ("03/02/2019", ""), ("02.03.20191", ""),
        ("43526", "00000000000043526.000000"),
    ],
)  # fmt: skip
def test_dates(tmp_path, cell, when):
    joined = one(tmp_path, "image,d", f"a.png,{cell}", date="d")
    assert joined.studies["a"].when == when
    assert joined.notes["date.bad_value"] == (not when)


@pytest.mark.parametrize(
    ("cell", "age"),
    [("45 years", 45), ("45yrs", 45), ("045Y", 45), ("18 months", 1), ("011M", 0), ("45.0", 45),
     (">89", None), ("<1", None), ("085Y+", None), ("1_0", None), ("Y", None), ("45 yards", None)],
)  # fmt: skip
def test_ages(tmp_path, cell, age):
    joined = one(tmp_path, "image,a", f"a.png,{cell}", age="a")
    assert joined.studies["a"].age == age
    assert joined.notes["age.bad_value"] == (age is None)


def test_a_folder_with_a_spreadsheet_only_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"films\.xlsx is a spreadsheet: save it as CSV"):
        scanned(tmp_path, {"films.xlsx": b"PK", **images("a.png")}, guess=True)


def test_pick_refuses_a_cell_of_another_form(tmp_path):
    pick = values.pick({"column": "c", "pattern": "(p\\d+)"})
    assert pick.of({"c": "x/p12/y"}) == "p12"
    with pytest.raises(IngestError, match=r"csv\.id"):
        pick.of({"c": "nothing"})
