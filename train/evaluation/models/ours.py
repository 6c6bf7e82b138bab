"""Loads a model that `cxr-vlp fit` wrote."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.evaluation.scoring import MODEL, RECIPE, load


def model(folder: Path) -> EncoderModel:
    """Return the model in a folder of `cxr-vlp fit`. Raises ConfigError where there is none."""
    recipe, encoder = load(folder)
    used = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    with (folder / MODEL).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {
        "kind": "ours",
        "recipe": recipe.name,
        "architecture": recipe.model.name,
        "seed": used["seed"],
        "pretrained": used["pretrained"],
    }
    return EncoderModel(encoder, recipe.image, recipe.name, digest, facts)
