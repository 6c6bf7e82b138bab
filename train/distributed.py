"""Gathers features from all processes, with their gradient.

With one process nothing is gathered, so the loss is written once for a laptop and for torchrun.
"""

from __future__ import annotations

import warnings

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_nn
from torch import Tensor


def world() -> tuple[int, int]:
    """Return (rank, number of processes); (0, 1) outside torchrun."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather(features: Tensor, dim: int = 0) -> Tensor:
    """Return the features of all ranks, concatenated along `dim` in the order of the ranks.

    The result has a gradient. Each rank computes the loss over all pairs; the backward pass of the
    gather adds up the ranks' gradients and DDP takes their mean, so a step equals one process's
    step over the joined batch. The shape must be the same on every rank.
    """
    if world()[1] == 1:
        return features
    with warnings.catch_warnings():
        # what torch names instead is not public yet
        warnings.filterwarnings("ignore", r".*all_gather is deprecated", FutureWarning)
        parts = dist_nn.all_gather(features.contiguous())
    return torch.cat(parts, dim=dim)
