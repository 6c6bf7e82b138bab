"""An image tower comes in; its slow copy, and a queue of the keys that it made, go out (MoCo).

The queue starts empty and only its filled rows are negatives: random vectors in their place would
lie far from every image, be told apart without learning, and stay for as long as the queue is.
Queue, place and copy are buffers and weights of the module, so they are in every checkpoint.
Nothing in here has a gradient.

Source: He et al. 2020 (arXiv 1911.05722). Their shuffling of a batch over GPUs, against what its
batch norms tell of it, is left out: the published tower here, a ViT, has none.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.objective.precision import full


class Momentum(nn.Module):
    """The key tower and its queue: `rows` (K, D), of which `filled` hold keys, `place` is next."""

    rows: Tensor
    place: Tensor
    filled: Tensor

    def __init__(self, tower: Any, width: int, length: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.tower = _by_batch(deepcopy(tower).requires_grad_(False).eval())
        self.register_buffer("rows", torch.zeros(length, width))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))

    def train(self, mode: bool = True) -> Momentum:
        """Set the mode of this module; the key tower stays in evaluation mode."""
        super().train(mode)
        self.tower.eval()
        return self

    @torch.no_grad()
    def follow(self, tower: nn.Module) -> None:
        """Move the key tower a step towards the query tower: k <- rate * k + (1 - rate) * q.

        Counters are taken over. Once an optimiser step, before its keys are made.
        """
        towards = tower.state_dict()
        for name, own in self.tower.state_dict().items():
            if own.is_floating_point():
                own.lerp_(towards[name].to(own.dtype), 1 - self.rate)
            else:
                own.copy_(towards[name])

    @torch.no_grad()
    def keys(self, images: Tensor) -> Tensor:
        """Return the keys (B, D), L2-normalised, of images (B, 3, S, S)."""
        return nnf.normalize(full(self.tower(images)), dim=-1)

    @torch.no_grad()
    def negatives(self) -> Tensor:
        """Return a copy of the filled rows (filled, D)."""
        return self.rows[: int(self.filled)].clone()

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys (B, D) in place of the oldest rows; the same on every rank: keys of all ranks.

        Raises ConfigError where a batch does not fit into the queue.
        """
        length, count = len(self.rows), len(keys)
        if count > length:
            raise ConfigError(
                f"loss.queue: {length} rows hold no batch of {count} keys; "
                "make the queue longer than the batch of all processes together"
            )
        places = (self.place + torch.arange(count, device=keys.device)) % length
        self.rows[places] = keys.to(self.rows.dtype)
        self.place.copy_((self.place + count) % length)
        self.filled.copy_((self.filled + count).clamp(max=length))


def _by_batch(tower: Any) -> Any:
    """Let a tower's batch norms go by the batch at hand and hold no statistics, and return it.

    The query tower goes by its batch too while it is trained (on several GPUs by that of all of
    them, a key by its own process's). With running statistics instead, what a query and its key
    differ in is mostly the way they were normalised: at weight 1 (benchmarks/ablations) the tiny
    recipe's macro AUROC was .59 that way, and is .80 this way.
    """
    for module in tower.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    return tower
