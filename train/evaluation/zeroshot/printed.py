"""Prints an evaluation as short tables, readable at 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_vlp.train import cli
from cxr_vlp.train.data import views
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.tasks.base import TaskResult
from cxr_vlp.train.evaluation.tasks.zeroshot import settings

ZEROSHOT = "zeroshot"


def show(results: Mapping[str, TaskResult], protocol: Protocol, out: Path) -> None:
    """Write the summary of an evaluation to stdout."""
    for name, result in results.items():
        if name == ZEROSHOT:
            zeroshot(result.metrics, protocol)
        else:
            _other(name, result)
    sys.stdout.write(f"everything is in {out}\n")


def zeroshot(metrics: Mapping[str, Any], protocol: Protocol) -> None:
    """Write the tables of the collections, and of No Finding where it was measured."""
    rows = [_collection(name, part) for name, part in metrics["collections"].items()]
    mean = metrics["headline"]
    rows.append(("mean", "", *_numbers(mean)))
    rows.append(_collection("pooled", metrics["pooled"]))
    columns = ("collection", "images", "AUROC", "95 % interval", "AUPRC", "F1", "MCC")
    cli.table(f"zero-shot, macro means ({protocol.name})", columns, rows)
    cli.table("left out and not measured", ("collection", "by view", "labels"), _left(metrics))
    asked = [_no_finding(name, p) for name, p in metrics["collections"].items() if p["no_finding"]]
    if asked:
        ways = ("direct", "pair", "1 - max", "mean of negatives")
        cli.table("No Finding, AUROC", ("collection", *ways), asked)
    sys.stdout.write(f"{settings(protocol)}\n")


def _collection(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    return (name, str(part["images"]), *_numbers(part["macro"]))


def _numbers(macro: Mapping[str, Any]) -> tuple[str, ...]:
    auroc = macro["auroc"]
    known = auroc["low"] is not None
    interval = f"{_digits(auroc['low'])} to {_digits(auroc['high'])}" if known else "-"
    more = (_digits(macro[name]["value"]) for name in ("auprc", "f1", "mcc"))
    return (_digits(auroc["value"]), interval, *more)


def _left(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = [
        (
            name,
            views.listed(part["left_out"]),
            ", ".join(part["unmeasured"]) or "none",
        )
        for name, part in metrics["collections"].items()
    ]
    return [*rows, *((name, "all", why) for name, why in metrics["dropped"].items())]


def _no_finding(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    found = part["no_finding"]
    ways = ("direct", "pair", "one_minus_max", "mean_of_negatives")
    return (name, *(_digits(found[how]["auroc"]["value"]) if how in found else "-" for how in ways))


def _other(name: str, result: TaskResult) -> None:
    rows = [(key, _digits(value)) for key, value in result.summary.items()]
    cli.table(name, ("what", "value"), rows)


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
