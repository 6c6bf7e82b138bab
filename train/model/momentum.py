"""Keeps a slowly moving copy of the image tower, and a queue of the keys that it made (MoCo).

The queue starts empty, and only its filled rows are negatives. Random vectors in their place would
be far from every image, would be separated without learning, and would stay until the queue has
been filled once. Queue, position and copy are buffers and weights of the module, so they are in
every checkpoint. Nothing here has a gradient.

Source: He et al. 2020 (arXiv 1911.05722). They shuffle a batch over GPUs, so that batch norms leak
nothing about it. This is left out: the published tower here, a ViT, has no batch norm.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.model.precision import as_float32


class MomentumEncoder(nn.Module):
    """The key tower and its queue: `rows` (K, D), `filled` of them hold keys, `place` is next."""

    rows: Tensor
    place: Tensor
    filled: Tensor

    def __init__(self, tower: Any, width: int, length: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.tower = _with_batch_statistics(deepcopy(tower).requires_grad_(False).eval())
        self.register_buffer("rows", torch.zeros(length, width))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def train(self, mode: bool = True) -> MomentumEncoder:
        """Set the mode of this module; the key tower stays in evaluation mode."""
        super().train(mode)
        self.tower.eval()
        return self

    @torch.no_grad()
    def update(self, tower: nn.Module) -> None:
        """Move the key tower towards the query tower: k <- rate * k + (1 - rate) * q.

        Integer buffers are copied. Call it once an optimiser step, before the keys are made.
        """
        query = tower.state_dict()
        for name, own in self.tower.state_dict().items():
            if own.is_floating_point():
                own.lerp_(query[name].to(own.dtype), 1 - self.rate)
            else:
                own.copy_(query[name])

    @torch.no_grad()
    def keys(self, images: Tensor) -> Tensor:
        """Return the keys (B, D), L2-normalised, of images (B, 3, S, S)."""
        return nnf.normalize(as_float32(self.tower(images)), dim=-1)

    @torch.no_grad()
    def negatives(self) -> Tensor:
        """Return a copy of the filled rows (filled, D)."""
        return self.rows[: int(self.filled)].clone()

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest rows by keys (B, D): those of all ranks, so that all queues are equal.

        Raises ConfigError where a batch is longer than the queue.
        """
        length, count = len(self.rows), len(keys)
        if count > length:
            raise ConfigError(
                f"loss.queue: {length} rows are too few for a batch of {count} keys; "
                "make the queue longer than the batch of all processes together"
            )
        places = (self.place + torch.arange(count, device=keys.device)) % length
        self.rows[places] = keys.to(self.rows.dtype)
        self.place.copy_((self.place + count) % length)
        self.filled.copy_((self.filled + count).clamp(max=length))


def _with_batch_statistics(tower: Any) -> Any:
    """Make a tower's batch norms use the statistics of each batch, and return the tower.

    The query tower also uses its batch's statistics in training (on several GPUs those of all
    processes; a key uses its own process's). With running statistics instead, a query and its key
    differ mostly in how they were normalised: at weight 1 (benchmarks/ablations) the tiny recipe's
    macro AUROC was .59 with running statistics, and is .80 with batch statistics.
    """
    for module in tower.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return tower
