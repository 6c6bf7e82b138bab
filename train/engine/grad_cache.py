"""Computes the gradient of a batch that is too large for the device, in chunks (GradCache).

A contrastive loss needs the features of all pairs, but not the activations of the towers. So the
features are first computed without a graph, and the loss gives a gradient for each feature. Then
each chunk is computed again with a graph, which takes its part of that gradient back to the
weights. It costs one more forward pass; the memory is that of one chunk.

Source: Gao et al. 2021 (arXiv 2101.06983). A batch norm sees the chunks, not the batch: with a
batch norm in a tower, the gradient is that of the smaller batches' statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from cxr_vlp.train.objective.method import Features

Encode = Callable[[int], Features]


def two_passes(
    encode: Encode,
    count: int,
    loss_of: Callable[[Features], Tensor],
    backward: Callable[[Tensor], None],
    unsynced: Callable[[], AbstractContextManager[None]],
) -> Tensor:
    """Add the gradient of `loss_of` over all chunks to the weights; return the loss, a scalar.

    `encode(i)` returns the features of chunk i of `count`, the same numbers each time; `backward`
    runs the backward pass of a loss; inside `unsynced` processes do not wait for each other.
    """
    with torch.no_grad():
        whole = _leaves([encode(i) for i in range(count)])
    loss = loss_of(whole)
    backward(loss)
    sizes = [0]
    for i in range(count):
        if i + 1 < count:
            with unsynced():
                sizes.append(_backward_chunk(encode(i), whole, sizes[-1], last=False))
        else:
            _backward_chunk(encode(i), whole, sizes[-1], last=True)
    return loss.detach()


def _leaves(chunks: Sequence[Features]) -> Features:
    """Return the chunks joined; their tensors are leaves that collect a gradient."""
    first = chunks[0]
    return Features(
        torch.cat([chunk.images for chunk in chunks], dim=1).requires_grad_(),
        torch.cat([chunk.texts for chunk in chunks], dim=1).requires_grad_(),
        first.scale.detach().clone().requires_grad_(),
        None if first.bias is None else first.bias.detach().clone().requires_grad_(),
    )


def _backward_chunk(chunk: Features, whole: Features, start: int, *, last: bool) -> int:
    """Run the backward pass of one chunk from the whole batch's gradient; return the next start.

    Scale and bias, which every chunk has, get their gradient once, with the last chunk.
    """
    end = start + chunk.images.shape[1]
    pairs = [(chunk.images, _slice(whole.images, start, end))]
    pairs += [(chunk.texts, _slice(whole.texts, start, end))]
    if last:
        pairs += [(chunk.scale, whole.scale.grad)]
        if chunk.bias is not None and whole.bias is not None:
            pairs += [(chunk.bias, whole.bias.grad)]
    kept = [(value, slope) for value, slope in pairs if value.requires_grad and slope is not None]
    torch.autograd.backward([value for value, _ in kept], [slope for _, slope in kept])
    return end


def _slice(tensor: Tensor, start: int, end: int) -> Tensor | None:
    return None if tensor.grad is None else tensor.grad[:, start:end]
