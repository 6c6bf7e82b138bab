"""Loads a trained model and computes the scores of every image in the shards.

With each row of scores goes what an evaluation needs of the image: source, patient, label row, and
the hash of its key. Each batch is scored when it is read: a fusion's tokens are too many to keep.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train import cli
from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.config.sections import build
from cxr_vlp.train.data.batches import Batch, to_input
from cxr_vlp.train.data.loader import Loading, in_order
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import Counts, shown, view
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.zeroshot import Score
from cxr_vlp.train.model import label_head
from cxr_vlp.train.model.build import DualEncoder, bare, load_weights, quiet
from cxr_vlp.train.model.build import build as build_encoder

BATCH = 64
MODEL, RECIPE = "model.safetensors", "recipe.json"
# The names of version 0.3, so that its models can still be evaluated: (section, key) -> key.
OLD_KEYS = {("image", "pictures"): "count", ("text", "texts"): "count"}


@dataclass(frozen=True, slots=True)
class ScoredImages:
    """N images: hashed keys, sources, patients, label rows, and scores (N, L) for L labels."""

    keys: tuple[str, ...]
    sources: tuple[str, ...]
    patients: tuple[str, ...]
    rows: tuple[dict[str, int], ...]
    scores: torch.Tensor
    seen: Counts = field(default_factory=dict)  # of all images read: source -> view -> images


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


@torch.no_grad()
def scored(
    score: Score,
    shards: Sequence[Shard],
    loading: Loading,
    views: Sequence[str],
    limit: int,
    device: torch.device,
) -> ScoredImages:
    """Return the scores of all images of the views (none named: all views), source by source.

    `limit`: about this many images of each source are read; 0: all.
    """
    batches: list[tuple[str, Batch, list[int], torch.Tensor]] = []
    with cli.progress() as bar:
        task = bar.add_task("evaluating", total=sum(shard.samples for shard in shards))
        for source, batch in _batches(shards, loading, limit):
            inputs = to_input(batch.images[0].to(device), loading.recipe.image)
            wanted = [i for i, sample in enumerate(batch.samples) if shown(sample, views)]
            batches.append((source, batch, wanted, score(inputs)[wanted].double().cpu()))
            bar.advance(task, len(batch))
    return _joined(batches, views)


def _batches(shards: Sequence[Shard], loading: Loading, limit: int) -> Iterable[tuple[str, Batch]]:
    for source in sorted({shard.source for shard in shards}):
        seen = 0
        mine = [shard for shard in shards if shard.source == source]
        for batch in in_order(mine, loading, min(BATCH, limit or BATCH)):
            yield source, batch
            seen += len(batch)
            if limit and seen >= limit:
                break


def _joined(
    batches: Sequence[tuple[str, Batch, list[int], torch.Tensor]], views: Sequence[str]
) -> ScoredImages:
    taken = [(source, batch, i) for source, batch, wanted, _ in batches for i in wanted]
    if not taken:
        raise ConfigError(f"no image of the views {', '.join(views) or '(any)'} in these shards")
    seen: dict[str, Counter[str]] = {}
    for source, batch, *_ in batches:
        seen.setdefault(source, Counter()).update(map(view, batch.samples))
    samples = [batch.samples[i] for _, batch, i in taken]
    sources = tuple(source for source, _, _ in taken)
    return ScoredImages(
        keys=tuple(key_hash(batch.keys[i]) for _, batch, i in taken),
        sources=sources,
        # A patient's id is unique only in its source.
        patients=tuple(
            f"{source}/{sample.patient}" for source, sample in zip(sources, samples, strict=True)
        ),
        rows=tuple(dict(sample.all_labels) for sample in samples),
        scores=torch.cat([scores for *_, scores in batches]),
        seen=seen,
    )
