"""CXR-CLIP's checkpoint under our names; whose names a checkpoint has."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from torch import nn

from cxr_vlp.train.data.batches import to_input
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models import layouts
from cxr_vlp.train.evaluation.models.open_clip_model import Request, model
from cxr_vlp.train.evaluation.models.preprocessing import PUBLISHED
from cxr_vlp.train.model.build import CONFIGS

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers", reason="CXR-CLIP's text tower is a BERT")


class Projection(nn.Module):
    """A linear map with a bias, as CXR-CLIP's projection.py has it."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.projection = nn.Linear(before, after)


class TheirClip(nn.Module):
    """CXR-CLIP's model by the names of its clip.py, with a small BERT."""

    def __init__(self, bert: str) -> None:
        super().__init__()
        self.image_encoder = nn.Module()
        self.image_encoder.resnet = timm.create_model("resnet50", num_classes=0)
        config = transformers.AutoConfig.from_pretrained(bert)
        self.text_encoder = nn.Module()
        self.text_encoder.text_encoder = transformers.BertModel(config)
        self.image_projection, self.text_projection = Projection(2048, 16), Projection(32, 16)
        self.logit_scale = nn.Parameter(torch.tensor(3.0))

    def image(self, inputs: torch.Tensor) -> torch.Tensor:
        found = self.image_projection.projection(self.image_encoder.resnet(inputs))
        return nn.functional.normalize(found, dim=1)

    def text(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = (tokens != 0).long()
        states = self.text_encoder.text_encoder(tokens, attention_mask=mask)["last_hidden_state"]
        ends = states[torch.arange(len(states)), mask.sum(1) - 1]
        return nn.functional.normalize(self.text_projection.projection(ends), dim=1)


@pytest.fixture
def their(bert, tmp_path) -> tuple[TheirClip, Request]:
    torch.manual_seed(0)
    made = TheirClip(bert).eval()
    open_clip.add_model_config(CONFIGS)
    config = open_clip.get_model_config("cxrclip-resnet50")
    config["embed_dim"] = 16
    config["vision_cfg"]["image_size"] = 64
    config["text_cfg"] |= {"context_length": 16, "hf_model_name": bert, "hf_tokenizer_name": bert}
    file = tmp_path / f"small-cxrclip-{tmp_path.name}.json"  # a name is known to the whole process
    file.write_text(json.dumps(config))
    torch.save({"model": made.state_dict(), "epoch": 3}, tmp_path / "model-best.tar")
    return made, Request(str(file), str(tmp_path / "model-best.tar"))


@torch.no_grad()
def test_cxrclips_checkpoint_gives_its_features(their):
    theirs, request = their
    made = model(request)
    grey = torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)
    image = theirs.image(to_input(grey, made.image))
    assert torch.allclose(made.encode_images(grey).whole, image, atol=1e-5)
    tokens = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
    found = made.encode_texts(["no edema", "effusion"]).whole
    assert torch.allclose(found, theirs.text(tokens), atol=1e-6)
    assert made.scale == pytest.approx(torch.tensor(3.0).exp().item())
    # its own preprocessing, without a flag: the layout says whose it is
    assert made.image.transform == PUBLISHED["cxrclip"]


def test_cxrclips_swin_is_refused(their, tmp_path):
    _, request = their
    state = {"image_encoder.image_encoder.x": torch.zeros(1), "logit_scale": torch.zeros(())}
    torch.save({"model": state}, tmp_path / "swin.pt")
    with pytest.raises(ConfigError, match="another image tower than ResNet-50"):
        model(Request(request.name, str(tmp_path / "swin.pt")))


def test_cxrclips_weights_in_another_architecture(their, tmp_path):
    _, request = their
    towers = {"image_size": 64, "layers": 1, "width": 64, "head_width": 32, "patch_size": 32}
    words = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": towers, "text_cfg": words}
    (tmp_path / "plain-clip.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="--open-clip cxrclip-resnet50"):
        model(Request(str(tmp_path / "plain-clip.json"), request.pretrained))


def test_carzeros_checkpoint_is_refused_with_the_remedy(tmp_path: Path):
    state = {"CARZero.img_encoder.model.cls_token": torch.zeros(1)}
    torch.save({"state_dict": state}, tmp_path / "carzero.ckpt")
    with pytest.raises(ConfigError, match=r"a checkpoint of CARZero.*--scores"):
        model(Request("ViT-B-32", str(tmp_path / "carzero.ckpt")))


@pytest.mark.parametrize(
    ("names", "whose"),
    [
        (("visual.proj", "text_projection", "positional_embedding"), "openai"),
        (("visual.attnpool.positional_embedding", "text_projection"), "openai"),
        (("image_encoder.resnet.conv1.weight", "logit_scale"), "cxrclip"),
        (("image_encoder.resnet.conv1.weight",), "other"),
        (("visual.trunk.x", "text.proj"), "other"),
    ],
)
def test_whose_names(names, whose):
    assert layouts.layout(dict.fromkeys(names, torch.zeros(1))) == whose
