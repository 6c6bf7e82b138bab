"""The list of labels, and a page for each: its measures, its curves, and its images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.evaluation.measures import curves, readers
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights
from cxr_vlp.train.evaluation.measures.table import NOTHING, Estimate
from cxr_vlp.train.pages import charts, label_means, points
from cxr_vlp.train.pages.charts import Series
from cxr_vlp.train.pages.site import differences, gallery, picks, tables, words
from cxr_vlp.train.pages.site.evaluations import MEASURES, ROUND, Evaluated, Row
from cxr_vlp.train.pages.site.page import Page, Site, Stored

LIST = "labels.html"
RESAMPLES = 200  # for the band of a ROC curve
NO_READERS = (readers.MODEL, readers.MEAN_READER, readers.DIFFERENCE)
DIAGONAL = ((0.0, 0.0), (1.0, 1.0))


def pages(site: Site, stored: Mapping[str, Stored]) -> Iterator[Page]:
    """Yield the list of labels and the page of each label; `stored`: the images of site.linked."""
    names = of(site.evaluations)
    yield Page(LIST, "Labels", "labels.html", _list(site, names), menu="Labels")
    images = gallery.make(site, names, stored)
    for place, name in enumerate(names):
        around = {
            "before": names[place - 1] if place else "",
            "after": names[place + 1] if place + 1 < len(names) else "",
        }
        yield Page(
            page_of(name), name, "label.html", _content(site, name, images) | around, under=LIST
        )


def of(evaluations: Sequence[Evaluated]) -> tuple[str, ...]:
    """Return the labels of all evaluations, by name."""
    return tuple(sorted({name for each in evaluations for name in each.label_names}))


def page_of(label: str) -> str:
    """Return the file of a label's page; names that differ in signs or case have different files.

    >>> page_of("Pleural Effusion")
    'label-pleural-effusion.html'
    """
    plain = re.sub("[^a-z0-9]+", "-", label.lower()).strip("-")
    usual = re.fullmatch("[A-Z][a-z]+( [A-Z][a-z]+)*", label)
    return f"label-{plain}.html" if usual else f"label-{plain}-{key_hash(label)[:6]}.html"


def linked(evaluations: Sequence[Evaluated]) -> frozenset[str]:
    """Return the keys of the samples that the pages of labels link to."""
    return picks.keys(evaluations, of(evaluations))


def _list(site: Site, names: Sequence[str]) -> dict[str, Any]:
    """Return the table of labels: the mean over collections, each collection beside it."""
    collections = sorted({name for each in site.evaluations for name in each.collections})
    means = {
        each.name: label_means.of(each.finished, differences.intervals(each))
        for each in site.evaluations
        if each.finished
    }
    return {
        "collections": collections,
        "evaluations": [each.name for each in site.evaluations],
        "labels": [_list_rows(site, name, collections, means) for name in names],
    }


def _list_rows(
    site: Site,
    label: str,
    collections: Sequence[str],
    means: Mapping[str, Mapping[str, Estimate]],
) -> dict[str, Any]:
    """Return a label's rows, one for each evaluation that scores it."""
    rows = []
    for each in site.evaluations:
        if label not in each.label_names:
            continue
        found = means[each.name].get(label, NOTHING)
        value, low, high = found.value, found.low, found.high
        rows.append(
            {
                "evaluation": each.name,
                "mean": tables.estimate({"value": value, "low": low, "high": high}),
                "bar": charts.mini(value, low, high, (0, 1)) if value is not None else "",
                "cells": [tables.measured(each.row(name, label), "auroc") for name in collections],
                "numbers": _numbers(each, label),
            }
        )
    return {"label": label, "page": page_of(label), "rows": rows}


def _numbers(evaluated: Evaluated, label: str) -> Mapping[str, str]:
    """Return the numbers of positives and negatives over all collections."""
    found = [row for name in evaluated.collections if (row := evaluated.row(name, label))]
    return {
        name: str(sum(int(row[name] or 0) for row in found)) for name in ("positives", "negatives")
    }


