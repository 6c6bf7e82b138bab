"""ChestX-ray14's layouts and faults, by hand and on the real tables and images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joining import Joined, join, lay
from stages import build, samples

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.sources.nih import Nih
from cxr_vlp.pipelines.synthetic.layouts import nih as nih_layout

HEAD = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


def entry(*rows: str, tail: str = "") -> str:
    lines = [f"{row},2682,2749,0.143,0.143{tail}" for row in rows]
    return "\n".join([HEAD + tail, *lines]) + "\n"


ONE = "00000003_000.png,Mass|Nodule,7,3,81,F,PA"
TWO = "00000003_001.png,No Finding,0,3,075Y,F,AP"


def scanned(root: Path, **options) -> Joined:
    joined = join(Nih(**options), root)
    assert joined.balanced()
    return joined


@pytest.mark.parametrize(
    ("table", "name", "folder"),
    [
        (entry(ONE, TWO), "Data_Entry_2017_v2020.csv", "images"),
        (entry(ONE, TWO, tail=","), "Data_Entry_2017.csv", "images_001/images"),
    ],
    ids=["archive", "kaggle-with-a-12th-column"],
)
def test_the_two_layouts(tmp_path, table, name, folder):
    files = {f"{folder}/00000003_000.png": b"1", f"{folder}/00000003_001.png": b"2"}
    studies = scanned(lay(tmp_path, {name: table, **files})).studies
    one, two = studies["00000003_000"], studies["00000003_001"]
    assert (one.images[0].view, one.images[0].projection, one.sex) == ("frontal", "PA", "F")
    assert (one.age, two.age) == (81, 75)  # "075Y" in the first release
    assert two.when < one.when  # by the follow-up number: the names tell another order
    assert one.patient == two.patient
    assert one.labels["Mass"] == one.labels["Nodule"] == 1
    assert one.labels["No Finding"] == 0 == two.labels["Mass"]
    assert len(one.labels) == 15


@pytest.mark.parametrize(("age", "years"), [("413", None), ("0", 0), ("058Y", 58), ("", None)])
def test_ages_of_the_first_release(tmp_path, age, years):
    row = ONE.replace(",81,", f",{age},")
    lay(tmp_path, {"Data_Entry_2017.csv": entry(row), "images/00000003_000.png": b"1"})
    assert scanned(tmp_path).studies["00000003_000"].age == years


def test_label_names_are_compared_as_whole_words(tmp_path):
    row = ONE.replace("Mass|Nodule", "Pleural_Thickening|Effusion")
    lay(tmp_path, {"Data_Entry_2017.csv": entry(row), "images/00000003_000.png": b"1"})
    labels = scanned(tmp_path).studies["00000003_000"].labels
    assert {name for name, value in labels.items() if value} == {
        "Pleural Thickening", "Pleural Effusion",
    }  # fmt: skip


def test_official_lists_and_the_split_of_train_val_by_patient(tmp_path):
    lay(tmp_path, {
        "Data_Entry_2017_v2020.csv": entry(ONE, "00000004_000.png,Mass,0,4,50,M,PA"),
        "images/00000003_000.png": b"1", "images/00000004_000.png": b"2",
        "train_val_list.txt": "00000003_000.png\n", "test_list.txt": "00000004_000.png\r\n",
    })  # fmt: skip
    studies = scanned(tmp_path).studies
    assert studies["00000003_000"].split in ("train", "validate")
    assert studies["00000004_000"].split == "test"


def test_one_split_list_without_the_other_stops(tmp_path):
    lay(tmp_path, {"Data_Entry_2017.csv": entry(ONE), "test_list.txt": ""})
    with pytest.raises(ConfigError, match=r"train_val_list\.txt is missing"):
        Nih().tables(tmp_path)


def test_an_image_in_two_lists_is_refused(tmp_path):
    lay(tmp_path, {
        "Data_Entry_2017.csv": entry(ONE), "images/00000003_000.png": b"1",
        "train_val_list.txt": "00000003_000.png\n", "test_list.txt": "00000003_000.png\n",
    })  # fmt: skip
    assert scanned(tmp_path).codes() == {"split.conflict": 1}


def test_boxes_have_the_spelling_of_the_label_table_and_a_frame(tmp_path):
    lay(tmp_path, {
        "Data_Entry_2017.csv": entry(ONE), "images/00000003_000.png": b"1",
        "BBox_List_2017.csv": BOXES + "00000003_000.png,Infiltrate,225.08,547.0,86.7,79.1,,,\n",
    })  # fmt: skip
    [image] = scanned(tmp_path).studies["00000003_000"].images
    assert [(box.label, box.x) for box in image.boxes] == [("Infiltration", 225.08)]
    assert image.frame == (1024, 1024)


@pytest.mark.parametrize(
    "box",
    ["nan,1,2,3", "1,2,inf,3", "1,2,0,3", "1,2,3,-4", "1020,2,30,3", "-9,2,30,30", "1,2,x,3",
     "1,,2,3", "1e5,1,2,3"],
)  # fmt: skip
def test_an_impossible_box_is_not_in_the_inventory(tmp_path, box):
    good = "00000003_000.png,Mass,0,0,1024,1024,,,\n"
    lay(tmp_path, {
        "Data_Entry_2017.csv": entry(ONE), "images/00000003_000.png": b"1",
        "BBox_List_2017.csv": BOXES + good + f"00000003_000.png,Mass,{box},,,\n",
    })  # fmt: skip
    joined = scanned(tmp_path)
    [image] = joined.studies["00000003_000"].images
    assert [(box.label, box.w) for box in image.boxes] == [("Mass", 1024.0)]
    assert joined.notes["box.bad_value"] == 1


@pytest.mark.parametrize(
    ("cells", "codes"),
    [
        ("00000003_000.png,Mass,7,3.0,81,F,PA", {}),
        ("00000003_000.png,Mass,7,00000003,81,F,PA", {}),
        ("00000003_000.png,Mass,7,nan,81,F,PA", {}),
        ("3_0.png,Mass,7,3,81,F,PA", {}),
        ("00000003_000.jpg,Mass,7,3,81,F,PA", {}),
        ("images/00000003_000.png,Mass,7,3,81,F,PA", {}),
        ("00000003_000.png,Mass,7,4,81,F,PA", {"study.two_patients": 1}),
        ("00000003_000.png,Mass,7,3x,81,F,PA", {"csv.id": 1}),
    ],
)
def test_ids_in_other_spellings_are_read(tmp_path, cells, codes):
    lay(tmp_path, {"Data_Entry_2017.csv": entry(cells, TWO), "images/00000003_000.png": b"1",
                   "images/00000003_001.png": b"1"})  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.codes() == codes
    assert {study.patient for study in joined.studies.values()} == {"3"}


def test_contradicting_rows_reject_only_their_image(tmp_path):
    lay(tmp_path, {
        "Data_Entry_2017.csv": entry(ONE, ONE.replace("Mass", "Hernia"), TWO),
        "images/00000003_000.png": b"1", "images/00000003_001.png": b"1"})  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.codes() == {"csv.conflict": 1}
    assert list(joined.studies) == ["00000003_001"]


def test_missing_labels_are_not_negative_labels(tmp_path):
    row = ONE.replace("Mass|Nodule", "nan")
    lay(tmp_path, {"Data_Entry_2017.csv": entry(row), "images/00000003_000.png": b"1"})
    joined = scanned(tmp_path)
    assert joined.studies["00000003_000"].labels == {}
    assert joined.notes["label.missing"] == 1


def test_bad_ages_numbers_names_and_views_lose_only_their_value(tmp_path):
    lay(tmp_path, {
        "Data_Entry_2017.csv": entry(
            "00000003_000.png,Mass,seven,3,old,nan,nan", "portrait.png,Mass,1,3,50,F,PA", TWO),
        "images/00000003_000.png": b"1", "images/00000003_001.png": b"1",
        "train_val_list.txt": "00000003_000.png\nportrait.png\n00000003_001.png\n",
        "test_list.txt": "",
    })  # fmt: skip
    joined = scanned(tmp_path)
    study = joined.studies["00000003_000"]
    assert (study.age, study.sex, study.images[0].view) == (None, "", "unknown")
    assert joined.codes() == {"csv.image": 1, "list.image": 0}
    assert joined.notes["csv.image Data_Entry_2017.csv line 3"] == 1
    assert joined.notes["list.image train_val_list.txt line 2"] == 1
    assert joined.notes["age.bad_value"] == joined.notes["csv.number"] == 1
    assert joined.notes["view.unknown"] == 1


@pytest.mark.parametrize("file", ["images-224/00000003_000.jpg", "images/00000003_000.PNG"])
def test_images_are_found_in_another_format(tmp_path, file):
    lay(tmp_path, {"Data_Entry_2017.csv": entry(ONE), file: b"1"})
    assert scanned(tmp_path).codes() == {}


def test_missing_unlisted_and_unknown_labels(tmp_path):
    row = ONE.replace("Mass|", "Dragon|")
    lay(tmp_path, {"Data_Entry_2017.csv": entry(row, TWO), "images/00000003_000.png": b"1",
                   "images/00000099_000.png": b"9"})  # fmt: skip
    joined = scanned(tmp_path)
    assert joined.codes() == {"image.missing": 1}
    assert joined.notes == {"image.unlisted": 1, "label.bad_value:Finding Labels": 1}


def test_with_a_misspelt_label_no_label_is_negative(tmp_path):
    row = ONE.replace("Mass|Nodule", "Mass|Pleural Thickning")
    lay(tmp_path, {"Data_Entry_2017.csv": entry(row, TWO), "images/00000003_000.png": b"1",
                   "images/00000003_001.png": b"2"})  # fmt: skip
    studies = scanned(tmp_path).studies
    assert studies["00000003_000"].labels == {"Mass": 1}
    assert studies["00000003_001"].labels["Pleural Thickening"] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [f"{n}," + line for n, line in enumerate(lines)],
        lambda lines: [",".join([*line.split(",")[1::-1], *line.split(",")[2:]]) for line in lines],
        lambda lines: lines[1:],
    ],
    ids=["an-index-in-front", "columns-turned", "no-header"],
)
def test_a_table_whose_columns_were_moved_stops(tmp_path, change):
    text = "\n".join(change(entry(ONE, TWO).splitlines())) + "\n"
    lay(tmp_path, {"Data_Entry_2017.csv": text, "images/00000003_000.png": b"1"})
    with pytest.raises(DataError, match=r"csv\.header: .* column 1 is not 'Image Index'"):
        scanned(tmp_path)


def test_the_message_names_a_table_with_semicolons(tmp_path):
    lay(tmp_path, {"Data_Entry_2017.csv": entry(ONE, TWO).replace(",", ";")})
    with pytest.raises(DataError, match="separated by semicolons"):
        scanned(tmp_path)


def test_the_real_tables_and_images(shared):
    joined = scanned(shared / "data/nih", lists="chexnet")
    assert joined.listed == 112_120
    assert len(joined.studies) == 104  # 105 files; one image is there at two sizes
    assert joined.codes() == {"image.missing": 112_120 - 104}
    assert joined.notes["image.duplicate_file"] == 1
    assert {study.split for study in joined.studies.values()} == {"train", "validate", "test"}
    assert all(study.images[0].view == "frontal" for study in joined.studies.values())


SAMPLE_HEAD = HEAD.replace("[Width,Height]", "Width,OriginalImageHeight").replace(
    "PixelSpacing[x,y]", "PixelSpacing_x,OriginalImagePixelSpacing_y"
)
SAMPLE = entry(ONE.replace(",81,", ",081Y,"), TWO).replace(HEAD, SAMPLE_HEAD)


@pytest.mark.parametrize("tables", [[""], ["sample/"], ["", "sample/"]])
def test_kaggles_sample_with_its_table_once_or_twice(tmp_path, tables):
    lay(tmp_path, {f"{top}sample_labels.csv": SAMPLE for top in tables})
    lay(tmp_path / "sample/images", {"00000003_000.png": b"1", "00000003_001.png": b"2"})
    joined = scanned(tmp_path)
    one = joined.studies["00000003_000"]
    assert (one.age, one.labels["Mass"], one.images[0].projection) == (81, 1, "PA")
    assert (joined.listed, joined.codes(), joined.notes) == (2, {}, {})


def test_tables_side_by_side_or_with_other_bytes_are_still_two_releases(tmp_path):
    lay(tmp_path, {"a/sample_labels.csv": SAMPLE, "b/sample_labels.csv": SAMPLE})
    with pytest.raises(ConfigError, match="several releases"):
        Nih().tables(tmp_path)
    lay(tmp_path, {"sample_labels.csv": SAMPLE + "\n"})
    with pytest.raises(ConfigError, match="several releases"):
        Nih().tables(tmp_path)


def test_the_whole_table_wins_over_that_of_the_sample(tmp_path):
    lay(tmp_path, {"sample/sample_labels.csv": SAMPLE, "Data_Entry_2017.csv": entry(ONE),
                   "images/00000003_000.png": b"1"})  # fmt: skip
    assert Nih().tables(tmp_path)[0].path == "Data_Entry_2017.csv"


def test_a_whole_run_on_the_look_alike_of_kaggles_sample(tmp_path):
    nih_layout.write(tmp_path, studies=12, seed=5, height=96, form="sample")
    truth = [json.loads(line) for line in (tmp_path / "nih.truth.jsonl").open()]
    folder = build(tmp_path / "nih", "nih", tmp_path / "out")
    assert verify.main([str(folder), "--deep"]) == 0
    found = {row["study"]: row for _, row in samples(folder)}
    assert len(found) == len(truth) == 12
    for line in truth:
        row = found[line["study"]]
        present = {name for name, value in row["labels"].items() if value == 1}
        assert len(present) == len(line["labels"]) > 0
        assert row["projection"] == line["images"][0]["view"]
    ages = [row["age"] for row in found.values()]
    assert ages.count(None) == 1  # 412 years
