"""Reads finished evaluations: the scores, truth and rules of each collection, for comparisons.

A folder of `cxr-vlp evaluate` holds scores.parquet (a row an image) and metrics.json (the protocol,
the thresholds, the split). Rows are found by collection and key, never by their order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation.measures import checks
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

METRICS, SCORES = "metrics.json", "scores.parquet"
NEEDED = ("key", "collection", "patient")
SCORE, TRUTH, STRATEGY = "score:", "truth:", "no_finding:"
# what decides the truth of an image, and so whether two evaluations can be compared
POLICIES = ("uncertain", "uncertain_of", "unmentioned", "unit")


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection of an evaluation: N images sorted by key, L labels.

    names: the labels, and each of No Finding's strategies as `No Finding (STRATEGY)`. average: the
    labels that the protocol averages. policies: POLICIES -> value. rules: min_positives,
    specificity, bins.
    """

    keys: tuple[str, ...]
    patients: tuple[str, ...]
    names: tuple[str, ...]
    scores: Floats
    truth: Truth
    thresholds: Mapping[str, float]
    average: tuple[str, ...]
    policies: Mapping[str, Any]
    rules: Mapping[str, float]
    probabilities: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """An evaluation: its folder, what decided it, and its collections by name."""

    folder: Path
    decided_by: Mapping[str, Any]
    collections: Mapping[str, Collection]

    @property
    def split(self) -> str:
        """The split that was measured, "" where it is not recorded."""
        return str(self.decided_by.get("split") or "")


def read(folder: Path) -> Finished:
    """Return the evaluation in a folder. Raises ConfigError where there is none.

    Raises DataError for a table without its columns, with a key twice or with a missing score.
    """
    for name in (METRICS, SCORES):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder}: no {name}; give a folder that `cxr-vlp evaluate --out` wrote"
            )
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        table = pq.read_table(folder / SCORES)
    except (ValueError, pa.ArrowException) as error:
        raise DataError(f"{folder}: a file of it cannot be read ({type(error).__name__})") from None
    _check_columns(folder, table)
    decided, parts = metrics.get("decided_by"), metrics.get("collections")
    if not isinstance(decided, Mapping) or not parts or "protocol" not in decided:
        raise ConfigError(
            f"{folder / METRICS}: lacks `collections` or `decided_by`: evaluate again with this "
            "version"
        )
    found = {
        name: _collection(f"{folder / SCORES}: {name}", _rows(table, name), part, decided, name)
        for name, part in sorted(parts.items())
    }
    return Finished(folder, decided, found)


def strategy(how: str) -> str:
    """Return the name of No Finding's label by a strategy."""
    return f"{NO_FINDING} ({how})"


def _check_columns(folder: Path, table: pa.Table) -> None:
    missing = [name for name in NEEDED if name not in table.column_names]
    scored = [n.removeprefix(SCORE) for n in table.column_names if n.startswith(SCORE)]
    missing += [TRUTH + name for name in scored if TRUTH + name not in table.column_names]
    if missing or not scored:
        raise DataError(
            f"{folder / SCORES}: lacks the columns {', '.join(missing) or SCORE + 'LABEL'}"
        )


def _rows(table: pa.Table, name: str) -> pa.Table:
    return table.filter(pc.equal(table["collection"], name)).sort_by("key")


def _collection(
    where: str, rows: pa.Table, part: Mapping[str, Any], decided: Mapping[str, Any], name: str
) -> Collection:
    """Return one collection of its rows, sorted by key, and its part of metrics.json."""
    keys = tuple(rows["key"].to_pylist())
    if len(set(keys)) < len(keys):
        raise DataError(f"{where}: {len(keys) - len(set(keys))} keys are there twice")
    protocol = _protocol(decided, name)
    columns = _columns(where, rows, part)
    names = tuple(columns)
    shape = len(keys), len(names)
    scores = np.array([score for score, _ in columns.values()], np.float64).T.reshape(shape)
    truth = np.array([true for _, true in columns.values()], np.int8).T.reshape(shape)
    checks.table(scores, truth, names)
    labels = {**part["labels"], **{strategy(h): v for h, v in part.get("no_finding", {}).items()}}
    cuts = {label: (labels.get(label) or {}).get("threshold") for label in names}
    return Collection(
        keys,
        tuple(rows["patient"].to_pylist()),
        names,
        scores,
        truth,
        {label: float(cut) for label, cut in cuts.items() if cut is not None},
        _average(names, protocol),
        {key: protocol.get(key) for key in POLICIES},
        _rules(protocol),
        _probabilities(labels),
    )


def _columns(
    where: str, rows: pa.Table, part: Mapping[str, Any]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return label -> scores and truth of the rows; labels in the order of metrics.json."""
    found = {}
    for label in part["labels"]:
        if SCORE + label not in rows.column_names:
            raise DataError(f"{where}: no column {SCORE}{label}, a label of {METRICS}")
        found[label] = _pair(where, rows, SCORE + label, TRUTH + label)
    for how in part.get("no_finding") or {}:
        if STRATEGY + how in rows.column_names:
            found[strategy(how)] = _pair(where, rows, STRATEGY + how, TRUTH + NO_FINDING)
    return found


def _pair(where: str, rows: pa.Table, score: str, truth: str) -> tuple[np.ndarray, np.ndarray]:
    true = rows[truth].fill_null(EXCLUDED).to_numpy()
    lacking = int((rows[score].is_null().to_numpy() & (true != EXCLUDED)).sum())
    if lacking:
        raise DataError(f"{where}: {score} is empty for {lacking} images whose truth is known")
    # a score is not looked at where the truth is not known
    return rows[score].fill_null(0.0).to_numpy(), true


def _protocol(decided: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the protocol as it is in a collection."""
    protocol = dict(decided["protocol"])
    own = protocol.pop("of", None) or {}
    known = (decided.get("protocol_of") or {}).get(name) or (name,)
    return protocol | next((dict(own[each]) for each in known if each in own), {})


def _average(names: tuple[str, ...], protocol: Mapping[str, Any]) -> tuple[str, ...]:
    labels = [name for name in names if not name.startswith(f"{NO_FINDING} (")]
    chosen = protocol.get("average")
    if chosen:
        return tuple(name for name in labels if name in chosen)
    apart = protocol.get("no_finding", "apart") == "apart"
    return tuple(name for name in labels if name != NO_FINDING or not apart)


def _rules(protocol: Mapping[str, Any]) -> dict[str, float]:
    return {
        "min_positives": protocol.get("min_positives", 1),
        "specificity": (protocol.get("thresholds") or {}).get("specificity", 0.9),
        "bins": protocol.get("bins", 15),
    }


def _probabilities(labels: Mapping[str, Any]) -> bool:
    """Return whether the scores were measured as probabilities: whether a Brier score is there."""
    values = [(label.get("brier") or {}).get("value") for label in labels.values()]
    return any(value is not None for value in values)
