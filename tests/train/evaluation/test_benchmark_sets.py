"""5x200 sets: who may be in one, that the draw is fixed, and the files that hold it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from cxr_vlp.pipelines import sources
from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.pipelines.sources import leave_out
from cxr_vlp.pipelines.sources.leave_out import LeaveOut
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation import benchmark_sets
from cxr_vlp.train.evaluation.benchmark_sets import Entry
from cxr_vlp.train.evaluation.retrieval import five_classes
from cxr_vlp.train.evaluation.retrieval.five_classes import FIVE, OTHERS


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"Edema": 1}, "Edema"),
        ({"Edema": 1, "Cardiomegaly": 0, "Fracture": 0}, "Edema"),
        ({"Edema": 1, "No Finding": 1}, "Edema"),  # GLoRIA does not ask it
        ({"Edema": 1, "Emphysema": 1}, "Edema"),  # no label of CheXpert
        ({"Edema": 1, "Cardiomegaly": 1}, ""),
        ({"Edema": 1, "Cardiomegaly": -1}, ""),
        ({"Edema": -1}, ""),
        ({"Edema": 0}, ""),
        ({}, ""),
        *(({"Edema": 1, other: 1}, "") for other in OTHERS),
        *(({"Edema": 1, other: -1}, "") for other in OTHERS),
    ],
)
def test_exactly_one_finding(labels, wanted):
    assert five_classes.class_of(labels) == wanted


def sample(number, label, **changes):
    facts = {
        "dataset": "mimic",
        "patient": f"p1{number // 2:07d}",
        "study": f"s5{number:07d}",
        "image": "a",
        "view": "frontal",
        "labels": {label: 1},
    }
    found = Sample(**(facts | changes))
    return found.key, found


def collection(size=4, **changes):
    """`size` studies of each class, each with two images."""
    return [
        sample(number * 5 + place, label, image=image, **changes)
        for place, label in enumerate(FIVE)
        for number in range(size)
        for image in ("a", "b")
    ]


def drawn(samples, per_class=2, seed=0, name="mimic5x200"):
    return five_classes.drawn(five_classes.pool(samples, name), name, per_class, seed)


def test_the_draw_does_not_depend_on_the_order_or_on_what_else_is_there():
    samples = collection()
    first = drawn(samples)
    random.Random(0).shuffle(samples)
    lateral = [sample(900 + i, "Edema", view="lateral") for i in range(9)]
    again = drawn([*lateral, *samples, sample(990, "Fracture")])
    assert again == first
    assert again.digest == first.digest
    assert first.counts() == dict.fromkeys(sorted(FIVE), 2)


def test_another_seed_draws_others():
    assert drawn(collection(9)).digest != drawn(collection(9), seed=1).digest


def test_a_smaller_set_is_a_part_of_a_larger_one():
    assert drawn(collection(), 2).keys < drawn(collection(), 3).keys


def test_of_a_study_one_image_is_drawn():
    found = drawn(collection(), 4)
    assert len({entry.study for entry in found.entries}) == len(found.entries) == 20


def test_too_few_studies_are_refused_with_the_counts():
    samples = [*collection(3), sample(500, "Edema"), sample(501, "Edema", view="lateral")]
    with pytest.raises(ConfigError, match=r"Edema 4, .*not frontal 1.*give --per-class 3"):
        drawn(samples, 4)
    assert len(drawn(samples, 3).entries) == 15


def test_a_class_without_a_study_has_no_number_to_give():
    without = [each for each in collection() if "Edema" not in each[1].labels]
    with pytest.raises(ConfigError, match=r"Edema 0.*: give more shards"):
        drawn(without)


def test_another_collection_is_no_part_of_the_set():
    with pytest.raises(ConfigError, match="of another collection 40"):
        drawn(collection(), name="chexpert5x200")
    assert drawn(collection(), name="5x200").counts()["Edema"] == 2


def test_a_key_that_is_there_twice_is_refused_without_the_key():
    with pytest.raises(DataError, match="is in the shards twice") as caught:
        drawn([*collection(), collection()[0]])
    assert "mimic-s5" not in str(caught.value)


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_file_gives_the_set_back(tmp_path, ending):
    chosen = drawn(collection())
    path = tmp_path / "lists" / f"mimic5x200.{ending}"
    benchmark_sets.write(path, chosen)
    assert benchmark_sets.load(path) == chosen
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["csv", "json"])
@pytest.mark.parametrize("column", ["patient", "study", "key"])
def test_leave_out_reads_the_file(tmp_path, ending, column):
    chosen = drawn(collection(9), 3)
    path = tmp_path / f"mimic5x200.{ending}"
    benchmark_sets.write(path, chosen)
    entry = LeaveOut(file=str(path), column=column)
    found = leave_out.read(sources.reader("mimic", {}), (entry,), "sources.mimic.leave_out")
    named = chosen.patients if column == "patient" else chosen.entries
    assert found.lists[0].total == len(named)


def test_the_digest_is_that_of_the_sorted_keys():
    entries = [Entry(key, "mimic", "p1", "s1", "Edema") for key in ("mimic-b-1", "mimic-a-1")]
    chosen = benchmark_sets.made("x", entries)
    # printf 'mimic-a-1\nmimic-b-1\n' | sha256sum
    assert chosen.digest == "adc740b2563a26c861e5e6bcaed6efdba6729109f2882c84c7ffd09df32229fb"
    assert chosen.digest == benchmark_sets.made("y", entries[::-1]).digest


HEADER = "key,dataset,patient,study,class\n"
ROW = "mimic-s1-a,mimic,p1,s1,Edema\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.txt", "mimic-s1-a", r"a file of \.csv or \.json"),
        ("x.csv", "", "lacks the columns key"),
        ("x.csv", "key,class\n", "lacks the columns dataset, patient, study"),
        ("x.csv", HEADER, "no image in it"),
        ("x.csv", HEADER + "mimic-s1-a,mimic,p1,s1\n", "line 2: more or fewer fields"),
        ("x.csv", HEADER + "mimic-s1-a,mimic,p1,s1,\n", "line 2: no class"),
        ("x.csv", HEADER + "MIMIC s1,mimic,p1,s1,Edema\n", "line 2: `key` is no key"),
        ("x.csv", HEADER + ROW + ROW, "line 3: a key that is listed before"),
        ("x.csv", HEADER + '"mimic', "no valid table|line 2"),
        ("x.json", "{", "no valid JSON"),
        ("x.json", "{}", "no list of objects"),
        ("x.json", "[1]", "entry 1: no object"),
        ("x.json", '[{"key": "mimic-s1-a"}]', "entry 1: no dataset"),
        ("x.json", '[{"key": 3}]', "entry 1: no key"),
        ("x.json", "[]", "no image in it"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_with_its_place(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        benchmark_sets.load(tmp_path / name)
    assert "mimic-s1" not in str(caught.value)


def test_a_file_that_is_absent_or_not_utf8(tmp_path):
    with pytest.raises(ConfigError, match="no file at"):
        benchmark_sets.load(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"key\xff\n")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        benchmark_sets.load(tmp_path / "x.csv")


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path):
    text = "\ufeff" + "class,study,patient,dataset,key\r\nEdema,s1,p1,mimic,mimic-s1-a\r\n\r\n"
    (tmp_path / "x.csv").write_text(text, newline="")
    assert benchmark_sets.load(tmp_path / "x.csv").classes == {"mimic-s1-a": "Edema"}


def test_images_that_are_not_found_are_counted():
    chosen = drawn(collection())
    chosen.require(chosen.keys | {"another"}, "the test split")
    with pytest.raises(ConfigError, match="2 of its 10 images are not in the test split"):
        chosen.require(sorted(chosen.keys)[2:], "the test split")


def test_a_patient_may_be_in_two_collections():
    one = Entry("a-1-1", "a", "p", "1", "Edema")
    found = benchmark_sets.made("x", [one, replace(one, key="b-1-1", dataset="b")])
    assert found.patients == ("a/p", "b/p")
    assert json.loads(json.dumps(found.facts()))["patients"] == 2
