"""Report score: a table of labels a report and the reports in, how well the engine agrees out.

The table has a column with the report's id (filename, id or key), a column of 0/1 a label, and may
have one named normal. A label nobody has is void and left out.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.nlp.annotate import Annotation, annotate
from cxr_vlp.nlp.labels import NO_FINDING, canonical

_KEYS = ("filename", "id", "key")
_NORMAL = "normal"  # the column, and the name it is counted under: No Finding is another thing


def is_label_table(path: Path) -> bool:
    """Whether a .csv holds labels of whole reports rather than sentences."""
    if path.suffix != ".csv":
        return False
    with path.open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file), [])
    return "sentence" not in columns and any(key in columns for key in _KEYS)


def measure(table: Path, reports: Sequence[Path], convention: str) -> dict[str, float]:
    """Return precision, recall and F1: micro over the labels (uncertain = positive), of normal
    reports, and the F1 of each label.

    `reports` are JSON lines as `cxr-vlp annotate` reads them, or the files of the texts stage.
    Raises ValueError where the table names a report that none of them has.
    """
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    key = next(name for name in _KEYS if name in rows[0])
    wanted = {row[key]: {_name(n) for n, v in row.items() if v == "1"} for row in rows}
    found = {k: _said(a) for k, a in _annotated(reports, wanted, convention)}
    lost = len(wanted.keys() - found.keys())
    if lost:
        raise ValueError(f"{lost} of {len(wanted)} reports of {table.name} are not in --reports")
    counts = _counts(wanted, found)
    names = {name for name, _ in counts} - {_NORMAL}
    scored = sorted(n for n in names if counts[n, "wanted"])
    total = Counter({k: sum(counts[n, k] for n in scored) for k in ("hit", "said", "wanted")})
    measures = {"reports": float(len(wanted)), **_prf("labels", total)}
    if _NORMAL in rows[0]:
        normal = {k: counts[_NORMAL, k] for k in ("hit", "said", "wanted")}
        measures |= _prf("normal_report", normal)
    for name in scored:
        one = {k: counts[name, k] for k in ("hit", "said", "wanted")}
        measures[f"{name} f1"] = _prf("", one)["_f1"]
    return measures


def _annotated(
    reports: Sequence[Path], wanted: Mapping[str, Any], convention: str
) -> Iterable[tuple[str, Annotation]]:
    for path in reports:
        with path.open(encoding="utf-8") as lines:  # report text may hold U+2028, and no line ends
            for row in map(json.loads, lines):
                key = str(row.get("id", row.get("key", "")))
                if key in wanted:
                    report = row.get("sections") or row.get("text", "")
                    yield key, annotate(report, convention=convention)


def _said(annotation: Annotation) -> set[str]:
    named = {n for n, state in annotation.labels.items() if state and n != NO_FINDING}
    return named | ({_NORMAL} if annotation.normal else set())


def _name(column: str) -> str:
    return _NORMAL if column == _NORMAL else canonical(column)


def _counts(
    wanted: Mapping[str, set[str]], found: Mapping[str, set[str]]
) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for key, gold in wanted.items():
        counts.update((name, "wanted") for name in gold)
        counts.update((name, "said") for name in found[key])
        counts.update((name, "hit") for name in gold & found[key])
    return counts


def _prf(name: str, counts: Mapping[str, int]) -> dict[str, float]:
    return {
        f"{name}_precision": counts["hit"] / max(1, counts["said"]),
        f"{name}_recall": counts["hit"] / max(1, counts["wanted"]),
        f"{name}_f1": 2 * counts["hit"] / max(1, counts["said"] + counts["wanted"]),
    }
