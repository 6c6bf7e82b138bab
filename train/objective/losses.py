"""The loss functions: one pure function for each published loss, from features to a scalar.

In all of them image and text are (B, D), L2-normalised, and row i of one belongs to row i of the
other; scale = exp(learnt logit scale); D(Z) of square logits Z (B, B) is the mean of the
cross-entropies over rows and over columns, with the diagonal as the correct class,

    D(Z) = 1/2 [ -1/B sum_i log softmax_j(Z_ij)[i]  -  1/B sum_j log softmax_i(Z_ij)[j] ]

Where neither paper nor code gives an equation, the docstring says that it is our reconstruction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor


def clip(image: Tensor, text: Tensor, scale: Tensor | float) -> Tensor:
    """Return CLIP's symmetric cross-entropy over the pairs of a batch, D(scale * image @ text.T).

    Source: Radford et al. 2021 (arXiv 2103.00020), as CheXzero (Tiu et al. 2022) uses it.
    """
    return _symmetric(scale * image @ text.T)


def relaxed_clip(image: Tensor, text: Tensor, scale: Tensor | float, cap: float) -> Tensor:
    """Return CLIP's loss with the cosine of a pair counted up to `cap` only.

    With S = image @ text.T and S'_ij = S_ij for i != j, S'_ii = min(S_ii, cap), the loss is
    D(scale * S'). A pair above the cap is not pulled closer (its own gradient is 0), while its
    negatives are still pushed away. cap = 1 is `clip`.

    Source: the positive-pair relaxation of Jang et al. 2022 (arXiv 2212.07050). The paper's
    equation was not at hand: this form is our reconstruction. Raises ValueError for a cap outside
    (0, 1].
    """
    if not 0 < cap <= 1:
        raise ValueError(
            f"cap: {cap} is not in (0, 1]: the cosine up to which a pair is pulled together"
        )
    if cap == 1:  # rounding may put the cosine of a vector with itself above 1
        return clip(image, text, scale)
    cosines = image @ text.T
    excess = nnf.relu(cosines.diagonal() - cap)
    return _symmetric(scale * (cosines - excess.diag()))


def multi_view(
    images: Tensor, texts: Tensor, scale: Tensor | float, icl_weight: float, tcl_weight: float
) -> Tensor:
    """Return CXR-CLIP's loss over two images and two texts of each study.

    images, texts: (2, B, D), v1, v2 and u1, u2. With C(a, b) = clip(a, b, scale),

        L = 1/4 [ C(v1,u1) + C(v2,u1) + C(v1,u2) + C(v2,u2) ]
            + icl_weight C(v1,v2) + tcl_weight C(u1,u2)

    Source: You et al. 2023 (arXiv 2310.13292) and its code; there the weights are 1.0 and 0.5.
    """
    crossed = [clip(image, text, scale) for image in images for text in texts]
    loss = torch.stack(crossed).mean()
    if icl_weight:
        loss = loss + icl_weight * clip(images[0], images[1], scale)
    if tcl_weight:
        loss = loss + tcl_weight * clip(texts[0], texts[1], scale)
    return loss


def off_diagonal_target(normal: Tensor) -> Tensor:
    """Return T (B, B) of 0 and 1 for the flags `normal` (B,).

    T_ij = 1 where i = j, and where i and j are both normal: any normal text fits any normal
    image. Source: the method figure of OFF-CLIP (Park et al. 2025, arXiv 2503.01794).
    """
    both = normal[:, None] & normal[None, :]
    return both | torch.eye(len(normal), dtype=torch.bool, device=normal.device)


def off_diagonal(logits: Tensor, normal: Tensor, form: str = "bce") -> Tensor:
    """Return OFF-CLIP's loss, in which normal pairs are each other's positives.

    logits Z: (B, B), images by texts; normal: bool (B,); T = off_diagonal_target(normal).

        bce      mean_ij [ softplus(Z_ij) - T_ij Z_ij ], a binary decision for every image and text
        softce   1/2 [ CE(Z, P) + CE(Z.T, P) ], P = T with rows that sum to 1 (T is symmetric)

    Without two normal pairs T is the identity, and softce is D(Z).

    Source: the figure gives T alone; both forms are our reconstruction (bce after the sigmoid in
    the authors' evaluation code and SigLIP, arXiv 2303.15343; softce after UniCL, arXiv
    2204.03610). Raises ValueError for another form.
    """
    target = off_diagonal_target(normal).to(logits.dtype)
    if form == "bce":
        return nnf.binary_cross_entropy_with_logits(logits, target)
    if form == "softce":
        shares = target / target.sum(dim=1, keepdim=True)
        return (nnf.cross_entropy(logits, shares) + nnf.cross_entropy(logits.T, shares)) / 2
    raise ValueError(f"form: {form!r} is not one of bce, softce")


def abnormal_clip(image: Tensor, text: Tensor, scale: Tensor | float, normal: Tensor) -> Tensor:
    """Return `clip` over the abnormal pairs of a batch alone; normal: bool (B,).

    With fewer than two abnormal pairs there are no negatives: the loss is exactly 0, but stays in
    the graph, so that every rank has gradients to send. Source: OFF-CLIP's figure.
    """
    kept = ~normal
    if int(kept.sum()) < 2:
        return 0.0 * (image.sum() + text.sum() + scale)
    return clip(image[kept], text[kept], scale)


def momentum_contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return MoCo's cross-entropy: each query against its own key and the keys in the queue.

    query, key: (B, D) of two windows of the same images, L2-normalised; queue: (K, D), keys of
    earlier batches. With p_i = <q_i, k_i> and n_ik = <q_i, queue_k>,

        L = -1/B sum_i log [ e^(p_i / t) / (e^(p_i / t) + sum_k e^(n_ik / t)) ]

    No gradient reaches key or queue. With an empty queue the loss is 0.

    Source: He et al. 2020 (arXiv 1911.05722).
    """
    positive = (query * key.detach()).sum(dim=1, keepdim=True)
    negative = query @ queue.detach().T
    logits = torch.cat([positive, negative], dim=1) / temperature
    first = torch.zeros(len(query), dtype=torch.long, device=query.device)
    return nnf.cross_entropy(logits, first)


def carzero(image_to_text_logits: Tensor, text_to_image_logits: Tensor) -> Tensor:
    """Return CARZero's loss D(A) + D(M) on the logits of its cross-attention fusion.

    A: (B, B), images by texts, with texts as queries; M: (B, B), texts by images, with images as
    queries. No temperature.

    Source: Lai et al. 2024 (arXiv 2402.17417) and its code.
    """
    return _symmetric(image_to_text_logits) + _symmetric(text_to_image_logits)


def _symmetric(logits: Tensor) -> Tensor:
    pairs = torch.arange(len(logits), device=logits.device)
    return (nnf.cross_entropy(logits, pairs) + nnf.cross_entropy(logits.T, pairs)) / 2


def labels(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of logits (B, L), over the labels whose target is 1 or 0.

    It is the mean over all of them; without any it is 0. Targets below 0 do not count.
    """
    counted = targets >= 0
    each = nnf.binary_cross_entropy_with_logits(logits, targets.clamp(min=0), reduction="none")
    return (each * counted).sum() / counted.sum().clamp(min=1)
