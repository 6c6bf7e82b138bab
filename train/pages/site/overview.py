"""The first page: the evaluations beside each other, their losses, and what decided the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from cxr_vlp.train.pages import charts
from cxr_vlp.train.pages.charts import Series
from cxr_vlp.train.pages.site import tables
from cxr_vlp.train.pages.site.evaluations import Evaluated
from cxr_vlp.train.pages.site.page import Page, Site
from cxr_vlp.train.pages.site.trained import Trained

HEADLINE = ("auprc", "f1", "mcc", "sensitivity")  # beside AUROC, where they are measured


def pages(site: Site) -> Iterator[Page]:
    """Yield the overview."""
    content = {
        "headline": _headline(site.evaluations),
        "no_finding": _no_finding(site.evaluations),
        "differences": site.differences,
        "losses": [_loss(each) for each in site.models],
        "flow": flow([each.header for each in site.sets]),
        "decided": {each.name: _decided(each) for each in site.evaluations},
        "prompts": {each.name: _prompts(each) for each in site.evaluations},
        "dropped": _dropped(site.evaluations),
    }
    yield Page("index.html", "Overview", "overview.html", content, menu="Overview")


def flow(headers: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[int]]]:
    """Return the rows of the table of numbers: (kind, name, a number for each set).

    In each set, images listed minus the losses are the samples in the shards.
    """
    reasons = sorted({reason for header in headers for reason in header["dropped"]})
    lost = [("lost", r, [header["dropped"].get(r, 0) for header in headers]) for r in reasons]
    return [
        ("in", "images listed", [header["listed"] for header in headers]),
        *lost,
        ("out", "samples in shards", [header["written"] for header in headers]),
    ]


def _decided(evaluated: Evaluated) -> list[tuple[str, str]]:
    """Return what decided the numbers; the prompts have a table of their own."""
    return facts({k: v for k, v in evaluated.decided_by.items() if k != "prompts"})


def facts(found: Any, name: str = "") -> list[tuple[str, str]]:
    """Return nested values as lines (name.name, value), without empty values."""
    if isinstance(found, Mapping):
        parts = found.items()
        return [line for k, v in parts for line in facts(v, f"{name}.{k}" if name else str(k))]
    if isinstance(found, list) and any(isinstance(each, Mapping) for each in found):
        single = len(found) == 1
        return [
            line
            for place, each in enumerate(found)
            for line in facts(each, name if single else f"{name}.{place + 1}")
        ]
    text = ", ".join(map(str, found)) if isinstance(found, list | tuple) else str(found)
    return [(name, text)] if text not in ("", "None") else []


def _headline(evaluations: Sequence[Evaluated]) -> dict[str, Any]:
    """Return the table of evaluations: the mean over collections, and each collection's AUROC."""
    collections = sorted({name for each in evaluations for name in each.collections})
    measures = [
        name
        for name in HEADLINE
        if any(_headline_of(each, name).get("value") is not None
               for each in evaluations)
    ]  # fmt: skip
    lows = [_headline_of(each, "auroc").get("low") for each in evaluations]
    low = min([0.5, *(value for value in lows if value is not None)])
    rows = [_headline_row(each, collections, measures, (int(low * 10) / 10, 1.0))
            for each in evaluations]  # fmt: skip
    return {"collections": collections, "measures": measures, "rows": rows}


def _headline_row(
    evaluated: Evaluated,
    collections: Sequence[str],
    measures: Sequence[str],
    span: tuple[float, float],
) -> dict[str, Any]:
    given = _headline_of(evaluated, "auroc")
    value, low, high = (given.get(name) for name in ("value", "low", "high"))
    found = evaluated.metrics.get("collections") or {}
    return {
        "name": evaluated.name,
        "auroc": tables.estimate(given),
        "bar": charts.mini(value, low, high, span) if value is not None else "",
        "measures": [tables.estimate(_headline_of(evaluated, name)) for name in measures],
        "collections": [
            tables.estimate(found[name]["macro"].get("auroc") if name in found else None)
            for name in collections
        ],
        "images": sum(each["images"] for each in found.values()),
        "patients": sum(each.get("patients", 0) for each in found.values()),
    }


def _headline_of(evaluated: Evaluated, measure: str) -> Mapping[str, Any]:
    """Return a measure's mean over collections: value, low, high; empty where there is none."""
    return (evaluated.metrics.get("headline") or {}).get(measure) or {}


def _no_finding(evaluations: Sequence[Evaluated]) -> dict[str, Any]:
    """Return the AUROC of No Finding by each strategy: a row for each evaluation and collection."""
    found = [
        (each.name, collection, values["no_finding"])
        for each in evaluations
        for collection, values in (each.metrics.get("collections") or {}).items()
        if values.get("no_finding")
    ]
    strategies = list(dict.fromkeys(name for *_, by in found for name in by))
    groups: dict[str, list[tuple[str, list[tables.Cell]]]] = {}
    for name, collection, by in found:
        cells = [_auroc_of(by.get(strategy)) for strategy in strategies]
        groups.setdefault(name, []).append((collection, cells))
    return {"strategies": strategies, "groups": groups}


def _auroc_of(found: Any) -> tables.Cell:
    """Return the AUROC of a strategy, which is measured as a label is."""
    return tables.estimate(found.get("auroc", found) if isinstance(found, Mapping) else None)


def _prompts(evaluated: Evaluated) -> list[tuple[str, str, Sequence[str]]]:
    """Return (label, polarity, texts) of all prompts."""
    return [
        (f"{label} in {collection}" if collection else label, polarity, texts)
        for (label, collection), by in evaluated.prompts.items()
        for polarity, texts in by.items()
        if texts
    ]


def _dropped(evaluations: Sequence[Evaluated]) -> list[tuple[str, str, list[str]]]:
    """Return (collection, reason, evaluations) of the collections that were not measured."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in evaluations:
        for collection, why in (each.metrics.get("dropped") or {}).items():
            found.setdefault((collection, str(why).rstrip(".")), []).append(each.name)
    return [(*key, names) for key, names in found.items()]


def _loss(trained: Trained) -> dict[str, Any]:
    series = [
        Series("training", trained.loss, thin=True),
        Series("validation", trained.val_loss, dots=True),
    ]
    shown = [each for each in series if each.points]
    return {"name": trained.name, "chart": _loss_chart(trained.name, shown), "points": series}


def _loss_chart(name: str, series: Sequence[Series]) -> Markup | str:
    points = [point for each in series for point in each.points]
    if not points:
        return ""
    ends = "; ".join(f"{each.name} {each.points[-1][1]:.3f}" for each in series)
    return charts.lines(
        f"Contrastive loss of {name}",
        f"Loss over the steps of the training. At the end: {ends}.",
        series,
        charts.fitted("step", [x for x, _ in points], zero=True),
        charts.fitted("contrastive loss", [y for _, y in points]),
        size=(420, 210),
    )
