"""Builds the dual encoder (image tower, text tower, tokenizer) of a recipe with open_clip.

Our own configurations are in `train/model/configs/*.json`; their names are the names of the
files. Every name of open_clip works too, with one of its weight tags or with a checkpoint on disk.
Image towers of timm and text towers of Hugging Face are named in such a configuration, or, for the
text, in the recipe.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from safetensors.torch import load_file
from torch import Tensor, nn

import cxr_vlp.train.model.architectures  # noqa: F401 - registers our tower and pooler
from cxr_vlp.train.config.recipe import ModelConfig
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.fusion import Fusion
from cxr_vlp.train.model.tokenizer import cached
from cxr_vlp.train.model.tower_tokens import widths

CONFIGS = Path(__file__).with_name("configs")
FIRST_BIAS = -10.0  # of a learnt logit bias: at first hardly any pair is a match (as SigLIP)


@dataclass(frozen=True, slots=True)
class DualEncoder:
    """A model of open_clip, the side of its input in pixels, and its tokenizer for one text.

    `tokenize` returns (context,) int64. `ends` returns how many columns of tokens (..., L) hold
    text; None: the text tower needs the whole context.
    """

    model: nn.Module
    size: int
    tokenize: Callable[[str], Tensor]
    ends: Callable[[Tensor], int] | None


def build(recipe: ModelConfig, seed: int) -> DualEncoder:
    """Return the dual encoder on the CPU, float32; random weights depend on `seed` alone.

    A fusion, where the recipe has one, is the model's submodule `fusion`. Raises ConfigError for a
    name that open_clip does not know, and for weights that cannot be loaded.
    """
    _known(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _create(recipe)
        _check_positions(recipe, model)
        if _is_causal(getattr(model, "text", None)):
            for block in model.text.transformer.resblocks:
                block.register_forward_pre_hook(_fit_mask, with_kwargs=True)
        size = model.visual.image_size
        side = size[0] if isinstance(size, tuple | list) else size
        if recipe.fusion.layers:
            model.fusion = Fusion(recipe.fusion, widths(model, side))
    if not recipe.pretrained:
        with torch.no_grad():
            model.logit_scale.fill_(math.log(1 / recipe.init_scale))
    # Channels last: a small convolutional tower then takes half the time on a CPU.
    model.visual.to(memory_format=torch.channels_last)
    return DualEncoder(model, side, partial(tokenize_with, _tokenizer(recipe)), _ends(model))


def tokenizer(recipe: ModelConfig) -> Callable[[str], Tensor]:
    """Return the tokenizer of a recipe's text tower, a text to (context,) int64, without a tower.

    Raises ConfigError for a name that open_clip does not know.
    """
    _known(recipe)
    return partial(tokenize_with, _tokenizer(recipe))


def side(recipe: ModelConfig) -> int:
    """Return the side in pixels of the squares that a recipe's image tower takes.

    Raises ConfigError for a name that open_clip does not know.
    """
    _known(recipe)
    config = open_clip.get_model_config(recipe.name) or {}
    size = config.get("vision_cfg", {}).get("image_size")
    if size is None:
        raise ConfigError(f"model.name: {recipe.name!r} names no image size: give one")
    return int(size[0] if isinstance(size, tuple | list) else size)


def bare(recipe: ModelConfig) -> ModelConfig:
    """Return the section without pretrained weights: for a model that is filled from a file."""
    return replace(recipe, pretrained="", image="", text_weights=False)


def trim(tokens: Tensor, encoder: DualEncoder) -> Tensor:
    """Return tokens (..., L) cut after the longest text, where the tower takes a shorter context.

    With causal attention and pooling at the end token (CLIP), and where padding is masked (Hugging
    Face), the columns after the end change nothing. A short impression then takes a fraction of the
    77 or 256 columns.
    """
    return tokens if encoder.ends is None else tokens[..., : encoder.ends(tokens)]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence open_clip in the block: it calls weights random that are loaded afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights from a safetensors file. Raises ConfigError for another model's file."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such weights; give the folder that cxr-vlp fit wrote")
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise ConfigError(f"{path}: weights of another model than its recipe.json names") from error


def _known(recipe: ModelConfig) -> None:
    open_clip.add_model_config(CONFIGS)
    if recipe.name not in open_clip.list_models() and ":" not in recipe.name:
        raise ConfigError(
            f"model.name: {recipe.name!r} is neither in train/model/configs nor known to open_clip"
        )


def _create(recipe: ModelConfig) -> Any:
    _check_transformers(recipe)
    more: dict[str, Any] = {"init_logit_bias": FIRST_BIAS} if recipe.bias else {}
    if recipe.text:
        more["text_cfg"] = _text_config(recipe)
    try:
        model = open_clip.create_model(
            recipe.name,
            pretrained=recipe.pretrained or None,
            # The plain CLIP class holds its text tower in parts; a fusion needs it as one module.
            force_custom_text=bool(recipe.fusion.layers or recipe.text),
            pretrained_image=recipe.image == "timm",
            pretrained_text=recipe.text_weights,
            **more,
        )
    except (RuntimeError, OSError, ValueError, ImportError) as error:
        raise _unavailable(recipe, error) from error
    if recipe.image not in ("", "timm"):
        _load_image(model.visual, Path(recipe.image))
    return model


def _unavailable(recipe: ModelConfig, error: Exception) -> ConfigError:
    """Return the error for a model that open_clip could not build."""
    wanted = [each for each in (recipe.pretrained, recipe.image, recipe.text) if each]
    if not wanted:
        return ConfigError(f"model.name: {recipe.name!r} cannot be built: {error}")
    return ConfigError(
        f"model: {', '.join(map(repr, wanted))} for {recipe.name}: neither a file or folder nor "
        "a name whose weights can be loaded here. Without a network, download them elsewhere and "
        'give the path in model.pretrained, model.image or model.text, or set them to "" for '
        "random weights (HF_HUB_OFFLINE=1 avoids the wait for the network)"
    )


def _check_transformers(recipe: ModelConfig) -> None:
    # First of all: open_clip would download the image tower's weights before it fails.
    config = open_clip.get_model_config(recipe.name) or {}
    wanted = recipe.text or config.get("text_cfg", {}).get("hf_model_name", "")
    if wanted and find_spec("transformers") is None:
        raise ConfigError(
            f"model {recipe.name}: the text tower {wanted!r} is a Hugging Face model and needs the "
            "package transformers: pip install transformers"
        )


def _check_positions(recipe: ModelConfig, model: Any) -> None:
    """Raise ConfigError for a Hugging Face text tower that reads fewer tokens than the context."""
    tower = getattr(model, "text", None)
    if not isinstance(tower, HFTextEncoder):
        return
    positions = getattr(tower.config, "max_position_embeddings", None)
    context = open_clip.get_model_config(recipe.name)["text_cfg"].get("context_length", 0)
    if positions and positions < context:
        raise ConfigError(
            f"the text tower {tower.config._name_or_path!r} reads {positions} tokens at most, and "
            f"{recipe.name} gives it {context}, its configuration's context_length"
        )


def _text_config(recipe: ModelConfig) -> dict[str, Any]:
    own = open_clip.get_model_config(recipe.name)["text_cfg"]
    kept = {key: own[key] for key in ("context_length", "hf_pooler_type") if key in own}
    return {
        "hf_proj_type": "linear",
        **kept,
        "hf_model_name": recipe.text,
        "hf_tokenizer_name": recipe.text,
        "hf_model_pretrained": recipe.text_weights and not recipe.pretrained,
    }


def _load_image(visual: Any, path: Path) -> None:
    """Load the image tower's weights from a checkpoint; only its old classifier may be unused."""
    if not path.is_file():
        raise ConfigError(f"model.image: {path} is not a file")
    tower = getattr(visual, "trunk", visual)
    state = open_clip.factory.load_state_dict(str(path), device="cpu")
    try:
        result = tower.load_state_dict(state, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"model.image: {path} is a checkpoint of another tower: {reason}"
        ) from None
    heads = ("fc.", "head.", "classifier.")
    odd = [name for name in result.unexpected_keys if not name.startswith(heads)]
    if result.missing_keys or odd:
        raise ConfigError(
            f"model.image: {path} is a checkpoint of another tower: "
            f"{len(result.missing_keys)} weights are missing, {len(odd)} are not known"
        )


