"""Loads a model that `cxr-vlp fit` wrote."""

from __future__ import annotations

import json
from pathlib import Path

from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.evaluation.models import checkpoints, preprocessing
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel, LabelEncoderModel
from cxr_vlp.train.evaluation.scoring import MODEL, RECIPE, load


def model(folder: Path) -> EncoderModel:
    """Return the model in a folder of `cxr-vlp fit`. Raises ConfigError where there is none."""
    used, encoder = load(folder)
    record = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    facts = {
        "kind": "ours",
        "recipe": used.name,
        "architecture": used.model.name,
        "seed": record["seed"],
        "pretrained": record["pretrained"],
        "trained_on": record.get("trained_on", {}),  # of version 0.8 and later
        "size": encoder.size,
        "transform": preprocessing.facts(used.image),
    }
    parts = (encoder, used.image, used.name, checkpoints.digest(folder / MODEL), facts)
    if not used.loss.weights.without_text:
        return EncoderModel(*parts)
    facts["labels"] = record["labels"]
    return LabelEncoderModel(*parts, labels=record["labels"])


def recipe(folder: Path) -> Recipe:
    """Return the recipe of a folder of `cxr-vlp fit`. Raises ConfigError where there is none."""
    return load(folder)[0]
