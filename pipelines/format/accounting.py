"""Counts how many images were listed, lost (and why) and written: the flow table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

STEPS = ("scan", "texts", "shards", "select")


def dropped(rejects: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return "step code" -> images lost, from the rows of reject files."""
    counts: Counter[str] = Counter()
    for row in rejects:
        counts[f"{row['step']} {row['code']}"] += row["images"]
    return dict(sorted(counts.items(), key=lambda item: (STEPS.index(item[0].split()[0]), item[0])))


def imbalance(listed: int, lost: Mapping[str, int], left: int, where: str) -> str:
    """Return how the counts contradict each other, "" if listed = lost + left.

    A difference is a fault of this program. A set with one must not be published: it would hide
    that images vanished.
    """
    gone = sum(lost.values())
    if listed == gone + left:
        return ""
    return f"flow.unbalanced after {where}: {listed} listed, {gone} lost, {left} left"


def rows(listed: int, lost: Mapping[str, int], written: int, name: str) -> list[tuple[str, int]]:
    """Return the lines of the flow table: listed, lost by reason, left (under `name`)."""
    reasons = [(f"- {reason}", number) for reason, number in lost.items()]
    return [("images listed", listed), *reasons, (name, written)]