def _tokenizer(recipe: ModelConfig) -> Any:
    if not recipe.text:
        found = open_clip.get_tokenizer(recipe.name)
        return cached(found) if isinstance(found, SimpleTokenizer) else found
    return HFTokenizer(recipe.text, context_length=_text_config(recipe)["context_length"])


def tokenize_with(tokenizer: Any, text: str) -> Tensor:
    """Return the tokens (context,) int64 of one text, with a tokenizer of open_clip."""
    tokens: Tensor = tokenizer([text])[0]
    return tokens


def _ends(model: Any) -> Callable[[Tensor], int] | None:
    padded = padding_end(model)
    tower = getattr(model, "text", None)
    return padded or (_end_token if _is_causal(tower) else None)


def padding_end(model: Any) -> Callable[[Tensor], int] | None:
    """Return the `ends` of a Hugging Face text tower, which masks its padding; else None."""
    tower = getattr(model, "text", None)
    if not isinstance(tower, HFTextEncoder):
        return None
    return partial(_padding, tower.config.pad_token_id)


def _is_causal(tower: Any) -> bool:
    # The plain CLIP class adds its position table at full length; the separate tower slices it.
    causal = getattr(tower, "attn_mask", None) is not None
    return causal and getattr(tower, "pool_type", "") == "argmax"


def _end_token(tokens: Tensor) -> int:
    return int(tokens.argmax(dim=-1).max()) + 1  # the end token has the highest number


def _padding(pad: int, tokens: Tensor) -> int:
    used = (tokens != pad).flatten(0, -2).any(dim=0)
    return int(used.nonzero().max()) + 1


def _fit_mask(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    # open_clip cuts the position table to the text's length, but not the causal mask.
    length = args[0].shape[1]
    return args, {**kwargs, "attn_mask": kwargs["attn_mask"][:length, :length]}
