"""Builds a pair of images and texts from the samples of one image or one study.

Everything that is drawn for it (views, windows, wordings) depends on (seed, epoch, key) alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.data import images, texts
from cxr_vlp.train.data.batches import Pair
from cxr_vlp.train.data.normality import is_normal
from cxr_vlp.train.data.samples import Film
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.errors import DataError, key_hash

# A record's text fields stay in the worker: to send them takes as long as to read the image.
WORDS = frozenset(
    [
        *("caption", "findings", "impression", "abnormal", "prompt", "sections", "translations"),
        *("prompts", "sentences", "statements", "provenance"),
    ]
)
Tokenize = Callable[[str], Tensor]


@dataclass(frozen=True, slots=True)
class PairBuilder:
    """Makes a Pair from samples.

    With `varied`, for training: as many images and texts as the recipe says, all drawn. Without it,
    for evaluation: the first image as a whole, with one text.
    """

    recipe: Recipe
    size: int
    tokenize: Tokenize
    seed: int
    epoch: int
    varied: bool

    def __call__(self, samples: Sequence[Film]) -> Pair:
        """Return the pair of one sample, or of one study's samples, under its first sample's key.

        Raises DataError for a sample without text or with an image that cannot be decoded.
        """
        chosen = self._chosen(samples)
        first = chosen[0]
        count = self.recipe.text.count if self.varied else 1
        rngs = [self._rng(samples, "text", place) for place in range(count)]
        found = texts.drawn(self.recipe.text, first.record, rngs, first.caption)
        if not all(found):
            raise DataError(f"{first.shard}: sample {key_hash(first.key)} has no text, no caption")
        return Pair(
            images=torch.stack(self._images(chosen, samples)),
            tokens=torch.stack([self.tokenize(text) for text in found]),
            normal=is_normal(first.record, self.recipe.text.uncertain),
            key=samples[0].key,
            texts=found,
            record={k: v for k, v in first.record.items() if k not in WORDS},
        )

    def _chosen(self, samples: Sequence[Film]) -> list[Film]:
        count = self.recipe.image.count if self.varied else 1
        if not self.varied or (count == len(samples) == 1):
            return [samples[0]]
        return views(samples, count, self._rng(samples, "view"))

    def _images(self, chosen: Sequence[Film], samples: Sequence[Film]) -> list[Tensor]:
        decoded = {sample.key: self._decoded(sample) for sample in chosen}
        return [
            images.prepare(
                decoded[sample.key],
                self.recipe.image,
                self.size,
                self._rng(samples, "window", place) if self.varied else None,
            )
            for place, sample in enumerate(chosen)
        ]

    def _decoded(self, sample: Film) -> Tensor:
        image = images.decode(sample.picture, self.recipe.image, self.size)
        if image is None:
            raise DataError(
                f"{sample.shard}: the image of sample {key_hash(sample.key)} cannot be decoded"
            )
        return image

    def _rng(self, samples: Sequence[Film], purpose: str, place: int = 0) -> random.Random:
        first = samples[0]
        key = f"{first.key}/{first.turn}" if first.turn else first.key
        return generator(self.seed, self.epoch, key, f"{purpose} {place}" if place else purpose)


def views(samples: Sequence[Film], count: int, rng: random.Random) -> list[Film]:
    """Return `count` samples, 1 or 2, of different views where there are two views.

    Samples of one view are drawn without replacement; a single sample is returned twice. Views
    differ by projection (AP, PA, ...), else by frontal or lateral.
    """
    first = rng.choice(samples)
    if count == 1:
        return [first]
    rest = [sample for sample in samples if sample is not first]
    others = [sample for sample in rest if _view(sample) != _view(first)]
    return [first, rng.choice(others or rest or [first])]


def _view(sample: Film) -> str:
    return str(sample.record.get("projection") or sample.record.get("view") or "")
