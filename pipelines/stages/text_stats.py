"""Makes counts.json and the table of the status plot from the counts of the parts of `texts`.

They hold names and numbers only: no text, no key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_vlp.nlp.status import STATUSES

POLARITIES = {1: "positive", 0: "negative", -1: "uncertain"}
ASSERTIONS = ("present", "absent", "uncertain")


def of_study(row: Mapping[str, Any]) -> Iterable[str]:
    """Yield the names of the counts that a study increases: "group:name" or "group:kind:name"."""
    yield "studies"
    yield from (f"section:{name}" for name in row["sections"])
    yield from (f"note:translated.{name}" for name in row.get("translations", ()))
    yield from (f"label:{POLARITIES[state]}:{name}" for name, state in row["labels"].items())
    for sentence in row["sentences"]:
        yield f"status:{sentence['status']}"
        yield from (f"mention:{m['assertion']}" for m in sentence["mentions"])
    if row["abnormal_from"]:
        yield f"abnormal:{row['abnormal_from']}"


def counts(totals: Mapping[str, int], rejects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of counts.json from the summed counts and the reject rows."""
    return {
        "studies": totals.get("studies", 0),
        "sentences": {name: totals.get(f"status:{name}", 0) for name in STATUSES},
        "mentions": {name: totals.get(f"mention:{name}", 0) for name in ASSERTIONS},
        "sections": _group(totals, "section"),
        "labels": _labels(totals),
        "abnormal_from": _group(totals, "abnormal"),
        "notes": _group(totals, "note"),
        "rejects": dict(sorted(Counter(row["code"] for row in rejects).items())),
    }


def status_table(source: str, sentences: Mapping[str, int]) -> list[str]:
    """Return the lines of the CSV file of the plot of sentence statuses: one bar per status."""
    total = max(1, sum(sentences.values()))
    shares = {status: round(100 * number / total, 2) for status, number in sentences.items()}
    lines = [f"{source},{s},{sentences[s]},{share},{source} {s}" for s, share in shares.items()]
    return ["source,status,sentences,percent,bar", *lines]  # bar: label in a plot of all sources


def _group(totals: Mapping[str, int], group: str) -> dict[str, int]:
    found = {k.split(":", 1)[1]: n for k, n in totals.items() if k.startswith(f"{group}:")}
    return dict(sorted(found.items()))


def _labels(totals: Mapping[str, int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for key, number in _group(totals, "label").items():
        polarity, name = key.split(":", 1)
        found.setdefault(name, dict.fromkeys(POLARITIES.values(), 0))[polarity] = number
    return dict(sorted(found.items()))
