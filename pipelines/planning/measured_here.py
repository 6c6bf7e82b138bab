"""Measures a scanned collection: what files it has, and what an image and a report take here.

Earlier runs left the seconds of each part in the cache (`.cxr`). Where they left none, the stored
seconds of measured.json are used, or the images of a sample are timed.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.planning.costs import Collection, Facts, Load
from cxr_vlp.pipelines.records import Image, Study
from cxr_vlp.pipelines.stages.shard_part import suffix_of

SMALL = 150_000  # bytes; a JPEG of 390 x 320 has 50,000, one of a whole film over 1,000,000
RASTER = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def collection(title: str, studies: Iterable[Study]) -> Collection:
    """Return the size of a scanned collection."""
    images: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    number = reports = 0
    for study in studies:
        number, reports = number + 1, reports + (study.report is not None)
        splits[study.split] += len(study.images)
        for image in study.images:
            images[kind_of(image)] += 1
            sizes[kind_of(image)] += image.size
    loads = tuple(Load(kind, images[kind], sizes[kind]) for kind in sorted(images))
    return Collection(title, loads, splits, number, reports)


def kind_of(image: Image) -> str:
    """Return the kind of an image's file. A file without a known suffix counts as raw DICOM."""
    kind = RASTER.get(suffix_of(image).removesuffix(".gz").lower(), "raw DICOM")
    return "small JPEG" if kind == "JPEG" and image.size < SMALL else kind


def with_image(facts: Facts, held: Collection, *, seconds: float | None, sample: float) -> Facts:
    """Return the facts with what an image of this collection takes; None keeps stored seconds."""
    kinds = dict(facts.kinds)
    for load in held.loads:
        kind = dataclasses.replace(kinds[load.kind], sample=sample)
        if seconds is not None:
            mean = load.bytes / load.images
            scan = kind.scan * mean / kind.bytes
            kind = dataclasses.replace(kind, bytes=mean, scan=scan, shards=seconds)
        kinds[load.kind] = kind
    return dataclasses.replace(facts, kinds=kinds)


def with_study(facts: Facts, seconds: float | None) -> Facts:
    """Return the facts with what a study takes in `texts`; None keeps the stored seconds."""
    if seconds is None:
        return facts
    return dataclasses.replace(facts, report=seconds, labels=seconds)


def seconds_of_image(state: Path, source: str) -> float | None:
    """Return the seconds of an image in `shards`, from the newest entries of the cache."""
    return _mean(_newest(state, "shards", source), _decoded)


def seconds_of_study(state: Path, source: str) -> float | None:
    """Return the seconds of a study in `texts`, from the newest entries of the cache."""
    return _mean(_newest(state, "texts", source), _studies)


def _newest(state: Path, stage: str, source: str) -> Iterator[Entry]:
    entries = Entries.of_stage(state, stage)
    for part in entries.parts(source):
        newest = entries.newest(part)
        if newest is not None:
            yield newest


def _mean(entries: Iterable[Entry], count: Callable[[Entry], int]) -> float | None:
    seconds, number = 0.0, 0
    for entry in entries:
        if count(entry):
            seconds, number = seconds + entry.seconds, number + count(entry)
    return seconds / number if number and seconds else None


def _decoded(entry: Entry) -> int:
    # a part whose images were copied for the most part says little about an image
    samples = _line(entry).get("samples", 0)
    return entry.decoded if entry.decoded > samples / 2 else 0


def _line(entry: Entry) -> Mapping[str, int]:
    line = entry.result.get("line")
    return line if isinstance(line, Mapping) else {}


def _studies(entry: Entry) -> int:
    counts = entry.result.get("counts")
    return int(counts.get("studies", 0)) if isinstance(counts, Mapping) else 0
