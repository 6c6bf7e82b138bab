"""Patch features: what a tower's head gives for one patch, and where a planted square is found."""

from __future__ import annotations

import pytest
import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from cxr_vlp.train.config.recipe import FusionConfig, ImageConfig, ModelConfig
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.model import build, patches
from cxr_vlp.train.model.fusion import Tokens


def transformer(**changes) -> VisionTransformer:
    torch.manual_seed(0)
    shape = {"image_size": 32, "patch_size": 8, "width": 24, "layers": 2, "heads": 2}
    tower = VisionTransformer(**shape, mlp_ratio=2.0, output_dim=16, **changes).eval()
    nn.init.normal_(tower.ln_post.weight)
    return tower


def timm(name: str, pool: str, proj: str = "linear", **more) -> TimmModel:
    torch.manual_seed(0)
    return TimmModel(name, 16, image_size=64, pool=pool, proj=proj, **more).eval()


def images(size: int = 32, rows: int = 3) -> Tensor:
    return torch.randn(rows, 3, size, size, generator=torch.Generator().manual_seed(1))


TOWERS = {
    "a class token": (lambda: transformer(), 32, 16),
    "the mean of the patches": (lambda: transformer(pool_type="avg"), 32, 16),
    "the norm after the mean": (
        lambda: transformer(pool_type="avg", final_ln_after_pool=True), 32, 16,
    ),
    "CoCa's attention": (
        lambda: transformer(attentional_pool=True, attn_pooler_queries=4, attn_pooler_heads=2),
        32, 16,
    ),
    "CLIP's ResNet": (lambda: ModifiedResNet((1, 1, 1, 1), 16, 4, image_size=64, width=8), 64, 4),
    "timm's ResNet": (lambda: timm("resnet18", "avg"), 64, 4),
    "timm's ViT, class token": (
        lambda: timm("vit_tiny_patch16_224", "token"), 224, 196,
    ),
    "timm's Swin, channels last": (
        lambda: timm("swin_tiny_patch4_window7_224", "avg"), 224, 49,
    ),
    "our own tower": (lambda: timm("cxr_small", "", ""), 96, 36),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if "Swin" in n else []) for n in TOWERS],
)
@torch.no_grad()
def test_every_tower_has_as_many_patches_as_its_grid_and_its_own_image_feature(name):
    make, size, count = TOWERS[name]
    tower, batch = make().eval(), images(size, 2)
    assert patches.available(tower)
    found = patches.features(tower, batch)
    assert found.parts.shape == (2, count, 16)
    expected = tower(batch)
    assert torch.allclose(found.whole, expected, atol=1e-5)
    assert (found.parts[0] - found.parts[1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["the mean of the patches", "timm's ResNet"])
@torch.no_grad()
def test_the_mean_of_the_patches_is_the_image_feature_of_a_tower_that_averages(name):
    make, size, _ = TOWERS[name]
    found = patches.features(make().eval(), images(size))
    assert torch.allclose(found.parts.mean(dim=1), found.whole, atol=1e-5)


@torch.no_grad()
def test_an_image_that_is_the_same_everywhere_has_patches_like_itself():
    tower = timm("cxr_small", "", "")
    maps = torch.rand(2, 96, 1, 1).expand(-1, -1, 6, 6)
    whole, parts = tower.trunk.forward_head(maps), tower.trunk.forward_patches(maps)
    assert torch.allclose(parts, whole[:, None].expand_as(parts), atol=1e-5)


@torch.no_grad()
def test_attention_with_one_token_gives_that_tokens_value():
    tower = TOWERS["CLIP's ResNet"][0]().eval()
    pool = tower.attnpool
    maps = tower.forward_intermediates(images(64), indices=1)["image_intermediates"][-1]
    token = maps[1, :, 1, 0] + pool.positional_embedding[1 + 2]  # row 1, column 0 of 2 x 2
    expected, _ = nn.functional.multi_head_attention_forward(
        token[None, None], token[None, None], token[None, None], 256, 4, None,
        torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]), None, None, False, 0.0,
        pool.c_proj.weight, pool.c_proj.bias, use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight, k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
    )  # fmt: skip
    found = patches.features(tower, images(64)).parts[1, 2]
    assert torch.allclose(found, expected[0, 0], atol=1e-5)


def test_towers_without_patches_are_known_and_refused_with_words():
    assert not patches.available(nn.Linear(2, 2))
    assert not patches.available(transformer(attentional_pool="parallel"))
    model = evaluated(build.build(ModelConfig(name="cxr-tiny"), seed=0))
    model.finer = False
    with pytest.raises(ConfigError, match="leave out the task grounding"):
        model.encode_images(torch.zeros(1, 1, 96, 96, dtype=torch.uint8), patches=True)


