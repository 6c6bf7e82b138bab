"""The module that is trained: dual encoder, fusion and momentum encoder under a recipe's loss.

A step has two parts. `Method.forward` runs the towers on this process's pairs (inside DDP and
autocast); `loss_inputs` prepares their comparison, in float32, and `terms.total` gives the loss.
Between the two parts the features of all processes are joined, and a large batch can be processed
in chunks (cxr_vlp.train.engine.grad_cache).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.recipe import LossConfig
from cxr_vlp.train.distributed import gather
from cxr_vlp.train.model.build import DualEncoder
from cxr_vlp.train.model.fusion import Logits, Tokens
from cxr_vlp.train.model.momentum import MomentumEncoder
from cxr_vlp.train.model.precision import as_float32
from cxr_vlp.train.model.tower_tokens import image_tokens, text_tokens
from cxr_vlp.train.objective.terms import LossInputs, uses_scale


class Features(NamedTuple):
    """Features of B pairs: images (V, B, D), texts (T, B, D), L2-normalised, and the logit scale.

    `patches` and `words` are given where a fusion follows; `labels` (B, L), the logits of the label
    head, and their `targets` (B, L), where there is one.
    """

    images: Tensor
    texts: Tensor
    scale: Tensor
    bias: Tensor | None = None
    patches: Tokens | None = None
    words: Tokens | None = None
    labels: Tensor | None = None
    targets: Tensor | None = None


class Method(nn.Module):
    """The dual encoder under a recipe's loss, with a momentum encoder where a term needs one.

    Evaluation needs `model` alone; the rest is only in the checkpoints.
    """

    def __init__(self, encoder: DualEncoder, loss: LossConfig) -> None:
        super().__init__()
        self.model: Any = encoder.model
        self.views = 2 if loss.weights.multi_view else 1  # images of a pair that have a gradient
        self.momentum: MomentumEncoder | None = None
        if loss.weights.momentum:
            width = _width(encoder)
            self.momentum = MomentumEncoder(self.model.visual, width, loss.queue, loss.rate)
        if loss.weights.without_text:
            for name, weight in self.model.named_parameters():
                weight.requires_grad_(name.startswith(("visual.", "label_head.")))
        self.model.logit_scale.requires_grad_(uses_scale(loss, fused=is_fused(self.model)))

    def forward(self, images: Tensor, tokens: Tensor) -> Features:
        """Return the features of images (V, B, 3, S, S) and tokens (T, B, L)."""
        return encode(self.model, images, tokens)

    def update_momentum(self) -> None:
        """Move the momentum encoder: once an optimiser step, before it."""
        if self.momentum is not None:
            self.momentum.update(self.model.visual)

    def keys(self, parts: Iterable[Tensor]) -> Tensor | None:
        """Return the momentum keys (B, D) of all processes' images, given as (1, b, 3, S, S)."""
        if self.momentum is None:
            return None
        return gather(torch.cat([self.momentum.keys(part[0]) for part in parts]))

    def enqueue(self, keys: Tensor | None) -> None:
        """Put the keys of a batch into the queue, after its loss has been computed."""
        if self.momentum is not None and keys is not None:
            self.momentum.enqueue(keys)

    def negatives(self) -> Tensor | None:
        """Return the momentum keys (K, D) of earlier batches."""
        return None if self.momentum is None else self.momentum.negatives()


def encode(model: Any, images: Tensor, tokens: Tensor) -> Features:
    """Return the features of images (V, B, 3, S, S) and tokens (T, B, L), float32, normalised."""
    (views, pairs), (texts, _) = images.shape[:2], tokens.shape[:2]
    scale, bias = model.logit_scale.exp(), getattr(model, "logit_bias", None)
    flat, words = images.flatten(0, 1), tokens.flatten(0, 1)
    if not is_fused(model):
        image, text = model.encode_image(flat), model.encode_text(words)
        units = (_unit(image, views, pairs), _unit(text, texts, pairs))
        return Features(*units, scale, bias, labels=_logits(model, image[:pairs]))
    patches, phrases = image_tokens(model.visual, flat), text_tokens(model.text, words)
    return Features(
        _unit(patches.whole, views, pairs),
        _unit(phrases.whole, texts, pairs),
        scale,
        bias,
        _first(patches, pairs),
        _first(phrases, pairs),
        _logits(model, patches.whole[:pairs]),
    )


