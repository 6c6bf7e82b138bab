"""Makes one set of labels of several: of an image's rows, its readers, a study's images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.sources.table.label_cells import RANK

Values = Mapping[str, int]  # label -> 1, 0, -1


def strongest(sets: Iterable[Values]) -> dict[str, int]:
    """Return each label's strongest value: positive, then uncertain, then negative."""
    found: dict[str, int] = {}
    for each in sets:
        for label, value in each.items():
            found[label] = max(found.get(label, value), value, key=RANK.__getitem__)
    return found


def agreed(sets: Iterable[Values]) -> dict[str, int]:
    """Return the labels of sets that must agree. Raises IngestError csv.conflict if they do not."""
    found: dict[str, int] = {}
    for each in sets:
        for label, value in each.items():
            if found.setdefault(label, value) != value:
                raise IngestError("csv.conflict")
    return found


def of_readers(sets: Sequence[Values], rule: str) -> dict[str, int]:
    """Return the labels of several readers as one, by the rule any, majority or unanimous.

    A reader who says nothing of a label has no vote on it.
    """
    votes: dict[str, list[int]] = {}
    for each in sets:
        for label, value in each.items():
            votes.setdefault(label, []).append(value)
    return {label: _decided(values, rule) for label, values in sorted(votes.items())}


def _decided(values: Sequence[int], rule: str) -> int:
    if rule == "any":
        return max(values, key=RANK.__getitem__)
    value, number = Counter(values).most_common(1)[0]
    needed = len(values) if rule == "unanimous" else len(values) // 2 + 1
    return value if number >= needed else -1


def with_no_finding(labels: Mapping[str, int]) -> dict[str, int]:
    """Return labels whose No Finding follows from the others: 1 if none is 1 or -1, else 0."""
    others = {label: value for label, value in labels.items() if label != NO_FINDING}
    if not labels:
        return {}
    return {**others, NO_FINDING: int(not any(others.values()))}
