"""The fusion: which query gets which logit, what padding changes, which towers it accepts."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from cxr_vlp.train.config.recipe import FusionConfig, ModelConfig
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model import build
from cxr_vlp.train.model.fusion import Fusion, Tokens, Widths
from cxr_vlp.train.model.tower_tokens import image_tokens, text_tokens

SHAPE = FusionConfig(layers=2, heads=2, width=24, hidden=64, dropout=0.1)


def fusion(*widths: int) -> Fusion:
    torch.manual_seed(0)
    return Fusion(SHAPE, Widths(*(widths or (8, 6, 24)))).double().eval()


def tokens(rows: int, parts: int, whole: int, width: int, seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return Tokens(
        torch.randn(rows, whole, generator=generator).double(),
        torch.randn(rows, parts, width, generator=generator).double(),
        torch.ones(rows, parts, dtype=torch.bool),
    )


def images(rows: int) -> Tokens:
    return tokens(rows, 5, 8, 6, seed=1)


def texts(rows: int) -> Tokens:
    return tokens(rows, 7, 8, 24, seed=2)


def test_a_logit_is_that_of_its_own_image_and_text_alone():
    module, three, four = fusion(), images(3), texts(4)
    whole = module(three, four)
    assert (whole.image_to_text.shape, whole.text_to_image.shape) == ((3, 4), (4, 3))
    for i in range(3):
        for t in range(4):
            alone = module(
                Tokens(*(x[i : i + 1] for x in three)), Tokens(*(x[t : t + 1] for x in four))
            )
            assert torch.allclose(alone.image_to_text[0, 0], whole.image_to_text[i, t])
            assert torch.allclose(alone.text_to_image[0, 0], whole.text_to_image[t, i])


def test_the_logits_differ_between_images_and_between_texts():
    for logits in fusion()(images(3), texts(4)):
        assert logits.std(dim=0).min() > 1e-4
        assert logits.std(dim=1).min() > 1e-4


def test_padding_changes_nothing():
    module, said = fusion(), texts(4)
    padded = Tokens(
        said.whole,
        torch.cat([said.parts, torch.full((4, 3, 24), 9.0).double()], dim=1),
        torch.cat([said.mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1),
    )
    for one, other in zip(module(images(3), said), module(images(3), padded), strict=True):
        assert torch.allclose(one, other)


def test_tokens_as_wide_as_the_fusion_go_in_as_they_are():
    names = {name.split(".")[0] for name, _ in fusion(24, 24, 24).named_parameters()}
    assert names == {"norm", "layers", "head"}


def test_carzero_itself_has_the_papers_shape():
    module = Fusion(FusionConfig(layers=4), Widths(768, 768, 768))
    linear = [each for each in module.head if isinstance(each, torch.nn.Linear)]
    assert [each.out_features for each in linear] == [1024, 512, 256, 1]
    layer = module.layers[3]
    assert (layer.attention.num_heads, layer.inner[0].out_features) == (4, 1024)
    attention = layer.attention
    drawn = [linear[0], layer.inner[0], layer.inner[3], attention.out_proj]
    for weight in [each.weight for each in drawn] + [attention.in_proj_weight]:
        assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert linear[0].bias.abs().max() > 0, "torch's own start: uniform, not zero"
    assert not attention.in_proj_bias.any()


def test_carzeros_one_norm_is_on_queries_memory_and_output():
    module = fusion(24, 24, 24)
    norms = [n for n, each in module.named_modules() if isinstance(each, torch.nn.LayerNorm)]
    inside = [f"layers.{i}.{name}" for i in range(2) for name in ("before", "between")]
    assert sorted(norms) == sorted(["norm", *inside])
    seen: list[tuple[int, ...]] = []
    module.norm.register_forward_hook(lambda _, given, out: seen.append(tuple(given[0].shape)))
    module(tokens(3, 5, 24, 24, seed=1), tokens(4, 7, 24, 24, seed=2))
    once = [(4, 24), (3, 6, 24), (3, 4, 24)]  # four texts ask three images of 1 + 5 tokens
    assert seen == [*once, (3, 24), (4, 8, 24), (4, 3, 24)]


def test_dropout_is_where_carzero_has_it():
    module = Fusion(FusionConfig(layers=1, dropout=0.3), Widths(768, 768, 768))
    found = [name for name, each in module.named_modules() if isinstance(each, torch.nn.Dropout)]
    assert found == ["layers.0.inner.2", "layers.0.drop", "head.0", "head.3", "head.6", "head.9"]
    assert module.layers[0].attention.dropout == 0.3


def test_a_fusion_of_version_0_7_is_refused_with_the_remedy(tmp_path):
    encoder = build.build(ModelConfig("cxr-tiny", fusion=SHAPE), seed=0)
    old = {
        n.replace("fusion.norm", "fusion.asking"): w for n, w in encoder.model.state_dict().items()
    }
    save_file(
        {name: weight.contiguous() for name, weight in old.items()}, tmp_path / "m.safetensors"
    )
    with pytest.raises(ConfigError, match=r"version 0\.7 or earlier.*train the model again"):
        build.load_weights(encoder.model, tmp_path / "m.safetensors")


@torch.no_grad()
@pytest.mark.parametrize(
    "name",
    ["cxr-tiny", "cxr-tiny-vit", "ViT-S-32-alt", pytest.param("RN50", marks=pytest.mark.slow)],
)
def test_any_tower_that_shows_its_tokens_can_be_fused(name):
    encoder = build.build(ModelConfig(name, fusion=SHAPE), seed=0)
    model = encoder.model.eval()
    shown = torch.randn(2, 3, encoder.size, encoder.size)
    words = torch.stack([encoder.tokenize(text) for text in ("no edema", "a small effusion")])
    image, text = image_tokens(model.visual, shown), text_tokens(model.text, words)
    assert torch.allclose(image.whole, model.encode_image(shown), atol=1e-5)
    assert torch.allclose(text.whole, model.encode_text(words), atol=1e-5)
    assert text.mask.sum(dim=1).tolist() == [5, 6]
    assert model.fusion(image, text).image_to_text.shape == (2, 2)
