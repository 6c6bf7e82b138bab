"""Computes the results of every source, and writes them to files.

"No Finding" is not a finding: it is listed beside the findings and is in no macro mean. It is
measured in three ways: by one text alone, by its prompt pair ("no no finding" is a poor sentence),
and as 1 - the highest finding. A method's result depends strongly on which of them is used.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.config.params import EvaluateParams
from cxr_vlp.train.evaluation import metrics
from cxr_vlp.train.evaluation.metrics import Bootstrap, Floats, Measured, Targets

POOLED = "all"


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """N images: hashes of their keys, their sources, patients, label rows, and scores (N, L)."""

    keys: tuple[str, ...]
    sources: tuple[str, ...]
    patients: tuple[str, ...]
    rows: tuple[dict[str, int], ...]
    names: tuple[str, ...]
    scores: Floats
    direct: Floats  # (N,): the score of "There is no finding" alone


def by_source(scored: ScoreTable, section: EvaluateParams) -> dict[str, dict[str, Any]]:
    """Return the results of every source and, under `all`, of all sources together.

    Under `all`, only images of the same source are compared. A source is measured only on labels
    that its own samples name: a label that a collection never looked for is not negative there.
    """
    truth = metrics.targets(
        scored.rows, scored.names, uncertain=section.uncertain, unmentioned=section.unmentioned
    )
    sources = sorted(set(scored.sources))
    for source in sources:
        mine = np.array([each == source for each in scored.sources])
        named = {name for row, own in zip(scored.rows, mine, strict=True) if own for name in row}
        foreign = [i for i, name in enumerate(scored.names) if name not in named]
        truth[np.ix_(mine, np.array(foreign, np.intp))] = metrics.EXCLUDED
    every = np.ones(len(scored.keys), bool)
    parts = {POOLED: every} | {s: np.array([each == s for each in scored.sources]) for s in sources}
    return {name: _measures(scored, truth, mine, section) for name, mine in parts.items()}


def write(
    out: Path, scored: ScoreTable, results: dict[str, dict[str, Any]], section: EvaluateParams
) -> None:
    """Write metrics.json, auroc.csv and scores.csv.

    metrics.json also holds the rules of the measurement: `counted`.
    """
    out.mkdir(parents=True, exist_ok=True)
    pooled = {key: value for key, value in results[POOLED].items() if key != "rows"}
    sources = {
        name: {key: value for key, value in result.items() if key != "rows"}
        for name, result in results.items()
        if name != POOLED
    }
    counted = {
        "uncertain": section.uncertain,
        "unmentioned": section.unmentioned,
        "views": ", ".join(section.views) or "all",
    }
    whole = {**pooled, "sources": sources, "counted": counted}
    text = json.dumps(whole, indent=2, sort_keys=True) + "\n"
    (out / "metrics.json").write_text(text, encoding="utf-8")
    rows = [{"source": name, **row} for name, result in results.items() for row in result["rows"]]
    header = ("source", "label", "auroc", "low", "high", "positives", "negatives")
    _write_csv(out / "auroc.csv", header, ([row[name] for name in header] for row in rows))
    lines = (
        [key, source, *(f"{score:.6f}" for score in scores)]
        for key, source, scores in zip(scored.keys, scored.sources, scored.scores, strict=True)
    )
    _write_csv(out / "scores.csv", ("key", "source", *scored.names), lines)


def _measures(
    scored: ScoreTable, truth: Targets, mine: np.ndarray, section: EvaluateParams
) -> dict[str, Any]:
    """Return one entry of metrics.json; its `rows` are the rows of auroc.csv."""
    used = [i for i, name in enumerate(scored.names) if section.labels or _any(truth[mine, i])]
    names = [scored.names[i] for i in used]
    scores, answers = scored.scores[mine][:, used], truth[mine][:, used]
    owners = scored.patients if section.resample_by == "patient" else scored.keys
    groups = [owner for owner, own in zip(owners, mine, strict=True) if own]
    findings = [name for name in names if name != NO_FINDING]
    bootstrap = Bootstrap(section.resamples, section.seed)
    least = section.min_positives
    strata = [source for source, own in zip(scored.sources, mine, strict=True) if own]
    measured = metrics.measure(scores, answers, names, groups, bootstrap, findings, least, strata)
    return {
        "macro_auroc": measured.macro,
        "macro_low": measured.low,
        "macro_high": measured.high,
        "images": int(mine.sum()),
        "auroc": {row.label: row.auroc for row in measured.labels if row.label != NO_FINDING},
        "unmeasured": list(measured.unmeasured),
        "no_finding": _no_finding(measured, scores, scored.direct[mine], answers, names, strata),
        "rows": [asdict(row) for row in measured.labels],
    }


def _no_finding(
    measured: Measured,
    scores: Floats,
    direct: Floats,
    answers: Targets,
    names: Sequence[str],
    strata: Sequence[str],
) -> dict[str, float | None]:
    """Return No Finding's AUROC by one text, by its prompt pair, and by 1 - the highest finding."""
    others = [i for i, name in enumerate(names) if name != NO_FINDING]
    if NO_FINDING not in names or not others:
        return {"direct": None, "pair": None, "one_minus_max": None}
    place = names.index(NO_FINDING)

    def auroc(by: Floats) -> float | None:
        once = metrics.measure(
            by[:, None], answers[:, [place]], (NO_FINDING,), strata, Bootstrap(0, 0), (),
            strata=strata,
        )  # fmt: skip
        return once.labels[0].auroc

    return {
        "direct": auroc(direct),
        "pair": measured.labels[place].auroc,
        "one_minus_max": auroc(1 - scores[:, others].max(axis=1)),
    }


def _any(column: Targets) -> bool:
    return bool((column != metrics.EXCLUDED).any())


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
