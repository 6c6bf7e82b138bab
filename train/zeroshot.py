"""Labels and picture features come in, a probability per label goes out; no label was trained on.

CheXzero's way: each label is put in words twice, as present and as absent, and the picture is
asked which of the two it is closer to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from torch import Tensor

from nlp.prompts import zero_shot
from train.errors import ConfigError
from train.models import Towers, trim


@dataclass(frozen=True, slots=True)
class Classifier:
    """Per label the directions of its positive and negative texts: (L, D), L2-normalised."""

    labels: tuple[str, ...]
    positive: Tensor
    negative: Tensor


@torch.no_grad()
def classifier(
    towers: Towers, labels: Sequence[str], bank: str, device: torch.device
) -> Classifier:
    """Return the text directions of the labels, from the prompt bank of that name.

    A direction is norm(mean_t norm(encode(t))) over the bank's texts t of one polarity.
    """
    try:
        pairs = [zero_shot(label, bank) for label in labels]
    except ValueError as error:
        raise ConfigError(f"bank: {error}") from error
    return Classifier(
        tuple(labels),
        torch.stack([_direction(towers, texts, device) for texts, _ in pairs]),
        torch.stack([_direction(towers, texts, device) for _, texts in pairs]),
    )


def probabilities(features: Tensor, prompts: Classifier) -> Tensor:
    """Return (N, L) in 0..1 for L2-normalised picture features (N, D).

    p = exp(s+) / (exp(s+) + exp(s-)) with the raw cosines s, no temperature: the AUROC depends on
    their difference alone. Source: Tiu et al. 2022.
    """
    positive, negative = features @ prompts.positive.T, features @ prompts.negative.T
    return torch.sigmoid(positive - negative)


def _direction(towers: Towers, texts: Sequence[str], device: torch.device) -> Tensor:
    tokens = trim(torch.stack([towers.tokenize(text) for text in texts]), towers).to(device)
    features: Tensor = towers.model.encode_text(tokens, normalize=True)  # type: ignore[operator]
    return nnf.normalize(features.mean(dim=0), dim=0)
