"""A trained model's folder and shards come in, one row of scores an image goes out.

Beside each row stands what an evaluation needs of the image: source, patient, label row, and its
key as a hash. Scores are made as the images come by: a fusion's tokens are too many to keep.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train import cli
from cxr_vlp.train.config.build import build
from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.data.batches import Batch, to_input
from cxr_vlp.train.data.loader import Loading, in_order
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import Counts, shown, view
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.zeroshot import Score
from cxr_vlp.train.model import build as models

BATCH = 64
MODEL, RECIPE = "model.safetensors", "recipe.json"


@dataclass(frozen=True, slots=True)
class Images:
    """N images: who, what is known of them, and their scores (N, L) for L labels."""

    keys: tuple[str, ...]
    sources: tuple[str, ...]
    patients: tuple[str, ...]
    rows: tuple[dict[str, int], ...]
    scores: torch.Tensor
    seen: Counts = field(default_factory=dict)  # of those read: source -> view -> images


def load(folder: Path) -> tuple[Recipe, models.Towers]:
    """Return the recipe and the towers that `cxr-vlp fit` left in a folder, ready to encode."""
    path = folder / RECIPE
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; give the folder that cxr-vlp fit wrote")
    echo = json.loads(path.read_text(encoding="utf-8"))
    chosen = build(Recipe, echo["recipe"], str(path))
    # Its own weights follow: the pretrained ones need not be had again.
    towers = models.build(models.bare(chosen.model), echo["seed"])
    models.load_weights(towers.model, folder / MODEL)
    towers.model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return chosen, towers


@torch.no_grad()
def scored(
    score: Score,
    shards: Sequence[Shard],
    loading: Loading,
    views: Sequence[str],
    limit: int,
    device: torch.device,
) -> Images:
    """Return the scores of all images of the views (none named: all), source by source.

    `limit`: at most so many images a source are read; 0: all.
    """
    held: list[tuple[str, Batch, list[int], torch.Tensor]] = []
    with cli.progress() as bar:
        task = bar.add_task("evaluating", total=sum(shard.samples for shard in shards))
        for source, batch in _batches(shards, loading, limit):
            pictures = to_input(batch.images[0].to(device), loading.recipe.image)
            wanted = [i for i, row in enumerate(batch.samples) if shown(row, views)]
            held.append((source, batch, wanted, score(pictures)[wanted].double().cpu()))
            bar.advance(task, len(batch))
    return _gathered(held, views)


def _batches(shards: Sequence[Shard], loading: Loading, limit: int) -> Iterable[tuple[str, Batch]]:
    for source in sorted({shard.source for shard in shards}):
        seen = 0
        mine = [shard for shard in shards if shard.source == source]
        for batch in in_order(mine, loading, min(BATCH, limit or BATCH)):
            yield source, batch
            seen += len(batch)
            if limit and seen >= limit:
                break


def _gathered(
    held: Sequence[tuple[str, Batch, list[int], torch.Tensor]], views: Sequence[str]
) -> Images:
    taken = [(source, batch, i) for source, batch, wanted, _ in held for i in wanted]
    if not taken:
        raise ConfigError(f"no image of the views {', '.join(views) or '(any)'} in these shards")
    seen: dict[str, Counter[str]] = {}
    for source, batch, *_ in held:
        seen.setdefault(source, Counter()).update(map(view, batch.samples))
    samples = [batch.samples[i] for _, batch, i in taken]
    sources = tuple(source for source, _, _ in taken)
    return Images(
        keys=tuple(key_hash(batch.keys[i]) for _, batch, i in taken),
        sources=sources,
        # A patient's name is unique in its source alone.
        patients=tuple(
            f"{source}/{row.patient}" for source, row in zip(sources, samples, strict=True)
        ),
        rows=tuple(dict(row.all_labels) for row in samples),
        scores=torch.cat([scores for *_, scores in held]),
        seen=seen,
    )