def _content(site: Site, label: str, images: gallery.Images) -> dict[str, Any]:
    names = sorted({name for each in site.evaluations for name in each.collections})
    panels = [panel for name in names if (panel := _panel(site, label, name))]
    return {
        "table": _table(site, label),
        "changes": _changes(site, label),
        "panels": panels,
        "unmeasured": [name for name in names if name not in {p["collection"] for p in panels}],
        "evaluations": [each.name for each in site.evaluations],
        "galleries": images.of(label),
    }


def _table(site: Site, label: str) -> dict[str, Any]:
    """Return the measures of a label: a row for each evaluation and collection."""
    found = [
        (evaluated.name, row)
        for evaluated in site.evaluations
        for (_, name_of), row in evaluated.labels.items()
        if name_of == label
    ]
    measures = [name for name in MEASURES if any(row.get(name) for _, row in found)]
    rows = [
        {
            "evaluation": name,
            "collection": row["collection"],
            "sum": row["collection"] in ROUND,
            "positives": row["positives"],
            "negatives": row["negatives"],
            "threshold": row["threshold"],
            "cells": [tables.measured(row, measure) for measure in measures],
        }
        for name, row in found
    ]
    return {"measures": measures, "rows": rows}


def _changes(site: Site, label: str) -> list[dict[str, Any]]:
    """Return how the AUROC of a label differs from that of the first evaluation."""
    return [
        {"evaluation": each.second, "first": each.first, "change": change}
        for each in site.differences
        for change in each.labels.get(label, ())
    ]


def _panel(site: Site, label: str, collection: str) -> dict[str, Any] | None:
    """Return the charts of a label in a collection; None where no evaluation measures it."""
    measured = [e for e in site.evaluations if e.row(collection, label).get("auroc")]
    if not measured:
        return None
    marks = [mark for each in measured[:1] for mark in _readers(each, label, collection)]
    roc = [_roc(each, label, collection, band=each is measured[0]) for each in measured]
    where = f"{label} in {collection}"
    made = [_roc_chart(where, measured, roc, marks, label, collection)]
    made.append(_precision_chart(where, measured, label, collection))
    probable = [each for each in measured if each.row(collection, label).get("brier")]
    if probable:
        made.append(_calibration_chart(where, probable, label, collection))
    made += [_histogram(where, each, label, collection) for each in measured[:1]]
    more = [_histogram(where, each, label, collection) for each in measured[1:]]
    return {"collection": collection, "charts": made, "more": more, "readers": bool(marks)}


def _known(evaluated: Evaluated, label: str, collection: str) -> tuple[Any, Any, list[str]]:
    """Return scores and truth of the images of a collection that count, and their patients."""
    scores, truth = evaluated.scored(label)
    mine = pc.equal(evaluated.scores["collection"], collection).to_numpy(zero_copy_only=False)
    kept = np.flatnonzero(mine & (truth >= 0))
    patients = evaluated.scores["patient"].take(kept).to_pylist()
    return scores[kept], truth[kept], patients


def _roc(evaluated: Evaluated, label: str, collection: str, *, band: bool) -> Series:
    """Return the curve of roc.csv, with a band by resampling patients."""
    drawn = evaluated.roc.get((collection, label), ())
    if not band:
        return Series(evaluated.name, drawn)
    scores, truth, patients = _known(evaluated, label, collection)
    weights = bootstrap_weights(patients, Intervals(RESAMPLES, "patient", 0))
    return Series(evaluated.name, drawn, points.roc_band(scores, truth, weights))


def _roc_chart(
    where: str,
    measured: Sequence[Evaluated],
    roc: Sequence[Series],
    marks: Sequence[tuple[str, float, float]],
    label: str,
    collection: str,
) -> dict[str, Any]:
    about = "; ".join(_says(each.row(collection, label), each.name, "auroc") for each in measured)
    chart = charts.lines(
        f"ROC curve of {where}", about + ".", roc,
        charts.share("false positive rate"), charts.share("sensitivity"),
        chance=DIAGONAL, marks=marks,
    )  # fmt: skip
    across, up = "false positive rate", "sensitivity"
    return {"name": "ROC", "chart": chart, "series": roc, "across": across, "up": up}


