"""Counts in, the flow table out: how many images were listed, lost and why, written. It adds up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_vlp.pipelines.errors import DataError

STEPS = ("scan", "texts", "shards")


def dropped(rejects: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return "step code" -> images lost, from the rows of reject files."""
    counts: Counter[str] = Counter()
    for row in rejects:
        counts[f"{row['step']} {row['code']}"] += row["images"]
    return dict(sorted(counts.items(), key=lambda item: (STEPS.index(item[0].split()[0]), item[0])))


def balance(listed: int, lost: Mapping[str, int], left: int, where: str) -> None:
    """Check that what came in is what was lost and what is left. Raises DataError.

    A difference is a fault of ours, and publishing it would hide that something vanished.
    """
    if listed != sum(lost.values()) + left:
        gone = sum(lost.values())
        raise DataError(f"flow.unbalanced after {where}: {listed} in, {gone} lost, {left} left")


def rows(listed: int, lost: Mapping[str, int], written: int, name: str) -> list[tuple[str, int]]:
    """Return the lines of the flow table, in, out by reason, left."""
    reasons = [(f"- {reason}", number) for reason, number in lost.items()]
    return [("images listed", listed), *reasons, (name, written)]
