"""Gives parts their names and studies their part. A part is the unit of work, caching and retry.

A study belongs to exactly one part: the hash of its key modulo the number of parts of its split.
That number is fixed in params.yaml, so a study that is added or removed moves no other study.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cxr_vlp.pipelines.format.sample import SPLITS


def name(source: str, split: str, number: int) -> str:
    """Return "mimic-train-00017"; unique over all collections, as loaders count by base name."""
    return f"{source}-{split}-{number:05d}"


def of(source: str, split: str, study: str, counts: Mapping[str, int]) -> str:
    """Return the name of the part that holds the study."""
    digest = hashlib.sha256(f"{source}\x1f{study}".encode()).digest()
    return name(source, split, int.from_bytes(digest[:8], "big") % counts[split])


def names(source: str, counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of all parts of a collection, train first."""
    return tuple(name(source, split, i) for split in SPLITS for i in range(counts[split]))


def source_of(part: str) -> str:
    """Return the collection in a part's name."""
    return part.rsplit("-", 2)[0]


def split_of(part: str) -> str:
    """Return the split in a part's name."""
    return part.rsplit("-", 2)[1]
