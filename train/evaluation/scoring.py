"""Loads a model that `cxr-vlp fit` wrote, of version 0.3 or later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.config.sections import build
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model import label_head
from cxr_vlp.train.model.build import DualEncoder, bare, load_weights, quiet
from cxr_vlp.train.model.build import build as build_encoder

MODEL, RECIPE = "model.safetensors", "recipe.json"
# The names of version 0.3, so that its models can still be evaluated: (section, key) -> key.
OLD_KEYS = {("image", "pictures"): "count", ("text", "texts"): "count"}


def load(folder: Path) -> tuple[Recipe, DualEncoder]:
    """Return the recipe and the dual encoder from a folder that `cxr-vlp fit` wrote.

    The model is in evaluation mode, on the GPU where there is one. Raises ConfigError where the
    folder holds no such model.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; give the folder that cxr-vlp fit wrote")
    used = json.loads(path.read_text(encoding="utf-8"))
    recipe = build(Recipe, _renamed(used["recipe"]), str(path))
    # The pretrained weights are not needed: the trained ones replace them.
    with quiet():
        encoder = build_encoder(bare(recipe.model), used["seed"])
    if used.get("labels"):
        label_head.attach(encoder.model, used["labels"], used["seed"])
    load_weights(encoder.model, folder / MODEL)
    encoder.model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return recipe, encoder


def _renamed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe with today's names of its keys."""
    return {
        section: {OLD_KEYS.get((section, key), key): value for key, value in values.items()}
        if isinstance(values, Mapping)
        else values
        for section, values in recipe.items()
    }
