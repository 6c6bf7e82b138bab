"""Writes folders as `cxr-vlp evaluate` does, with scores that are drawn: no model is needed.

The numbers of the tables are computed from the scores by scikit-learn; intervals are drawn around
them, because the pages only show them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
    roc_curve,
)

from cxr_vlp.train.data.samples import stored_samples
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.evaluation.facts import ImageFacts

MEASURES = ("auroc", "auprc", "f1", "mcc", "accuracy", "sensitivity", "brier", "ece")
STRATEGIES = ("direct", "pair", "one_minus_max", "mean_of_negatives")
THRESHOLD = 0.5


def write(
    out: Path,
    shards: Sequence[Path],
    labels: Sequence[str],
    *,
    strength: float = 1.5,
    seed: int = 0,
    digest: str = "",
    least: int = 3,
) -> Path:
    """Write an evaluation of the test split; `strength`: how far positives lie from negatives."""
    images = [
        ImageFacts.of(shard.source, stored.key, stored.sample)
        for shard in list_shards(shards, "test")
        for stored in stored_samples(shard)
        if stored.sample.view == "frontal"
    ]
    images.sort(key=lambda image: image.key)
    rng = np.random.default_rng(seed)
    truth = np.array([[image.labels.get(name, 0) for name in labels] for image in images])
    noise = rng.normal(size=truth.shape)
    scores = 1 / (1 + np.exp(-(noise + strength * (truth == 1) - strength / 2)))
    names = sorted({image.source for image in images})
    inside = {name: np.array([image.source == name for image in images]) for name in names}
    tables = {name: _table(scores[at], truth[at], labels, least) for name, at in inside.items()}
    pooled = _table(scores, truth, labels, least)
    out.mkdir(parents=True, exist_ok=True)
    _write_scores(out, images, scores, truth, labels, rng)
    _write_csv(out / "labels.csv", _label_rows(tables | {"pooled": pooled}))
    _write_csv(out / "roc.csv", _roc_rows(scores, truth, labels, inside, least))
    (out / "metrics.json").write_text(
        json.dumps(_metrics(out.name, images, tables, pooled, digest, seed), indent=2)
    )
    return out


def _table(scores: Any, truth: Any, labels: Sequence[str], least: int) -> dict[str, Any]:
    return {name: _of_label(scores[:, i], truth[:, i], least) for i, name in enumerate(labels)}


def _of_label(scores: Any, truth: Any, least: int) -> dict[str, Any]:
    known = truth != -1
    scores, truth = scores[known], truth[known]
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    row: dict[str, Any] = {"positives": positives, "negatives": negatives, "threshold": None}
    if min(positives, negatives) < least:
        return row | {name: {"value": None, "low": None, "high": None} for name in MEASURES}
    row["threshold"] = THRESHOLD
    said = scores >= THRESHOLD
    values = (
        roc_auc_score(truth, scores),
        average_precision_score(truth, scores),
        f1_score(truth, said),
        matthews_corrcoef(truth, said),
        float((said == truth).mean()),
        float(said[truth == 1].mean()),
        brier_score_loss(truth, scores),
        0.08,
    )
    return row | {n: _around(float(v), positives) for n, v in zip(MEASURES, values, strict=True)}


def _around(value: float, count: int) -> dict[str, float]:
    half = 0.4 / max(count, 1) ** 0.5
    return {"value": value, "low": max(value - half, -1.0), "high": min(value + half, 1.0)}


def _macro(table: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name in MEASURES:
        rows = [row[name]["value"] for row in table.values() if row[name]["value"] is not None]
        empty = {"value": None, "low": None, "high": None}
        found[name] = _around(float(np.mean(rows)), 60) if rows else empty
    return found


def _metrics(
    name: str,
    images: Sequence[ImageFacts],
    tables: dict[str, Any],
    pooled: dict[str, Any],
    digest: str,
    seed: int,
) -> dict[str, Any]:
    collections = {}
    for source, table in tables.items():
        mine = [image for image in images if image.source == source]
        collections[source] = {
            "images": len(mine),
            "studies": len({image.study for image in mine}),
            "patients": len({image.patient for image in mine}),
            "macro": _macro(table),
            "labels": table,
            "no_finding": {
                strategy: {"auroc": _around(0.95 - place / 50, 60)}
                for place, strategy in enumerate(STRATEGIES)
            },
            "unmeasured": [n for n, row in table.items() if row["auroc"]["value"] is None],
            "left_out": {"lateral": 12},
            "prevalence": {},
        }
    means = [each["macro"]["auroc"]["value"] for each in collections.values()]
    headline = _macro(pooled) | {"auroc": _around(float(np.mean(means)), 400)}
    macro = headline["auroc"]
    return {
        "macro_auroc": macro["value"],
        "macro_low": macro["low"],
        "macro_high": macro["high"],
        "headline": headline,
        "collections": collections,
        "pooled": {"macro": _macro(pooled), "labels": pooled},
        "dropped": {"cards": "no image of the views frontal"},
        "tasks": {},
        "decided_by": {
            "protocol": {"name": "ours", "views": ["frontal"], "uncertain": "exclude"},
            "protocol_name": "ours",
            "protocol_digest": "0" * 64,
            "prompts": {
                "labels": {
                    name: {"positive": [f"{name}."], "negative": [f"No {name}."]} for name in pooled
                },
                "of": {},
            },
            "models": [{"name": name, "kind": "ours", "digest": digest or f"{seed:064d}"}],
            "shards": dict.fromkeys(tables, "1" * 64),
            "split": "test",
            "limit": 0,
            "intervals": {"resamples": 1000, "by": "patient", "seed": 0},
            "version": "0.8.0",
            "formats": {},
        },
    }


def _label_rows(tables: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for collection, table in tables.items():
        for label, found in table.items():
            row = {"collection": collection, "label": label}
            row |= {key: found[key] for key in ("positives", "negatives", "threshold")}
            for name in MEASURES:
                row |= {name: found[name]["value"]}
                row |= {f"{name}_{end}": found[name][end] for end in ("low", "high")}
            rows.append(row)
    return rows


def _roc_rows(
    scores: Any, truth: Any, labels: Sequence[str], inside: dict[str, Any], least: int
) -> list[dict[str, Any]]:
    rows = []
    for collection, at in inside.items():
        for i, label in enumerate(labels):
            known = at & (truth[:, i] != -1)
            if min((truth[known, i] == 1).sum(), (truth[known, i] == 0).sum()) < least:
                continue
            false, true, _ = roc_curve(truth[known, i], scores[known, i])
            key = {"collection": collection, "label": label}
            rows += [
                key | {"false_positive_rate": x, "true_positive_rate": y}
                for x, y in zip(false.tolist(), true.tolist(), strict=True)
            ]
    return rows


def _write_scores(
    out: Path,
    images: Sequence[ImageFacts],
    scores: Any,
    truth: Any,
    labels: Sequence[str],
    rng: Any,
) -> None:
    columns: dict[str, Any] = {
        "key": [image.key for image in images],
        "collection": [image.source for image in images],
        **{
            name: [getattr(image, name) for image in images]
            for name in ("patient", "study", "view", "projection", "sex", "age")
        },
    }
    columns |= {f"score:{name}": scores[:, i] for i, name in enumerate(labels)}
    columns |= {f"truth:{name}": truth[:, i].astype(np.int8) for i, name in enumerate(labels)}
    columns["truth:No Finding"] = (truth != 1).all(axis=1).astype(np.int8)
    columns |= {f"no_finding:{name}": rng.random(len(images)) for name in STRATEGIES}
    pq.write_table(pa.table(columns), out / "scores.parquet")


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