def evaluated(encoder: build.DualEncoder) -> EncoderModel:
    return EncoderModel(encoder, ImageConfig(), "trial", "", {})


@pytest.mark.parametrize("name", ["cxr-tiny", "cxr-tiny-vit"])
def test_the_maps_are_cosines_in_the_rows_and_columns_of_the_patches(name):
    model = evaluated(build.build(ModelConfig(name=name), seed=0))
    squares = torch.randint(0, 255, (2, 1, 96, 96), dtype=torch.uint8)
    found, texts = model.encode_images(squares, patches=True), model.encode_texts(["a", "b", "c"])
    maps = model.maps(found, texts)
    assert maps.shape == (2, 3, 6, 6)
    assert maps[1, 2, 1, 3] == pytest.approx(float(found.parts[1, 9] @ texts.whole[2]), abs=1e-6)
    plain = model.encode_images(squares)
    assert torch.allclose(found.whole, plain.whole, atol=1e-6)
    assert plain.parts.shape == (2, 0, plain.whole.shape[1])
    assert maps.abs().max() <= 1 + 1e-6


def fused() -> EncoderModel:
    shape = FusionConfig(layers=2, heads=2, width=24, hidden=64)
    return evaluated(build.build(ModelConfig(name="cxr-tiny-vit", fusion=shape), seed=0))


def test_the_maps_of_a_fusion_are_its_attention_without_the_images_own_token():
    model = fused()
    squares = torch.randint(0, 255, (2, 1, 96, 96), dtype=torch.uint8)
    found, texts = model.encode_images(squares), model.encode_texts(["one", "two words"])
    maps = model.maps(found, texts)
    assert maps.shape == (2, 2, 6, 6)
    assert (maps >= 0).all()
    sums = maps.sum(dim=(2, 3))
    assert (sums < 1).all()
    assert (sums > 0.5).all()  # untrained: 36 of 37 tokens get about the same
    assert torch.equal(model.similarity(found, texts), model.similarity(found, texts))


@torch.no_grad()
def test_attention_is_the_mean_over_heads_and_layers_by_hand():
    fusion = fused().model.fusion
    image = Tokens(torch.randn(1, 64), torch.randn(1, 4, 64), torch.ones(1, 4, dtype=torch.bool))
    text = Tokens(torch.randn(1, 64), torch.randn(1, 3, 64), torch.ones(1, 3, dtype=torch.bool))
    states = fusion.norm(fusion.text(text.whole))[None]
    parts = [fusion.image(image.whole)[:, None], fusion.patches(image.parts)]
    memory = fusion.norm(torch.cat(parts, dim=1))
    seen = []
    for layer in fusion.layers:
        seen.append(layer.attention(layer.before(states), memory, memory)[1][0, 0])
        states = layer(states, memory, torch.ones(1, 5, dtype=torch.bool))
    expected = torch.stack(seen).mean(dim=0)[1:]
    assert torch.allclose(fusion.attention(image, text)[0, 0], expected, atol=1e-6)


def test_a_trained_model_finds_a_planted_bright_square():
    """Trained to tell images with a bright square from those without, never where it is."""
    model = evaluated(build.build(ModelConfig(name="cxr-tiny"), seed=0))
    generator = torch.Generator().manual_seed(2)
    texts = model.encode_texts(["bright square", "nothing"]).whole
    model.model.visual.train()
    optimiser = torch.optim.Adam(model.model.visual.parameters(), 2e-3)
    for _ in range(25):
        batch, bright = planted(8, generator)
        features = nn.functional.normalize(model.model.visual(as_input(batch)), dim=-1)
        loss = nn.functional.cross_entropy(10 * features @ texts.T, (~bright).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.model.eval()
    square = torch.full((1, 1, 96, 96), 60, dtype=torch.uint8)
    square[..., 64:96, 0:32] = 230
    maps = model.maps(
        model.encode_images(square, patches=True), model.encode_texts(["bright square"])
    )
    row, column = divmod(int(maps[0, 0].flatten().argmax()), 6)
    assert row >= 3
    assert column <= 2


def as_input(batch: Tensor) -> Tensor:
    return ((batch.float() / 255 - 0.5) / 0.25).expand(-1, 3, -1, -1)


def planted(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return noise (rows, 1, 96, 96), half of it with a bright square, and which half."""
    batch = torch.randint(40, 90, (rows, 1, 96, 96), dtype=torch.uint8, generator=generator)
    bright = torch.arange(rows) % 2 == 0
    for i in range(0, rows, 2):
        y, x = torch.randint(0, 64, (2,), generator=generator).tolist()
        batch[i, :, y : y + 32, x : x + 32] = 230
    return batch, bright
