"""Towers: same seed, same weights; shorter contexts change nothing; clear words where it fails."""

from __future__ import annotations

import math

import pytest
import torch

from train import models
from train.errors import ConfigError
from train.recipe import Model, load

TINY = load("chexzero_tiny").model


@pytest.fixture(scope="module")
def towers() -> models.Towers:
    return models.build(TINY, seed=3)


def test_weights_follow_from_the_seed_and_leave_the_global_state_alone(towers):
    torch.manual_seed(11)
    state = torch.get_rng_state()
    again, other = models.build(TINY, seed=3), models.build(TINY, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    first = dict(towers.model.named_parameters())
    assert all(torch.equal(first[name], w) for name, w in again.model.named_parameters())
    assert not torch.equal(
        first["text.token_embedding.weight"], other.model.text.token_embedding.weight
    )


def test_the_scale_starts_at_the_recipes_temperature(towers):
    assert towers.model.logit_scale.item() == pytest.approx(math.log(1 / 0.02))


@torch.no_grad()
def test_a_trimmed_context_gives_the_same_features(towers):
    texts = ["no edema", "a rather long sentence on a small left pleural effusion", ""]
    tokens = torch.stack([towers.tokenize(text) for text in texts])
    short = models.trim(tokens, towers)
    assert tokens.shape == (3, 48)
    assert short.shape[1] < 16
    whole, cut = (towers.model.encode_text(each, normalize=True) for each in (tokens, short))
    assert torch.allclose(whole, cut, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model("cxr-huge"), "'cxr-huge' is neither in train/models nor known to open_clip"),
        (Model("cxr-tiny", "nobodys-weights"), "neither a file nor a tag"),
    ],
)
def test_a_model_that_cannot_be_had_is_named(model, message):
    with pytest.raises(ConfigError, match=message):
        models.build(model, seed=0)


def test_weights_of_another_model_fail(towers, tmp_path):
    with pytest.raises(ConfigError, match="no such weights"):
        models.load_weights(towers.model, tmp_path / "model.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="weights of another model"):
        models.load_weights(towers.model, tmp_path / "model.safetensors")
