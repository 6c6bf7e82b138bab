"""Batches come in, one optimiser step is made: devices, precision and processes are Accelerate's.

What torch draws in a step (dropout) follows from (seed, step, rank, piece), so there is no random
state to keep, and a piece that is made twice comes out the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.data.batches import Batch, to_input
from cxr_vlp.train.data.seeding import chance
from cxr_vlp.train.distributed import gather
from cxr_vlp.train.engine import optim
from cxr_vlp.train.engine.grad_cache import two_passes
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.model.build import Towers, trim
from cxr_vlp.train.objective.method import Features, Method, encode, is_fused, joined, seen
from cxr_vlp.train.objective.terms import measured, total


class Steps:
    """The method, its optimiser and the weights' average on this process."""

    def __init__(self, recipe: Recipe, towers: Towers, seed: int, accelerator: Accelerator) -> None:
        self.recipe, self.towers, self.seed, self.accelerator = recipe, towers, seed, accelerator
        self.method = Method(towers, recipe.loss)
        if accelerator.num_processes > 1:
            _for_ranks(self.method, accelerator.device)
        optimizer = optim.make(self.method, recipe.optim)
        self.model: Any
        self.optimizer: Optimizer
        self.model, self.optimizer = accelerator.prepare(self.method, optimizer)
        self.average: AveragedModel | None = None
        if recipe.run.average:
            decay = get_ema_multi_avg_fn(recipe.run.average)
            self.average = AveragedModel(towers.model, multi_avg_fn=decay, use_buffers=True)

    def step(self, number: int, batches: Sequence[Batch], rate: float) -> float:
        """Make optimiser step `number` from the batches; return their mean loss.

        Raises DataError with the hashes of a batch's keys where its loss is no number.
        """
        optim.set_rate(self.optimizer, rate)
        self.model.train()
        self.method.follow()
        losses = [self._backward(number, place, batch) for place, batch in enumerate(batches)]
        if self.average is not None:
            self.average.update_parameters(self.method.model)
        return sum(losses) / len(losses)

    @torch.no_grad()
    def measure(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of one picture and one text a pair, on this process alone."""
        model = self._kept().eval()
        grey, tokens = self._inputs(batch)
        with self.accelerator.autocast():
            features = encode(model, self._shown(grey), tokens)
            shown = seen(model, features, batch.normal.to(grey.device))
        return total(shown, measured(self.recipe.loss))

    def weights(self) -> dict[str, Tensor]:
        """Return all weights and buffers, for a checkpoint."""
        return self.method.state_dict()

    def kept(self) -> dict[str, Tensor]:
        """Return the weights that evaluation needs: the averaged ones where there is an average."""
        return self._kept().state_dict()

    def rest(self) -> dict[str, Any]:
        """Return what a checkpoint needs besides the weights."""
        scaler = self.accelerator.scaler
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
            "average": {} if self.average is None else self.average.state_dict(),
        }

    def restore(self, weights: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Go back to what `weights` and `rest` returned."""
        self.method.load_state_dict(weights)
        self.optimizer.load_state_dict(rest["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(rest["scaler"])
        if self.average is not None:
            self.average.load_state_dict(rest["average"])

    def _kept(self) -> nn.Module:
        return self.method.model if self.average is None else self.average.module

    def _backward(self, number: int, place: int, batch: Batch) -> float:
        limit = self.recipe.optim.clip_norm
        with self.accelerator.accumulate(self.model):
            loss, keys = self._gradient(f"{number}/{place}", batch)
            if limit and self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.method.learned(keys)
        return loss

    def _gradient(self, piece: str, batch: Batch) -> tuple[float, Tensor | None]:
        """Add the gradient of a batch to the weights; return its loss and its momentum keys."""
        grey, tokens = self._inputs(batch)
        chunk = self.recipe.run.chunk or len(batch)
        with self.accelerator.autocast():
            keys = self.method.keys(map(self._shown, grey[-1:].split(chunk, dim=1)))
        normal = gather(batch.normal.to(grey.device))
        films = grey[: self.method.views].split(chunk, dim=1)
        texts = tokens.split(chunk, dim=1)

        def towers(part: int) -> Features:
            self._draw(f"{piece}/{part}")
            features: Features = self.model(self._shown(films[part]), texts[part])
            return features

        def loss_of(features: Features) -> Tensor:
            return self._loss(joined(features), normal, keys, batch.keys)

        send = self.accelerator.backward
        if len(films) > 1:
            unsynced = partial(self.accelerator.no_sync, self.model)
            return two_passes(towers, len(films), loss_of, send, unsynced).item(), keys
        loss = loss_of(towers(0))
        send(loss)
        return loss.item(), keys

    def _loss(
        self, features: Features, normal: Tensor, keys: Tensor | None, names: Sequence[str]
    ) -> Tensor:
        with self.accelerator.autocast():
            shown = seen(self.method.model, features, normal, keys, self.method.negatives())
        loss = total(shown, self.recipe.loss)
        if not torch.isfinite(loss):
            hashes = " ".join(key_hash(name) for name in names)
            raise DataError(f"the loss is {loss.item()}; the batch's key hashes: {hashes}")
        return loss

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return films (V, B, 1, S, S) uint8 and tokens (T, B, L) on the device."""
        device = self.accelerator.device
        # Words are gathered in one length; a text's own features are the same in any.
        ragged = is_fused(self.method.model) and self.accelerator.num_processes > 1
        tokens = batch.tokens if ragged else trim(batch.tokens, self.towers)
        return batch.images.to(device), tokens.to(device)

    def _shown(self, grey: Tensor) -> Tensor:
        """Return films (V, B, 1, S, S) as the towers take them, (V, B, 3, S, S)."""
        return to_input(grey.flatten(0, 1), self.recipe.image).unflatten(0, grey.shape[:2])

    def _draw(self, piece: str) -> None:
        rank = self.accelerator.process_index
        torch.manual_seed(chance(self.seed, rank, piece, "dropout").getrandbits(63))


def _for_ranks(method: Method, device: torch.device) -> None:
    """Ready a method for DDP: what has no gradient is alike on all ranks, and is not sent about."""
    if method.momentum is not None:
        mine = [f"momentum.{name}" for name in method.momentum.state_dict()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(method, mine)
    if device.type == "cuda":  # torch has no synchronised batch norm for a CPU
        nn.SyncBatchNorm.convert_sync_batchnorm(method.model)
