"""What a task needs of a model, whichever framework made it; and of scores that are made already.

Images and texts are encoded once and compared many times. A model with a fusion (CARZero) compares
tokens, every other one compares vectors: `similarity` hides the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.scores import Floats
from cxr_vlp.train.model.fusion import Tokens


class Model(Protocol):
    """A model that compares images with texts.

    name: for tables. digest: sha256 of its weights. facts: what metrics.json records of it (kind,
    architecture, where its weights are from, preprocessing ...). size: side of its square input in
    pixels. image: how a stored image becomes that square, its mean and its deviation. fused: its
    similarity is a fusion's logit and not a cosine. scale: the factor of the cosines in its
    softmax, exp of the learnt logit scale. finer: whether `patches=True` and `maps` work.
    """

    name: str
    digest: str
    facts: dict[str, Any]
    size: int
    image: ImageConfig
    device: torch.device
    fused: bool
    scale: float
    finer: bool

    def encode_images(self, images: Tensor, *, patches: bool = False) -> Tokens:
        """Return the features of images (B, 1, S, S) uint8.

        `whole` (B, D) is L2-normalised unless the model is fused. `parts` (B, P, W) are the patches
        in the common space, row by row, L2-normalised; (B, 0, D) without `patches` where the
        model is not fused.
        """
        ...

    def encode_texts(self, texts: Sequence[str]) -> Tokens:
        """Return the features of T texts; `whole` (T, D) L2-normalised unless fused."""
        ...

    def similarity(self, images: Tokens, texts: Tokens) -> Tensor:
        """Return (B, T): cosines, or the fusion's logits (mean of both directions)."""
        ...

    def maps(self, images: Tokens, texts: Tokens) -> Tensor:
        """Return (B, T, h, w): how much each patch matches each text; higher is more.

        Cosines of patches and text; of a fused model the attention of text to image. Raises
        ConfigError where `finer` is false.
        """
        ...


class LabelModel(Protocol):
    """A model with a head for labels, trained on labels alone; it has no text to compare with."""

    labels: tuple[str, ...]

    def label_scores(self, images: Tensor, names: Sequence[str]) -> Tensor:
        """Return the probabilities (B, N) of N of its labels, of images (B, 1, S, S)."""
        ...


def label_model(model: Model) -> LabelModel | None:
    """Return the model as one that scores labels itself, None where prompts do."""
    found: Any = model
    return found if getattr(found, "labels", ()) else None


@dataclass(frozen=True, slots=True)
class SourceScores:
    """Scores (N, L) float64 of N images; `probabilities`: all are in 0..1; notes for the user.

    no_finding: strategy (direct, pair) -> scores (N,) of No Finding, where the source has them.
    unused: the rows of a file that belong to none of these images.
    """

    scores: Floats
    probabilities: bool = True
    notes: tuple[str, ...] = ()
    no_finding: Mapping[str, Floats] = field(default_factory=dict)
    unused: frozenset[int] = frozenset()


class ScoreSource(Protocol):
    """Scores that need no image: a file of another framework, a baseline of label frequencies.

    name, digest, facts: as of a Model.
    """

    name: str
    digest: str
    facts: dict[str, Any]

    def known(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of the labels that it scores."""
        ...

    def scored(self, images: Sequence[ImageFacts], names: Sequence[str]) -> SourceScores:
        """Return the scores of the images, in their order, for labels of `known`.

        Raises DataError where an image has no score.
        """
        ...
