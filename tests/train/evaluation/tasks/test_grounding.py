"""The task: a stub that sees bright places, on shards with boxes and phrases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation import benchmark_sets
from cxr_vlp.train.evaluation.benchmark_sets import Entry
from cxr_vlp.train.evaluation.grounding import heat
from cxr_vlp.train.evaluation.grounding.boxes import Target, positive_texts, targets
from cxr_vlp.train.evaluation.grounding.table import ALL, MACRO
from cxr_vlp.train.evaluation.protocols.protocol import PromptConfig, Protocol
from cxr_vlp.train.evaluation.reading import batches
from cxr_vlp.train.evaluation.tasks import grounding
from cxr_vlp.train.evaluation.tasks.base import Evaluation, Intervals
from cxr_vlp.train.model.fusion import Tokens
from tests.train.conftest import PLACES, read, sample, write_shard

PROTOCOL = Protocol(prompts=PromptConfig(bank="direct"))


class Bright:
    """A model whose patches match every text by their brightness; "dark" turns the map around."""

    name, digest, facts = "bright", "", {}
    size, image, device = 64, ImageConfig(), torch.device("cpu")
    fused, scale, finer = False, 1.0, True

    def __init__(self, **changes) -> None:
        self.asked: list[str] = []
        vars(self).update(changes)

    def encode_images(self, images, *, patches=False):
        mean = torch.nn.functional.avg_pool2d(images.float() / 255, 8).flatten(1)[..., None]
        return Tokens(mean.mean(dim=1), mean, torch.ones(mean.shape[:2], dtype=torch.bool))

    def encode_texts(self, texts):
        self.asked += texts
        whole = torch.tensor([[-1.0 if text == "dark" else 1.0] for text in texts])
        return Tokens(whole, whole[:, None], torch.ones(len(whole), 1, dtype=torch.bool))

    def maps(self, images, texts):
        return (images.parts @ texts.whole.T).transpose(1, 2).unflatten(-1, (8, 8))


def box(label: str, **changes) -> dict[str, object]:
    y, x = PLACES[label]
    return {"label": label, "x": x, "y": y, "w": 18, "h": 18} | changes


def shards(root: Path, boxes: dict[int, list], source: str = "mock", **changes) -> Path:
    """Write test samples 0 to 7 of a source, with these boxes; sample 3 is a lateral image."""
    records = {}
    for number in range(8):
        records[f"{source}-s{number:04d}"] = sample(
            source, number, split="test", boxes=boxes.get(number, []), **changes
        )
    write_shard(root / source / "test" / f"{source}-test-00000.tar", records, "png")
    sizes = {f"{source}-test-00000.tar": 8}
    (root / source / "test" / "sizes.json").write_text(json.dumps(sizes))
    return root


def evaluation(root: Path, *models, protocol=PROTOCOL, **changes) -> Evaluation:
    found = {"test": list_shards([root], "test")}
    return Evaluation(models or (Bright(),), found, "test", protocol, Intervals(50), **changes)


def rows(result) -> dict[tuple[str, str], dict]:
    return {(r["collection"], r["label"]): r for r in result.tables["grounding.csv"]}


CARDIO, PNEUMO = "Cardiomegaly", "Pneumothorax"
BOXES = {
    1: [box(CARDIO)],
    5: [box(CARDIO), box(PNEUMO)],  # two bright squares: the map cannot tell them apart
    4: [box(PNEUMO, x=0, y=50)],  # a wrong place
}


def test_the_values_of_labels_by_hand(tmp_path):
    result = grounding.run(evaluation(shards(tmp_path, BOXES)))
    found = rows(result)
    one, two = found["mock", CARDIO], found["mock", PNEUMO]
    assert (one["n"], one["images"], one["patients"]) == (2, 2, 2)
    assert (two["n"], two["images"], two["patients"]) == (2, 2, 1)
    both = one["pointing"] * 2 - 1 + two["pointing"] * 2  # image 5 alone: one of the two squares
    assert both == pytest.approx(1, abs=0.3)
    macro = found["mock", MACRO]
    assert macro["pointing"] == pytest.approx((one["pointing"] + two["pointing"]) / 2)
    assert found["mock", ALL]["n"] == 4
    assert found["mean", MACRO]["pointing"] == macro["pointing"]
    assert one["chance"] == pytest.approx(18 * 18 / (72 * 64))
    assert one["cnr_signed"] > 1
    assert one["pointing_low"] <= one["pointing"] <= one["pointing_high"]
    assert result.metrics["collections"]["mock"]["without_boxes"] == 5
    assert result.summary["grounding_pointing"] == macro["pointing"]


def test_a_phrase_is_searched_instead_of_the_label(tmp_path):
    boxes = {1: [box(CARDIO, phrase="dark"), box(PNEUMO)], 2: [box(CARDIO, phrase="dark")]}
    model = Bright()
    result = grounding.run(evaluation(shards(tmp_path, boxes), model))
    found = rows(result)
    assert found["mock", CARDIO]["n"] == 2  # one phrase on two images
    assert found["mock", CARDIO]["cnr_signed"] < found["mock", CARDIO]["cnr"]
    assert sorted(set(model.asked)) == ["There is pneumothorax", "dark"]
    assert "dark" not in json.dumps([result.metrics, result.tables, result.notes], default=str)


def test_several_boxes_of_a_phrase_are_one_target_and_layers_are_apart():
    record = read({"boxes": [
        box(CARDIO, phrase="a", layer="mscxr"), box(CARDIO, phrase="a", layer="mscxr", x=1),
        box(CARDIO), box(CARDIO, phrase="b", layer="mscxr"),
    ]})  # fmt: skip
    found = targets(record, PROTOCOL)
    assert {target: len(each) for target, each in found.items()} == {
        Target("", CARDIO, ""): 1,
        Target("mscxr", CARDIO, "a"): 2,
        Target("mscxr", CARDIO, "b"): 1,
    }
    chosen = targets(record, replace(PROTOCOL, labels=(PNEUMO,)))
    assert [target.phrase for target in chosen] == ["a", "b"]


def test_layers_and_collections_have_rows_of_their_own_and_count_the_same(tmp_path):
    shards(tmp_path, {1: [box(CARDIO)], 5: [box(CARDIO, layer="other", x=0, y=50)]})
    shards(tmp_path, {1: [box(CARDIO)]}, "second")
    shards(tmp_path, {}, "third")
    result = grounding.run(evaluation(tmp_path))
    macros = [r for r in result.tables["grounding.csv"] if r["label"] == MACRO]
    named = {(r["collection"], r["layer"]): r["pointing"] for r in macros}
    assert named == {
        ("mean", ""): pytest.approx(2 / 3), ("mock", ""): 1, ("mock", "other"): 0,
        ("second", ""): 1,
    }  # fmt: skip
    assert result.notes == ["grounding: third is not measured: none of its 8 images has a box"]


def test_no_boxes_at_all_is_an_error_with_the_reasons(tmp_path):
    with pytest.raises(DataError, match=r"mock: none of its 8 images has a box.*MS-CXR"):
        grounding.run(evaluation(shards(tmp_path, {})))


def test_boxes_of_other_views_and_labels_are_counted(tmp_path):
    root = shards(tmp_path, {3: [box(CARDIO)], 1: [box(CARDIO), box(PNEUMO)]})
    protocol = replace(PROTOCOL, views=("frontal",), labels=(CARDIO,))
    result = grounding.run(evaluation(root, protocol=protocol))
    counted = result.metrics["collections"]["mock"]
    assert (counted["left_out"], counted["other_labels"]) == ({"lateral": 1}, 1)
    assert "lateral 1; boxes of other labels: 1" in result.notes[0]
    with pytest.raises(DataError, match="of other views"):
        grounding.run(evaluation(root, protocol=replace(protocol, views=("other",))))


def test_boxes_that_the_window_cuts_or_misses_are_counted(tmp_path):
    boxes = {1: [box(CARDIO, y=0, h=8)], 2: [box(CARDIO, y=0, h=2)]}  # the model sees rows 4 to 68
    model = Bright(image=ImageConfig(fit="shortest"))
    result = grounding.run(evaluation(shards(tmp_path, boxes), model))
    assert (result.metrics["boxes_partly_seen"], result.metrics["boxes_not_seen"]) == (1, 1)
    assert "wholly outside" in result.notes[-1]


def test_an_ensemble_averages_maps_of_different_squares(tmp_path):
    root = shards(tmp_path, BOXES)
    one = rows(grounding.run(evaluation(root)))
    two = rows(grounding.run(evaluation(root, Bright(), Bright())))
    assert one == two
    mixed = grounding.run(evaluation(root, Bright(), Bright(image=ImageConfig(part=0.9))))
    assert mixed.metrics["boxes_not_seen"] == 0


@pytest.mark.parametrize("changes", [{"finer": False}, {"fused": True}])
def test_models_without_maps_and_mixed_ensembles_are_refused(tmp_path, changes):
    with pytest.raises(ConfigError, match="grounding: "):
        grounding.run(evaluation(shards(tmp_path, BOXES), Bright(), Bright(**changes)))


def test_workers_change_nothing(tmp_path):
    root = shards(tmp_path, BOXES)
    shards(tmp_path, BOXES, "second")
    one, two = (grounding.run(evaluation(root, workers=n)) for n in (0, 2))
    assert one.tables == two.tables


def test_an_image_of_another_size_than_its_json_says_is_refused(tmp_path):
    pixels = {"height": 144, "width": 128, "source_height": 144, "source_width": 128}
    with pytest.raises(DataError, match="cxr-vlp verify"):
        grounding.run(evaluation(shards(tmp_path, BOXES, pixels=pixels)))


def test_the_map_of_one_image_lies_in_the_stored_frame(tmp_path):
    root = shards(tmp_path, BOXES)
    image = next(iter(batches(list_shards([root], "test"), ImageConfig(), 64))).images[1]
    found = heat.heat(Bright(), image, "anything")
    assert found.shape == (72, 64)
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert 20 <= y < 38
    assert 20 <= x < 38


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (PromptConfig(bank="pair"), ("pleural effusion",)),
        (
            PromptConfig(positive=("{} seen", "a {}")),
            ("pleural effusion seen", "a pleural effusion"),
        ),
        (PromptConfig(positive=("{}",), case="as_spelled"), ("Pleural Effusion",)),
        (PromptConfig(positive=("{}",), names={"Pleural Effusion": "fluid"}), ("fluid",)),
        (PromptConfig(texts={"Pleural Effusion": {"positive": "Wet!"}}, plain=True), ("wet",)),
    ],
    ids=["bank", "templates", "as spelled", "name", "own text, plain"],
)
def test_the_positive_texts_of_a_label_follow_the_protocol(prompts, expected):
    assert positive_texts(Protocol(prompts=prompts), "Pleural Effusion") == expected


def test_a_benchmark_set_restricts_the_images_and_their_counts(tmp_path):
    boxes = {n: [box("Cardiomegaly")] for n in (1, 5, 7)}
    root = shards(shards(tmp_path, boxes), boxes, "second")
    entries = [Entry(f"mock-s{n:04d}", "mock", "p", "s", "Edema") for n in (1, 2)]
    own = evaluation(root, benchmark=benchmark_sets.made("two", entries))
    result = grounding.run(own)
    found = result.metrics["collections"]["mock"]
    assert (found["images"], found["with_boxes"], found["without_boxes"]) == (2, 1, 1)
    assert {row["images"] for row in rows_of(result, "mock")} == {1}
    why = "it has no image of the benchmark set"
    assert result.notes == [f"grounding: second is not measured: {why}"]


def rows_of(result, collection: str) -> list[dict]:
    return [row for row in result.tables["grounding.csv"] if row["collection"] == collection]


def test_a_limit_counts_only_images_that_are_measured(tmp_path):
    # else the first image, whose box is of another label, would use it up: an empty result
    root = shards(tmp_path, {1: [box(PNEUMO)], 5: [box(CARDIO)]})
    chosen = replace(PROTOCOL, labels=(CARDIO,))
    result = grounding.run(evaluation(root, protocol=chosen, limit=1))
    assert rows(result)["mock", ALL]["images"] == 1