def labelled(features: Features, model: Any, samples: Sequence[Sample]) -> Features:
    """Return the features with the targets of their samples, where the model has a label head."""
    if features.labels is None:
        return features
    return features._replace(targets=model.label_head.targets(samples).to(features.labels.device))


def joined(features: Features) -> Features:
    """Return the features of all processes, with gradient, in the order of the ranks."""
    return features._replace(
        images=gather(features.images, dim=1),
        texts=gather(features.texts, dim=1),
        patches=None if features.patches is None else Tokens(*map(gather, features.patches)),
        words=None if features.words is None else Tokens(*map(gather, features.words)),
        labels=None if features.labels is None else gather(features.labels),
        targets=None if features.targets is None else gather(features.targets),
    )


def concatenated(parts: Sequence[Features]) -> Features:
    """Return the features of several parts of a batch as those of one; the words as long in all."""
    if len(parts) == 1:
        return parts[0]
    patches = [part.patches for part in parts if part.patches is not None]
    words = [part.words for part in parts if part.words is not None]
    labels = [part.labels for part in parts if part.labels is not None]
    return parts[0]._replace(
        images=torch.cat([part.images for part in parts], dim=1),
        texts=torch.cat([part.texts for part in parts], dim=1),
        patches=Tokens(*map(torch.cat, zip(*patches, strict=True))) if patches else None,
        words=Tokens(*map(torch.cat, zip(*words, strict=True))) if words else None,
        labels=torch.cat(labels) if labels else None,
    )


def vectors(whole: Tensor) -> Tokens:
    """Return features (B, D) as tokens without parts: what is compared by a cosine."""
    none = torch.ones(len(whole), 0, dtype=torch.bool, device=whole.device)
    return Tokens(whole, whole[:, None][:, :0], none)


def is_fused(model: Any) -> bool:
    """Return whether the model compares images and texts by a fusion, and not by a cosine."""
    return hasattr(model, "fusion")


def loss_inputs(
    model: Any,
    features: Features,
    normal: Tensor,
    keys: Tensor | None = None,
    negatives: Tensor | None = None,
) -> LossInputs:
    """Return what the loss is computed from, in float32; a fusion's logits are computed here.

    normal (B,) bool; keys (B, D) and negatives (K, D) of the momentum encoder.
    """
    fused: Logits | None = None
    if features.patches is not None and features.words is not None:
        fused = Logits(*map(as_float32, model.fusion(features.patches, features.words)))
    images, texts, scale, bias = features[:4]
    found = LossInputs(images, texts, normal, scale, bias, keys, negatives, fused)
    return replace(found, labels=features.labels, targets=features.targets)


def _unit(features: Tensor, groups: int, pairs: int) -> Tensor:
    return nnf.normalize(as_float32(features), dim=-1).view(groups, pairs, -1)


def _logits(model: Any, features: Tensor) -> Tensor | None:
    """Return the label head's logits of features (B, D), float32; None without a head."""
    head = getattr(model, "label_head", None)
    return None if head is None else as_float32(head(features))


def _first(tokens: Tokens, pairs: int) -> Tokens:
    return Tokens(*(each[:pairs] for each in tokens))


@torch.no_grad()
def _width(encoder: DualEncoder) -> int:
    tower: Any = encoder.model.visual
    training = tower.training
    width: int = tower.eval()(torch.zeros(1, 3, encoder.size, encoder.size)).shape[-1]
    tower.train(training)
    return width
