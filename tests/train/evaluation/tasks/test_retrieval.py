"""The task `retrieval` on shards: what is in the gallery, what is left out, what a tie is.

The test split of `source` has the samples 64 to 87: 24 images with eight different impressions.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from cxr_vlp.train.config import recipe
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import benchmark_sets, by_collection
from cxr_vlp.train.evaluation.benchmark_sets import Entry
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.evaluation.protocols import protocol
from cxr_vlp.train.evaluation.retrieval import galleries
from cxr_vlp.train.evaluation.tasks import retrieval
from cxr_vlp.train.evaluation.tasks.base import Evaluation, Intervals
from cxr_vlp.train.model.build import build


def evaluation(folders, *models, split="test", **changes):
    shards = {split: list_shards(folders, split)}
    made = protocol.load("ours", {"text": "impression", "views": [], **changes})
    return Evaluation(models, shards, split, made, Intervals(40))


def measured(folders, *models, **changes):
    return retrieval.run(evaluation(folders, *models, **changes)).metrics


@pytest.fixture(scope="module")
def tiny():
    made = recipe.load("chexzero_tiny")
    return EncoderModel(build(made.model, 0), made.image, "tiny", "0" * 64, {})


@pytest.fixture(scope="module")
def fused():
    made = recipe.load("carzero_tiny")
    return EncoderModel(build(made.model, 0), made.image, "fused", "0" * 64, {})


def test_a_model_that_sees_and_reads_finds_all(source, seeing):
    found = measured([source], seeing(whole=True))["collections"]["mock"]
    assert (found["images"], found["unique_texts"], found["patients"]) == (24, 8, 12)
    assert found["images_of_a_repeated_text"] == 24
    for way in ("image_to_text", "text_to_image"):
        assert found[way]["recall_at_1"]["value"] == found[way]["median_rank"]["value"] == 1
    # one of eight texts is right; three of 24 images are
    assert found["image_to_text"]["recall_at_1"]["chance"] == 1 / 8
    assert found["image_to_text"]["mean_rank"]["chance"] == 4.5
    assert found["text_to_image"]["recall_at_1"]["chance"] == pytest.approx(1 / 8)
    assert found["text_to_image"]["mean_rank"]["chance"] == 25 / 4


def test_a_model_that_says_the_same_of_all_finds_nothing(source, seeing):
    found = measured([source], seeing(constant=True))["collections"]["mock"]
    assert found["image_to_text"]["recall_at_5"] == {
        "value": 0, "low": 0, "high": 0, "chance": 5 / 8,
    }  # fmt: skip
    assert found["image_to_text"]["mean_rank"]["value"] == 8
    assert found["text_to_image"]["mean_rank"]["value"] == 22


def slow(own, model, texts_of):
    """Return the ranks both ways, by sorted lists."""
    pixels, texts = [], []
    for batch in by_collection.batches(own, model):
        pixels += list(batch.pixels)
        texts += [texts_of(image) for image in batch.images]
    unique = sorted(set(texts))
    images = model.encode_images(torch.stack(pixels))
    matrix = model.similarity(images, model.encode_texts(unique)).numpy().round(6)
    to_text = [
        1
        + sum(
            matrix[i, j] >= matrix[i, unique.index(t)] for j in range(len(unique)) if unique[j] != t
        )
        for i, t in enumerate(texts)
    ]
    to_image = []
    for j, text in enumerate(unique):
        best = max(matrix[i, j] for i, t in enumerate(texts) if t == text)
        wrong = [matrix[i, j] for i, t in enumerate(texts) if t != text]
        to_image.append(1 + sum(each >= best for each in wrong))
    return to_text, to_image


@pytest.mark.parametrize("kind", ["tiny", "fused"])
def test_the_numbers_are_those_of_sorted_lists(source, kind, request):
    model = request.getfixturevalue(kind)
    own = evaluation([source], model)
    found = retrieval.run(own).metrics["collections"]["mock"]
    ranks = slow(own, model, lambda image: " ".join(image.sample.impression.split()))
    for way, theirs in zip(("image_to_text", "text_to_image"), ranks, strict=True):
        assert found[way]["mean_rank"]["value"] == np.mean(theirs)
        assert found[way]["median_rank"]["value"] == np.median(theirs)
        for count in (1, 5, 10):
            share = np.mean(np.array(theirs) <= count)
            assert found[way][f"recall_at_{count}"]["value"] == pytest.approx(share)


@pytest.mark.parametrize("kind", ["tiny", "fused"])
def test_workers_do_not_change_a_byte(source, kind, request):
    own = evaluation([source], request.getfixturevalue(kind))
    alone, several = retrieval.run(own), retrieval.run(replace(own, workers=2))
    assert json.dumps([alone.metrics, alone.tables]) == json.dumps(
        [several.metrics, several.tables]
    )


def test_of_a_study_the_first_frontal_image(source, seeing):
    own = evaluation([source], seeing(whole=True), unit="study")
    read = galleries.read(own)
    keys = sorted(read.facts)
    for key in keys[:3]:  # one study of three images, the first of them lateral
        read.facts[key] = replace(read.facts[key], study="mock/s", view="frontal")
    read.facts[keys[0]] = replace(read.facts[keys[0]], view="lateral")
    found = galleries.gallery(read, own.protocol)
    assert [image.key for image in found.images] == keys[1:2] + keys[3:]
    assert found.left_out == {"other images of a study": 2}


def test_images_without_the_text_are_counted_and_a_collection_without_is_named(
    source, seeing, tmp_path, write
):
    write(tmp_path, "half", lambda i: {"impression": "" if i % 2 else " edema\n  is there. "})
    write(tmp_path, "none", lambda i: {"impression": ""})
    result = retrieval.run(
        evaluation([source, tmp_path / "half", tmp_path / "none"], seeing(whole=True))
    )
    half = result.metrics["collections"]["half"]
    assert (half["images"], half["unique_texts"]) == (4, 1)
    assert half["left_out"] == {"without impression": 4}
    why = "none of its 8 images has a text of the kind impression"
    assert result.metrics["dropped"] == {"none": why}
    assert any("none" in note and why in note for note in result.notes)
    assert result.metrics["mean_of"]["image_to_text"] == ["half", "mock"]
    both = [
        result.metrics["collections"][n]["text_to_image"]["mean_rank"] for n in ("half", "mock")
    ]
    assert result.metrics["mean"]["text_to_image"]["mean_rank"]["value"] == np.mean(
        [each["value"] for each in both]
    )
    assert {row["collection"] for row in result.tables["retrieval.csv"]} == {"half", "mock", "mean"}


def test_nothing_to_measure_is_an_error(seeing, tmp_path, write):
    write(tmp_path, "none", lambda i: {"impression": ""})
    with pytest.raises(ConfigError, match="nothing to measure"):
        measured([tmp_path / "none"], seeing())
    with pytest.raises(ConfigError, match="no image of the benchmark set, or of the views other"):
        measured([tmp_path / "none"], seeing(), views=["other"])
    with pytest.raises(ConfigError, match="give a model"):
        measured([tmp_path / "none"])


def test_texts_that_differ_in_blanks_alone_are_one(seeing, tmp_path, write):
    write(tmp_path, "blank", lambda i: {"impression": "No  edema." if i % 2 else "No\nedema. "})
    assert measured([tmp_path / "blank"], seeing())["collections"]["blank"]["unique_texts"] == 1
    write(tmp_path, "case", lambda i: {"impression": "edema." if i % 2 else "Edema."})
    assert measured([tmp_path / "case"], seeing())["collections"]["case"]["unique_texts"] == 2


@pytest.mark.parametrize("text", ["report", "findings", "longest", "caption"])
def test_the_text_is_that_of_the_protocol(source, seeing, text):
    found = measured([source], seeing(whole=True), text=text)["collections"]["mock"]
    assert found["unique_texts"] == 8
    assert found["image_to_text"]["recall_at_1"]["value"] == 1
    assert found["text"] == text


def test_views_that_are_left_out_are_counted(source, seeing):
    found = measured([source], seeing(), views=["frontal"])["collections"]["mock"]
    assert (found["images"], found["left_out_by_view"]) == (18, {"lateral": 6})


def test_a_drawn_gallery_is_fixed_by_its_seed(source, seeing):
    def keys(**section):
        own = evaluation([source], seeing(), retrieval=section)
        return [i.key for i in galleries.gallery(galleries.read(own), own.protocol).images]

    assert keys(sample=5) == keys(sample=5) != keys(sample=5, seed=1)
    assert set(keys(sample=5)) < set(keys(sample=6))
    assert len(keys(sample=24)) == len(keys(sample=99)) == 24
    found = measured([source], seeing(), retrieval={"sample": 5})["collections"]["mock"]
    assert (found["images"], found["left_out"]) == (5, {"not drawn": 19})


def test_an_ensemble_is_the_mean_of_its_cosines(source, seeing):
    whole, constant = seeing(whole=True), seeing(constant=True)
    found = measured([source], whole, constant)["collections"]["mock"]
    assert found["image_to_text"]["recall_at_1"]["value"] == 1


def test_cosines_and_logits_have_no_mean(source, tiny, fused):
    with pytest.raises(ConfigError, match="no common similarity"):
        measured([source], tiny, fused)


def chosen(count=2):
    """Samples with cardiomegaly alone (65, 73, 81) and with effusion alone (66, 74, 82)."""
    entries = [
        Entry(f"mock-s{n:04d}", "mock", f"p{n // 2:04d}", f"s{n:04d}", label)
        for place, label in ((65, "Cardiomegaly"), (66, "Pleural Effusion"))
        for n in range(place, place + 8 * count, 8)
    ]
    return benchmark_sets.made("2x2", entries)


def test_a_set_restricts_the_gallery_and_has_its_accuracy(source, seeing):
    own = replace(evaluation([source], seeing()), benchmark=chosen())
    result = retrieval.run(own)
    found = result.metrics["collections"]["mock"]
    assert (found["images"], found["unique_texts"]) == (4, 2)
    assert found["five_way"]["accuracy"] == {"value": 1, "low": 1, "high": 1, "chance": 0.5}
    assert found["five_way_counts"]["confusion"] == [[2, 0], [0, 2]]
    assert found["image_to_text"]["precision_at_1"]["value"] == 1
    assert found["image_to_text"]["precision_at_1"]["chance"] == 0.5
    assert "precision_at_5" not in found["text_to_image"]  # of four images
    assert result.metrics["benchmark"]["digest"] == chosen().digest
    assert result.summary["five_way_accuracy"] == 1


def test_a_constant_model_classifies_nothing(source, seeing):
    own = replace(evaluation([source], seeing(constant=True)), benchmark=chosen())
    found = retrieval.run(own).metrics["collections"]["mock"]
    assert found["five_way"]["accuracy"]["value"] == 0
    assert found["image_to_text"]["precision_at_1"]["value"] == 0


def test_a_set_without_texts_still_has_its_accuracy(seeing, tmp_path, write):
    write(tmp_path, "mock", lambda i: {"impression": ""}, first=64)
    own = replace(evaluation([tmp_path / "mock"], seeing()), benchmark=chosen(1))
    found = retrieval.run(own).metrics
    assert found["collections"]["mock"]["five_way"]["accuracy"]["value"] == 1
    assert "image_to_text" not in found["collections"]["mock"]
    assert list(found["dropped"]) == ["mock"]


def test_no_text_and_no_id_is_in_what_is_written(source, seeing):
    result = retrieval.run(evaluation([source], seeing()))
    written = json.dumps([result.metrics, result.tables, result.summary, result.notes])
    assert "cardiomegaly" not in written
    assert "mock-s" not in written
    assert "p003" not in written


def test_rows_have_equal_keys(source, seeing):
    rows = retrieval.run(evaluation([source], seeing())).tables["retrieval.csv"]
    assert len({tuple(row) for row in rows}) == 1
    assert Counter(row["direction"] for row in rows) == {"image_to_text": 5, "text_to_image": 5}
