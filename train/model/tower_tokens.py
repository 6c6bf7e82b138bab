"""Towers and their inputs come in, what the fusion attends to goes out: patches and words.

Any image tower that shows its last maps (open_clip's and timm's do) and any text tower that shows
its last tokens will do; the vector for the whole is the tower's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cxr_vlp.train.model.fusion import Tokens, Widths


def image_tokens(visual: Any, images: Tensor) -> Tokens:
    """Return B images' features (B, D), not normalised, and their patches (B, P, W)."""
    shown = visual.forward_intermediates(images, indices=1, normalize_intermediates=True)
    patches = shown["image_intermediates"][-1].flatten(2).transpose(1, 2)
    there = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
    return Tokens(shown["image_features"], patches, there)


def text_tokens(tower: Any, tokens: Tensor) -> Tokens:
    """Return B texts' features (B, D), not normalised, and their words (B, L, W)."""
    if not hasattr(tower, "forward_intermediates"):
        return _hugging_face(tower, tokens)
    shown = tower.forward_intermediates(
        tokens, indices=1, normalize_intermediates=True, output_fmt="NLC"
    )
    if tower.pool_type == "argmax":  # CLIP's end token has the highest number; zeros follow
        places = torch.arange(tokens.shape[1], device=tokens.device)
        there = places <= tokens.argmax(dim=1, keepdim=True)
    else:
        there = tokens != tower.pad_id
    return Tokens(shown["text_features"], shown["text_intermediates"][-1], there)


@torch.no_grad()
def widths(model: Any, size: int) -> Widths:
    """Return how wide a model's tokens are, by looking at those of one black image of `size`."""
    training = model.training
    model.eval()
    image = image_tokens(model.visual, torch.zeros(1, 3, size, size))
    text = text_tokens(model.text, torch.ones(1, 4, dtype=torch.long))
    model.train(training)
    return Widths(image.whole.shape[-1], image.parts.shape[-1], text.parts.shape[-1])


def _hugging_face(tower: Any, tokens: Tensor) -> Tokens:
    there = tokens != tower.config.pad_token_id
    shown = tower.transformer(input_ids=tokens, attention_mask=there.long())
    whole = tower.proj(tower.pooler(shown, there.long()))
    return Tokens(whole, shown.last_hidden_state, there)
