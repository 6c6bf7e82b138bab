"""Tokens of images and of texts come in, a logit for every image and text goes out (CARZero).

Instead of one cosine, each text asks every image's patches and each image asks every text's words,
through the same few layers of cross-attention. There is no self-attention, so a question's answer
does not depend on what else is asked.

Source: Lai et al. 2024 (arXiv 2402.17417) and its code: pre-norm cross-attention, 4 layers of 4
heads, an inner layer of 1024, dropout 0.1, then a perceptron of widths 768-1024-512-256-1, weights
drawn from N(0, 0.02). Ours: linear maps where a tower's tokens are not as wide as the fusion; no
attention to the padding behind a text's end; in a fusion narrower than 768 the weights are drawn
wider by as much, or its logits would start, and stay, at 0.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cxr_vlp.train.config.recipe_sections import Fusing


class Tokens(NamedTuple):
    """B images or texts: `whole` (B, D) stands for all of it, `parts` (B, P, W), `there` (B, P).

    `there` is False where a part is padding.
    """

    whole: Tensor
    parts: Tensor
    there: Tensor


class Logits(NamedTuple):
    """`image_to_text` (images, texts), the texts ask; `text_to_image` (texts, images), images."""

    image_to_text: Tensor
    text_to_image: Tensor


class Widths(NamedTuple):
    """How wide the towers' tokens are: the common space, image patches, words."""

    whole: int
    patches: int
    words: int


class Fusion(nn.Module):
    """One stack of cross-attention, shared by both directions."""

    def __init__(self, shape: Fusing, widths: Widths) -> None:
        super().__init__()
        self.image = _map(widths.whole, shape.width)
        self.patches = _map(widths.patches, shape.width)
        self.text = _map(widths.whole, shape.width)
        self.words = _map(widths.words, shape.width)
        self.asking = nn.LayerNorm(shape.width)
        self.asked = nn.LayerNorm(shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.head = _head(shape)
        self.apply(partial(_draw, deviation=0.02 * (768 / shape.width) ** 0.5))

    def forward(self, images: Tokens, texts: Tokens) -> Logits:
        """Return the logits of every image with every text."""
        seen, said = self.image(images.whole), self.text(texts.whole)
        return Logits(
            self._ask(said, *_memory(seen, self.patches(images.parts), images.there)),
            self._ask(seen, *_memory(said, self.words(texts.parts), texts.there)),
        )

    def _ask(self, questions: Tensor, memory: Tensor, there: Tensor) -> Tensor:
        """Return (M, Q): what each of Q questions (Q, W) finds in each of M memories (M, P, W)."""
        answers = self.asking(questions).expand(len(memory), -1, -1)
        memory = self.asked(memory)
        for layer in self.layers:
            answers = layer(answers, memory, there)
        logits: Tensor = self.head(answers)[..., 0]
        return logits


class Layer(nn.Module):
    """Cross-attention and a two-layer perceptron, each behind a norm and beside a shortcut."""

    def __init__(self, shape: Fusing) -> None:
        super().__init__()
        self.before = nn.LayerNorm(shape.width)
        self.attention = nn.MultiheadAttention(
            shape.width, shape.heads, shape.dropout, batch_first=True
        )
        self.between = nn.LayerNorm(shape.width)
        self.inner = nn.Sequential(
            nn.Linear(shape.width, shape.hidden),
            nn.ReLU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.hidden, shape.width),
        )
        self.drop = nn.Dropout(shape.dropout)

    def forward(self, questions: Tensor, memory: Tensor, there: Tensor) -> Tensor:
        """Return the questions (M, Q, W) with what they found in the memory (M, P, W)."""
        found, _ = self.attention(
            self.before(questions), memory, memory, key_padding_mask=~there, need_weights=False
        )
        questions = questions + self.drop(found)
        return questions + self.drop(self.inner(self.between(questions)))


def _memory(whole: Tensor, parts: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the whole in front of its parts, (M, 1 + P, W), and which of them are there."""
    first = torch.ones_like(there[:, :1])
    return torch.cat([whole[:, None], parts], dim=1), torch.cat([first, there], dim=1)


def _map(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else nn.Linear(before, after)


def _head(shape: Fusing) -> nn.Sequential:
    widths = (shape.hidden, shape.hidden // 2, shape.hidden // 4)
    layers: list[nn.Module] = [nn.LayerNorm(shape.width), nn.Dropout(shape.dropout)]
    for before, after in zip((shape.width, *widths), (*widths, 1), strict=True):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(shape.dropout)]
    return nn.Sequential(*layers[:-2])


def _draw(module: nn.Module, deviation: float) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=deviation)
        nn.init.zeros_(module.bias)
