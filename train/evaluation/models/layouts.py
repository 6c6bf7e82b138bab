"""Recognises whose names the weights of a checkpoint have, and gives them the names of our model.

OpenAI's CLIP, CheXzero and open_clip name their weights alike; open_clip itself converts some
others. CXR-CLIP (kakaobrain/cxr-clip, model/clip.py) has its own names for what is here
`cxrclip-resnet50`. What was left out or is not known is an error with counts, and so is a weight of
another shape: open_clip resizes a position table to the size of the model and does not say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor, nn

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.build import quiet

State = dict[str, Tensor]
# of OpenAI's archives, no weights; and a table that transformers no longer stores
ASIDE = ("input_resolution", "context_length", "vocab_size")
POSITION_IDS = "embeddings.position_ids"
CXRCLIP = {
    "image_encoder.resnet.": "visual.trunk.",
    "image_projection.projection.": "visual.head.proj.",
    "text_encoder.text_encoder.": "text.transformer.",
    "text_projection.projection.": "text.proj.",
    "logit_scale": "logit_scale",
}
CXRCLIP_UNUSED = "text_encoder.text_encoder.pooler."  # BERT's own pooler, of which it makes no use


def layout(state: Mapping[str, Tensor]) -> str:
    """Return whose names the weights have: openai, cxrclip, carzero, or other.

    `openai` is the layout of OpenAI's CLIP, of CheXzero, and of open_clip's plain CLIP class.
    """
    if any(name.startswith("image_encoder.") for name in state) and "logit_scale" in state:
        return "cxrclip"
    if any(name.startswith(("CARZero.", "fusion_module.", "img_encoder.")) for name in state):
        return "carzero"
    if {"visual.proj", "text_projection", "positional_embedding"} <= state.keys():
        return "openai"
    if "visual.attnpool.positional_embedding" in state and "text_projection" in state:
        return "openai"
    return "other"


def check(state: Mapping[str, Tensor], where: str) -> None:
    """Raise ConfigError for weights that no architecture here takes, and for such as diverged."""
    remedy = "score the images with its own code, and give the table to --scores"
    found = layout(state)
    if found == "carzero":
        raise ConfigError(
            f"{where} is a checkpoint of CARZero, whose towers open_clip does not build: {remedy}"
        )
    if found == "cxrclip" and not any(n.startswith("image_encoder.resnet.") for n in state):
        raise ConfigError(
            f"{where} is a checkpoint of CXR-CLIP with another image tower than ResNet-50, which "
            f"alone can be read here: {remedy}"
        )
    odd = [n for n, v in state.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if odd:
        raise ConfigError(f"{where}: {_counted(sorted(odd), 'weights are not finite')}")


def fill(model: Any, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights into a model. Raises ConfigError where they are not exactly the model's."""
    converted = _converted(model, dict(state), where)
    own = model.state_dict()
    missing = sorted(own.keys() - converted.keys())
    unknown = sorted(converted.keys() - own.keys())
    if missing or unknown:
        raise ConfigError(
            f"{where} holds the weights of another model: {_counted(missing, 'missing')}, "
            f"{_counted(unknown, 'not known')}"
        )
    _check_shapes(own, converted, where)
    model.load_state_dict(converted)


def has_bias(state: Mapping[str, Tensor]) -> bool:
    """Return whether the weights hold a learnt logit bias (SigLIP)."""
    return "logit_bias" in state


def _converted(model: Any, state: State, where: str) -> State:
    if layout(state) == "cxrclip":
        return _of_cxrclip(model, state, where)
    state = {name: v for name, v in state.items() if name not in ASIDE}
    with quiet():
        state = convert_state_dict(model, state)
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if name in state and own is not None and state[name].numel() == own.numel():
            state[name] = state[name].reshape(own.shape)
    known = model.state_dict()
    return {n: v for n, v in state.items() if n in known or not n.endswith(POSITION_IDS)}


def _of_cxrclip(model: Any, state: State, where: str) -> State:
    if not hasattr(getattr(model, "visual", None), "head") or not hasattr(model, "text"):
        raise ConfigError(f"{where} is a checkpoint of CXR-CLIP: --open-clip cxrclip-resnet50")
    _add_biases(model)
    renamed: State = {}
    for name, value in state.items():
        if name.startswith(CXRCLIP_UNUSED) or name.endswith(POSITION_IDS):
            continue
        old = next((prefix for prefix in CXRCLIP if name.startswith(prefix)), "")
        renamed[CXRCLIP[old] + name.removeprefix(old) if old else name] = value
    return renamed


def _add_biases(model: Any) -> None:
    """Give both linear maps a bias, as CXR-CLIP's have; open_clip's configurations have none."""
    for parent in (model.visual.head, model.text):
        old = parent.proj
        if isinstance(old, nn.Linear) and old.bias is None:
            parent.proj = nn.Linear(old.in_features, old.out_features)


def _check_shapes(own: Mapping[str, Tensor], state: State, where: str) -> None:
    odd = [name for name, value in sorted(state.items()) if value.shape != own[name].shape]
    if not odd:
        return
    tables = [name for name in odd if name.endswith("positional_embedding")]
    first = (tables or odd)[0]
    sizes = f"{tuple(state[first].shape)} in the file, {tuple(own[first].shape)} in the model"
    about = ": it was trained for another image size, or context length" if tables else ""
    raise ConfigError(
        f"{where}: {len(odd)} weights have another shape than the model's, such as {first} "
        f"({sizes}){about}. Name the architecture that it was trained with in --open-clip"
    )


def _counted(names: list[str], what: str) -> str:
    shown = f" (such as {names[0]})" if names else ""
    return f"{len(names)} {what}{shown}"
