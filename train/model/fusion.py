"""Computes a logit for every image and text by cross-attention (CARZero).

Instead of one cosine, each text is a query to every image's patches, and each image is a query to
every text's words, through the same few layers of cross-attention. There is no self-attention, so
the logit of a query does not depend on the other queries.

Source: Lai et al. 2024 (arXiv 2402.17417) and its code: pre-norm cross-attention, 4 layers of 4
heads, an inner layer of 1024, dropout 0.1, then a perceptron of widths 768-1024-512-256-1, weights
drawn from N(0, 0.02). Ours: linear maps where a tower's tokens are not as wide as the fusion; no
attention to the padding after a text's end; in a fusion narrower than 768 the standard deviation of
the weights is larger by sqrt(768 / width), or its logits would start, and stay, at 0.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cxr_vlp.train.config.recipe import FusionConfig


class Tokens(NamedTuple):
    """B images or texts: `whole` (B, D), one vector for each, `parts` (B, P, W), `mask` (B, P).

    `mask` is False where a part is padding.
    """

    whole: Tensor
    parts: Tensor
    mask: Tensor


class Logits(NamedTuple):
    """`image_to_text` (images, texts), texts are queries; `text_to_image` (texts, images)."""

    image_to_text: Tensor
    text_to_image: Tensor


class Widths(NamedTuple):
    """The widths of the towers' tokens: the common space, image patches, words."""

    whole: int
    patches: int
    words: int


class Fusion(nn.Module):
    """One stack of cross-attention, shared by both directions.

    The names of its layers are the names of the weights in saved models: do not change them.
    """

    def __init__(self, shape: FusionConfig, widths: Widths) -> None:
        super().__init__()
        self.image = _map(widths.whole, shape.width)
        self.patches = _map(widths.patches, shape.width)
        self.text = _map(widths.whole, shape.width)
        self.words = _map(widths.words, shape.width)
        self.asking = nn.LayerNorm(shape.width)
        self.asked = nn.LayerNorm(shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.head = _head(shape)
        self.apply(partial(_init, deviation=0.02 * (768 / shape.width) ** 0.5))

    def forward(self, images: Tokens, texts: Tokens) -> Logits:
        """Return the logits of every image with every text, in both directions."""
        image, text = self.image(images.whole), self.text(texts.whole)
        return Logits(
            self._attend(text, *_memory(image, self.patches(images.parts), images.mask)),
            self._attend(image, *_memory(text, self.words(texts.parts), texts.mask)),
        )

    @torch.no_grad()
    def attention(self, images: Tokens, texts: Tokens) -> Tensor:
        """Return (B, T, P): how much each of T texts attends to each patch of B images.

        The mean over heads and layers of the attention weights of text to image. The weight of the
        token of the whole image is left out, so a row sums to less than 1. Source: CARZero's code.
        """
        blocks = [block for block in self.modules() if isinstance(block, nn.MultiheadAttention)]
        weights: list[Tensor] = []
        hooks = [block.register_forward_pre_hook(_weighted, with_kwargs=True) for block in blocks]
        hooks += [
            block.register_forward_hook(lambda *call: weights.append(call[2][1]))
            for block in blocks
        ]
        try:
            memory = _memory(self.image(images.whole), self.patches(images.parts), images.mask)
            self._attend(self.text(texts.whole), *memory)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(weights).mean(dim=0)[..., 1:]

    def _attend(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return logits (M, Q) of Q queries (Q, W) in each of M memories (M, P, W)."""
        states = self.asking(queries).expand(len(memory), -1, -1)
        memory = self.asked(memory)
        for layer in self.layers:
            states = layer(states, memory, mask)
        logits: Tensor = self.head(states)[..., 0]
        return logits


class Layer(nn.Module):
    """Cross-attention and a two-layer perceptron, each after a norm and with a shortcut."""

    def __init__(self, shape: FusionConfig) -> None:
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

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return the queries (M, Q, W) after attention to the memory (M, P, W), mask (M, P)."""
        found, _ = self.attention(
            self.before(queries), memory, memory, key_padding_mask=~mask, need_weights=False
        )
        queries = queries + self.drop(found)
        return queries + self.drop(self.inner(self.between(queries)))


def _memory(whole: Tensor, parts: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the whole followed by its parts, (M, 1 + P, W), and their mask (M, 1 + P)."""
    first = torch.ones_like(mask[:, :1])
    return torch.cat([whole[:, None], parts], dim=1), torch.cat([first, mask], dim=1)


def _weighted(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Make an attention return its weights, the mean over the heads."""
    return args, {**kwargs, "need_weights": True, "average_attn_weights": True}


def _map(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else nn.Linear(before, after)


def _head(shape: FusionConfig) -> nn.Sequential:
    widths = (shape.hidden, shape.hidden // 2, shape.hidden // 4)
    layers: list[nn.Module] = [nn.LayerNorm(shape.width), nn.Dropout(shape.dropout)]
    for before, after in zip((shape.width, *widths), (*widths, 1), strict=True):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(shape.dropout)]
    return nn.Sequential(*layers[:-2])


def _init(module: nn.Module, deviation: float) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=deviation)
        nn.init.zeros_(module.bias)
