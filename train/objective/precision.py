"""Features of any precision come in, features that may be compared go out."""

from __future__ import annotations

import torch
from torch import Tensor


def full(features: Tensor) -> Tensor:
    """Return features in float32 where they are in half precision: similarities are never."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
