"""Varies a training image: mirror image, rotation, shift, zoom, CLAHE, brightness, contrast.

The transforms are torchvision's, on uint8. Each draws from the generator of its own image.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from cxr_vlp.train.config.recipe import AugmentConfig
from cxr_vlp.train.data.seeding import torch_seeded

CLIP_LIMITS = (1.0, 4.0)
TILES = (8, 8)


def augmented(image: Tensor, recipe: AugmentConfig, rng: random.Random) -> Tensor:
    """Return a (1, H, W) uint8 image varied as the recipe says; by default unchanged."""
    steps = _steps(recipe)
    if not steps:
        return image
    with torch_seeded(rng):
        for step in steps:
            image = step(image)
    return image


class Affine(v2.RandomAffine):
    """RandomAffine with OpenCV's bilinear warp: a fifth of the time on one grey channel."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return the image rotated clockwise, scaled and moved about its centre; black outside."""
        _, height, width = inpt.shape
        centre = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, -params["angle"], params["scale"])
        moved = matrix + np.array([[0, 0, params["translate"][0]], [0, 0, params["translate"][1]]])
        return _from(cv2.warpAffine(inpt[0].numpy(), moved, (width, height)))


class Equalize(v2.Transform):
    """Contrast-limited adaptive histogram equalisation; its limit is drawn from CLIP_LIMITS.

    Source: Zuiderveld 1994, as CXR-CLIP uses it through albumentations (limit up to 4, 8 x 8
    tiles).
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the contrast limit."""
        del flat_inputs  # the limit does not depend on the image
        low, high = CLIP_LIMITS
        return {"limit": low + (high - low) * float(torch.rand(()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Return the equalised image."""
        return _from(cv2.createCLAHE(params["limit"], TILES).apply(inpt[0].numpy()))


@lru_cache(maxsize=8)
def _steps(recipe: AugmentConfig) -> tuple[v2.Transform, ...]:
    steps: list[v2.Transform] = []
    if recipe.flip:
        steps.append(v2.RandomHorizontalFlip(recipe.flip))
    if recipe.turn or recipe.move or recipe.zoom != (1.0, 1.0):
        steps.append(Affine(recipe.turn, (recipe.move, recipe.move), recipe.zoom))
    if recipe.clahe:
        steps.append(v2.RandomApply([Equalize()], recipe.clahe))
    if recipe.brightness or recipe.contrast:
        steps.append(v2.ColorJitter(recipe.brightness, recipe.contrast))
    return tuple(steps)


def _from(grey: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(grey)[None]
