"""Makes the rows of fairness.csv: every group, label and measure, then the gaps."""

from __future__ import annotations

from typing import Any

from cxr_vlp.train.evaluation.measures.column import MEASURES
from cxr_vlp.train.evaluation.measures.diagnosis import RATES
from cxr_vlp.train.evaluation.measures.fairness import MEAN, Fairness, Group
from cxr_vlp.train.evaluation.measures.table import NOTHING, Estimate


def rows(fairness: Fairness) -> list[dict[str, Any]]:
    """Return the rows. kind: group or gap; label: of a label, MEAN, or "" for the RATES.

    The group of a gap is `highest - lowest`. A group that is not measured has one row with its why.
    """
    made = [row for group in fairness.groups for row in _group_rows(group)]
    for gap in fairness.gaps:
        where = f"{gap.highest} - {gap.lowest}"
        made.append(_row(gap.attribute, where, gap.label, gap.measure, gap.gap, "gap"))
    return made


def _group_rows(group: Group) -> list[dict[str, Any]]:
    """Return a group's rows; a group without values has one row with the reason."""
    where = group.attribute, group.group
    if group.why:
        return [_row(*where, "", "", NOTHING, "group", group, group.why)]
    made = [
        _row(*where, row.label, name, row.values[name], "group", group, row.why)
        for row in group.measured.labels
        for name in MEASURES
    ]
    macro = group.measured.macro
    made += [_row(*where, MEAN, name, macro[name], "group", group) for name in MEASURES]
    return made + [_row(*where, "", name, group.rates[name], "group", group) for name in RATES]


def _row(
    attribute: str,
    group: str,
    label: str,
    measure: str,
    found: Estimate,
    kind: str,
    counts: Group | None = None,
    why: str = "",
) -> dict[str, Any]:
    return {
        "kind": kind,
        "attribute": attribute,
        "group": group,
        "label": label,
        "measure": measure,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "images": counts.images if counts else None,
        "patients": counts.patients if counts else None,
        "why": why,
    }
