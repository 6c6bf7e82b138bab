"""Chunks have the gradient of the whole batch, in float64 and through a step."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from accelerate import Accelerator

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config import recipe
from cxr_vlp.train.config.recipe_sections import Loss, Model, Weights
from cxr_vlp.train.data.batches import Batch
from cxr_vlp.train.engine.grad_cache import two_passes
from cxr_vlp.train.engine.steps import Steps
from cxr_vlp.train.model import build
from cxr_vlp.train.objective.method import Features, Method, seen
from cxr_vlp.train.objective.terms import total

NORMAL = torch.tensor([True, False, True, False, False, False, True])
LOSSES = {
    "clip": Loss(),
    "relaxed": Loss(cap=0.3),
    "multi_view": Loss(Weights(clip=0, multi_view=1)),
    "off_diagonal": Loss(Weights(clip=0, off_diagonal=1, abnormal=1)),
    "momentum": Loss(Weights(momentum=0.5), queue=16),
}


def setting(loss: Loss) -> tuple[Method, torch.Tensor, torch.Tensor]:
    bias = bool(loss.weights.off_diagonal)
    towers = build.build(Model("cxr-tiny-vit", bias=bias), seed=0)
    torch.manual_seed(0)
    images = torch.randn(2, 7, 3, 96, 96).double()
    tokens = torch.stack([towers.tokenize(f"finding {i}") for i in range(14)]).view(2, 7, -1)
    return Method(towers, loss).double().train(), images, tokens


def gradients(method: Method) -> dict[str, torch.Tensor]:
    found = {n: w.grad.clone() for n, w in method.named_parameters() if w.grad is not None}
    method.zero_grad()
    return found


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("chunk", [3, 4])
def test_chunks_have_the_gradient_of_the_whole_batch(name, chunk):
    loss = LOSSES[name]
    method, images, tokens = setting(loss)

    def loss_of(features: Features) -> torch.Tensor:
        keys = method.keys(images[-1:].split(chunk, dim=1))
        return total(seen(method.model, features, NORMAL, keys, method.negatives()), loss)

    if method.momentum is not None:
        method.learned(torch.nn.functional.normalize(torch.randn(9, 64).double(), dim=1))
    shown = images[: method.views]
    whole = loss_of(method(shown, tokens))
    whole.backward()
    expected = gradients(method)
    pictures, texts = shown.split(chunk, dim=1), tokens.split(chunk, dim=1)
    cached = two_passes(
        lambda i: method(pictures[i], texts[i]),
        len(pictures),
        loss_of,
        torch.Tensor.backward,
        nullcontext,
    )
    assert torch.allclose(cached, whole, atol=1e-10)
    found = gradients(method)
    assert set(found) == set(expected)
    assert max(float((found[n] - expected[n]).abs().max()) for n in found) < 1e-10
    assert expected["model.logit_scale"].abs() > 1e-6


@pytest.mark.parametrize("method", ["cxrclip_tiny", "mococlip_tiny"])
def test_a_step_in_chunks_is_the_step_of_the_batch(method):
    losses, weights = [], []
    for chunk in (0, 3):
        chosen = recipe.load(
            method, {"model": {"name": "cxr-tiny-vit"}, "run": {"chunk": chunk, "batch_size": 8}}
        )
        towers = build.build(chosen.model, seed=0)
        steps = Steps(chosen, towers, 0, Accelerator(cpu=True))
        losses.append([steps.step(number, [batch(towers, number)], 1e-2) for number in range(3)])
        weights.append(steps.kept()["visual.conv1.weight"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert torch.allclose(*weights, atol=2e-3)


def batch(towers: build.Towers, number: int) -> Batch:
    generator = torch.Generator().manual_seed(number)
    texts = [f"finding {i} of {number}" for i in range(16)]
    return Batch(
        images=torch.randint(0, 255, (2, 8, 1, 96, 96), generator=generator, dtype=torch.uint8),
        tokens=torch.stack([towers.tokenize(text) for text in texts]).view(2, 8, -1),
        normal=torch.arange(8) % 3 == 0,
        keys=tuple(f"k{i}" for i in range(8)),
        texts=(tuple(texts[:8]), tuple(texts[8:])),
        samples=(Sample(),) * 8,
    )
