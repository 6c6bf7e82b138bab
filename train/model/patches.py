"""Computes features of an image's patches in the space where images and texts are compared.

One definition serves the towers of others: **a patch's feature is what the tower's own head would
give for an image that has this patch everywhere**. What that is depends on the tower's pooling:

- the mean of the patches (CXR-CLIP's ResNet): the head on the patch, so the mean of the patch
  features is the image's feature (where the head is linear);
- a class token (CLIP's ViT, BiomedCLIP): the final norm and the projection on the patch's token;
- attention (CLIP's ResNet, SigLIP, CoCa): attention with one token gives its value, so the value
  and output projections on the patch's token (as in MaskCLIP, Zhou et al. 2022);
- maximum and mean (our small tower): the head on the patch in the place of the maximum, with the
  image's own mean. (On the patch twice, a bright place everywhere, the maps of the demo's model
  point away from the boxes: .02 in the pointing game where chance is .10, instead of .13.)

A patch of a class-token tower was never compared with a text in CLIP's training; its map can be
poor, or inverted. That is a fact of the model, which the evaluation shows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor

ROWS = 4096  # patches that go through a head at a time


class PatchFeatures(NamedTuple):
    """Features of B images, not normalised: `whole` (B, D) and `parts` (B, P, D), row by row."""

    whole: Tensor
    parts: Tensor


def available(visual: Any) -> bool:
    """Return whether `features` works for an image tower of open_clip."""
    if isinstance(visual, VisionTransformer):
        return getattr(visual, "attn_pool_contrastive", None) is None and visual.proj is not None
    if isinstance(visual, TimmModel):
        # The position table of `abs_attn` has the size of the whole map: one patch does not fit it.
        head = all(hasattr(visual.trunk, name) for name in ("forward_features", "forward_head"))
        return head and type(getattr(visual.head, "pool", None)).__name__ != "AttentionPool2d"
    return isinstance(visual, ModifiedResNet)


def features(visual: Any, images: Tensor) -> PatchFeatures:
    """Return the features of images (B, 3, S, S) and of their patches; see the module's text.

    Only for towers of which `available` is true.
    """
    if isinstance(visual, VisionTransformer):
        return _transformer(visual, images)
    if isinstance(visual, ModifiedResNet):
        return _modified_resnet(visual, images)
    return _timm(visual, images)


def _transformer(visual: Any, images: Tensor) -> PatchFeatures:
    output = visual.forward_intermediates(images, indices=1, output_fmt="NLC")
    parts = output["image_intermediates"][-1]
    if visual.attn_pool is not None:
        alone = parts.flatten(0, 1)[:, None]  # every query gives the one token's value
        pooled = torch.cat([visual.attn_pool(rows)[:, 0] for rows in alone.split(ROWS)])
        parts = pooled.unflatten(0, parts.shape[:2])
    whole = output["image_features"]
    return PatchFeatures(whole.flatten(1), visual.ln_post(parts) @ visual.proj)


def _modified_resnet(visual: Any, images: Tensor) -> PatchFeatures:
    output = visual.forward_intermediates(images, indices=1)
    maps, pool = output["image_intermediates"][-1], visual.attnpool
    tokens = maps.flatten(2).transpose(1, 2)
    tokens = tokens + pool.positional_embedding[1:].to(tokens.dtype)  # the first is the mean's
    return PatchFeatures(output["image_features"], pool.c_proj(pool.v_proj(tokens)))


def _timm(visual: Any, images: Tensor) -> PatchFeatures:
    trunk = visual.trunk
    maps = trunk.forward_features(images)
    whole = visual.head(trunk.forward_head(maps))
    if hasattr(trunk, "forward_patches"):
        return PatchFeatures(whole, visual.head(trunk.forward_patches(maps)))
    alone = _alone(trunk, maps)
    rows = torch.cat([visual.head(trunk.forward_head(part)) for part in alone.split(ROWS)])
    return PatchFeatures(whole, rows.unflatten(0, (len(images), -1)))


def _alone(trunk: Any, maps: Tensor) -> Tensor:
    """Return each patch of the last maps as the maps of an image that has only this patch.

    Tokens (B, N, C) become (B * P, 1 + prefix, C), as often as the pooling needs them; maps become
    (B * P, C, 1, 1), or (B * P, 1, 1, C) where the trunk has channels last.
    """
    if maps.ndim == 3:
        prefix = getattr(trunk, "num_prefix_tokens", 0)
        patches = maps[:, prefix:].flatten(0, 1)
        return patches[:, None].expand(-1, 1 + prefix, -1)
    if getattr(trunk, "output_fmt", "NCHW") == "NHWC":
        return maps.flatten(0, 2)[:, None, None]
    return maps.flatten(2).transpose(1, 2).flatten(0, 1)[..., None, None]
