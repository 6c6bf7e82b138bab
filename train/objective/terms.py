"""What a model made of a batch comes in, the recipe's loss goes out: which term wants what.

A term is a function of `Seen` and of the recipe's loss section; its weight there says whether and
how much it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from cxr_vlp.train.config.recipe_sections import Loss
from cxr_vlp.train.model.fusion import Logits
from cxr_vlp.train.objective import losses


@dataclass(frozen=True, slots=True)
class Seen:
    """B pairs as the terms see them, of all ranks together.

    images (V, B, D), texts (T, B, D), L2-normalised; normal (B,) bool; scale and bias of the
    logits; keys (B, D) and negatives (K, D) where there is a momentum encoder; `fused` where there
    is a fusion.
    """

    images: Tensor
    texts: Tensor
    normal: Tensor
    scale: Tensor
    bias: Tensor | None = None
    keys: Tensor | None = None
    negatives: Tensor | None = None
    fused: Logits | None = None


def total(seen: Seen, loss: Loss) -> Tensor:
    """Return the weighted sum of the recipe's terms, a scalar."""
    weights = {name: weight for name, weight in asdict(loss.weights).items() if weight}
    terms = [weight * TERMS[name](seen, loss) for name, weight in weights.items()]
    return torch.stack(terms).sum()


def measured(loss: Loss) -> Loss:
    """Return the loss that one picture and one text a pair allow: what a validation measures.

    Two views become one, so their term becomes clip; the momentum term needs a second window and a
    queue that moves, and is left out.
    """
    weights = loss.weights
    pairs = weights.clip + weights.multi_view
    return replace(loss, weights=replace(weights, clip=pairs, multi_view=0.0, momentum=0.0))


def uses_scale(loss: Loss, *, fused: bool) -> bool:
    """Tell whether any term reads the logit scale; a weight that none reads must not be trained."""
    weights = loss.weights
    on_cosines = 0.0 if fused else weights.off_diagonal + weights.abnormal
    return bool(weights.clip + weights.multi_view + on_cosines)


def _clip(seen: Seen, loss: Loss) -> Tensor:
    return losses.relaxed_clip(seen.images[0], seen.texts[0], seen.scale, loss.cap)


def _multi_view(seen: Seen, loss: Loss) -> Tensor:
    return losses.multi_view(seen.images, seen.texts, seen.scale, loss.icl, loss.tcl)


def _momentum(seen: Seen, loss: Loss) -> Tensor:
    assert seen.keys is not None and seen.negatives is not None  # noqa: PT018
    return losses.momentum_contrast(seen.images[0], seen.keys, seen.negatives, loss.temperature)


def _off_diagonal(seen: Seen, loss: Loss) -> Tensor:
    """OFF-CLIP on the fusion's logits, both ways, or on scaled cosines (and the learnt bias)."""
    if seen.fused is not None:
        to_text, to_image = seen.fused
        return losses.off_diagonal(to_text, seen.normal, loss.form) + losses.off_diagonal(
            to_image, seen.normal, loss.form
        )
    logits = seen.scale * seen.images[0] @ seen.texts[0].T
    logits = logits if seen.bias is None else logits + seen.bias
    return losses.off_diagonal(logits, seen.normal, loss.form)


def _abnormal(seen: Seen, loss: Loss) -> Tensor:  # noqa: ARG001 - terms have one signature
    if seen.fused is None:
        return losses.abnormal_clip(seen.images[0], seen.texts[0], seen.scale, seen.normal)
    kept = ~seen.normal
    to_text, to_image = (logits[kept][:, kept] for logits in seen.fused)
    if len(to_text) < 2:
        return 0.0 * (seen.fused.image_to_text.sum() + seen.fused.text_to_image.sum())
    return losses.carzero(to_text, to_image)


def _carzero(seen: Seen, loss: Loss) -> Tensor:  # noqa: ARG001
    assert seen.fused is not None
    return losses.carzero(*seen.fused)


TERMS: Mapping[str, Callable[[Seen, Loss], Tensor]] = {
    "clip": _clip,
    "multi_view": _multi_view,
    "momentum": _momentum,
    "off_diagonal": _off_diagonal,
    "abnormal": _abnormal,
    "carzero": _carzero,
}
