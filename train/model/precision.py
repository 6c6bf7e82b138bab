"""Converts features to float32, in which similarities are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def as_float32(features: Tensor) -> Tensor:
    """Return half-precision features in float32, and features of any other type unchanged."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
