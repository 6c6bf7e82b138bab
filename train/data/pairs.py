"""The films of one sample or study come in, the pair that the model is shown goes out.

Everything that is drawn for it (views, windows, wordings) follows from (seed, epoch, key).
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
from cxr_vlp.train.data.seeding import chance
from cxr_vlp.train.errors import DataError

Tokenize = Callable[[str], Tensor]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Films in, a Pair out.

    `varied`: for training, with as many pictures and texts as the recipe says, all drawn; without
    it the first film whole, with one text.
    """

    recipe: Recipe
    size: int
    tokenize: Tokenize
    seed: int
    epoch: int
    varied: bool

    def __call__(self, films: Sequence[StoredSample]) -> Pair:
        """Return the pair of one sample's film or one study's films, under its first film's key."""
        shown = self._shown(films)
        first = shown[0]
        count = self.recipe.text.texts if self.varied else 1
        rngs = [self._rng(films, "text", place) for place in range(count)]
        found = texts.drawn(self.recipe.text, first.sample, rngs, first.caption)
        if not all(found):
            raise DataError(f"{first.shard}: sample {key_hash(first.key)} has no text, no caption")
        return Pair(
            images=torch.stack(self._pictures(shown, films)),
            tokens=torch.stack([self.tokenize(text) for text in found]),
            normal=is_normal(first.sample, self.recipe.text.uncertain),
            key=films[0].key,
            texts=found,
            sample=first.sample.without_texts(),
        )

    def _shown(self, films: Sequence[StoredSample]) -> list[StoredSample]:
        count = self.recipe.image.pictures if self.varied else 1
        if not self.varied or (count == len(films) == 1):
            return [films[0]]
        return views(films, count, self._rng(films, "view"))

    def _pictures(
        self, shown: Sequence[StoredSample], films: Sequence[StoredSample]
    ) -> list[Tensor]:
        decoded = {film.key: self._decoded(film) for film in shown}
        return [
            images.prepare(
                decoded[film.key],
                self.recipe.image,
                self.size,
                self._rng(films, "window", place) if self.varied else None,
            )
            for place, film in enumerate(shown)
        ]

    def _decoded(self, film: StoredSample) -> Tensor:
        picture = images.decode(film.image, self.recipe.image, self.size)
        if picture is None:
            raise DataError(f"{film.shard}: {key_hash(film.key)} is no picture that can be read")
        return picture

    def _rng(self, films: Sequence[StoredSample], purpose: str, place: int = 0) -> random.Random:
        first = films[0]
        key = f"{first.key}/{first.turn}" if first.turn else first.key
        return chance(self.seed, self.epoch, key, f"{purpose} {place}" if place else purpose)


def views(films: Sequence[StoredSample], count: int, rng: random.Random) -> list[StoredSample]:
    """Return `count` films, 1 or 2, of different views where there are two of them.

    Films of one view are drawn without replacement; a single film stands for both. Views are told
    apart by projection (AP, PA, ...), else by frontal or lateral.
    """
    first = rng.choice(films)
    if count == 1:
        return [first]
    rest = [film for film in films if film is not first]
    others = [film for film in rest if _view(film) != _view(first)]
    return [first, rng.choice(others or rest or [first])]


def _view(film: StoredSample) -> str:
    return film.sample.projection or film.sample.view