def _precision_chart(
    where: str, measured: Sequence[Evaluated], label: str, collection: str
) -> dict[str, Any]:
    series, share = [], 0.0
    for each in measured:
        scores, truth, _ = _known(each, label, collection)
        curve = curves.precision_recall(scores, truth)
        # the first point stands for no image at all: it is not drawn
        found = list(zip(curve.x.tolist(), curve.y.tolist(), strict=True))[1:]
        series.append(Series(each.name, tuple(found)))
        share = float(truth.mean())
    about = "; ".join(_says(each.row(collection, label), each.name, "auprc") for each in measured)
    chart = charts.lines(
        f"Precision-recall curve of {where}", f"{about}. Share of positives {share:.3f}.", series,
        charts.share("recall"), charts.share("precision"), chance=((0.0, share), (1.0, share)),
    )  # fmt: skip
    return {
        "name": "Precision and recall", "chart": chart, "series": series, "across": "recall",
        "up": "precision",
    }  # fmt: skip


def _calibration_chart(
    where: str, measured: Sequence[Evaluated], label: str, collection: str
) -> dict[str, Any]:
    series = []
    for each in measured:
        bins = curves.calibration(*_known(each, label, collection)[:2], bins=10)
        found = [(b.probability, b.positives) for b in bins if b.images]
        series.append(Series(each.name, tuple((x or 0.0, y or 0.0) for x, y in found), dots=True))
    about = "; ".join(_says(each.row(collection, label), each.name, "ece") for each in measured)
    chart = charts.lines(
        f"Calibration of {where}", f"{about}. On the dashed line a model is calibrated.", series,
        charts.share("mean probability"), charts.share("share of positives"), chance=DIAGONAL,
    )  # fmt: skip
    return {
        "name": "Calibration", "chart": chart, "series": series, "across": "mean probability",
        "up": "share of positives",
    }  # fmt: skip


def _histogram(where: str, evaluated: Evaluated, label: str, collection: str) -> dict[str, Any]:
    scores, truth, _ = _known(evaluated, label, collection)
    edges, positive, negative = points.shares(scores, truth)
    threshold = _float(evaluated.row(collection, label).get("threshold"))
    about = (
        f"Shares of {int((truth == 1).sum())} positive images upwards and of "
        f"{int((truth == 0).sum())} negative images downwards, by the score of {evaluated.name}."
    )
    chart = charts.histogram(
        f"Scores of {evaluated.name} for {where}", about, edges, positive, negative, threshold
    )
    series = [
        Series(name, tuple(zip(edges[:-1], shares, strict=True)))
        for name, shares in (("positive", positive), ("negative", negative))
    ]
    return {
        "name": f"Scores of {evaluated.name}", "chart": chart, "series": series,
        "across": "score from", "up": "share of images",
    }  # fmt: skip


def _readers(
    evaluated: Evaluated, label: str, collection: str
) -> Iterator[tuple[str, float, float]]:
    """Yield (name, false positive rate, sensitivity) of the radiologists who read a label.

    The model, the mean reader and their difference are rows of the same table, and no radiologist.
    """
    for row in evaluated.table("readers.csv"):
        if (row["collection"], row["label"]) != (collection, label) or row["reader"] in NO_READERS:
            continue
        across, up = row["false_positive_rate"], row["sensitivity"]
        if across and up:
            yield row["reader"], float(across), float(up)


def _says(row: Row, name: str, measure: str) -> str:
    interval = words.interval(row.get(f"{measure}_low"), row.get(f"{measure}_high"))
    shown = f"{name}: {words.measure(measure)} {words.number(row.get(measure))}"
    return f"{shown} ({interval})" if interval else shown


def _float(value: Any) -> float | None:
    return None if value in ("", None) else float(value)
