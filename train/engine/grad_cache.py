"""A batch too large for a device comes in, piece by piece; the gradient of the whole goes out.

A contrastive loss needs the features of all pairs, but not what the towers computed on the way. So
the features are made once without a graph, the loss is taken back to them, and then each piece is
made again with a graph, to take its share of that gradient back to the weights. It costs one more
forward pass; the memory is that of one piece.

Source: Gao et al. 2021 (arXiv 2101.06983). A batch norm sees the pieces, not the batch: with one in
a tower the gradient is that of smaller batches' statistics.
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
    send: Callable[[Tensor], None],
    unsynced: Callable[[], AbstractContextManager[None]],
) -> Tensor:
    """Add the gradient of `loss_of` over all pieces to the weights; return the loss.

    `encode(i)` returns piece i of `count`, the same numbers each time; `send` is the backward pass
    of a loss; within `unsynced` processes do not wait for each other.
    """
    with torch.no_grad():
        whole = _leaves([encode(i) for i in range(count)])
    loss = loss_of(whole)
    send(loss)
    sizes = [0]
    for i in range(count):
        if i + 1 < count:
            with unsynced():
                sizes.append(_share(encode(i), whole, sizes[-1], last=False))
        else:
            _share(encode(i), whole, sizes[-1], last=True)
    return loss.detach()


def _leaves(pieces: Sequence[Features]) -> Features:
    """Return the pieces as one, its tensors leaves that collect their gradient."""
    first = pieces[0]
    return Features(
        torch.cat([piece.images for piece in pieces], dim=1).requires_grad_(),
        torch.cat([piece.texts for piece in pieces], dim=1).requires_grad_(),
        first.scale.detach().clone().requires_grad_(),
        None if first.bias is None else first.bias.detach().clone().requires_grad_(),
    )


def _share(piece: Features, whole: Features, start: int, *, last: bool) -> int:
    """Take the gradient of the whole back through one piece; return where the next one starts.

    Scale and bias, which every piece has, are taken back once, with the last.
    """
    end = start + piece.images.shape[1]
    pairs = [(piece.images, _slice(whole.images, start, end))]
    pairs += [(piece.texts, _slice(whole.texts, start, end))]
    if last:
        pairs += [(piece.scale, whole.scale.grad)]
        if piece.bias is not None and whole.bias is not None:
            pairs += [(piece.bias, whole.bias.grad)]
    kept = [(value, slope) for value, slope in pairs if value.requires_grad and slope is not None]
    torch.autograd.backward([value for value, _ in kept], [slope for _, slope in kept])
    return end


def _slice(tensor: Tensor, start: int, end: int) -> Tensor | None:
    return None if tensor.grad is None else tensor.grad[:, start:end]
