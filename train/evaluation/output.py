"""Writes the files of an evaluation; the folder appears as a whole, by one rename.

OUT/metrics.json    everything in full precision, with all that decided it (`decided_by`)
OUT/summary.json    few numbers, for `dvc metrics`
OUT/labels.csv      a row for each collection and label, every measure with its interval
OUT/scores.parquet  a row for each image: its facts, scores and truth; scores.csv is the same
OUT/roc.csv         points of the ROC curves
OUT/TASK.csv        the tables of the other tasks
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_vlp.train.evaluation.scores import EXCLUDED, ScoreTable
from cxr_vlp.train.evaluation.tasks.base import TaskResult
from cxr_vlp.train.output_dir import Kind, publish, staged

METRICS, SUMMARY = "metrics.json", "summary.json"
PARQUET, CSV = "scores.parquet", "scores.csv"
FORMAT = 1  # of these files
FACTS = ("key", "collection", "patient", "study", "view", "projection", "sex", "age")
SCORE, TRUTH, NO_FINDING = "score:", "truth:", "no_finding:"
TABLES = ("labels", "roc", "fairness", "readers", "retrieval", "grounding", "probe", "negation")
# auroc.csv: of version 0.7 and earlier
FILES = frozenset((METRICS, SUMMARY, PARQUET, CSV, "auroc.csv", *(f"{t}.csv" for t in TABLES)))
EVALUATION = Kind(FILES, "evaluation")


def write(out: Path, metrics: Mapping[str, Any], results: Sequence[TaskResult]) -> None:
    """Write all files of an evaluation. Raises ConfigError where `out` holds something else."""
    with staged(out, None, EVALUATION) as staging:
        _json(staging / METRICS, metrics)
        summary = {key: value for result in results for key, value in result.summary.items()}
        _json(staging / SUMMARY, summary)
        for result in results:
            for name, rows in result.tables.items():
                write_rows(staging / name, rows)
            if result.scores:
                table = scores_table(result.scores)
                pq.write_table(table, staging / PARQUET, store_schema=False)
                write_rows(staging / CSV, table.to_pylist())
        publish(staging, out, EVALUATION)


def scores_table(tables: Sequence[ScoreTable]) -> pa.Table:
    """Return the rows of scores.parquet.

    A label that a collection does not have is null there; truth is null where it does not count.
    """
    names = tuple(dict.fromkeys(name for table in tables for name in table.names))
    ways = tuple(dict.fromkeys(how for table in tables for how in table.no_finding))
    columns: dict[str, Any] = _facts(tables)
    for name in names:
        columns[SCORE + name] = pa.array(_joined(tables, name), pa.float64())
    for name in names:
        columns[TRUTH + name] = pa.array(_truths(tables, name), pa.int8())
    for how in ways:
        values = [
            each
            for table in tables
            for each in table.no_finding.get(how, np.full(len(table.facts), np.nan)).tolist()
        ]
        columns[NO_FINDING + how] = pa.array(
            [None if np.isnan(value) else value for value in values], pa.float64()
        )
    return pa.table(columns)


def _facts(tables: Sequence[ScoreTable]) -> dict[str, Any]:
    facts = [fact for table in tables for fact in table.facts]
    columns = {
        "key": [fact.key for fact in facts],
        "collection": [fact.source for fact in facts],
        "patient": [fact.patient for fact in facts],
        "study": [fact.study for fact in facts],
        "view": [fact.view for fact in facts],
        "projection": [fact.projection for fact in facts],
        "sex": [fact.sex for fact in facts],
    }
    made = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return made | {"age": pa.array([fact.age for fact in facts], pa.int32())}


def _joined(tables: Sequence[ScoreTable], name: str) -> list[float | None]:
    found: list[float | None] = []
    for table in tables:
        if name in table.names:
            found += table.scores[:, table.names.index(name)].tolist()
        else:
            found += [None] * len(table.facts)
    return found


def _truths(tables: Sequence[ScoreTable], name: str) -> list[int | None]:
    found: list[int | None] = []
    for table in tables:
        if name in table.names:
            column = table.truth[:, table.names.index(name)].tolist()
            found += [None if value == EXCLUDED else value for value in column]
        else:
            found += [None] * len(table.facts)
    return found


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows with equal keys as a CSV; None is an empty cell, numbers in full precision."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        header: list[str] = []
        for row in rows:
            if not header:
                header = list(row)
                writer.writerow(header)
            writer.writerow(["" if row[name] is None else row[name] for name in header])


def _json(path: Path, content: Mapping[str, Any]) -> None:
    # not sorted: the order of the labels decides the order of a sum, and so its last bit
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    path.write_text(text, encoding="utf-8")
