"""Counts the images of shards by view, and those that a choice of views leaves out.

A collection that was read without its list of views holds only images of view `unknown`: it would
be left out of an evaluation of frontal images with no message. So what is left out is counted, and
a collection of which nothing is left stops the command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.data.samples import facts
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError

UNKNOWN = "unknown"
Counts = Mapping[str, Mapping[str, int]]  # source -> view -> images


@dataclass(frozen=True, slots=True)
class Survey:
    """What the samples of shards say: images by source and view, labels of the wanted ones."""

    views: Counts
    labels: tuple[str, ...]


def survey(shards: Iterable[Shard], wanted: Collection[str]) -> Survey:
    """Return what the samples of all images say; the images themselves are not read."""
    found: dict[str, Counter[str]] = {}
    labels: set[str] = set()
    for shard in shards:
        seen = found.setdefault(shard.source, Counter())
        for sample in facts(shard):
            seen[view(sample)] += 1
            if shown(sample, wanted):
                labels |= set(sample.all_labels)
    return Survey(found, tuple(sorted(labels)))


def view(sample: Sample) -> str:
    """Return a sample's view; `unknown` if it has none."""
    return sample.view or UNKNOWN


def shown(sample: Sample, wanted: Collection[str]) -> bool:
    """Return whether an image is of one of the wanted views; if none is named, every image is."""
    return not wanted or view(sample) in wanted


def left_out(found: Counts, wanted: Collection[str]) -> dict[str, dict[str, int]]:
    """Return what is left out of each source, by view: source -> view -> images."""
    return {
        source: {v: n for v, n in sorted(seen.items()) if wanted and v not in wanted}
        for source, seen in sorted(found.items())
    }


def listed(left: Mapping[str, int]) -> str:
    """Return counts by view as one text, "none" if there are none."""
    return ", ".join(f"{name} {number}" for name, number in sorted(left.items())) or "none"


def require(found: Counts, wanted: Sequence[str], key: str) -> None:
    """Raise ConfigError if a source has images and none of the wanted views.

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
                f"they are: {listed(seen)}.{hint if seen.get(UNKNOWN) else ''} Else name those "
                f"views in {key} ([] takes every image), or leave {source} out"
            )
