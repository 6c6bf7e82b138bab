"""Builds a pair of images and texts from the samples of one image or one study.

Everything that is drawn for it (views, windows, wordings) depends on (seed, epoch, key) alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.data import images, texts
from cxr_vlp.train.data.batches import Pair
from cxr_vlp.train.data.normality import is_normal
from cxr_vlp.train.data.samples import StoredSample
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.errors import DataError

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

    def __call__(self, samples: Sequence[StoredSample]) -> Pair:
        """Return the pair of one sample, or of one study's samples, under its first sample's key.

        Raises DataError for a sample without text or with an image that cannot be decoded.
        """
        chosen = self._chosen(samples)
        first = chosen[0]
        count = self.recipe.text.count if self.varied else 1
        rngs = [self._rng(samples, "text", place) for place in range(count)]
        found = texts.drawn(self.recipe.text, first.sample, rngs, first.caption)
        if not all(found):
            raise DataError(f"{first.shard}: sample {key_hash(first.key)} has no text, no caption")
        return Pair(
            images=torch.stack(self._images(chosen, samples)),
            tokens=torch.stack([self.tokenize(text) for text in found]),
            normal=is_normal(first.sample, self.recipe.text.uncertain),
            key=samples[0].key,
            texts=found,
            sample=first.sample.without_texts(),
        )

    def _chosen(self, samples: Sequence[StoredSample]) -> list[StoredSample]:
        count = self.recipe.image.count if self.varied else 1
        if not self.varied or (count == len(samples) == 1):
            return [samples[0]]
        return views(samples, count, self._rng(samples, "view"))

    def _images(
        self, chosen: Sequence[StoredSample], samples: Sequence[StoredSample]
    ) -> list[Tensor]:
        decoded = {stored.key: self._decoded(stored) for stored in chosen}
        return [
            images.prepare(
                decoded[stored.key],
                self.recipe.image,
                self.size,
                self._rng(samples, "window", place) if self.varied else None,
            )
            for place, stored in enumerate(chosen)
        ]

    def _decoded(self, stored: StoredSample) -> Tensor:
        image = images.decode(stored.image, self.recipe.image, self.size)
        if image is None:
            raise DataError(
                f"{stored.shard}: the image of sample {key_hash(stored.key)} cannot be decoded"
            )
        return image

    def _rng(self, samples: Sequence[StoredSample], purpose: str, place: int = 0) -> random.Random:
        first = samples[0]
        key = f"{first.key}/{first.turn}" if first.turn else first.key
        return generator(self.seed, self.epoch, key, f"{purpose} {place}" if place else purpose)


def views(samples: Sequence[StoredSample], count: int, rng: random.Random) -> list[StoredSample]:
    """Return `count` samples, 1 or 2, of different views where there are two views.

    Samples of one view are drawn without replacement; a single sample is returned twice. Views
    differ by projection (AP, PA, ...), else by frontal or lateral.
    """
    first = rng.choice(samples)
    if count == 1:
        return [first]
    rest = [stored for stored in samples if stored is not first]
    others = [stored for stored in rest if _view(stored) != _view(first)]
    return [first, rng.choice(others or rest or [first])]


def _view(stored: StoredSample) -> str:
    return stored.sample.projection or stored.sample.view
