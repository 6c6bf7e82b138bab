"""Makes one optimiser step from batches. Accelerate handles devices, precision and processes.

What torch draws in a step (dropout) depends on (seed, step, rank, chunk). So there is no random
state to save, and a chunk that is computed twice gives the same numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.data.batches import Batch, to_input
from cxr_vlp.train.data.seeding import generator
from cxr_vlp.train.distributed import gather
from cxr_vlp.train.engine import divergence, optim
from cxr_vlp.train.engine.divergence import NotFinite
from cxr_vlp.train.engine.grad_cache import two_passes
from cxr_vlp.train.model.build import DualEncoder, trim
from cxr_vlp.train.model.fusion import Tokens
from cxr_vlp.train.objective.method import (
    Features,
    Method,
    concatenated,
    encode,
    is_fused,
    joined,
    labelled,
    loss_inputs,
    vectors,
)
from cxr_vlp.train.objective.terms import total, validation_loss


class Steps:
    """The method, its optimiser and the moving average of its weights, on this process."""

    def __init__(
        self, recipe: Recipe, encoder: DualEncoder, seed: int, accelerator: Accelerator
    ) -> None:
        self.recipe, self.encoder, self.seed = recipe, encoder, seed
        self.accelerator = accelerator
        self.method = Method(encoder, recipe.loss)
        if accelerator.num_processes > 1:
            _prepare_for_ddp(self.method, accelerator.device)
        optimizer = optim.make(self.method, recipe.optim)
        self.model: Any
        self.optimizer: Optimizer
        self.model, self.optimizer = accelerator.prepare(self.method, optimizer)
        self.recent: deque[tuple[int, float]] = deque(maxlen=divergence.RECENT)  # (step, loss)
        self.average: AveragedModel | None = None
        if recipe.run.average:
            decay = get_ema_multi_avg_fn(recipe.run.average)
            self.average = AveragedModel(encoder.model, multi_avg_fn=decay, use_buffers=True)
            self.masks = _masks(self.average.module)

    def step(self, number: int, batches: Sequence[Batch], rate: float) -> float:
        """Make optimiser step `number` from the batches at learning rate `rate`; return their loss.

        The loss is the mean over the batches. Where it is not finite, raises DataError with the
        hash of the key of the one pair that alone has features that are not finite, else
        DivergenceError.
        """
        optim.set_rate(self.optimizer, rate)
        self.model.train()
        self.method.update_momentum()
        try:
            losses = [self._backward(number, place, batch) for place, batch in enumerate(batches)]
        except NotFinite as found:
            precision = self.recipe.run.precision
            what = f"the loss of step {number + 1} is {found.value}"
            raise divergence.error(what, rate, self.recent, self.recipe.optim, precision) from None
        if self.average is not None:
            self.average.update_parameters(self.method.model)
            for mask, content in self.masks:
                mask.copy_(content)
        loss = sum(losses) / len(losses)
        self.recent.append((number + 1, loss))
        return loss

    @torch.no_grad()
    def measure(self, batch: Batch, pairs: int) -> tuple[float, Tokens]:
        """Return the validation loss of a batch with one image and one text a pair, and its images.

        The images are given as a `Model` of the evaluation encodes them. `pairs`: how many are
        encoded at a time. No process waits for another one.
        """
        model = self.evaluated_model().eval()
        device = self.accelerator.device
        grey, tokens = batch.images.to(device), trim(batch.tokens, self.encoder).to(device)
        with self.accelerator.autocast():
            parts = [
                encode(model, self._normalised(shown), said)
                for shown, said in zip(
                    grey.split(pairs, dim=1), tokens.split(pairs, dim=1), strict=True
                )
            ]
            features = labelled(concatenated(parts), model, batch.samples)
            inputs = loss_inputs(model, features, batch.normal.to(device))
        loss = total(inputs, validation_loss(self.recipe.loss))
        return float(loss), features.patches or vectors(features.images[0])

    def weights(self) -> dict[str, Tensor]:
        """Return all weights and buffers, for a checkpoint."""
        return self.method.state_dict()

    def evaluation_weights(self) -> dict[str, Tensor]:
        """Return the weights for evaluation: the moving average where there is one."""
        return self.evaluated_model().state_dict()

    def rest(self) -> dict[str, Any]:
        """Return what a checkpoint needs besides the weights."""
        scaler = self.accelerator.scaler
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": {} if scaler is None else scaler.state_dict(),
            "average": {} if self.average is None else self.average.state_dict(),
        }

    def restore(self, weights: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Restore what `weights` and `rest` returned."""
        self.method.load_state_dict(weights)
        self.optimizer.load_state_dict(rest["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(rest["scaler"])
        if self.average is not None:
            self.average.load_state_dict(rest["average"])

    def evaluated_model(self) -> nn.Module:
        """Return the model that is validated and kept: the moving average where there is one."""
        return self.method.model if self.average is None else self.average.module

    def _backward(self, number: int, place: int, batch: Batch) -> float:
        limit = self.recipe.optim.clip_norm
        with self.accelerator.accumulate(self.model):
            loss, keys = self._gradient(f"{number}/{place}", batch)
            if limit and self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), limit)
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.method.enqueue(keys)
        return loss

    def _gradient(self, name: str, batch: Batch) -> tuple[float, Tensor | None]:
        """Add the gradient of a batch to the weights; return its loss and its momentum keys."""
        grey, tokens = self._inputs(batch)
        chunk = self.recipe.run.chunk or len(batch)
        with self.accelerator.autocast():
            keys = self.method.keys(map(self._normalised, grey[-1:].split(chunk, dim=1)))
        normal = gather(batch.normal.to(grey.device))
        images = grey[: self.method.views].split(chunk, dim=1)
        texts = tokens.split(chunk, dim=1)

        def features_of(part: int) -> Features:
            self._seed_dropout(f"{name}/{part}")
            features: Features = self.model(self._normalised(images[part]), texts[part])
            return labelled(features, self.method.model, batch.samples)

        def loss_of(features: Features) -> Tensor:
            loss = self._loss(joined(features), normal, keys)
            if not torch.isfinite(loss):
                divergence.refuse_pair(features, batch.keys, self.method.model)
                raise NotFinite(loss.item())
            return loss

        backward = self.accelerator.backward
        if len(images) > 1:
            unsynced = partial(self.accelerator.no_sync, self.model)
            loss = two_passes(features_of, len(images), loss_of, backward, unsynced)
            return loss.item(), keys
        loss = loss_of(features_of(0))
        backward(loss)
        return loss.item(), keys

    def _loss(self, features: Features, normal: Tensor, keys: Tensor | None) -> Tensor:
        with self.accelerator.autocast():
            negatives = self.method.negatives()
            inputs = loss_inputs(self.method.model, features, normal, keys, negatives)
        return total(inputs, self.recipe.loss)

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return images (V, B, 1, S, S) uint8 and tokens (T, B, L) on the device."""
        device = self.accelerator.device
        # Gathered words must have one length on all ranks; a text's features do not depend on it.
        ragged = is_fused(self.method.model) and self.accelerator.num_processes > 1
        tokens = batch.tokens if ragged else trim(batch.tokens, self.encoder)
        return batch.images.to(device), tokens.to(device)

    def _normalised(self, grey: Tensor) -> Tensor:
        """Return images (V, B, 1, S, S) uint8 as the towers' input (V, B, 3, S, S) float32."""
        return to_input(grey.flatten(0, 1), self.recipe.image).unflatten(0, grey.shape[:2])

    def _seed_dropout(self, name: str) -> None:
        rank = self.accelerator.process_index
        torch.manual_seed(generator(self.seed, rank, name, "dropout").getrandbits(63))


def _masks(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return the buffers that hold infinite values, such as a causal mask, each with its content.

    The mean of two infinite values is no number, so they are not averaged.
    """
    found = (each for each in model.buffers() if each.is_floating_point())
    return [(each, each.clone()) for each in found if not torch.isfinite(each).all()]


def _prepare_for_ddp(method: Method, device: torch.device) -> None:
    """Exclude the momentum encoder from DDP, which would send it around; sync batch norms on GPUs.

    The momentum encoder has no gradient and is equal on all ranks.
    """
    if method.momentum is not None:
        own = [f"momentum.{name}" for name in method.momentum.state_dict()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(method, own)
    if device.type == "cuda":  # torch has no synchronised batch norm for a CPU
        nn.SyncBatchNorm.convert_sync_batchnorm(method.model)
