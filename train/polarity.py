"""A sample's json record comes in, whether it asserts an abnormality goes out.

OFF-CLIP's label of a pair and its filter both rest on what the shards say of every sentence:
normal, abnormal, uncertain, or nothing of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlp.labels import NO_FINDING

Record = Mapping[str, Any]
NOT_ABNORMAL = frozenset({NO_FINDING, "Support Devices"})


def is_normal(record: Record, uncertain: str = "abnormal") -> bool:
    """Tell whether a sample asserts no abnormality.

    Where there is a report: none of its sentences is abnormal. Where there is none: its labels say
    No Finding, and no finding. `uncertain`: what counts for what is not sure, abnormal | normal.
    """
    abnormal = {"abnormal"} if uncertain == "normal" else {"abnormal", "uncertain"}
    statuses = {row.get("status") for row in record.get("sentences") or ()} - {"nonfinding"}
    if statuses:
        return not statuses & abnormal
    labels = record.get("labels") or {}
    values = {1} if uncertain == "normal" else {1, -1}
    found = any(value in values for name, value in labels.items() if name not in NOT_ABNORMAL)
    return labels.get(NO_FINDING) == 1 and not found


def filtered(record: Record, uncertain: str = "abnormal") -> list[str]:
    """Return the sentences that a filtered report keeps: the abnormal ones, or all if none is.

    Sentences that say nothing of the picture are never kept.
    """
    rows = [row for row in record.get("sentences") or () if row.get("status") != "nonfinding"]
    abnormal = [row for row in rows if not is_normal({"sentences": [row]}, uncertain)]
    return [str(row["text"]).strip() for row in abnormal or rows]
