"""Reads what the site shows of a folder of `cxr-vlp fit`: its recipe and its losses."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.train.errors import ConfigError

Points = tuple[tuple[float, float], ...]
RECIPE, MODEL = "recipe.json", "model.safetensors"


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model: its folder, recipe, sha256 of its weights, and losses over the steps."""

    folder: Path
    recipe: dict[str, Any]
    digest: str
    loss: Points
    val_loss: Points

    @property
    def name(self) -> str:
        """The name of its recipe."""
        return str(self.recipe["name"])


def read(folder: Path) -> Trained:
    """Return a trained model. Raises ConfigError where the folder is none of `cxr-vlp fit`."""
    for name in (RECIPE, MODEL):
        if not (folder / name).is_file():
            raise ConfigError(f"{folder / name}: no such file; run cxr-vlp fit first")
    recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8"))["recipe"]
    with (folder / MODEL).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    losses = [_points(folder / "metrics" / f"{name}.tsv") for name in ("loss", "val_loss")]
    return Trained(folder, recipe, digest, *losses)


def _points(path: Path) -> Points:
    if not path.is_file():  # a training without validation shards has no validation loss
        return ()
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))[1:]
    return tuple((float(step), float(value)) for step, value in rows)
