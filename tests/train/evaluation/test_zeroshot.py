"""Zero-shot: the direction of the score, and that it is the softmax over the prompt pair."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as nnf

from cxr_vlp.train.config.recipe import FusionConfig, ModelConfig
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation import zeroshot
from cxr_vlp.train.model import build
from cxr_vlp.train.model.build import DualEncoder
from cxr_vlp.train.model.tower_tokens import image_tokens, text_tokens

WORDS = ("edema", "no edema", "fracture", "no fracture", "any edema", "There is no finding")


class Compass(torch.nn.Module):
    """A text tower that sends every known text along an axis of its own."""

    def encode_text(self, tokens: torch.Tensor, normalize: bool) -> torch.Tensor:
        return torch.eye(len(WORDS))[tokens[:, 0]]


@pytest.fixture
def encoder() -> DualEncoder:
    return DualEncoder(Compass(), 8, lambda text: torch.tensor([WORDS.index(text), 1]), ends=None)


def classify(encoder: DualEncoder) -> zeroshot.TextDirections:
    return zeroshot.text_directions(encoder, ("Edema", "Fracture"), "pair", torch.device("cpu"))


def test_an_image_near_the_positive_text_scores_above_a_half(encoder):
    images = torch.eye(len(WORDS))[:4]
    scores = zeroshot.probabilities(images, classify(encoder))
    assert (scores[0, 0] > 0.5, scores[1, 0] < 0.5) == (True, True)
    assert (scores[2, 1] > 0.5, scores[3, 1] < 0.5) == (True, True)
    assert scores[2, 0] == scores[0, 1] == 0.5


def test_the_probability_is_the_softmax_over_the_pair(encoder):
    images = nnf.normalize(torch.randn(6, len(WORDS), generator=torch.manual_seed(0)), dim=1)
    pairs = torch.stack([images[:, 0], images[:, 1]], dim=1)
    scores = zeroshot.probabilities(images, classify(encoder))
    assert torch.allclose(scores[:, 0], pairs.softmax(dim=1)[:, 0])


def test_several_texts_of_a_polarity_are_averaged_and_normalised(encoder, monkeypatch):
    bank = SimpleNamespace(pair=(("edema", "any edema"), ("no edema",)))
    monkeypatch.setattr(zeroshot, "zero_shot", lambda label, name, own: bank.pair)
    made = zeroshot.text_directions(encoder, ("Edema",), "pair", torch.device("cpu"))
    half = 0.5**0.5
    assert made.positive[0].tolist() == pytest.approx([half, 0, 0, 0, half, 0])


def test_an_unknown_bank_is_a_fault_of_the_configuration(encoder):
    with pytest.raises(ConfigError, match="nobodys"):
        zeroshot.text_directions(encoder, ("Edema",), "nobodys", torch.device("cpu"))


@pytest.fixture(scope="module")
def fused() -> DualEncoder:
    shape = FusionConfig(layers=1, heads=2, width=16, hidden=64, dropout=0.1)
    encoder = build.build(ModelConfig("cxr-tiny-vit", fusion=shape), seed=0)
    encoder.model.eval()
    return encoder


@torch.no_grad()
def test_a_fusion_scores_both_prompts_in_both_directions(fused, monkeypatch):
    bank = {"Edema": (("edema", "any edema"), ("no edema",)), "Mass": (("mass",), ())}
    monkeypatch.setattr(zeroshot, "zero_shot", lambda label, name, own: bank[label])
    monkeypatch.setattr(zeroshot, "PROMPTS", 3)
    images = torch.randn(2, 3, 96, 96, generator=torch.manual_seed(0))
    found = zeroshot.scorer(fused, ("Edema", "Mass"), "pair", torch.device("cpu"))(images)

    def logit(text: str) -> torch.Tensor:
        said = text_tokens(fused.model.text, fused.tokenize(text)[None])
        to_text, to_image = fused.model.fusion(image_tokens(fused.model.visual, images), said)
        return (to_text[:, 0] + to_image[0]) / 2

    edema = (logit("edema") + logit("any edema")) / 2 - logit("no edema")
    assert torch.allclose(found[:, 0], edema.sigmoid(), atol=1e-6)
    assert torch.allclose(found[:, 1], logit("mass").sigmoid(), atol=1e-6)
    assert (found - 0.5).abs().min() > 1e-7


def test_a_model_without_a_fusion_is_scored_by_its_cosines(encoder):
    images = torch.eye(len(WORDS))[:4]
    encoder.model.encode_image = lambda images, normalize: images
    score = zeroshot.scorer(encoder, ("Edema", "Fracture"), "pair", torch.device("cpu"))
    assert torch.equal(score(images), zeroshot.probabilities(images, classify(encoder)))


def test_the_bank_direct_has_no_negative_prompt(encoder):
    images = torch.eye(len(WORDS))[:4]
    encoder.model.encode_image = lambda images, normalize: images
    device = torch.device("cpu")
    made = zeroshot.text_directions(encoder, (zeroshot.DIRECT,), "pair", device)
    assert torch.equal(made.negative, torch.zeros_like(made.negative))
    alone = encoder.model.encode_text(encoder.tokenize("There is no finding")[None], normalize=True)
    expected = (images @ alone.T).sigmoid()
    score = zeroshot.scorer(encoder, ("Edema", zeroshot.DIRECT), "pair", device)
    assert torch.allclose(score(images)[:, 1:], expected)


def test_a_users_bank_takes_the_place_of_ours(encoder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        zeroshot, "zero_shot", lambda *given: asked.append(given) or (("edema",), ())
    )
    own = object()
    zeroshot.text_directions(encoder, ("Edema",), "frames", torch.device("cpu"), own)
    assert asked == [("Edema", "frames", own)]
