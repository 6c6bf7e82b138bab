"""A recipe's model section comes in, two towers with their tokenizer go out, through open_clip.

Our own small configurations lie in `train/models/*.json` and are known to open_clip by their
file's name; every name open_clip knows itself works too, with one of its weight tags or a
checkpoint on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import train.towers  # noqa: F401 - registers our tower with timm
from train.errors import ConfigError
from train.recipe import Model

CONFIGS = Path(__file__).with_name("models")


@dataclass(frozen=True, slots=True)
class Towers:
    """A model of open_clip, the side of its square in pixels, and its tokenizer for one text.

    `tokenize` gives (context,) int64. `trims`: whether the text tower takes a shorter context.
    """

    model: nn.Module
    size: int
    tokenize: Callable[[str], Tensor]
    trims: bool


def build(recipe: Model, seed: int) -> Towers:
    """Return the towers on the CPU, float32; random weights follow from `seed` alone.

    Raises ConfigError for a name that open_clip does not know and for weights that cannot be had.
    """
    open_clip.add_model_config(CONFIGS)
    if recipe.name not in open_clip.list_models() and ":" not in recipe.name:
        raise ConfigError(
            f"model.name: {recipe.name!r} is neither in train/models nor known to open_clip"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _create(recipe)
    if not recipe.pretrained:
        with torch.no_grad():
            model.logit_scale.fill_(math.log(1 / recipe.init_scale))
    # Channels last: a small convolutional tower takes half the time on a CPU.
    model.visual.to(memory_format=torch.channels_last)
    size = model.visual.image_size
    trims = _trims(model)
    if trims:
        model.text.transformer.register_forward_pre_hook(_fit_mask, with_kwargs=True)
    return Towers(
        model=model,
        size=size[0] if isinstance(size, tuple | list) else size,
        tokenize=partial(_tokenize, open_clip.get_tokenizer(recipe.name)),
        trims=trims,
    )


def trim(tokens: Tensor, towers: Towers) -> Tensor:
    """Return the tokens up to the longest text's end, where the tower takes a shorter context.

    With causal attention and pooling at the end token, what stands behind it changes nothing; a
    short impression then costs a fraction of the 77 columns.
    """
    if not towers.trims:
        return tokens
    return tokens[:, : int(tokens.argmax(dim=1).max()) + 1]


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a model from a safetensors file; a file of another model fails with what differs."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such weights; has train.fit written this folder?")
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise ConfigError(f"{path}: weights of another model than its recipe.json names") from error


def _create(recipe: Model) -> Any:
    try:
        return open_clip.create_model(recipe.name, pretrained=recipe.pretrained or None)
    except (RuntimeError, OSError, ValueError) as error:
        if not recipe.pretrained:
            raise ConfigError(f"model.name: {recipe.name!r} cannot be built: {error}") from error
        raise ConfigError(
            f"model.pretrained: {recipe.pretrained!r} for {recipe.name} is neither a file "
            "nor a tag whose weights can be had here. Without a network, fetch them elsewhere and "
            'give the file, or set model.pretrained to "" for random weights'
        ) from error


def _tokenize(tokenizer: Any, text: str) -> Tensor:
    tokens: Tensor = tokenizer([text])[0]
    return tokens


def _trims(model: Any) -> bool:
    # The plain CLIP class adds its position table at full length; the separate tower slices it.
    tower = getattr(model, "text", None)
    causal = getattr(tower, "attn_mask", None) is not None
    return causal and getattr(tower, "pool_type", "") == "argmax"


def _fit_mask(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    # open_clip slices the position table to the text's length, but not the causal mask.
    length = args[0].shape[1]
    return args, {**kwargs, "attn_mask": kwargs["attn_mask"][:length, :length]}
