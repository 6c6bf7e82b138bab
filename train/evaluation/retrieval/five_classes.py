"""Chooses the images of a 5x200 set: five findings, each the only one, equally many of each.

The rule is GLoRIA's (its preprocessing of CheXpert): frontal, exactly one of the five competition
findings is 1, and no other label is 1 or uncertain. A label that is not mentioned counts as 0, and
No Finding is not asked. GLoRIA draws without a seed. Here the draw is the order of a hash of seed
and key, so it depends on neither the order of the shards nor on how many there are. Of a study one
image is drawn, because its images share the report and the labels; a patient may have several
studies, as in the published list (966 patients for 1,000 images).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cxr_vlp.nlp.labels import CHEXPERT14, NO_FINDING
from cxr_vlp.pipelines.format.sample import Sample, key_hash
from cxr_vlp.train.errors import ConfigError, DataError
from cxr_vlp.train.evaluation import benchmark_sets
from cxr_vlp.train.evaluation.benchmark_sets import BenchmarkSet, Entry

FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
OTHERS = tuple(name for name in CHEXPERT14 if name not in (*FIVE, NO_FINDING))
PER_CLASS = 200
# name of a set -> the collections that it is made from; none named: any
SETS: Mapping[str, tuple[str, ...]] = {
    "chexpert5x200": ("chexpert", "chexpertplus"),
    "mimic5x200": ("mimic",),
    "5x200": (),
}


@dataclass
class Pool:
    """What can be drawn: class -> study -> its images, and how many images were refused, by why."""

    found: dict[str, dict[str, list[Entry]]] = field(
        default_factory=lambda: {name: {} for name in FIVE}
    )
    refused: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, int]:
        """Return the number of studies of every class."""
        return {name: len(studies) for name, studies in self.found.items()}


def class_of(labels: Mapping[str, int]) -> str:
    """Return the one finding of an image, "" where it has none or more than one."""
    positive = [name for name in FIVE if labels.get(name) == 1]
    asked = (*FIVE, *OTHERS)
    if len(positive) != 1 or any(labels.get(n, 0) != 0 for n in asked if n not in positive):
        return ""
    return positive[0]


def pool(samples: Iterable[tuple[str, Sample]], name: str) -> Pool:
    """Return what a set can be drawn from. Raises DataError for a key that is there twice."""
    found, seen = Pool(), set[str]()
    for key, sample in samples:
        if key in seen:
            raise DataError(f"sample {key_hash(key)} is in the shards twice")
        seen.add(key)
        label = class_of(sample.all_labels)
        why = _refused(sample, label, name)
        if why:
            found.refused[why] += 1
            continue
        entry = Entry(key, sample.dataset, sample.patient, sample.study, label)
        found.found[label].setdefault(f"{sample.dataset}/{sample.study}", []).append(entry)
    return found


def _refused(sample: Sample, label: str, name: str) -> str:
    """Return why a sample is in no set, "" where it may be drawn."""
    if SETS[name] and sample.dataset not in SETS[name]:
        return "of another collection"
    if not (sample.dataset and sample.patient and sample.study):
        return "without a collection, patient or study"
    if sample.view != "frontal":
        return "not frontal"
    return "" if label else "not exactly one finding"


def drawn(among: Pool, name: str, per_class: int, seed: int) -> BenchmarkSet:
    """Return a set of `per_class` studies of each class.

    Raises ConfigError with the counts where a class has fewer.
    """
    counts = among.counts()
    fewest = min(counts.values())
    if fewest < per_class:
        there = ", ".join(f"{label} {count}" for label, count in counts.items())
        refused = ", ".join(f"{why} {count}" for why, count in sorted(among.refused.items()))
        remedy = f"give --per-class {fewest}, or" if fewest else "give"
        raise ConfigError(
            f"{name}: {per_class} studies of each class are asked for; there are {there} (images "
            f"left out: {refused or 'none'}): {remedy} more shards"
        )
    chosen: list[Entry] = []
    for studies in among.found.values():
        first = [min(images, key=lambda e: rank(seed, e.key)) for images in studies.values()]
        chosen += sorted(first, key=lambda e: rank(seed, e.key))[:per_class]
    return benchmark_sets.made(name, chosen)


def rank(seed: int, text: str) -> str:
    """Return what a draw is sorted by."""
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
