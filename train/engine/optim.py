"""A model and a recipe's `optim` section come in, the optimiser and its learning rate go out."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import Optimizer

from cxr_vlp.train.config.recipe_sections import Optim


def make(model: nn.Module, recipe: Optim) -> Optimizer:
    """Return the optimiser over the model's trainable parameters.

    With `decay: matrices`, weight decay goes to matrices only: on norms, biases and the logit
    scale it pulls towards a value that means nothing there.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    all_decay = recipe.decay == "all"
    decaying = [weight for weight in trained if all_decay or weight.ndim >= 2]
    free = [weight for weight in trained if not all_decay and weight.ndim < 2]
    groups = [
        {"params": decaying, "weight_decay": recipe.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    if recipe.name == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.name == "adam" else torch.optim.AdamW
    # fused: one pass over the 49,408-word embedding instead of five, also on a CPU
    return kind(groups, lr=recipe.lr, betas=recipe.betas, fused=True)


def rate(step: int, total: int, recipe: Optim) -> float:
    """Return the learning rate of step 0 <= step < total.

    It climbs linearly over `warmup` steps, then stays or falls to 0 at `total`. A function of the
    step alone, so a resumed run needs no scheduler state. Where a run is shorter than twice its
    warm-up, the warm-up is half the run.

    With p the fraction done after the warm-up, cosine is (1 + cos(pi p)) / 2 and cosine_squared is
    cos(pi p / 2)^2, as CXR-CLIP's code writes it: the same curve under both its names.
    """
    warmup = min(recipe.warmup, total // 2)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    if recipe.schedule == "constant":
        return recipe.lr
    done = (step - warmup) / max(1, total - warmup)
    if recipe.schedule == "cosine_squared":
        return recipe.lr * math.cos(math.pi * done / 2) ** 2
    return recipe.lr * (1 + math.cos(math.pi * done)) / 2


def set_rate(optimizer: Optimizer, value: float) -> None:
    """Give every group of the optimiser this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value
