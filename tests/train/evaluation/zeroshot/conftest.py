"""A model whose similarities are known by hand: every text has an axis of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.model.fusion import Tokens


class Compass:
    """Sends known texts along axes; an image (1, 1, 8) is its own direction, in 1/100."""

    name, digest, size, finer = "compass", "0" * 64, 8, False
    facts: dict[str, Any] = {"kind": "compass"}  # noqa: RUF012
    image, device = ImageConfig(), torch.device("cpu")

    def __init__(self, words: Sequence[str], *, fused: bool = False, scale: float = 1.0) -> None:
        self.words, self.fused, self.scale = tuple(words), fused, scale

    def encode_images(self, images: torch.Tensor, *, patches: bool = False) -> Tokens:
        whole = images.flatten(1)[:, : len(self.words)].float() / 100
        return Tokens(whole, whole[:, None][:, :0], torch.ones(len(whole), 0, dtype=torch.bool))

    def encode_texts(self, texts: Sequence[str]) -> Tokens:
        whole = torch.eye(len(self.words))[[self.words.index(text) for text in texts]]
        return Tokens(whole, whole[:, None][:, :0], torch.ones(len(whole), 0, dtype=torch.bool))

    def similarity(self, images: Tokens, texts: Tokens) -> torch.Tensor:
        return images.whole @ texts.whole.T

    def maps(self, images: Tokens, texts: Tokens) -> torch.Tensor:
        raise AssertionError("no score needs a map")


@pytest.fixture
def compass() -> type[Compass]:
    return Compass


def images(*rows: Sequence[float]) -> torch.Tensor:
    """Return images (B, 1, 1, 8) that point along the axes by these cosines."""
    made = torch.zeros(len(rows), 1, 1, 8)
    for i, row in enumerate(rows):
        made[i, 0, 0, : len(row)] = torch.tensor(row) * 100
    return made


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _is_a_model(model: Model) -> Model:
    return model
