"""Tables of scores: joined by key in any order, every wrong row refused, our own file read back."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.models.score_file import ScoreFile
from cxr_vlp.train.evaluation.scores import EXCLUDED

NAMES = ("Edema", "Pleural Effusion")
IDS = (("mimic", "s1", "a" * 20), ("mimic", "s2", "b" * 20), ("nih", "00000005_000", "0"))


def image(source: str, study: str, own: str) -> ImageFacts:
    key = f"{source}-{study}-{own}"
    return ImageFacts(key, source, f"{source}/p{study}", f"{source}/{study}")


IMAGES = tuple(image(*each) for each in IDS)
ROWS = [
    {"key": IMAGES[2].key, "effusion": 0.75, "Edema": 0.125},
    {"key": IMAGES[0].key, "effusion": 1 / 3, "Edema": 0.25},
    {"key": IMAGES[1].key, "effusion": 0.5, "Edema": 1e-17},
]
SCORES = [[0.25, 1 / 3], [1e-17, 0.5], [0.125, 0.75]]


def write(rows: list[dict], path: Path) -> ScoreFile:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerow(names)
            writer.writerows([[row.get(name, "") for name in names] for row in rows])
    return ScoreFile(path)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_rows_are_joined_by_key_and_not_by_order(ending, tmp_path):
    file = write(ROWS, tmp_path / f"densenet.{ending}")
    found = file.scored(IMAGES, NAMES)
    assert found.scores.tolist() == SCORES  # in full precision
    assert found.probabilities
    assert found.notes == ()
    assert (file.name, len(file.digest)) == ("densenet", 64)
    turned = file.scored(IMAGES[::-1], NAMES[::-1])
    assert turned.scores.tolist() == [row[::-1] for row in SCORES[::-1]]


@pytest.mark.parametrize(
    "named",
    [
        lambda i: IMAGES[i].key.upper(),
        lambda i: key_hash(IMAGES[i].key),
        lambda i: ("files/p10/pps1/s1/" + "a" * 20 + ".jpg", "s2/" + "b" * 20 + ".dcm",
                   "images/00000005_000.png")[i],
        lambda i: ("a" * 20, "b" * 20, "00000005_000-0")[i],
        lambda i: ("s1", "s2", "00000005_000")[i],
    ],
    ids=["key", "hash", "path", "image", "study"],
)  # fmt: skip
@pytest.mark.parametrize("column", ["key", "Image", "Path"])
def test_an_image_has_several_names(named, column, tmp_path):
    rows = [{column: named(i), "Edema": i / 4} for i in (2, 0, 1)]
    found = write(rows, tmp_path / "a.csv").scored(IMAGES, ["Edema"])
    assert found.scores[:, 0].tolist() == [0, 0.25, 0.5]


def chexpert(patient: int, view: str) -> ImageFacts:
    return image("chexpert", f"patient{patient}-study1", view)


def test_a_view_of_another_patient_is_not_the_same_image(tmp_path):
    known = [chexpert(1, "view1_frontal"), chexpert(2, "view1_frontal")]
    paths = [f"CheXpert-v1.0/valid/patient{n}/study1/view1_frontal.jpg" for n in (2, 3, 1)]
    rows = [{"Path": path, "Edema": i} for i, path in enumerate(paths)]
    found = write(rows, tmp_path / "a.csv").scored(known, ["Edema"])
    assert found.scores[:, 0].tolist() == [2, 0]
    assert found.unused == {1}
    with pytest.raises(DataError, match="none of its 3 rows names"):
        write(rows, tmp_path / "a.csv").scored([chexpert(4, "view1_frontal")], ["Edema"])


def test_a_study_gives_its_score_to_each_of_its_images(tmp_path):
    both = [chexpert(1, "view1_frontal"), chexpert(1, "view2_lateral")]
    file = write([{"study": "patient1-study1", "Edema": 0.5}], tmp_path / "a.csv")
    assert file.scored(both, ["Edema"]).scores.tolist() == [[0.5], [0.5]]
    odd = write([{"key": "patient1-study1", "Edema": 0.5}], tmp_path / "b.csv")
    with pytest.raises(DataError, match="line 2: 2 images have this name"):
        odd.scored(both, ["Edema"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:2], "1 of 3 images have no row"),
        ([*ROWS, ROWS[0]], "line 5: the image of line 2 again"),
        ([*ROWS, ROWS[0] | {"key": key_hash(IMAGES[2].key)}], "line 5: the image of line 2 again"),
        ([*ROWS[:2], ROWS[2] | {"Edema": "high"}], "line 4, column 'Edema': is no finite number"),
        ([*ROWS[:2], ROWS[2] | {"Edema": "nan"}], "line 4, column 'Edema': is no finite number"),
        ([*ROWS[:2], ROWS[2] | {"Edema": "inf"}], "line 4, column 'Edema': is no finite number"),
        ([*ROWS[:2], ROWS[2] | {"Edema": ""}], "line 4, column 'Edema': is empty"),
        ([row | {"key": f"other-{i}"} for i, row in enumerate(ROWS)], "none of its 3 rows names"),
    ],
)
def test_wrong_rows_are_errors_without_an_id(rows, message, tmp_path):
    file = write(rows, tmp_path / "a.csv")
    with pytest.raises(DataError, match=message) as caught:
        file.scored(IMAGES, NAMES)
    assert not any(each.key in str(caught.value) for each in IMAGES)


def test_rows_of_other_images_are_counted(tmp_path):
    file = write([*ROWS, ROWS[0] | {"key": "nih-9-0"}], tmp_path / "a.csv")
    assert file.scored(IMAGES, NAMES).unused == {3}


@pytest.mark.parametrize(("value", "is_one"), [(0, True), (1, True), (1.01, False), (-0.01, False)])
def test_scores_outside_0_to_1_are_no_probabilities(value, is_one, tmp_path):
    file = write([row | {"Edema": value} for row in ROWS], tmp_path / "a.csv")
    assert file.scored(IMAGES, NAMES).probabilities is is_one


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Edema\n1\n", "no column of key, image, path, study"),
        ("key,split\na,test\n", "no column of scores"),
        ("key,Edema\n", "no row in it"),
        ("", "no header"),
        ("key,Edema,Edema\na,1,2\n", "'Edema' is there twice"),
        ("key,effusion,Pleural_Effusion\na,1,2\n", "are one label, Pleural Effusion"),
        ("key,Edema\na,1,2\n", "line 2: 3 cells under 2 columns"),
    ],
)
def test_tables_that_cannot_be_read(content, message, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        ScoreFile(tmp_path / "a.csv")


def test_files_that_are_no_tables(tmp_path):
    for name, content in (("a.parquet", b"x"), ("a.csv", b"\xff\xfe"), ("a.jsonl", b"[1]\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            ScoreFile(tmp_path / name)
    with pytest.raises(DataError, match=r"ends with \.csv, \.tsv"):
        ScoreFile(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="no such file"):
        ScoreFile(tmp_path / "none.csv")


def test_only_the_columns_score_are_scores_where_there_are_such(tmp_path):
    rows = [row | {"score:edema": 0.5, "loss": 3} for row in ROWS]
    file = write(rows, tmp_path / "a.csv")
    assert file.known([*NAMES, "Loss"]) == ("Edema",)
    assert file.scored(IMAGES, ["Edema"]).scores.tolist() == [[0.5]] * 3


def test_a_collections_own_label_is_found_by_its_name(tmp_path):
    file = write([row | {"Tube": 0.5, "epoch": "x"} for row in ROWS], tmp_path / "a.csv")
    assert file.known(["Tube", "Edema"]) == ("Tube", "Edema")
    assert file.facts["labels"] == ["Pleural Effusion", "Edema"]


def own_rows(tmp_path: Path) -> ScoreFile:
    """A table as `cxr-vlp evaluate` writes it."""
    rows = [
        {
            "key": key_hash(each.key), "collection": each.source, "patient": each.patient,
            "study": each.study, "view": "frontal", "projection": "PA", "sex": "F", "age": 60 + i,
            "score:Edema": i / 7, "truth:Edema": (1, 0, None)[i], "no_finding:direct": i / 3,
        }
        for i, each in enumerate(IMAGES)
    ]  # fmt: skip
    return write(rows[::-1], tmp_path / "scores.parquet")


def test_our_own_table_is_read_back(tmp_path):
    file = own_rows(tmp_path)
    assert file.scored(IMAGES, ["Edema"]).scores[:, 0].tolist() == [0, 1 / 7, 2 / 7]
    table = file.alone()
    assert file.states("patient")
    assert table.names == ("Edema",)
    assert [each.source for each in table.facts] == ["mimic", "mimic", "nih"]
    order = [[each.patient for each in IMAGES].index(f.patient) for f in table.facts]
    assert table.scores[:, 0].tolist() == [i / 7 for i in order]
    assert table.truth[:, 0].tolist() == [(1, 0, EXCLUDED)[i] for i in order]
    assert table.no_finding["direct"].tolist() == [i / 3 for i in order]
    assert table.facts[2].study == "nih/00000005_000"
    assert [f.age for f in table.facts] == [60 + i for i in order]
    assert [dict(f.labels) for f in table.facts] == [
        ({"Edema": 1}, {"Edema": 0}, {})[i] for i in order
    ]


def test_a_label_that_a_collection_has_not_is_empty_in_our_own_table(tmp_path):
    rows = [
        {"key": key_hash(each.key), "collection": each.source, "score:Edema": i / 7,
         "truth:Edema": i % 2, "score:Hernia": None if each.source == "mimic" else 0.5,
         "truth:Hernia": None if each.source == "mimic" else 1}
        for i, each in enumerate(IMAGES)
    ]  # fmt: skip
    file = write(rows, tmp_path / "scores.csv")
    table = file.alone()
    assert np.isnan(table.scores[:, 1]).tolist() == [True, True, False]
    assert table.truth[:, 1].tolist() == [EXCLUDED, EXCLUDED, 1]
    assert table.probabilities
    assert file.scored(IMAGES[:2], ["Edema"]).scores[:, 0].tolist() == [0, 1 / 7]
    assert file.scored(IMAGES[2:], ["Hernia"]).scores.tolist() == [[0.5]]
    with pytest.raises(DataError, match="line 2, column 'score:Hernia': is empty"):
        file.scored(IMAGES, ["Hernia"])
    rows[0]["truth:Hernia"] = 0
    with pytest.raises(DataError, match="column 'score:Hernia': is empty"):
        write(rows, tmp_path / "scores.csv").alone()


def test_a_table_alone_without_patients(tmp_path):
    rows = [{"key": str(i), "edema": i / 3, "truth:Edema": i % 2} for i in range(3)]
    file = write(rows, tmp_path / "a.csv")
    table = file.alone()
    assert not file.states("patient")
    assert len({each.patient for each in table.facts}) == 3
    assert table.truth.dtype == np.int8
    assert table.probabilities


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"key": "a", "Edema": 1}], "no label has a column of scores and a column truth:LABEL"),
        ([{"key": "a", "Edema": 1, "truth:Edema": 0.5}], "line 2, column 'truth:Edema': truth is"),
        ([{"key": k, "Edema": 1, "truth:Edema": 0} for k in "aa"], "line 3: the key of line 2"),
        ([{"key": "", "Edema": 1, "truth:Edema": 0}], "line 2: no key"),
    ],
)
def test_a_table_that_cannot_be_evaluated_alone(rows, message, tmp_path):
    with pytest.raises(DataError, match=message):
        write(rows, tmp_path / "a.csv").alone()
