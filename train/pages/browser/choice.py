"""Chooses which samples of a set the browser shows: the same ones each time, of every split.

A study is chosen by the hash of its id, so its images stay together and the order of the tars does
not matter. Each split gives the same number of samples; what a small split lacks, the others give.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.train.data.shards import Shard


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample is stored: its key, its study, its split and its tar."""

    key: str
    study: str
    split: str
    tar: Path | Shard


def choose(found: Sequence[Place], count: int, also: Collection[str] = ()) -> list[Place]:
    """Return `count` of the samples (0: all), in the order in which they were found.

    Samples whose keys are in `also` are chosen in any case, in addition to the others.
    """
    if not count:
        return list(found)
    taken = shares(Counter(place.split for place in found), count)
    drawn = set(also)
    for split, number in taken.items():
        ordered = sorted((place for place in found if place.split == split), key=_order)
        drawn.update(place.key for place in ordered[:number])
    return [place for place in found if place.key in drawn]


def shares(numbers: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many samples each split gives, so that they sum to `count` or to all there are.

    >>> shares({"train": 700, "validate": 20, "test": 90}, 200)
    {'train': 90, 'validate': 20, 'test': 90}
    """
    left, taken = count, dict.fromkeys(numbers, 0)
    waiting = sorted(numbers, key=lambda split: numbers[split])  # the smallest gives first; stable
    for place, split in enumerate(waiting):
        # of a rest that cannot be divided evenly, the larger splits give one more
        taken[split] = min(numbers[split], left // (len(waiting) - place))
        left -= taken[split]
    return taken


def _order(place: Place) -> tuple[str, str]:
    return hashlib.sha256(f"browser/{place.study or place.key}".encode()).hexdigest(), place.key
