"""Radiologists' tables: CheXpert's layout, a long table, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.measures.resampling import Intervals
from cxr_vlp.train.evaluation.protocols.protocol import load
from cxr_vlp.train.evaluation.scores import ScoreTable
from cxr_vlp.train.evaluation.zeroshot import measured
from cxr_vlp.train.evaluation.zeroshot.reader_tables import read, readers

OURS = load("ours")
NAMES = ("Edema", "Lung Opacity")


def measurement(images: int = 40) -> measured.Measurement:
    rng = np.random.default_rng(1)
    truth = (rng.random((images, 2)) < 0.5).astype(np.int8)
    facts = tuple(
        ImageFacts(
            f"chexpert-patient{i:05d}-study1-view1_frontal", "chexpert", f"chexpert/patient{i:05d}",
            f"chexpert/patient{i:05d}-study1",
        )
        for i in range(images)
    )  # fmt: skip
    table = ScoreTable(facts, NAMES, rng.random((images, 2)), truth)
    limits = {"chexpert": dict.fromkeys(NAMES, 0.5)}
    return measured.measure({"chexpert": table}, {"chexpert": OURS}, limits, OURS, Intervals(0))


def said(found: measured.Measurement, seed: int) -> np.ndarray:
    """A reader who is right in four of five."""
    truth = found.parts["chexpert"].table.truth
    wrong = np.random.default_rng(seed).random(truth.shape) < 0.2
    return np.where(wrong, 1 - truth, truth)


def wide(path: Path, calls: np.ndarray, first: str = "Study", skip: int = 0) -> Path:
    """Write CheXpert's layout, rows in mixed order: a row a study, a column a label."""
    order = np.random.default_rng(0).permutation(len(calls))[skip:]
    lines = [f"{first},Edema,Airspace Opacity"]
    lines += [
        f"CheXpert-v1.0/test/patient{i:05d}/study1,{calls[i, 0]},{calls[i, 1]}" for i in order
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_chexperts_layout_is_joined_by_study_and_not_by_order(tmp_path):
    found = measurement()
    calls = {name: said(found, seed) for seed, name in enumerate(("bc4", "bc6"))}
    files = [wide(tmp_path / f"{name}.csv", made) for name, made in calls.items()]
    result = readers(found, files, Intervals(0))
    rows = {(row["label"], row["reader"]): row for row in result.tables["readers.csv"]}
    truth = found.parts["chexpert"].table.truth
    for i, label in enumerate(NAMES):
        for name, made in calls.items():
            row = rows[label, name]
            assert row["f1"] == pytest.approx(f1_score(truth[:, i], made[:, i]), abs=1e-12)
            assert row["mcc"] == pytest.approx(
                matthews_corrcoef(truth[:, i], made[:, i]), abs=1e-12
            )
        assert rows[label, "bc4"]["collection"] == "chexpert"
        model = found.parts["chexpert"].table.scores[:, i] >= 0.5
        assert rows[label, "model"]["f1"] == pytest.approx(f1_score(truth[:, i], model), abs=1e-12)
    assert result.notes == ()


def test_a_long_table_gives_the_same(tmp_path):
    found = measurement()
    calls = said(found, 3)
    facts = found.parts["chexpert"].table.facts
    lines = ["key,reader,label,value"]
    lines += [
        f"{fact.key},R,{label},{calls[i, k]}"
        for i, fact in enumerate(facts)
        for k, label in enumerate(("edema", "lung opacities"))
    ]
    path = tmp_path / "long.csv"
    path.write_text("\n".join(lines))
    long = readers(found, [path], Intervals(0))
    flat = readers(found, [wide(tmp_path / "R.csv", calls)], Intervals(0))
    assert long.tables == flat.tables


def test_rows_of_other_images_are_counted_and_images_without_a_row_left_out(tmp_path):
    found = measurement()
    path = wide(tmp_path / "r.csv", said(found, 4), skip=10)
    with path.open("a") as file:
        file.write("CheXpert-v1.0/test/patient99999/study1,1,1\n")
    result = readers(found, [path], Intervals(0))
    assert result.notes == ("readers: 1 of 31 images are not measured here",)
    labels = result.metrics["readers"]["chexpert"]["labels"]
    assert labels["Edema"]["positives"] + labels["Edema"]["negatives"] == 30
    assert labels["Edema"]["left_out"] == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Study,Edema\nCheXpert-v1.0/test/patient77777/study1,1\n", "none of its 1 images"),
        ("who,Edema\nx,1\n", "names the image"),
        ("Study,Edema\npatient00001/study1,2\n", "line 2, column 'Edema': a reading is 1, 0"),
        ("Study,Edema\npatient00001/study1,1\npatient00001/study1,0\n", "line 3: .*something else"),
        ("key,label,value\nx,Edema,1\n", "need a column reader"),
        ("Study\npatient00001/study1\n", "no column of a label"),
    ],
)
def test_what_cannot_be_joined_is_refused_without_an_id_in_the_message(tmp_path, text, message):
    path = tmp_path / "readers.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        readers(measurement(), [path], Intervals(0))
    assert "patient" not in str(caught.value)


def test_empty_and_minus_one_are_not_read(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("key,Edema,Mass\na,,1\nb,-1,0\nc,1.0,0\n")
    assert [reading.value for reading in read(path)] == [-1, -1, 1, 1, 0, 0]


def test_without_a_file_nothing_is_measured():
    assert readers(measurement(), [], Intervals(0)).tables == {}
