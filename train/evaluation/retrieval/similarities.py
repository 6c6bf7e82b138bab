"""Similarities of all images with all texts of a gallery, block by block.

They are compared after rounding to six decimals: two equal images may differ in the last bit of
their features, by the batch that they were encoded in, and equal ones must be ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as nnf
from torch import Tensor

from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.reading import BATCH
from cxr_vlp.train.evaluation.scores import Floats
from cxr_vlp.train.model.fusion import Tokens

DIGITS = 6
TEXTS = 128  # that are encoded at a time


class Similarities(Protocol):
    """The similarities of N images and T texts."""

    def rows(self, images: slice) -> Floats:
        """Return (b, T): some images with all texts."""
        ...

    def columns(self, texts: slice) -> Floats:
        """Return (b, N): some texts with all images."""
        ...


@dataclass(frozen=True, slots=True)
class Cosines:
    """Cosines of features, the mean over the models. images: (N, D), texts: (T, D) a model."""

    images: tuple[Tensor, ...]
    texts: tuple[Tensor, ...]

    def rows(self, images: slice) -> Floats:
        """Return (b, T): some images with all texts."""
        return _mean([i[images] @ t.T for i, t in zip(self.images, self.texts, strict=True)])

    def columns(self, texts: slice) -> Floats:
        """Return (b, N): some texts with all images."""
        return _mean([t[texts] @ i.T for i, t in zip(self.images, self.texts, strict=True)])


@dataclass(frozen=True, slots=True)
class Logits:
    """A fusion's logits, kept whole: (N, T) float32; the fusion is too slow to ask it twice."""

    matrix: npt.NDArray[np.float32]

    def rows(self, images: slice) -> Floats:
        """Return (b, T): some images with all texts."""
        return _rounded(self.matrix[images])

    def columns(self, texts: slice) -> Floats:
        """Return (b, N): some texts with all images."""
        return _rounded(self.matrix[:, texts].T)


def encode_images(model: Model, pixels: Tensor) -> Tokens:
    """Return the features of images (B, 1, S, S) uint8, B at most 64.

    The batch is filled up to 64: what an image gives must not depend on how many are beside it,
    which follows from the number of workers.
    """
    filled = nnf.pad(pixels, (0, 0, 0, 0, 0, 0, 0, max(BATCH - len(pixels), 0)))
    return Tokens(*(part[: len(pixels)] for part in model.encode_images(filled)))


def encode_texts(model: Model, texts: Sequence[str]) -> list[Tokens]:
    """Return the features of the texts in parts, because the length of a part is its longest's."""
    starts = range(0, len(texts), TEXTS)
    return [model.encode_texts(texts[start : start + TEXTS]) for start in starts]


def similarity(model: Model, images: Tokens, texts: Sequence[Tokens]) -> Tensor:
    """Return (B, T) float64 on the CPU: the images with all parts of the texts."""
    return torch.cat([model.similarity(images, part) for part in texts], dim=1).double().cpu()


def mean_similarity(
    models: Sequence[Model], images: Sequence[Tokens], texts: Sequence[Sequence[Tokens]]
) -> Floats:
    """Return (B, T): the mean over the models of images with texts, each model's own features."""
    each = zip(models, images, texts, strict=True)
    return _mean([similarity(model, own, asked) for model, own, asked in each])


def _mean(several: Sequence[Tensor]) -> Floats:
    whole = torch.stack([each.double().cpu() for each in several]).mean(dim=0)
    return _rounded(whole.numpy())


def _rounded(values: npt.NDArray[np.floating]) -> Floats:
    whole: Floats = np.asarray(values, np.float64)
    return whole.round(DIGITS)
