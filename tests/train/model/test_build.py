"""The dual encoder: same seed, same weights; shorter contexts change nothing; clear errors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from cxr_vlp.train.config.recipe import FusionConfig, ModelConfig, load
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model import build
from cxr_vlp.train.model.architectures import EndPooler
from cxr_vlp.train.model.tower_tokens import text_tokens

TINY = load("chexzero_tiny").model


@pytest.fixture(scope="module")
def encoder() -> build.DualEncoder:
    return build.build(TINY, seed=3)


def test_weights_follow_from_the_seed_and_leave_the_global_state_alone(encoder):
    torch.manual_seed(11)
    state = torch.get_rng_state()
    again, other = build.build(TINY, seed=3), build.build(TINY, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    first = dict(encoder.model.named_parameters())
    assert all(torch.equal(first[name], w) for name, w in again.model.named_parameters())
    assert not torch.equal(
        first["text.token_embedding.weight"], other.model.text.token_embedding.weight
    )


def test_the_scale_starts_at_the_recipes_temperature(encoder):
    assert encoder.model.logit_scale.item() == pytest.approx(math.log(1 / 0.02))


@torch.no_grad()
def test_a_trimmed_context_gives_the_same_features(encoder):
    texts = ["no edema", "a rather long sentence on a small left pleural effusion", ""]
    tokens = torch.stack([encoder.tokenize(text) for text in texts])
    short = build.trim(tokens, encoder)
    assert tokens.shape == (3, 48)
    assert short.shape[1] < 16
    whole, cut = (encoder.model.encode_text(each, normalize=True) for each in (tokens, short))
    assert torch.allclose(whole, cut, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            ModelConfig("cxr-huge"),
            "'cxr-huge' is neither in train/model/configs nor known to open_clip",
        ),
        (
            ModelConfig("cxr-tiny", "nobodys-weights"),
            "'nobodys-weights' for cxr-tiny: neither a",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_is_named(model, message):
    with pytest.raises(ConfigError, match=message):
        build.build(model, seed=0)


def test_weights_of_another_model_fail(encoder, tmp_path):
    with pytest.raises(ConfigError, match="no such weights"):
        build.load_weights(encoder.model, tmp_path / "model.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="weights of another model"):
        build.load_weights(encoder.model, tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", ["cxrclip", "carzero", "offclip"])
def test_a_missing_transformers_package_is_reported_before_any_download(name, monkeypatch):
    monkeypatch.setattr(build, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match="pip install transformers"):
        build.build(load(name).model, seed=0)


def test_an_image_tower_is_filled_from_a_checkpoint_of_its_own(encoder, tmp_path):
    path = tmp_path / "tower.safetensors"
    recipe = replace(TINY, image=str(path))
    state = encoder.model.visual.trunk.state_dict()
    weights = {key: (value + 1).contiguous() for key, value in state.items()}
    save_file(weights | {"fc.weight": torch.zeros(7, 3)}, path)  # its old classifier
    filled = build.build(recipe, seed=0).model.visual.trunk.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in filled.items())
    for odd, message in (
        (weights | {"blocks.0": torch.zeros(1)}, "another tower: 0 weights are missing, 1 are not"),
        (weights | {"head.bias": torch.zeros(7)}, "another tower: size mismatch"),
    ):
        save_file(odd, path)
        with pytest.raises(ConfigError, match=message):
            build.build(recipe, seed=0)
    with pytest.raises(ConfigError, match=r"none\.pt is not a file"):
        build.build(replace(TINY, image=str(tmp_path / "none.pt")), seed=0)


@torch.no_grad()
@pytest.mark.parametrize("layers", [0, 1])
def test_a_hugging_face_text_tower_from_a_folder(bert, layers):
    fusing = FusionConfig(layers=layers, heads=2, width=32, hidden=32)
    recipe = ModelConfig("cxr-tiny-vit", text=bert, text_weights=False, fusion=fusing)
    encoder = build.build(recipe, seed=0)
    tokens = torch.stack([encoder.tokenize(text) for text in ("no edema", "small effusion", "no")])
    assert tokens.shape == (3, 48)
    model = encoder.model.eval()
    assert model.encode_text(tokens).shape == (3, 64)
    short = build.trim(tokens, encoder)
    assert short.shape == (3, 4)  # [CLS] no edema [SEP]
    assert torch.allclose(model.encode_text(short), model.encode_text(tokens), atol=1e-6)
    if layers:
        said = text_tokens(model.text, tokens)
        assert said.mask.sum(dim=1).tolist() == [4, 4, 3]
        assert torch.allclose(said.whole, model.encode_text(tokens), atol=1e-6)


def test_a_text_tower_with_too_few_positions_is_refused(bert):
    config = Path(bert) / "config.json"
    config.write_text(config.read_text().replace("512", "32"))
    with pytest.raises(ConfigError, match="reads 32 tokens at most, and cxr-tiny-vit gives it 48"):
        build.build(ModelConfig("cxr-tiny-vit", text=bert, text_weights=False), seed=0)


@torch.no_grad()
def test_the_end_pooler_reads_the_last_token():
    shown = SimpleNamespace(last_hidden_state=torch.arange(24.0).view(2, 4, 3))
    there = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    assert EndPooler()(shown, there).tolist() == [[6.0, 7.0, 8.0], [15.0, 16.0, 17.0]]
