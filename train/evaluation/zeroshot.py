"""Labels and pictures come in, a probability per label goes out; no label was trained on.

Each label is put in words twice, as present and as absent, and the picture is asked which of the
two fits better: by the cosine of its features (CheXzero), or by the fusion's logits where a model
has one (CARZero).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.nlp.prompts import Bank, zero_shot
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.build import Towers, trim
from cxr_vlp.train.model.fusion import Tokens
from cxr_vlp.train.model.tower_tokens import image_tokens, text_tokens
from cxr_vlp.train.objective.method import is_fused

PROMPTS = 64  # that a fusion is asked at a time
DIRECT = "No Finding, asked directly"
Score = Callable[[Tensor], Tensor]
Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Classifier:
    """Per label the directions of its positive and negative texts: (L, D), L2-normalised."""

    labels: tuple[str, ...]
    positive: Tensor
    negative: Tensor


@dataclass(frozen=True, slots=True)
class Questions:
    """P prompts for a fusion, and (P, L) how much each counts for each of L labels.

    A label's positive prompts share 1, its negative ones -1.
    """

    prompts: Tokens
    shares: Tensor


def scorer(
    towers: Towers,
    labels: Sequence[str],
    bank: str,
    device: torch.device,
    own: Bank | None = None,
) -> Score:
    """Return the function from pictures (B, 3, S, S) to probabilities (B, L) of the labels.

    Their texts come from the prompt bank of that name, out of a user's `own` file where given.
    The label `DIRECT` is No Finding out of the bank `direct`, whatever the bank. Raises
    ConfigError for an unknown bank.
    """
    model: Any = towers.model
    if is_fused(model):
        asked = questions(towers, labels, bank, device, own)
        return lambda pictures: answers(model, pictures, asked)
    prompts = classifier(towers, labels, bank, device, own)
    return lambda pictures: probabilities(model.encode_image(pictures, normalize=True), prompts)


@torch.no_grad()
def classifier(
    towers: Towers,
    labels: Sequence[str],
    bank: str,
    device: torch.device,
    own: Bank | None = None,
) -> Classifier:
    """Return the text directions of the labels, from the prompt bank of that name.

    A direction is norm(mean_t norm(encode(t))) over the bank's texts t of one polarity.
    """
    pairs = _pairs(labels, bank, own)
    positive = torch.stack([_direction(towers, texts, device) for texts, _ in pairs])
    negative = torch.zeros_like(positive)
    for place, (_, texts) in enumerate(pairs):
        if texts:  # else nothing stands against the label: its cosine counts alone
            negative[place] = _direction(towers, texts, device)
    return Classifier(tuple(labels), positive, negative)


@torch.no_grad()
def questions(
    towers: Towers,
    labels: Sequence[str],
    bank: str,
    device: torch.device,
    own: Bank | None = None,
) -> Questions:
    """Return the labels' prompts as a fusion reads them."""
    signed = [
        (text, place, sign / len(texts))
        for place, pair in enumerate(_pairs(labels, bank, own))
        for texts, sign in zip(pair, (1.0, -1.0), strict=True)
        for text in texts
    ]
    shares = torch.zeros(len(signed), len(labels), device=device)
    for row, (_, place, share) in enumerate(signed):
        shares[row, place] = share
    model: Any = towers.model
    return Questions(
        text_tokens(model.text, _tokens(towers, [t for t, *_ in signed], device)), shares
    )


def probabilities(features: Tensor, prompts: Classifier) -> Tensor:
    """Return (N, L) in 0..1 for L2-normalised picture features (N, D).

    p = exp(s+) / (exp(s+) + exp(s-)) with the raw cosines s, no temperature: the AUROC depends on
    their difference alone. Source: Tiu et al. 2022.
    """
    positive, negative = features @ prompts.positive.T, features @ prompts.negative.T
    return torch.sigmoid(positive - negative)


@torch.no_grad()
def answers(model: Any, pictures: Tensor, asked: Questions) -> Tensor:
    """Return (B, L) in 0..1 for pictures (B, 3, S, S): sigmoid of the pair's difference in logits.

    A prompt's logit is (A + M.T) / 2, the mean of both directions (CARZero's code; it has no
    negative prompts, and without one the sigmoid is of the positive's logit alone).
    """
    seen = image_tokens(model.visual, pictures)
    parts = zip(*(each.split(PROMPTS) for each in asked.prompts), strict=True)
    logits = []
    for part in parts:
        to_text, to_image = model.fusion(seen, Tokens(*part))
        logits.append((to_text + to_image.T) / 2)
    return torch.sigmoid(torch.cat(logits, dim=1) @ asked.shares)


def _pairs(labels: Sequence[str], bank: str, own: Bank | None) -> list[tuple[Texts, Texts]]:
    asked = [(NO_FINDING, "direct") if label == DIRECT else (label, bank) for label in labels]
    try:
        return [zero_shot(label, each, own) for label, each in asked]
    except ValueError as error:
        raise ConfigError(f"bank: {error}") from error


def _tokens(towers: Towers, texts: Sequence[str], device: torch.device) -> Tensor:
    return trim(torch.stack([towers.tokenize(text) for text in texts]), towers).to(device)


def _direction(towers: Towers, texts: Sequence[str], device: torch.device) -> Tensor:
    tokens = _tokens(towers, texts, device)
    features: Tensor = towers.model.encode_text(tokens, normalize=True)  # type: ignore[operator]
    return nnf.normalize(features.mean(dim=0), dim=0)
