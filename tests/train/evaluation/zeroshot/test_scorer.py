"""The scores of images by texts, each computed by hand from known cosines."""

from __future__ import annotations

import pytest
import torch

from cxr_vlp.train.evaluation.protocols.protocol import load
from cxr_vlp.train.evaluation.zeroshot.scorer import scorer
from cxr_vlp.train.evaluation.zeroshot.texts import LabelTexts
from tests.train.evaluation.zeroshot.conftest import images, sigmoid

WORDS = ("edema", "swelling", "no edema", "mass")
PAIR = LabelTexts("Edema", ("edema", "swelling"), ("no edema",), "pair")
SHOWN = images([0.6, 0.2, 0.1, 0.3])
HALF = 0.5**0.5


def one(compass, several: str, column: LabelTexts, **more) -> float:
    protocol = load("ours", {"prompts": {"several": several}} | more.pop("protocol", {}))
    found = scorer(compass(WORDS, **more), [column], protocol)(SHOWN)
    assert found.dtype == torch.float64
    assert found.shape == (1, 1)
    return float(found)


@pytest.mark.parametrize(
    ("several", "positive"),
    [("direction", 0.8 * HALF), ("mean", 0.4), ("max", 0.6)],
)
def test_several_texts_of_one_polarity(compass, several, positive):
    # the mean direction of two axes is (1, 1) / sqrt 2: its cosine is (.6 + .2) / sqrt 2
    assert one(compass, several, PAIR) == pytest.approx(sigmoid(positive - 0.1), abs=1e-6)


def test_a_fusion_has_no_direction_and_its_logits_are_averaged(compass):
    assert one(compass, "direction", PAIR, fused=True) == pytest.approx(sigmoid(0.4 - 0.1))


@pytest.mark.parametrize(
    ("score", "expected"),
    [("pair", sigmoid(0.2)), ("sigmoid", sigmoid(0.3)), ("positive", 0.3)],
)
def test_the_three_scores(compass, score, expected):
    column = LabelTexts("Mass", ("mass",), ("no edema",), score)
    assert one(compass, "direction", column) == pytest.approx(expected, abs=1e-6)
    assert one(compass, "max", column) == pytest.approx(expected, abs=1e-6)


def test_without_a_denial_the_pair_is_the_sigmoid_of_the_positive(compass):
    column = LabelTexts("Mass", ("mass",), (), "pair")
    assert one(compass, "direction", column) == pytest.approx(sigmoid(0.3), abs=1e-6)
    assert one(compass, "mean", column) == pytest.approx(sigmoid(0.3), abs=1e-6)


def test_the_models_temperature_is_used_only_if_the_protocol_says_so_and_never_of_a_fusion(compass):
    column = LabelTexts("Mass", ("mass",), ("no edema",), "pair")
    with_scale = {"protocol": {"temperature": "model"}, "scale": 10.0}
    assert one(compass, "direction", column, scale=10.0) == pytest.approx(sigmoid(0.2), abs=1e-6)
    assert one(compass, "direction", column, **with_scale) == pytest.approx(sigmoid(2), abs=1e-5)
    fused = one(compass, "mean", column, fused=True, **with_scale)
    assert fused == pytest.approx(sigmoid(0.2), abs=1e-6)


def test_columns_keep_their_places_where_only_some_have_a_denial(compass):
    columns = [
        LabelTexts("Mass", ("mass",), (), "positive"),
        LabelTexts("Edema", ("edema",), ("no edema",), "pair"),
        LabelTexts("Swelling", ("swelling",), (), "positive"),
    ]
    found = scorer(compass(WORDS), columns, load("ours"))(SHOWN)[0].tolist()
    assert found == pytest.approx([0.3, sigmoid(0.5), 0.2], abs=1e-6)


def test_a_model_with_a_head_gives_the_scores_of_its_head_by_name(compass):
    model = compass(WORDS)
    model.labels = ("Mass", "Edema")
    values = {"Mass": 0.25, "Edema": 0.75}
    model.label_scores = lambda images, names: torch.tensor([[values[n] for n in names]])
    found = scorer(model, [PAIR, LabelTexts("Mass", ("mass",), (), "pair")], load("ours"))(SHOWN)
    assert found.tolist() == [[0.75, 0.25]]
