"""Zero-shot: which way the score points, and that it is the softmax over the pair."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as nnf

from train import zeroshot
from train.errors import ConfigError
from train.models import Towers

WORDS = ("edema", "no edema", "fracture", "no fracture", "any edema")


class Compass(torch.nn.Module):
    """A text tower that sends every known text along an axis of its own."""

    def encode_text(self, tokens: torch.Tensor, normalize: bool) -> torch.Tensor:
        return torch.eye(len(WORDS))[tokens[:, 0]]


@pytest.fixture
def towers() -> Towers:
    return Towers(Compass(), 8, lambda text: torch.tensor([WORDS.index(text), 1]), trims=False)


def classify(towers: Towers) -> zeroshot.Classifier:
    return zeroshot.classifier(towers, ("Edema", "Fracture"), "pair", torch.device("cpu"))


def test_a_picture_near_the_positive_text_scores_above_a_half(towers):
    pictures = torch.eye(len(WORDS))[:4]
    scores = zeroshot.probabilities(pictures, classify(towers))
    assert (scores[0, 0] > 0.5, scores[1, 0] < 0.5) == (True, True)
    assert (scores[2, 1] > 0.5, scores[3, 1] < 0.5) == (True, True)
    assert scores[2, 0] == scores[0, 1] == 0.5


def test_the_probability_is_the_softmax_over_the_pair(towers):
    pictures = nnf.normalize(torch.randn(6, len(WORDS), generator=torch.manual_seed(0)), dim=1)
    pairs = torch.stack([pictures[:, 0], pictures[:, 1]], dim=1)
    scores = zeroshot.probabilities(pictures, classify(towers))
    assert torch.allclose(scores[:, 0], pairs.softmax(dim=1)[:, 0])


def test_several_texts_of_a_polarity_are_averaged_and_normalised(towers, monkeypatch):
    bank = SimpleNamespace(pair=(("edema", "any edema"), ("no edema",)))
    monkeypatch.setattr(zeroshot, "zero_shot", lambda label, name: bank.pair)
    made = zeroshot.classifier(towers, ("Edema",), "pair", torch.device("cpu"))
    half = 0.5**0.5
    assert made.positive[0].tolist() == pytest.approx([half, 0, 0, 0, half])


def test_an_unknown_bank_is_a_fault_of_the_configuration(towers):
    with pytest.raises(ConfigError, match="nobodys"):
        zeroshot.classifier(towers, ("Edema",), "nobodys", torch.device("cpu"))
