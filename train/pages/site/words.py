"""Writes numbers and the names of measures as the site shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RANK = 10  # no measure but a rank is this large
NONE = "–"  # what stands in a cell without a number
MEASURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "mcc": "MCC",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "brier": "Brier",
    "ece": "ECE",
    "iou": "IoU",
    "iou_scaled": "IoU, scaled map",
    "dice_scaled": "Dice, scaled map",
    "cnr": "CNR, without sign",
    "cnr_signed": "CNR",
    "pointing": "pointing game",
    "n": "pairs",
    "kind": "statements",
    "why": "why not measured",
}


def number(value: Any, digits: int = 3) -> str:
    """Return a measure with its digits, a rank with one; a dash for None and an empty cell."""
    if value is None or value == "":
        return NONE
    if abs(float(value)) >= RANK:
        digits = 1
    return f"{float(value):.{digits}f}".replace("-", "−")


def interval(low: Any, high: Any, digits: int = 3) -> str:
    """Return an interval, "" where there is none."""
    if low in (None, "") or high in (None, ""):
        return ""
    between = " to " if float(low) < 0 else NONE  # a dash beside a minus cannot be read
    return f"{number(low, digits)}{between}{number(high, digits)}"


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return f"{value:+.3f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Return a p value; very small ones are not written out."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: Any) -> str:
    """Return a whole number with groups of three digits; a dash for an empty cell."""
    return NONE if value is None or value == "" else f"{int(value):,}"


def measure(name: str) -> str:
    """Return a measure's name as the field writes it."""
    at = name.removeprefix("recall_at_")
    return MEASURES.get(name, f"R@{at}" if at != name else name.replace("_", " "))


def truth(value: int) -> str:
    """Return the words for the truth of an image."""
    return {1: "positive", 0: "negative"}.get(value, "not counted")


def short(value: float) -> str:
    """Return a number of a chart with at most three digits after the point."""
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def spread(points: Sequence[tuple[float, float]], most: int = 21) -> list[tuple[float, float]]:
    """Return at most `most` points, evenly chosen, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
