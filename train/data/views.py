"""Shards and the views that are wanted come in, what they hold and what is left out goes out.

A collection that was read without its list of views holds images of view `unknown` alone: it would
vanish from an evaluation of frontal images silently. So what is left out is counted, and a
collection of which nothing stays stops the command.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.train.data.members import members
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError, DataError

UNKNOWN = "unknown"
JSON = frozenset(("json",))
Counts = Mapping[str, Mapping[str, int]]  # source -> view -> images


@dataclass(frozen=True, slots=True)
class Survey:
    """What the records of shards tell: images by source and view, labels of the wanted ones."""

    views: Counts
    labels: tuple[str, ...]


def survey(shards: Iterable[Shard], wanted: Collection[str]) -> Survey:
    """Return what the records of all images tell; the pictures are passed over, not read."""
    found: dict[str, Counter[str]] = {}
    labels: set[str] = set()
    for shard in shards:
        seen = found.setdefault(shard.source, Counter())
        for record in _records(shard):
            seen[view(record)] += 1
            if shown(record, wanted):
                labels |= set(record.get("labels") or {})
    return Survey(found, tuple(sorted(labels)))


def view(record: Mapping[str, Any]) -> str:
    """Return a record's view; `unknown` where it tells none."""
    return str(record.get("view") or UNKNOWN)


def shown(record: Mapping[str, Any], wanted: Collection[str]) -> bool:
    """Tell whether an image is of the views that are wanted; none named: every image is."""
    return not wanted or view(record) in wanted


def left_out(found: Counts, wanted: Collection[str]) -> dict[str, dict[str, int]]:
    """Return what is left out of each source by its view: source -> view -> images."""
    return {
        source: {v: n for v, n in sorted(seen.items()) if wanted and v not in wanted}
        for source, seen in sorted(found.items())
    }


def told(left: Mapping[str, int]) -> str:
    """Return counts by view as one text, "none" where there are none."""
    return ", ".join(f"{name} {number}" for name, number in sorted(left.items())) or "none"


def require(found: Counts, wanted: Sequence[str], key: str) -> None:
    """Raise ConfigError where a source holds images, and none of the wanted views.

    `key` is the parameter that names the views.
    """
    for source, seen in sorted(found.items()):
        if wanted and seen and not any(seen.get(name) for name in wanted):
            total = sum(seen.values())
            hint = (
                f" `{UNKNOWN}` means that the collection was read without its list of views: give "
                "the list to the scan and build the shards again."
            )
            raise ConfigError(
                f"{source}: no image of the views {', '.join(wanted)} ({key}) among its {total}; "
                f"they are: {told(seen)}.{hint if seen.get(UNKNOWN) else ''} Else name those views "
                f"in {key} ([] takes every image), or leave {source} out"
            )


def _records(shard: Shard) -> Iterable[Mapping[str, Any]]:
    for _, content in members(shard.path, JSON):
        try:
            record = json.loads(content)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataError(f"{shard.path}: a sample has no JSON; run cxr-vlp verify on the set")
        yield record
