"""Scores images by the texts of labels; no label was trained on (zero-shot).

An image is compared with the texts that assert a label and with those that deny it: by cosines
(CheXzero), or by a fusion's logits (CARZero). s+ and s- are the similarities of the two polarities:

    pair      exp(s+) / (exp(s+) + exp(s-)), which is the sigmoid of s+ - s-   (Tiu et al. 2022)
    sigmoid   the sigmoid of s+                                            (Park et al. 2025)
    positive  s+ itself, which is no probability                           (Lai et al. 2024)

Where a label has no text that denies it, s- is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor

from cxr_vlp.train.evaluation.models.base import Model, label_model
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.zeroshot.texts import LabelTexts
from cxr_vlp.train.model.fusion import Tokens

Score = Callable[[Tensor], Tensor]
# of several similarities (B, T) of one polarity: (B,)
REDUCE: dict[str, Callable[[Tensor], Tensor]] = {
    "direction": lambda found: found.mean(dim=1),  # of a fusion's logits
    "mean": lambda found: found.mean(dim=1),
    "max": lambda found: found.amax(dim=1),
}


def scorer(model: Model, columns: Sequence[LabelTexts], protocol: Protocol) -> Score:
    """Return the function from images (B, 1, S, S) to scores (B, C) float64 of C columns.

    A model with a head for labels (the supervised baseline) gives the scores of its head. Its
    columns have to be among its labels.
    """
    own = label_model(model)
    if own is not None:
        head, names = own.label_scores, [column.label for column in columns]
        return lambda images: head(images, names).double().cpu()
    score = of_features(model, columns, protocol)
    return lambda images: score(model.encode_images(images))


def of_features(
    model: Model, columns: Sequence[LabelTexts], protocol: Protocol
) -> Callable[[Tokens], Tensor]:
    """Return the function from the features of B images to scores (B, C) float64 of C columns.

    The texts are encoded once, here.
    """
    by_direction = protocol.prompts.several == "direction" and not model.fused
    compare = _directions(model, columns) if by_direction else _texts(model, columns, protocol)
    factor = model.scale if protocol.temperature == "model" and not model.fused else 1.0

    def scores(images: Tokens) -> Tensor:
        positive, negative = compare(images)
        made = [
            _score(columns[i].score, factor * positive[:, i], factor * negative[:, i])
            for i in range(len(columns))
        ]
        return torch.stack(made, dim=1)

    return scores


def _score(how: str, positive: Tensor, negative: Tensor) -> Tensor:
    if how == "pair":
        return torch.sigmoid(positive - negative)
    return torch.sigmoid(positive) if how == "sigmoid" else positive


Compare = Callable[[Tokens], tuple[Tensor, Tensor]]


def _directions(model: Model, columns: Sequence[LabelTexts]) -> Compare:
    """Return the comparison with one direction a polarity: norm(mean_t norm(encode(t)))."""
    polarities = [(column.positive, column.negative) for column in columns]
    made = [_direction(model, texts) for pair in polarities for texts in pair if texts]
    whole = torch.stack(made)
    tokens = Tokens(
        whole,
        whole[:, None][:, :0],
        torch.ones(len(whole), 0, dtype=torch.bool, device=whole.device),
    )
    places = _places(polarities)

    def compare(images: Tokens) -> tuple[Tensor, Tensor]:
        found = model.similarity(images, tokens).double().cpu()
        return _split(found, places)

    return compare


def _direction(model: Model, texts: Sequence[str]) -> Tensor:
    return nnf.normalize(model.encode_texts(texts).whole.mean(dim=0), dim=0)


def _places(polarities: Sequence[tuple[Sequence[str], Sequence[str]]]) -> list[list[int]]:
    """Return for each column the place of its positive direction, and of its negative one if any.

    The directions are numbered column by column, the positive one first.
    """
    places, number = [], 0
    for pair in polarities:
        mine = [number + i for i in range(sum(bool(texts) for texts in pair))]
        places.append(mine)
        number += len(mine)
    return places


def _split(found: Tensor, places: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    zero = torch.zeros(len(found), dtype=found.dtype)
    positive = [found[:, mine[0]] for mine in places]
    negative = [found[:, mine[1]] if len(mine) > 1 else zero for mine in places]
    return torch.stack(positive, dim=1), torch.stack(negative, dim=1)


def _texts(model: Model, columns: Sequence[LabelTexts], protocol: Protocol) -> Compare:
    """Return the comparison with every single text, reduced to one similarity a polarity."""
    said = tuple(dict.fromkeys(t for c in columns for t in (*c.positive, *c.negative)))
    tokens, place = model.encode_texts(said), {text: i for i, text in enumerate(said)}
    reduce = REDUCE[protocol.prompts.several]

    def polarity(found: Tensor, texts: Sequence[str]) -> Tensor:
        if not texts:
            return torch.zeros(len(found), dtype=found.dtype)
        return reduce(found[:, [place[text] for text in texts]])

    def compare(images: Tokens) -> tuple[Tensor, Tensor]:
        found = model.similarity(images, tokens).double().cpu()
        positive = [polarity(found, column.positive) for column in columns]
        negative = [polarity(found, column.negative) for column in columns]
        return torch.stack(positive, dim=1), torch.stack(negative, dim=1)

    return compare
