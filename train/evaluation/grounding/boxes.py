"""Says what is searched for in an image, and counts the boxes of a split.

Every image with a box is measured for each of its labels, and for each phrase of its report that an
annotator has boxed. What is not measured is counted with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_vlp.pipelines.format.sample import Box, Sample
from cxr_vlp.train.data.samples import keyed_facts
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import listed, shown, view
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.zeroshot import texts


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What is searched for in an image: a label of one annotation layer, or one of its phrases."""

    layer: str
    label: str
    phrase: str


def targets(sample: Sample, protocol: Protocol) -> dict[Target, tuple[Box, ...]]:
    """Return what is searched for in a sample, each with its boxes (their union counts).

    A box without a phrase counts where the protocol measures its label; phrases always count.
    """
    grouped: dict[Target, list[Box]] = {}
    for box in sample.boxes:
        if box.phrase or not protocol.labels or box.label in protocol.labels:
            grouped.setdefault(Target(box.layer, box.label, box.phrase), []).append(box)
    return {target: tuple(boxes) for target, boxes in sorted(grouped.items())}


def survey(
    shards: Sequence[Shard], protocol: Protocol, keys: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return what the samples of each collection say of boxes; no image is decoded.

    keys: only these samples, those of a benchmark set; None: all.

    images; with_boxes: of the views that are measured; without_boxes: of these views; left_out:
    images with boxes by the other views; other_labels: boxes of labels the protocol leaves out.
    """
    counts: dict[str, dict[str, Any]] = {}
    for shard in shards:
        mine = counts.setdefault(shard.source, _no_counts())
        for key, sample in keyed_facts(shard, boxes=True):
            if keys is None or key in keys:
                _count(mine, sample, protocol)
    return dict(sorted(counts.items()))


def _no_counts() -> dict[str, Any]:
    names = ("images", "with_boxes", "without_boxes", "boxes", "other_labels")
    return dict.fromkeys(names, 0) | {"left_out": Counter()}


def _count(mine: dict[str, Any], sample: Sample, protocol: Protocol) -> None:
    mine["images"] += 1
    kept = sum(map(len, targets(sample, protocol).values()))
    if not shown(sample, protocol.views):
        mine["left_out"].update([view(sample)] if sample.boxes else [])
        return
    mine["other_labels"] += len(sample.boxes) - kept
    mine["boxes"] += kept
    mine["with_boxes" if kept else "without_boxes"] += 1


def why(counts: Mapping[str, Any]) -> str:
    """Return why a collection has no box to be measured, from its counts."""
    if not counts["images"]:
        return "it has no image of the benchmark set"
    if counts["left_out"]:
        return f"its images with boxes are of other views ({listed(counts['left_out'])})"
    if counts["other_labels"]:
        return f"its {counts['other_labels']} boxes are of labels that the protocol leaves out"
    return f"none of its {counts['images']} images has a box"


def positive_texts(protocol: Protocol, label: str) -> tuple[str, ...]:
    """Return the texts that say a label is present, as a protocol words them.

    Raises ConfigError for a bank that cannot be read.
    """
    return texts.of_labels((label,), protocol)[0].positive
