"""Losses against the equation as it is written, in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as nnf

from train import losses


def pairs(rows: int, width: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image, text = torch.randn(2, rows, width, generator=generator, dtype=torch.float64)
    return nnf.normalize(image, dim=1), nnf.normalize(text, dim=1)


def written(image: torch.Tensor, text: torch.Tensor, scale: float) -> float:
    rows = len(image)
    s = [[scale * float(image[i] @ text[j]) for j in range(rows)] for i in range(rows)]
    to_text = sum(math.log(math.exp(s[i][i]) / sum(map(math.exp, s[i]))) for i in range(rows))
    to_image = sum(
        math.log(math.exp(s[j][j]) / sum(math.exp(s[i][j]) for i in range(rows)))
        for j in range(rows)
    )
    return -(to_text + to_image) / (2 * rows)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("scale", [0.5, 1 / 0.07])
def test_clip_is_its_equation(rows, scale):
    image, text = pairs(rows)
    assert abs(losses.clip(image, text, scale).item() - written(image, text, scale)) < 1e-10


def test_clip_gradients():
    image, text = pairs(4)
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    inputs = (image.requires_grad_(), text.requires_grad_(), scale)
    assert torch.autograd.gradcheck(losses.clip, inputs)


def test_clip_is_symmetric_and_knows_right_from_wrong():
    image, text = pairs(6)
    assert torch.isclose(losses.clip(image, text, 9.0), losses.clip(text, image, 9.0))
    right, wrong = losses.clip(image, image, 9.0), losses.clip(image, image.roll(1, 0), 9.0)
    assert right < wrong


def test_clip_of_equal_texts_is_the_logarithm_of_the_batch():
    _, text = pairs(8)
    same = text[:1].expand(8, -1)
    assert losses.clip(same, same, 5.0).item() == pytest.approx(math.log(8), abs=1e-12)
