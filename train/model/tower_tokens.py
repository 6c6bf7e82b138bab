"""Gets patches from an image tower and words from a text tower, for the fusion.

Any image tower that returns its last maps works (open_clip's and timm's do), and any text tower
that returns its last tokens. The vector of the whole image or text is the tower's own output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cxr_vlp.train.model.fusion import Tokens, Widths


def image_tokens(visual: Any, images: Tensor) -> Tokens:
    """Return the features (B, D), not normalised, and the patches (B, P, W) of B images."""
    output = visual.forward_intermediates(images, indices=1, normalize_intermediates=True)
    patches = output["image_intermediates"][-1].flatten(2).transpose(1, 2)
    mask = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
    return Tokens(output["image_features"], patches, mask)


def text_tokens(tower: Any, tokens: Tensor) -> Tokens:
    """Return the features (B, D), not normalised, and the words (B, L, W) of B texts."""
    if not hasattr(tower, "forward_intermediates"):
        return _hugging_face(tower, tokens)
    output = tower.forward_intermediates(
        tokens, indices=1, normalize_intermediates=True, output_fmt="NLC"
    )
    if tower.pool_type == "argmax":  # CLIP's end token has the highest number; zeros follow
        places = torch.arange(tokens.shape[1], device=tokens.device)
        mask = places <= tokens.argmax(dim=1, keepdim=True)
    else:
        mask = tokens != tower.pad_id
    return Tokens(output["text_features"], output["text_intermediates"][-1], mask)


@torch.no_grad()
def widths(model: Any, size: int) -> Widths:
    """Return the widths of a model's tokens, from one black image of `size` pixels and one text."""
    training = model.training
    model.eval()
    image = image_tokens(model.visual, torch.zeros(1, 3, size, size))
    text = text_tokens(model.text, torch.ones(1, 4, dtype=torch.long))
    model.train(training)
    return Widths(image.whole.shape[-1], image.parts.shape[-1], text.parts.shape[-1])


def _hugging_face(tower: Any, tokens: Tensor) -> Tokens:
    mask = tokens != tower.config.pad_token_id
    output = tower.transformer(input_ids=tokens, attention_mask=mask.long())
    whole = tower.proj(tower.pooler(output, mask.long()))
    return Tokens(whole, output.last_hidden_state, mask)
