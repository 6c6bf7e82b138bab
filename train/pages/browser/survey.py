"""Counts what a set holds, in one pass over the JSON members of its tars; no image is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxr_vlp.pipelines.format import tar
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import SPLITS, Sample, key_hash
from cxr_vlp.train.data.samples import JSON, members
from cxr_vlp.train.data.shards import COUNT, Shard, list_shards
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.pages.browser.choice import Place

UNKNOWN = "unknown"
AGE_BAND = 20  # years


@dataclass(slots=True)
class Survey:
    """What a set holds.

    The counters count images, apart from `statuses` (sentences) and `boxes` (boxes). `boxes` is
    counted by (label, layer), `labels` by label and then by value.
    """

    name: str
    places: list[Place] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)  # by split, as the next two
    studies: dict[str, set[str]] = field(default_factory=dict)
    patients: dict[str, set[str]] = field(default_factory=dict)
    views: Counter[str] = field(default_factory=Counter)
    projections: Counter[str] = field(default_factory=Counter)
    sexes: Counter[str] = field(default_factory=Counter)
    ages: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[int]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    reports: int = 0
    boxes: Counter[tuple[str, str]] = field(default_factory=Counter)
    boxed: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    sides: Counter[tuple[int, int]] = field(default_factory=Counter)
    source_sides: Counter[tuple[int, int]] = field(default_factory=Counter)
    bytes: int = 0
    tars: int = 0

    @property
    def total(self) -> int:
        """The number of images in the tars."""
        return self.images.total()

    def add(self, sample: Sample, split: str) -> None:
        """Count one sample of a split."""
        self.images[split] += 1
        self.studies.setdefault(split, set()).add(sample.study)
        self.patients.setdefault(split, set()).add(sample.patient)
        self.views[sample.view or UNKNOWN] += 1
        self.projections[sample.projection or UNKNOWN] += 1
        self.sexes[sample.sex or UNKNOWN] += 1
        self.ages[age_band(sample.age)] += 1
        for label, value in sample.all_labels.items():
            self.labels.setdefault(label, Counter())[value] += 1
        self._add_report(sample)
        self._add_image(sample)

    def _add_report(self, sample: Sample) -> None:
        self.reports += bool(sample.sentences)
        self.statuses.update(sentence.status for sentence in sample.sentences)

    def _add_image(self, sample: Sample) -> None:
        pixels = sample.pixels
        self.boxes.update((box.label, box.layer) for box in sample.boxes)
        self.boxed += bool(sample.boxes)
        self.notes.update(pixels.notes)
        self.sides[pixels.width, pixels.height] += 1
        self.source_sides[pixels.source_width, pixels.source_height] += 1


def age_band(age: int | None) -> str:
    """Return the band of an age in years, "unknown" for none.

    >>> age_band(39), age_band(40), age_band(None)
    ('20-39', '40-59', 'unknown')
    """
    if age is None:
        return UNKNOWN
    first = age // AGE_BAND * AGE_BAND
    return f"{first}-{first + AGE_BAND - 1}"


def survey(folder: Path) -> Survey:
    """Return what the set in a folder holds.

    Raises DataError for a damaged shard, for one with another number of samples than its sizes.json
    says; ConfigError for a folder that is no set.
    """
    found = Survey(folder.resolve().name)
    for split in SPLITS:
        for shard in list_shards([folder], split):
            found.bytes += shard.bytes
            found.tars += 1
            for key, sample in _samples(shard):
                found.add(sample, split)
                found.places.append(Place(key, sample.study or key, split, shard))
    if not found.places:
        raise DataError(f"{folder}: the set holds no sample, so there is nothing to show")
    return found


def extent(sides: Mapping[tuple[int, int], int]) -> tuple[Sequence[int], Sequence[int]]:
    """Return the (smallest, median, largest) of the shorter and of the longer side, in pixels."""
    shorter = sorted(min(pair) for pair, number in sides.items() for _ in range(number))
    longer = sorted(max(pair) for pair, number in sides.items() for _ in range(number))
    return _spread(shorter), _spread(longer)


def _spread(ordered: Sequence[int]) -> Sequence[int]:
    return ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]


def _samples(shard: Shard) -> Iterator[tuple[str, Sample]]:
    seen = 0
    for member in members(shard, JSON):
        key = tar.split_name(member.name)[0]
        try:
            yield key, Sample.from_json(member.data)
        except FormatError as error:
            raise DataError(f"{shard.where}: sample {key_hash(key)}: {error}") from None
        seen += 1
    if seen != shard.samples:
        raise DataError(
            f"{shard.where}: {seen} samples where sizes.json promises {shard.samples}: copy the "
            f"set again, or count its samples with {COUNT}"
        )
