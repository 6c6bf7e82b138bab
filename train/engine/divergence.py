"""Says why a training cannot go on: its loss is not finite.

Almost always the weights have grown too large, and the remedy is in the recipe. An image is eight
bits a pixel and a text is numbers of words, so no input is infinite. If exactly one pair of a batch
has features that are not finite, while all weights are finite, that pair is named instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.config.recipe import OptimConfig
from cxr_vlp.train.errors import DataError, DivergenceError
from cxr_vlp.train.objective.method import Features

RECENT = 5  # steps whose losses a message shows


class NotFinite(Exception):  # noqa: N818 - the step that catches it makes the error
    """Raised where a loss is not finite."""

    def __init__(self, value: float) -> None:
        super().__init__(value)
        self.value = value


def error(
    what: str,
    rate: float,
    recent: Iterable[tuple[int, float]],
    optim: OptimConfig,
    precision: str,
) -> DivergenceError:
    """Return the error for a loss that is not finite, at a learning rate, after recent losses."""
    shown = ", ".join(f"{loss:.4g} at step {step}" for step, loss in recent)
    half = " Half precision overflows early: run.precision: bf16 has the range of float32."
    clip = "" if optim.clip_norm else ", set optim.clip_norm: 1.0"
    return DivergenceError(
        f"the training diverged: {what}, at a learning rate of {rate:.3g}; the last finite losses "
        f"of this run: {shown or 'none'}. Lower optim.lr ({optim.lr:.3g}), lengthen optim.warmup"
        f"{clip}.{half if precision == 'fp16' else ''} A changed recipe is another training, "
        "and starts at its first step"
    )


@torch.no_grad()
def refuse_pair(features: Features, keys: Sequence[str], model: nn.Module) -> None:
    """Raise DataError where one pair alone has features that are not finite.

    `features` and `keys` are of this process's pairs.
    """
    bad = torch.zeros(len(keys), dtype=torch.bool)
    for found in (features.images, features.texts):
        bad |= ~torch.isfinite(found).all(dim=-1).all(dim=0).cpu()
    if int(bad.sum()) == 1 < len(keys) and _finite(model.parameters()):
        name = keys[int(bad.nonzero()[0])]
        raise DataError(
            "the image or the text of one sample gives features that are not finite, and the "
            f"weights are finite; its key hash: {key_hash(name)}"
        )


def _finite(weights: Iterable[Tensor]) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in weights)
