"""Towers and a recipe's loss come in; the module that is trained goes out: batch to features.

A step has two halves. `forward` runs the towers on this process's pairs (DDP and autocast sit
around it); `seen` compares them, in float32. Between the two the processes are joined, and a large
batch can be cut in chunks (cxr_vlp.train.engine.grad_cache).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from cxr_vlp.train.config.recipe_sections import Loss
from cxr_vlp.train.distributed import gather
from cxr_vlp.train.model.build import Towers
from cxr_vlp.train.model.fusion import Logits, Tokens
from cxr_vlp.train.model.momentum import Momentum
from cxr_vlp.train.model.tower_tokens import image_tokens, text_tokens
from cxr_vlp.train.objective.precision import full
from cxr_vlp.train.objective.terms import Seen, uses_scale


class Features(NamedTuple):
    """B pairs after the towers: images (V, B, D), texts (T, B, D), L2-normalised, and the scale.

    `patches` and `words` are there where a fusion follows.
    """

    images: Tensor
    texts: Tensor
    scale: Tensor
    bias: Tensor | None = None
    patches: Tokens | None = None
    words: Tokens | None = None


class Method(nn.Module):
    """The towers under a recipe's loss, with the momentum encoder where a term wants one.

    `model` is what evaluation needs; all else is scaffolding, and stays in the checkpoints.
    """

    def __init__(self, towers: Towers, loss: Loss) -> None:
        super().__init__()
        self.model: Any = towers.model
        self.views = 2 if loss.weights.multi_view else 1  # a pair's pictures with a gradient
        self.momentum: Momentum | None = None
        if loss.weights.momentum:
            width = _width(towers)
            self.momentum = Momentum(self.model.visual, width, loss.queue, loss.rate)
        self.model.logit_scale.requires_grad_(uses_scale(loss, fused=is_fused(self.model)))

    def forward(self, images: Tensor, tokens: Tensor) -> Features:
        """Return the features of images (V, B, 3, S, S) and tokens (T, B, L)."""
        return encode(self.model, images, tokens)

    def follow(self) -> None:
        """Move the momentum encoder: once an optimiser step, before it."""
        if self.momentum is not None:
            self.momentum.follow(self.model.visual)

    def keys(self, parts: Iterable[Tensor]) -> Tensor | None:
        """Return the momentum keys (B, D) of all processes' pictures, given as (1, b, 3, S, S)."""
        if self.momentum is None:
            return None
        return gather(torch.cat([self.momentum.keys(part[0]) for part in parts]))

    def learned(self, keys: Tensor | None) -> None:
        """Put the keys of a batch in the queue, once its loss is known."""
        if self.momentum is not None and keys is not None:
            self.momentum.enqueue(keys)

    def negatives(self) -> Tensor | None:
        """Return the momentum keys of earlier batches."""
        return None if self.momentum is None else self.momentum.negatives()


def encode(model: Any, images: Tensor, tokens: Tensor) -> Features:
    """Return the features of images (V, B, 3, S, S) and tokens (T, B, L), float32, normalised."""
    (views, pairs), (texts, _) = images.shape[:2], tokens.shape[:2]
    scale, bias = model.logit_scale.exp(), getattr(model, "logit_bias", None)
    flat, words = images.flatten(0, 1), tokens.flatten(0, 1)
    if not is_fused(model):
        seen, said = model.encode_image(flat), model.encode_text(words)
        return Features(_unit(seen, views, pairs), _unit(said, texts, pairs), scale, bias)
    patches, phrases = image_tokens(model.visual, flat), text_tokens(model.text, words)
    return Features(
        _unit(patches.whole, views, pairs),
        _unit(phrases.whole, texts, pairs),
        scale,
        bias,
        _first(patches, pairs),
        _first(phrases, pairs),
    )


def joined(features: Features) -> Features:
    """Return the features of all processes, with gradient, in the order of the ranks."""
    return features._replace(
        images=gather(features.images, dim=1),
        texts=gather(features.texts, dim=1),
        patches=None if features.patches is None else Tokens(*map(gather, features.patches)),
        words=None if features.words is None else Tokens(*map(gather, features.words)),
    )


def is_fused(model: Any) -> bool:
    """Tell whether images and texts of this model meet in a fusion, not in a cosine."""
    return hasattr(model, "fusion")


def seen(
    model: Any,
    features: Features,
    normal: Tensor,
    keys: Tensor | None = None,
    negatives: Tensor | None = None,
) -> Seen:
    """Return what the loss is computed from: the features as they are compared, in float32."""
    fused: Logits | None = None
    if features.patches is not None and features.words is not None:
        fused = Logits(*map(full, model.fusion(features.patches, features.words)))
    images, texts, scale, bias = features[:4]
    return Seen(images, texts, normal, scale, bias, keys, negatives, fused)


def _unit(features: Tensor, groups: int, pairs: int) -> Tensor:
    return nnf.normalize(full(features), dim=-1).view(groups, pairs, -1)


def _first(tokens: Tokens, pairs: int) -> Tokens:
    return Tokens(*(each[:pairs] for each in tokens))


@torch.no_grad()
def _width(towers: Towers) -> int:
    tower: Any = towers.model.visual
    training = tower.training
    width: int = tower.eval()(torch.zeros(1, 3, towers.size, towers.size)).shape[-1]
    tower.train(training)
    return width
