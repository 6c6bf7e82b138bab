"""Computes a recipe's loss: the weighted sum of its terms (`total`).

A term is a function of `LossInputs` and of the recipe's loss section. Its weight in the section
says how much it counts; 0 means that it is not computed. The equations are in `losses`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from cxr_vlp.train.config.recipe import LossConfig
from cxr_vlp.train.model.fusion import Logits
from cxr_vlp.train.objective import losses


@dataclass(frozen=True, slots=True)
class LossInputs:
    """What the loss is computed from: the features of B pairs, of all ranks together.

    images (V, B, D), texts (T, B, D), L2-normalised; normal (B,) bool; scale and bias of the
    logits; keys (B, D) and negatives (K, D) with a momentum encoder; `fused`, the logits (B, B) in
    both directions, with a fusion; `labels`, the head's logits (B, L), and `targets` (B, L) with
    the labels 1 and 0, and below 0 what does not count.
    """

    images: Tensor
    texts: Tensor
    normal: Tensor
    scale: Tensor
    bias: Tensor | None = None
    keys: Tensor | None = None
    negatives: Tensor | None = None
    fused: Logits | None = None
    labels: Tensor | None = None
    targets: Tensor | None = None


def total(inputs: LossInputs, loss: LossConfig) -> Tensor:
    """Return the recipe's loss, a scalar: the weighted sum of its terms."""
    weights = {name: weight for name, weight in asdict(loss.weights).items() if weight}
    terms = [weight * TERMS[name](inputs, loss) for name, weight in weights.items()]
    return torch.stack(terms).sum()


def validation_loss(loss: LossConfig) -> LossConfig:
    """Return the loss section for validation, where a pair has one image and one text.

    The multi-view term becomes the clip term. The momentum term needs a second crop and a queue
    that moves, and is left out.
    """
    weights = loss.weights
    pairs = weights.clip + weights.multi_view
    return replace(loss, weights=replace(weights, clip=pairs, multi_view=0.0, momentum=0.0))


def uses_scale(loss: LossConfig, *, fused: bool) -> bool:
    """Return whether a term uses the logit scale; a scale that none uses must not be trained."""
    weights = loss.weights
    on_cosines = 0.0 if fused else weights.off_diagonal + weights.abnormal
    return bool(weights.clip + weights.multi_view + on_cosines)


def _clip(inputs: LossInputs, loss: LossConfig) -> Tensor:
    return losses.relaxed_clip(inputs.images[0], inputs.texts[0], inputs.scale, loss.cap)


def _multi_view(inputs: LossInputs, loss: LossConfig) -> Tensor:
    return losses.multi_view(inputs.images, inputs.texts, inputs.scale, loss.icl, loss.tcl)


def _momentum(inputs: LossInputs, loss: LossConfig) -> Tensor:
    assert inputs.keys is not None and inputs.negatives is not None  # noqa: PT018
    return losses.momentum_contrast(
        inputs.images[0], inputs.keys, inputs.negatives, loss.temperature
    )


def _off_diagonal(inputs: LossInputs, loss: LossConfig) -> Tensor:
    """OFF-CLIP's loss on the fusion's logits in both directions, or on scaled cosines plus bias."""
    if inputs.fused is not None:
        to_text, to_image = inputs.fused
        return losses.off_diagonal(to_text, inputs.normal, loss.form) + losses.off_diagonal(
            to_image, inputs.normal, loss.form
        )
    logits = inputs.scale * inputs.images[0] @ inputs.texts[0].T
    logits = logits if inputs.bias is None else logits + inputs.bias
    return losses.off_diagonal(logits, inputs.normal, loss.form)


def _abnormal(inputs: LossInputs, loss: LossConfig) -> Tensor:  # noqa: ARG001 - terms have one signature
    if inputs.fused is None:
        return losses.abnormal_clip(inputs.images[0], inputs.texts[0], inputs.scale, inputs.normal)
    kept = ~inputs.normal
    to_text, to_image = (logits[kept][:, kept] for logits in inputs.fused)
    if len(to_text) < 2:
        return 0.0 * (inputs.fused.image_to_text.sum() + inputs.fused.text_to_image.sum())
    return losses.carzero(to_text, to_image)


def _carzero(inputs: LossInputs, loss: LossConfig) -> Tensor:  # noqa: ARG001
    assert inputs.fused is not None
    return losses.carzero(*inputs.fused)


def _labels(inputs: LossInputs, loss: LossConfig) -> Tensor:  # noqa: ARG001
    assert inputs.labels is not None and inputs.targets is not None  # noqa: PT018
    return losses.labels(inputs.labels, inputs.targets)


TERMS: Mapping[str, Callable[[LossInputs, LossConfig], Tensor]] = {
    "clip": _clip,
    "multi_view": _multi_view,
    "momentum": _momentum,
    "off_diagonal": _off_diagonal,
    "abnormal": _abnormal,
    "carzero": _carzero,
    "labels": _labels,
}
