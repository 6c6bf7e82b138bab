"""A job comes in, what its first batch holds goes out: a table without text, a page with it.

OUT/batch.html   the pictures at the model's size, varied as in training, beside their drawn texts
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import jinja2
from torch import Tensor

from cxr_vlp.train import cli
from cxr_vlp.train.data.batches import Batch
from cxr_vlp.train.data.loader import Loading, training
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.engine.plan import Job, plan
from cxr_vlp.train.model.build import Towers

PAGE = "batch.html"


def run(job: Job, towers: Towers, world: int) -> None:
    """Write what a run on `world` processes would do and what its first batch holds."""
    steps = plan(job, world)
    loading = Loading(job.recipe, towers.size, towers.tokenize, job.seed)
    batch = next(iter(training(job.train, loading, 0, steps.batch_size)))
    grey = batch.images.float() / 255
    lengths = (batch.tokens != 0).sum(dim=-1)
    weights = sum(weight.numel() for weight in towers.model.parameters())
    run = job.recipe.run
    rows = [
        ("model", f"{job.recipe.model.name}, {weights / 1e6:.1f} M weights, {towers.size} px"),
        ("train", f"{samples(job.train)} samples in {len(job.train)} shards"),
        ("validate", f"{samples(job.validate)} samples in {len(job.validate)} shards"),
        ("steps", f"{steps.steps} of {steps.batch_size} x {run.accumulate} x {world}"),
        ("first batch", f"{tuple(batch.images.shape)} {batch.images.dtype}"),
        ("grey levels", f"mean {grey.mean():.3f}, deviation {grey.std():.3f} of 0..1"),
        ("tokens a text", f"{int(lengths.min())} to {int(lengths.max())}"),
        ("different texts", f"{len(set(chain(*batch.texts)))} of {lengths.numel()}"),
        ("normal pairs", f"{int(batch.normal.sum())} of {len(batch)}"),
        ("page", str(write(batch, job.recipe.name, towers.size, job.out))),
    ]
    cli.table(f"dry run of {job.recipe.name}", ("what", "value"), rows)


def write(batch: Batch, recipe: str, size: int, folder: Path) -> Path:
    """Write the page of a batch and return its path."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template(PAGE).render(
        recipe=recipe, size=size, views=len(batch.images), pairs=_pairs(batch)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def samples(shards: Sequence[Shard]) -> int:
    """Return how many samples the shards hold together."""
    return sum(shard.samples for shard in shards)


def _pairs(batch: Batch) -> list[dict[str, Any]]:
    films, texts = batch.images.unbind(1), zip(*batch.texts, strict=True)
    rows = zip(films, texts, batch.normal.tolist(), batch.samples, strict=True)
    return [
        {
            "pictures": [_url(film[0]) for film in shown],
            "texts": said,
            "normal": normal,
            "source": sample.dataset,
            "view": sample.projection or sample.view,
        }
        for shown, said, normal, sample in rows
    ]


def _url(picture: Tensor) -> str:
    png: Any = cv2.imencode(".png", picture.numpy())[1]
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"
