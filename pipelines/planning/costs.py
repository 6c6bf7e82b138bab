"""Computes what a conversion costs: bytes, core seconds, parts, and hours on a number of workers.

A cost is a measured number of seconds times a number of images, studies or bytes. The measured
seconds are in measured.json, which benchmarks/plan_facts.py writes; the sizes of the published
collections are in collections.yaml. Both stand beside this file. Nothing here decides a byte of an
output.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cxr_vlp.pipelines.format.sample import SPLITS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Kind:
    """What one image costs whose file is of this kind."""

    bytes: float  # of the file that was measured
    scan: float  # core seconds to read the file, and to compute its digest
    shards: float  # core seconds of `shards`, from the file to the tar
    sample: float  # bytes in the tar: image, text, JSON, headers


@dataclass(frozen=True)
class Facts:
    """What was measured, and where. All times are core seconds."""

    version: str  # of cxr-vlp
    date: str
    machine: str
    start: float  # of scan, texts and shards together over a few images: their start-up
    row: float  # of `scan` on the machine of the command, an image: tables, joins
    report: float  # of `texts`, a study with a report
    labels: float  # of `texts`, a study without one
    writing: float  # of `shards`, an image, without its decoding: text, JSON, tar
    kinds: Mapping[str, Kind]


@dataclass(frozen=True)
class Load:
    """Images of one kind of file, and the bytes of these files."""

    kind: str
    images: float
    bytes: float


@dataclass(frozen=True)
class Collection:
    """The size of a collection; `splits` holds the images of each split.

    The numbers of a collection that was scaled are not whole.
    """

    title: str
    loads: tuple[Load, ...]
    splits: Mapping[str, float]
    studies: float
    reports: float
    same_images: str = ""  # the name of another row: other files of the same images

    @property
    def images(self) -> float:
        """The number of images."""
        return sum(load.images for load in self.loads)

    @property
    def bytes(self) -> float:
        """The bytes of all image files."""
        return sum(load.bytes for load in self.loads)

    def times(self, factor: float) -> Collection:
        """Return the collection with `factor` times as many of everything."""
        return dataclasses.replace(
            self,
            loads=tuple(Load(x.kind, x.images * factor, x.bytes * factor) for x in self.loads),
            splits={split: number * factor for split, number in self.splits.items()},
            studies=self.studies * factor,
            reports=self.reports * factor,
        )


@dataclass(frozen=True)
class Cost:
    """What one collection costs: bytes, parts, and core seconds of each stage."""

    images: float
    read: float  # bytes: `scan` and `shards` read each file once
    written: float  # bytes of all tars
    parts: Mapping[str, int]
    start: float  # wall seconds
    rows: float  # core seconds of `scan` that only the machine of the command can do
    scan: float  # core seconds of `scan` that the workers share
    texts: float
    shards: float

    @property
    def seconds(self) -> float:
        """The core seconds of all stages."""
        return self.rows + self.scan + self.texts + self.shards

    def wall(self, workers: int) -> float:
        """Return the seconds on so many workers: a part is never done by two of them."""
        parts = sum(self.parts.values())
        turns = math.ceil(parts / workers) / parts  # the share of the parts that the busiest does
        return self.start + self.rows + self.scan / workers + (self.texts + self.shards) * turns

    def rate(self, workers: int) -> float:
        """Return the bytes a second that keep so many workers busy in `shards`."""
        if not self.shards:
            return 0.0
        return self.read / 2 / self.shards * min(workers, sum(self.parts.values()))


def facts() -> Facts:
    """Return the measured seconds that the package has."""
    values = json.loads((HERE / "measured.json").read_text(encoding="utf-8"))
    kinds = {name: Kind(**kind) for name, kind in values.pop("kinds").items()}
    return Facts(**values, kinds=kinds)


@cache
def published() -> Mapping[str, Collection]:
    """Return the published collections by name."""
    values = yaml.safe_load((HERE / "collections.yaml").read_text(encoding="utf-8"))
    return {name: _collection(**each) for name, each in values.items()}


def _collection(*, kind: str, bytes: float, splits: Mapping[str, int], **more: Any) -> Collection:  # noqa: A002 - a key of the file
    return Collection(loads=(Load(kind, sum(splits.values()), bytes),), splits=splits, **more)


def proposed(counts: Mapping[str, float], each: float, tar: float) -> dict[str, int]:
    """Return the number of parts per split, for `counts` samples of `each` bytes, tars of `tar`."""
    return {split: max(1, math.ceil(counts[split] * each / tar)) for split in SPLITS}


def cost(collection: Collection, measured: Facts, tar: float) -> Cost:
    """Return what a collection costs, with tars of about `tar` bytes.

    The seconds of an image grow with the bytes of its file.
    """
    scan = shards = written = 0.0
    for load in collection.loads:
        kind = measured.kinds[load.kind]
        scan += load.bytes / kind.bytes * kind.scan
        shards += load.bytes / kind.bytes * kind.shards
        written += load.images * kind.sample
    without = collection.studies - collection.reports
    return Cost(
        images=collection.images,
        read=2 * collection.bytes,
        written=written,
        parts=proposed(collection.splits, written / max(1, collection.images), tar),
        start=measured.start,
        rows=collection.images * measured.row,
        scan=scan,
        texts=collection.reports * measured.report + without * measured.labels,
        shards=shards,
    )


@dataclass(frozen=True)
class Estimate:
    """The costs of collections that are converted one after the other, under one title."""

    title: str
    costs: tuple[Cost, ...]

    def sum_of(self, name: str) -> float:
        """Return the sum of a number of the costs, such as `images` or `seconds`."""
        return float(sum(getattr(each, name) for each in self.costs))

    @property
    def parts(self) -> int:
        """The number of parts of all splits."""
        return sum(sum(each.parts.values()) for each in self.costs)

    def wall(self, workers: int) -> float:
        """Return the seconds on so many workers."""
        return sum(each.wall(workers) for each in self.costs)

    def rate(self, workers: int) -> float:
        """Return the highest rate, in bytes a second, that keeps so many workers busy."""
        return max(each.rate(workers) for each in self.costs)
