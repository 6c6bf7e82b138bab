"""Ranks and precision of queries in a gallery, and what chance would give.

Ties count against the model: where something wrong is as similar as what is right, the wrong one
stands first. A model that says the same of everything finds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.evaluation.scores import Floats, Places

Flags = npt.NDArray[np.bool_]
BLOCK = 256  # queries at a time: with 10,000 in the gallery 20 MB of similarities


def blocks(queries: int) -> Iterator[slice]:
    """Yield the blocks of the queries, in order."""
    for start in range(0, queries, BLOCK):
        yield slice(start, min(start + BLOCK, queries))


def ranks(similarity: Floats, right: Flags) -> Places:
    """Return the ranks (Q,), from 1, of the best right one of each query.

    similarity, right: (Q, G); every query has something right. Wrong ones that are as similar as
    the best right one stand before it.
    """
    best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((similarity >= best) & ~right).sum(axis=1)


def precisions(similarity: Floats, right: Flags, counts: Sequence[int]) -> Floats:
    """Return (Q, K): the share of right ones among the `counts` most similar of the gallery."""
    order = np.lexsort((right, -similarity), axis=1)
    found = np.cumsum(np.take_along_axis(right, order, axis=1), axis=1)
    return np.stack([found[:, count - 1] / count for count in counts], axis=1)


def in_blocks(
    queries: int, similarity: Callable[[slice], Floats], right: Callable[[slice], Flags]
) -> Places:
    """Return the ranks of all queries; only one block of them is in memory at a time."""
    parts = [ranks(similarity(block), right(block)) for block in blocks(queries)]
    return np.concatenate(parts) if parts else np.empty(0, np.intp)


def chance_recall(right: npt.NDArray[np.intp], gallery: int, count: int) -> float:
    """Return the expected R@count of a random order. right: (Q,) how many are right for each.

    1 - C(G - m, k) / C(G, k) of a query with m right ones among G.
    """
    k = min(count, gallery)
    orders = math.comb(gallery, k)
    different, times = np.unique(right, return_counts=True)
    found = [(orders - math.comb(gallery - m, k)) / orders for m in different.tolist()]
    return float(np.dot(found, times) / len(right))


def chance_rank(right: npt.NDArray[np.intp], gallery: int) -> float:
    """Return the expected rank of the best right one in a random order: (G + 1) / (m + 1)."""
    return float(np.mean((gallery + 1) / (right + 1)))
