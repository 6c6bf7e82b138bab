"""Features or logits come in, one scalar goes out: one pure function per published idea."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor


def clip(image: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """Return CLIP's symmetric cross-entropy over the pairs of a batch.

    image, text: (B, D), L2-normalised, row i of one belongs to row i of the other. scale =
    exp(learnt logit). With S = scale * image @ text.T,

        L = 1/2 [ -1/B sum_i log softmax_j(S_ij)[i]  -  1/B sum_j log softmax_i(S_ij)[j] ]

    Source: Radford et al. 2021 (arXiv 2103.00020), as CheXzero (Tiu et al. 2022) uses it.
    """
    logits = scale * image @ text.T
    pairs = torch.arange(len(logits), device=logits.device)
    return (nnf.cross_entropy(logits, pairs) + nnf.cross_entropy(logits.T, pairs)) / 2
