"""Reads a folder of `cxr-vlp evaluate` for the site."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation import finished
from cxr_vlp.train.evaluation.finished import Finished
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

METRICS, SCORES = "metrics.json", "scores.parquet"
MEASURES = ("auroc", "auprc", "f1", "mcc", "accuracy", "sensitivity", "brier", "ece")
ROUND = ("mean", "pooled")  # rows of labels.csv that are no collection

Row = Mapping[str, str]
Points = tuple[tuple[float, float], ...]
Place = tuple[str, str]  # collection and label


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation: the name of its folder, its metrics, and its tables as they are in files.

    labels: the rows of labels.csv. roc: the points of its curves. scores: scores.parquet. arrays:
    label -> (N,) scores and (N,) truth (1, 0, and -1 for an image that is not counted). finished:
    what is compared with other evaluations; None where only other tasks ran.
    """

    name: str
    folder: Path
    metrics: Mapping[str, Any]
    labels: Mapping[Place, Row]
    roc: Mapping[Place, Points]
    scores: pa.Table
    arrays: Mapping[str, tuple[Floats, Truth]]
    finished: Finished | None

    @property
    def collections(self) -> tuple[str, ...]:
        """The collections that were measured."""
        return tuple(self.metrics.get("collections") or ())

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels that have scores, in their order in the table."""
        return tuple(self.arrays)

    @property
    def decided_by(self) -> Mapping[str, Any]:
        """What decided its numbers."""
        found: Mapping[str, Any] = self.metrics["decided_by"]
        return found

    @property
    def prompts(self) -> dict[tuple[str, str], Mapping[str, Sequence[str]]]:
        """The texts by which it scored: (label, collection) -> polarity -> texts.

        The collection is "" unless its prompts differ from those of the others.
        """
        found = self.decided_by.get("prompts") or {}
        of_all = {(label, ""): texts for label, texts in found.get("labels", {}).items()}
        return of_all | {
            (label, collection): texts
            for collection, by in (found.get("of") or {}).items()
            for label, texts in by.items()
        }

    def positive_texts(self, label: str, collection: str) -> tuple[str, ...]:
        """Return the texts that assert a label in a collection; none if they are unknown."""
        known = self.prompts
        texts = known.get((label, collection)) or known.get((label, "")) or {}
        return tuple(texts.get("positive", ()))

    def table(self, name: str) -> tuple[Row, ...]:
        """Return the rows of another of its tables; none where the task did not run."""
        return _rows(self.folder / name)

    def row(self, collection: str, label: str) -> Row:
        """Return the measures of a label in a collection; empty where there are none."""
        return self.labels.get((collection, label), {})

    def column(self, name: str) -> list[Any]:
        """Return a column of its scores, image by image."""
        values: list[Any] = self.scores.column(name).to_pylist()
        return values

    def scored(self, label: str) -> tuple[Floats, Truth]:
        """Return (N,) scores and (N,) truth: 1, 0, and -1 for an image that is not counted."""
        return self.arrays[label]


def read(folder: Path) -> Evaluated:
    """Return an evaluation. Raises ConfigError where the folder is none of `cxr-vlp evaluate`."""
    if not (folder / METRICS).is_file():
        raise ConfigError(f"{folder / METRICS}: no such file; run cxr-vlp evaluate first")
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{folder / METRICS}: not JSON ({error}); evaluate again") from None
    if "decided_by" not in metrics:
        raise ConfigError(f"{folder}: made by version 0.7 or earlier; run cxr-vlp evaluate again")
    there = (folder / SCORES).is_file()  # absent where only other tasks ran
    scores = pq.read_table(folder / SCORES) if there else pa.table({})
    return Evaluated(
        folder.resolve().name,
        folder,
        metrics,
        {(row["collection"], row["label"]): row for row in _rows(folder / "labels.csv")},
        _curves(_rows(folder / "roc.csv")),
        scores,
        _arrays(scores),
        finished.read(folder) if there else None,
    )


def read_all(folders: Sequence[Path]) -> tuple[Evaluated, ...]:
    """Return the evaluations in the order given. Raises ConfigError for two of one name."""
    found = tuple(read(folder) for folder in folders)
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"--evaluation: two folders are named {twice[0]}: the site shows each by the name of "
            "its folder, so rename one"
        )
    return found


def _arrays(scores: pa.Table) -> dict[str, tuple[Floats, Truth]]:
    """Return the labels that have scores, in their order in the table."""
    names = [n.removeprefix("score:") for n in scores.column_names if n.startswith("score:")]
    return {
        name: (
            scores.column(f"score:{name}").to_numpy().astype(np.float64),
            scores.column(f"truth:{name}").fill_null(EXCLUDED).to_numpy().astype(np.int8),
        )
        for name in names
    }


def _curves(rows: Sequence[Row]) -> dict[Place, Points]:
    """Return the points of each ROC curve, in their order in the table."""
    found: dict[Place, list[tuple[float, float]]] = {}
    for row in rows:
        point = float(row["false_positive_rate"]), float(row["true_positive_rate"])
        found.setdefault((row["collection"], row["label"]), []).append(point)
    return {place: tuple(points) for place, points in found.items()}


def _rows(path: Path) -> tuple[Row, ...]:
    """Return the rows of a table; none where its task did not run."""
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8") as lines:
        return tuple(csv.DictReader(lines))
