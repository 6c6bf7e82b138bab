"""Makes the numbers of an evaluation again from its own files: metrics.json and scores.parquet.

Protocol, thresholds and intervals are those that metrics.json records, so the numbers are the same,
bit for bit. A test does this; it also shows that nothing else decides a number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.output import METRICS, NO_FINDING, PARQUET, SCORE, TRUTH
from cxr_vlp.train.evaluation.protocols import protocol as protocols
from cxr_vlp.train.evaluation.scores import EXCLUDED, ScoreTable
from cxr_vlp.train.evaluation.tasks.base import Intervals
from cxr_vlp.train.evaluation.zeroshot import measured, rows
from cxr_vlp.train.evaluation.zeroshot.measured import POOLED, Measurement

PARTS = ("macro", "macro_of", "labels", "no_finding", "unmeasured", "prevalence")


def measurement(folder: Path) -> Measurement:
    """Return what was measured, from the files of `cxr-vlp evaluate` in a folder.

    Raises ConfigError where the folder holds no zero-shot evaluation.
    """
    metrics, table = _read(folder)
    decided = metrics["decided_by"]
    whole = protocols.built(decided["protocol"], decided["protocol_name"])
    tables = {name: _table(table, name, part) for name, part in metrics["collections"].items()}
    own = {name: whole.in_collection(*decided["protocol_of"].get(name, (name,))) for name in tables}
    parts = {**metrics["collections"], POOLED: metrics["pooled"]}
    thresholds = {name: _thresholds(part) for name, part in parts.items()}
    return measured.measure(tables, own, thresholds, whole, Intervals(**decided["intervals"]))


def numbers(folder: Path) -> dict[str, Any]:
    """Return the headline and the numbers of every collection, as metrics.json has them."""
    found = measurement(folder)
    whole = {name: rows.of_part(part) for name, part in found.parts.items()}
    return {
        "headline": rows.macro(found.headline),
        "collections": {n: {key: part[key] for key in PARTS} for n, part in whole.items()},
        POOLED: {key: rows.of_part(found.pooled)[key] for key in PARTS},
    }


def _read(folder: Path) -> tuple[dict[str, Any], pa.Table]:
    for name in (METRICS, PARQUET):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder / name}: no such file; give a folder of cxr-vlp evaluate with the task "
                "zeroshot"
            )
    metrics: dict[str, Any] = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return metrics, pq.read_table(folder / PARQUET)


def _table(table: pa.Table, name: str, part: Mapping[str, Any]) -> ScoreTable:
    """Return the rows of one collection; its labels are in the order of metrics.json."""
    mine = table.filter(pa.compute.equal(table["collection"], name))
    labels, ways = tuple(part["labels"]), tuple(part["no_finding"])
    scores = [mine[SCORE + label].to_numpy() for label in labels]
    truth = [mine[TRUTH + label].fill_null(EXCLUDED).to_numpy() for label in labels]
    shape = (mine.num_rows, len(labels))
    return ScoreTable(
        tuple(_facts(row) for row in mine.select(FACTS).to_pylist()),
        labels,
        np.array(scores, np.float64).T.reshape(shape),
        np.array(truth, np.int8).T.reshape(shape),
        {how: mine[NO_FINDING + how].to_numpy() for how in ways},
        part["probabilities"],
    )


FACTS = ["key", "collection", "patient", "study", "view", "projection", "sex", "age"]


def _facts(row: Mapping[str, Any]) -> ImageFacts:
    return ImageFacts(**{("source" if k == "collection" else k): v for k, v in row.items()})


def _thresholds(part: Mapping[str, Any]) -> dict[str, float]:
    found = {label: row["threshold"] for label, row in part["labels"].items()}
    found |= {measured.asked(how): row["threshold"] for how, row in part["no_finding"].items()}
    return {label: value for label, value in found.items() if value is not None}
