"""Computes a probability of each label for an image; no label was trained on (zero-shot).

Each label has texts that say it is present and texts that say it is absent. The image is compared
with both: by the cosine of the features (CheXzero), or by the fusion's logits where a model has a
fusion (CARZero).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.nlp.wording.bank import Bank
from cxr_vlp.nlp.wording.prompts import zero_shot
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.build import DualEncoder, trim
from cxr_vlp.train.model.fusion import Tokens
from cxr_vlp.train.model.tower_tokens import image_tokens, text_tokens
from cxr_vlp.train.objective.method import is_fused

PROMPTS = 64  # that a fusion compares at a time
DIRECT = "No Finding, asked directly"
Score = Callable[[Tensor], Tensor]
Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextDirections:
    """The mean features of each label's positive and negative texts: (L, D), L2-normalised."""

    labels: tuple[str, ...]
    positive: Tensor
    negative: Tensor


@dataclass(frozen=True, slots=True)
class FusionPrompts:
    """P prompts for a fusion, and their weights (P, L) for each of L labels.

    The weights of a label's positive prompts sum to 1, those of its negative ones to -1.
    """

    prompts: Tokens
    weights: Tensor


def scorer(
    encoder: DualEncoder,
    labels: Sequence[str],
    bank: str,
    device: torch.device,
    own: Bank | None = None,
) -> Score:
    """Return the function from images (B, 3, S, S) to probabilities (B, L) of the labels.

    The labels' texts come from the prompt bank `bank`, of the user's file `own` where given. The
    label `DIRECT` is No Finding with the bank `direct`, for any `bank`. Raises ConfigError for an
    unknown bank.
    """
    model: Any = encoder.model
    if is_fused(model):
        prompts = fusion_prompts(encoder, labels, bank, device, own)
        return lambda images: fusion_probabilities(model, images, prompts)
    directions = text_directions(encoder, labels, bank, device, own)
    return lambda images: probabilities(model.encode_image(images, normalize=True), directions)


@torch.no_grad()
def text_directions(
    encoder: DualEncoder,
    labels: Sequence[str],
    bank: str,
    device: torch.device,
    own: Bank | None = None,
) -> TextDirections:
    """Return the text directions of the labels, from the prompt bank `bank`.

    A direction is norm(mean_t norm(encode(t))) over the bank's texts t of one polarity.
    """
    pairs = _pairs(labels, bank, own)
    positive = torch.stack([_direction(encoder, texts, device) for texts, _ in pairs])
    negative = torch.zeros_like(positive)
    for place, (_, texts) in enumerate(pairs):
        if texts:  # a label without negative texts is scored by its positive cosine alone
            negative[place] = _direction(encoder, texts, device)
    return TextDirections(tuple(labels), positive, negative)


@torch.no_grad()
def fusion_prompts(
    encoder: DualEncoder,
    labels: Sequence[str],
    bank: str,
    device: torch.device,
    own: Bank | None = None,
) -> FusionPrompts:
    """Return the labels' prompts as a fusion takes them."""
    signed = [
        (text, place, sign / len(texts))
        for place, pair in enumerate(_pairs(labels, bank, own))
        for texts, sign in zip(pair, (1.0, -1.0), strict=True)
        for text in texts
    ]
    weights = torch.zeros(len(signed), len(labels), device=device)
    for row, (_, place, weight) in enumerate(signed):
        weights[row, place] = weight
    model: Any = encoder.model
    return FusionPrompts(
        text_tokens(model.text, _tokens(encoder, [t for t, *_ in signed], device)), weights
    )


def probabilities(features: Tensor, prompts: TextDirections) -> Tensor:
    """Return (N, L) in 0..1 for L2-normalised image features (N, D).

    p = exp(s+) / (exp(s+) + exp(s-)) with the raw cosines s, no temperature: the AUROC depends on
    their difference alone. Source: Tiu et al. 2022.
    """
    positive, negative = features @ prompts.positive.T, features @ prompts.negative.T
    return torch.sigmoid(positive - negative)


@torch.no_grad()
def fusion_probabilities(model: Any, images: Tensor, prompts: FusionPrompts) -> Tensor:
    """Return (B, L) in 0..1 for images (B, 3, S, S): sigmoid of the difference of the logits.

    A prompt's logit is (A + M.T) / 2, the mean of both directions (CARZero's code; it has no
    negative prompts, and without one the sigmoid is of the positive's logit alone).
    """
    patches = image_tokens(model.visual, images)
    parts = zip(*(each.split(PROMPTS) for each in prompts.prompts), strict=True)
    logits = []
    for part in parts:
        to_text, to_image = model.fusion(patches, Tokens(*part))
        logits.append((to_text + to_image.T) / 2)
    return torch.sigmoid(torch.cat(logits, dim=1) @ prompts.weights)


def _pairs(labels: Sequence[str], bank: str, own: Bank | None) -> list[tuple[Texts, Texts]]:
    chosen = [(NO_FINDING, "direct") if label == DIRECT else (label, bank) for label in labels]
    try:
        return [zero_shot(label, each, own) for label, each in chosen]
    except ValueError as error:
        raise ConfigError(f"bank: {error}") from error


def _tokens(encoder: DualEncoder, texts: Sequence[str], device: torch.device) -> Tensor:
    return trim(torch.stack([encoder.tokenize(text) for text in texts]), encoder).to(device)


def _direction(encoder: DualEncoder, texts: Sequence[str], device: torch.device) -> Tensor:
    tokens = _tokens(encoder, texts, device)
    features: Tensor = encoder.model.encode_text(tokens, normalize=True)  # type: ignore[operator]
    return nnf.normalize(features.mean(dim=0), dim=0)
