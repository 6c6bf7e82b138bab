"""Samples at which a trainer would fail, mix up or lose something when it reads its tables."""

from __future__ import annotations

import ast
import io
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from stages import tree_bytes

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.exports import command, pixels, registry
from cxr_vlp.pipelines.exports.base import Request
from cxr_vlp.pipelines.exports.trainers import items, segments, tables

TEXT = 'The "heart", it is said,\nis of normal size; größer = 3.5 cm.'
LINE = 'The "heart", it is said, is of normal size; größer = 3.5 cm.'
# a table of each trainer that has texts, and the column
WITH_TEXT = {
    "cxrclip": ("reports_train.csv", "text"),
    "carzero": ("MIMIC/mimic-cxr-label-LLM_report-xinhuo-chexpertformat.csv", "Report Impression"),
    "mgca": ("master.csv", "impression"),
    "medclip": ("train-meta.csv", "report"),
}


@pytest.mark.parametrize("trainer", WITH_TEXT)
def test_quotes_lines_and_accents_survive_pandas(trainer, given):
    out, result = given(trainer, [{"impression": TEXT}])
    name, column = WITH_TEXT[trainer]
    (cell,) = pd.read_csv(out / name)[column]
    assert cell == (repr([LINE]) if trainer == "cxrclip" else LINE)
    assert result.written == {"train": 1}


@pytest.mark.parametrize("trainer", [*WITH_TEXT, "llava"])
@pytest.mark.parametrize("word", ["None", "N/A", "nan", " \n "])
def test_a_text_that_pandas_reads_as_missing_is_left_out_and_counted(trainer, word, given):
    _, result = given(trainer, [{"impression": word, "findings": word}])
    assert result.written == {}
    assert result.left_out == {items.NO_TEXT: 1}


@for_all(st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_comes_back_from_a_table_as_it_was_written(text):
    buffer = io.StringIO()
    writer = tables.writer_of(buffer, ["text", "after"])
    for line in (items.said(text), "A sentence."):
        writer.writerow({"text": line, "after": "y"})
    table = pd.read_csv(io.StringIO(buffer.getvalue()), names=["text", "after"])
    assert table["text"].fillna("").tolist() == [items.said(text), "A sentence."]
    assert table["after"].tolist() == ["y", "y"]


@pytest.mark.parametrize("trainer", ["cxrclip", "mgca", "carzero"])
def test_a_missing_section_is_no_missing_value(trainer, given):
    text = "No acute cardiopulmonary process."
    out, _ = given(trainer, [{"findings": text}, {"impression": text}])
    name, column = WITH_TEXT[trainer]
    table = pd.read_csv(out / name)
    assert not table[column].isna().any()
    if trainer == "mgca":  # its class adds the two up
        assert (table["impression"] + " " + table["findings"]).str.strip().tolist() == [text] * 2


def test_a_report_of_one_word_is_left_out_where_no_sentence_of_it_is_kept(given):
    short = {"impression": "Normal.", "findings": ""}
    for trainer in ("carzero", "mgca", "medclip"):
        _, result = given(trainer, [short])
        assert result.left_out == {items.SHORT_TEXT: 1}, trainer
    _, result = given("cxrclip", [short])
    assert result.written == {"train": 1}


def test_medclip_gets_no_row_without_text_and_label_at_which_it_fails(given):
    samples = [
        {"impression": "Normal.", "labels": {"Edema": 1}},
        {"labels": {"Edema": 0}},
        {"labels": {"No Finding": 1}},
        {"labels": {"Mass": 1}},  # a label that MedCLIP does not have
    ]
    out, result = given("medclip", samples)
    table = pd.read_csv(out / "train-meta.csv", index_col=0)
    assert table["report"].isna().all()
    assert table["Edema"].tolist() == [1, 0]
    assert result.left_out == {items.NO_TEXT: 2}


def test_medclip_tests_on_images_without_any_finding_too(given):
    samples = [
        {"split": "test", "labels": {"Edema": 0}},
        {"split": "test", "labels": {"Edema": 1}},
        {"split": "validate", "labels": {"Edema": 0}},
        {
            "split": "test",
            "impression": "The lungs are clear and well seen.",
            "labels": {"Mass": 1},
        },
    ]
    out, result = given("medclip", samples)
    assert pd.read_csv(out / "test-meta.csv", index_col=0)["Edema"].tolist() == [0, 1]
    assert len(pd.read_csv(out / "valid-meta.csv")) == 1
    assert result.left_out == {items.NO_LABEL: 1}


def test_carzero_does_not_join_the_last_sentence_to_the_first_statement(given):
    out, _ = given(
        "carzero",
        [{"impression": "small effusion", "statements": ("There is a pleural effusion.",)}],
    )
    row = pd.read_csv(out / WITH_TEXT["carzero"][0]).iloc[0]
    joined = row["Report Impression"] + row["xinhuo"]
    assert segments.gloria(joined) == ["small effusion", "there is a pleural effusion"]


def test_cxrclip_finds_the_column_of_every_view(given):
    views = [("frontal", "AP"), ("frontal", "AP AXIAL"), ("lateral", "LL"), ("unknown", "")]
    samples: list[dict[str, Any]] = [
        {"study": "s", "patient": "p", "image": str(n), "view": view, "projection": projection,
         "impression": "[None]"}
        for n, (view, projection) in enumerate(views)
    ]  # fmt: skip
    out, result = given("cxrclip", samples)
    (row,) = pd.read_csv(out / "reports_train.csv").to_dict("records")
    found = ast.literal_eval(row["view"])
    assert sorted(found) == ["AP", "Frontal", "Lateral", "Other"]
    assert all(len(ast.literal_eval(row[view])) == 1 for view in found)
    assert "own-s-0.jpg" in ast.literal_eval(row["image"])[0]  # a frontal one first
    assert ast.literal_eval(row["text"]) == ["[None]"]
    assert result.written == {"train": 4}


def test_cxrclip_names_no_label_that_its_prompts_lack(given):
    labels = {"Pleural Thickening": 1, "Nodule/Mass": 1, "Emphysema": -1, "Edema": -1}
    out, result = given("cxrclip", [{"labels": labels}, {"labels": {"Tuberculosis": 1}}])
    (cell,) = pd.read_csv(out / "labels_train.csv")["text_label"]
    assert ast.literal_eval(cell) == [["Pleural_Thickening"], [], ["Edema"]]
    assert result.left_out == {items.NO_TEXT: 1}


def test_cxrclip_gets_no_label_for_which_it_writes_an_empty_text(given):
    labels = [{"No Finding": 0}, {"No Finding": -1}, {"No Finding": 0, "Edema": 0}]
    out, result = given("cxrclip", [{"labels": each} for each in labels])
    (cell,) = pd.read_csv(out / "labels_train.csv")["text_label"]
    assert ast.literal_eval(cell) == [[], ["Edema"], []]
    assert result.left_out == {items.NO_TEXT: 2}


def test_cxrclip_gives_no_image_the_text_of_another(given):
    same = {"study": "s", "patient": "p"}
    samples = [
        same | {"image": "a", "prompt": "Pleural effusion."},
        same | {"image": "b", "prompt": "Normal."},
        same | {"image": "c", "prompt": "", "labels": {"Edema": 1}},
        same | {"image": "d", "prompt": "Normal."},
    ]
    out, result = given("cxrclip", samples, caption=("prompt",))
    found = {
        cell: [Path(path).stem for path in ast.literal_eval(images)]
        for cell, images in pd.read_csv(out / "reports_train.csv")[["text", "image"]].values
    }
    assert found == {
        "['Pleural effusion.']": ["own-s-a"],
        "['Normal.']": ["own-s-b", "own-s-d"],
    }
    assert len(pd.read_csv(out / "labels_train.csv")) == 1
    assert result.written == {"train": 4}


IDS = ["1e5", "007", "NA", "ü/x", "=1+1", "12345678901234567890"]


def test_xrv_keeps_ids_that_pandas_would_change_or_a_path_would_not_hold(given):
    samples = [
        {"patient": name, "study": f"{n}", "labels": {"Edema": 1}} for n, name in enumerate(IDS)
    ]
    samples += [{"patient": "1", "study": "1", "dataset": "two", "labels": {"Edema": 0}}]
    samples += [{"patient": "1", "study": "1", "dataset": "three", "labels": {}}]
    out, result = given("xrv", samples)
    images = pd.read_csv(out / "train-metadata.csv")
    labels = pd.read_csv(out / "train.csv")
    assert len(labels) == len(images) == len(samples) == result.written["train"]
    joined = labels.set_index(["subject_id", "study_id"]).join(
        images.set_index(["subject_id", "study_id"])
    )
    assert len(joined) == len(samples)
    for row in images.to_dict("records"):
        patient = str(row["subject_id"])
        path = f"p{patient[:2]}/p{patient}/s{row['study_id']}/{row['dicom_id']}.jpg"
        assert (out / "images" / path).is_file()


def test_xrv_keeps_images_of_a_study_apart_that_have_other_labels(given):
    same = {"study": "s", "patient": "p"}
    samples = [same | {"image": "a", "labels": {"Edema": 1}}, same | {"image": "b", "labels": {}}]
    out, _ = given("xrv", samples)
    labels = pd.read_csv(out / "train.csv").set_index("study_id")["Edema"]
    images = pd.read_csv(out / "train-metadata.csv").set_index("dicom_id")["study_id"]
    assert labels[images["own-s-a"]] == 1
    assert np.isnan(labels[images["own-s-b"]])


def test_xrv_has_the_labels_of_a_study_once_whose_images_are_apart(given):
    # frontal images may be in one set and lateral ones in another
    one, other = ({"study": s, "patient": "p", "labels": {"Edema": 1}} for s in "st")
    samples = [one | {"image": "a"}, other, one | {"image": "b", "view": "lateral"}]
    out, _ = given("xrv", samples)
    data = pd.read_csv(out / "train.csv").set_index(["subject_id", "study_id"])
    assert len(data) == 2
    images = pd.read_csv(out / "train-metadata.csv").set_index(["subject_id", "study_id"])
    assert len(data.join(images)) == 3


@pytest.mark.parametrize("trainer", ["llava", "mgca"])
def test_a_projection_that_the_trainer_drops_is_counted(trainer, given):
    text = "The lungs are clear."
    samples = [{"findings": text, "projection": p} for p in ("AP", "", "AP AXIAL")]
    samples.append({"findings": text, "view": "lateral", "projection": "LL"})
    _, result = given(trainer, samples)
    assert result.written == {"train": 1}
    assert result.left_out == {items.WRONG_VIEW: 3}


def test_llava_gets_a_reason_or_null_and_no_path_that_its_loader_would_cut(given):
    samples = [
        {
            "findings": "Clear lungs.",
            "sections": {"indication": " cough\nfever "},
            "dataset": "mimic",
        },
        {"findings": "Clear lungs.", "sections": {"history": "N/A"}},
    ]
    out, _ = given("llava", samples)
    found = json.loads((out / "chat_train.json").read_text(encoding="utf-8"))
    assert [entry["reason"] for entry in found] == ["cough fever", None]
    assert found[1]["conversations"][0]["value"].endswith("image.")
    assert not any(entry["image"].startswith("mimic/") for entry in found)


@pytest.mark.parametrize("trainer", ["cxrclip", "carzero", "mgca", "medclip", "llava"])
def test_a_png_set_keeps_its_suffix(trainer, given):
    sample = {"impression": "The lungs are clear.", "findings": "The lungs are clear."}
    out, _ = given(trainer, [sample], form="png")
    (path,) = (out / "images").rglob("own-0-0.*")
    assert path.suffix == ".png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_caption_replaces_the_texts_that_a_trainer_learns_from(given):
    sample = {"impression": "One thing is here.", "prompt": "There is a pleural effusion."}
    for trainer, (name, column) in WITH_TEXT.items():
        out, _ = given(trainer, [sample], caption=("abnormal", "prompt"))
        assert "There is a pleural effusion." in pd.read_csv(out / name)[column][0], trainer
    out, _ = given("llava", [sample], caption=("prompt",))
    found = json.loads((out / "chat_train.json").read_text())
    assert found[0]["conversations"][1]["value"] == sample["prompt"]


def test_side_shortens_images_and_keeps_smaller_ones(given):
    sample = {"findings": "The lungs are clear."}
    out, _ = given("llava", [sample], side=20)  # the images have 40 x 30 pixels
    (path,) = (out / "images").rglob("*.jpg")
    assert cv2.imread(str(path), 0).shape == (27, 20)
    small, _ = given("mgca", [sample], side=30)
    (kept,) = (small / "images").rglob("*.jpg")
    assert cv2.imread(str(kept), 0).shape == (40, 30)


def test_a_square_has_the_whole_image_in_the_middle_on_black():
    image = bytes(cv2.imencode(".png", np.full((100, 50), 200, np.uint8))[1])
    square = pixels.square(image, 320)
    assert square.shape == (320, 320)
    assert set(square[:, :80].ravel()) == set(square[:, 240:].ravel()) == {0}
    assert set(square[:, 80:240].ravel()) == {200}
    strip = bytes(cv2.imencode(".png", np.full((1000, 2), 200, np.uint8))[1])
    assert pixels.square(strip, 320).max() > 0


def test_chexzero_without_h5py_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    exporter = registry.load("chexzero", registry.TRAINERS)
    with pytest.raises(ConfigError, match=r"pip install"):
        exporter.write(Request((), tmp_path))


@pytest.mark.parametrize(("trainer", "workers"), [("chexzero", 2), ("medclip", 1), ("cxrclip", 1)])
def test_the_same_set_gives_the_same_bytes(trainer, workers, exported, built, tmp_path):
    made = exported(trainer)
    out = tmp_path / "again"
    words = [str(built / "shards"), "--for", trainer, "--out", str(out)]
    words += ["--workers", str(workers)]
    assert command.main([*words, "--state", str(tmp_path / ".cxr")]) == 0
    assert tree_bytes(made) == tree_bytes(out)


def test_chexzero_keeps_rows_and_images_together_where_samples_are_left_out(built, tmp_path):
    import h5py

    words = [str(built / "shards"), "--for", "chexzero", "--out", str(tmp_path / "out")]
    words += ["--where", "view = 'lateral' or split = 'test'", "--side", "32", "--workers", "1"]
    assert command.main([*words, "--state", str(tmp_path / ".cxr")]) == 0
    table = pd.read_csv(tmp_path / "out/mimic_impressions.csv")
    with h5py.File(tmp_path / "out/cxr.h5") as file:
        assert file["cxr"].shape == (len(table), 32, 32)
        assert [key.decode() for key in file["key"]] == table["key"].tolist()
    assert not Path(tmp_path / "out/valid.h5").exists()
