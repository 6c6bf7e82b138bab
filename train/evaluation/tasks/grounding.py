"""Measures whether a model finds the place of a finding: its heat map against radiologists' boxes.

What is measured is an image with a finding (or a phrase of its report) and all its boxes. A box
with a phrase (MS-CXR) is searched by the phrase, every other one by the positive prompts of its
label. The map is spread bilinearly over the stored image; grounding/localization.py defines the
measures. A label's value is the mean over its images and phrases, the macro value the mean over
labels, and the headline the mean over collections and their annotation layers. Intervals are by
patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from cxr_vlp.pipelines.format.sample import Box
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import listed
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation.frame import mask_of
from cxr_vlp.train.evaluation.grounding import heat
from cxr_vlp.train.evaluation.grounding.boxes import (
    Target,
    positive_texts,
    survey,
    targets,
    why,
)
from cxr_vlp.train.evaluation.grounding.localization import THRESHOLDS, localize, row
from cxr_vlp.train.evaluation.grounding.table import (
    Found,
    Unit,
    headline_row,
    mean_of_units,
    rows_of,
    unit,
)
from cxr_vlp.train.evaluation.measures.table import Estimate
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.reading import ImageBatch, ReadImage, batches
from cxr_vlp.train.evaluation.scores import Floats
from cxr_vlp.train.evaluation.tasks.base import Evaluation, TaskResult
from cxr_vlp.train.evaluation.zeroshot.collect import surveyed
from cxr_vlp.train.model.fusion import Tokens

Part = tuple[Evaluation, tuple[Shard, ...]]  # of one collection


def run(evaluation: Evaluation) -> TaskResult:
    """Return the grounding of the evaluation's split.

    Raises ConfigError for a model without patches, DataError where no image has a box.
    """
    heat.check(*evaluation.models)
    parts = _by_collection(evaluation)
    counts: dict[str, dict[str, Any]] = {}
    for part, shards in parts.values():
        counts |= survey(shards, part.protocol, part.benchmark.keys if part.benchmark else None)
    made = (each for part, shards in parts.values() for each in _found(part, shards))
    found = sorted(made, key=lambda each: (each.source, each.key, each.target))
    _require(found, counts, evaluation)
    grouped: dict[tuple[str, str], list[Found]] = {}
    for each in found:
        grouped.setdefault((each.source, each.target.layer), []).append(each)
    units = {name: unit(name, mine, evaluation.intervals) for name, mine in grouped.items()}
    headline = mean_of_units(units)
    return TaskResult(
        metrics=_metrics(parts, counts, found, units, headline),
        tables={"grounding.csv": [*headline_row(headline), *rows_of(units)]},
        summary={
            f"grounding_{name}": headline[name].value
            for name in ("pointing", "chance", "iou", "cnr")
        },
        notes=_notes(counts, found),
    )


def _by_collection(evaluation: Evaluation) -> dict[str, Part]:
    """Return each collection's evaluation, by the protocol as it is there, and its shards."""
    found = surveyed(evaluation.shards.get(evaluation.split, ()), evaluation.protocol)
    return {each.name: (replace(evaluation, protocol=each.protocol), each.shards) for each in found}


def _require(
    found: Sequence[Found], counts: Mapping[str, Mapping[str, Any]], evaluation: Evaluation
) -> None:
    """Raise DataError where nothing was measured, with the reason of each collection."""
    if found:
        return
    reasons = [f"{name}: {why(each)}" for name, each in counts.items()]
    raise DataError(
        f"grounding: no image of the split {evaluation.split} has a box to be measured "
        f"({'; '.join(reasons) or 'no shards'}). Boxes come with NIH ChestX-ray14 (BBox_List), "
        "VinDr-CXR, RSNA, and the layers MS-CXR and CheXlocalize; or leave out the task grounding"
    )


def _found(evaluation: Evaluation, shards: Sequence[Shard]) -> Iterator[Found]:
    """Yield the measures of every image and target."""
    wanted_of = partial(targets, protocol=evaluation.protocol)  # only such images are decoded
    flows = [
        batches(
            shards, model.image, model.size, evaluation.protocol.views,
            limit=evaluation.limit, workers=evaluation.workers, wanted=wanted_of,
            keys=evaluation.benchmark.keys if evaluation.benchmark else None,
        )
        for model in evaluation.models
    ]  # fmt: skip
    searches = [Search(model, evaluation.protocol) for model in evaluation.models]
    for parts in zip(*flows, strict=True):
        wanted = [wanted_of(image.sample) for image in parts[0].images]
        maps = [each.maps(part, wanted) for each, part in zip(searches, parts, strict=True)]
        for i, mine in enumerate(wanted):
            for target, boxes in mine.items():
                spread = [
                    heat.in_stored_frame(found[i, target], part.images[i])
                    for found, part in zip(maps, parts, strict=True)
                ]
                yield _measured(parts[0].images[i], target, boxes, spread, searches[0].model)


def _measured(
    image: ReadImage, target: Target, boxes: tuple[Box, ...], spread: list[Floats], model: Model
) -> Found:
    over = np.mean(spread, axis=0)  # of an ensemble; NaN where one of the models sees nothing
    inside = mask_of(boxes, *over.shape)
    seen = float((~np.isnan(over[inside])).mean()) if inside.any() else 0.0
    values = row(localize(over, inside, cosines=not model.fused))
    facts = image.facts
    return Found(facts.source, facts.key, facts.patient, target, values, seen)


class Search:
    """One model and its queries; a label's prompts are encoded once."""

    def __init__(self, model: Model, protocol: Protocol) -> None:
        self.model, self.protocol = model, protocol
        self.queries: dict[str, heat.Query] = {}

    def maps(
        self, batch: ImageBatch, wanted: Sequence[Mapping[Target, Any]]
    ) -> dict[tuple[int, Target], Floats]:
        """Return (place in the batch, target) -> the map (h, w) of the patches."""
        tokens = self.model.encode_images(batch.pixels, patches=True)
        places: dict[Target, list[int]] = {}
        for i, mine in enumerate(wanted):
            for target in mine:
                places.setdefault(target, []).append(i)
        found = {}
        for target, rows in places.items():
            images = Tokens(*(each[rows] for each in tokens))
            maps = heat.patch_maps(self.model, images, self._query(target))
            found.update({(i, target): each for i, each in zip(rows, maps, strict=True)})
        return found

    def _query(self, target: Target) -> heat.Query:
        if target.phrase:
            return heat.query(self.model, (target.phrase,), self.protocol.prompts.several)
        if target.label not in self.queries:
            texts = positive_texts(self.protocol, target.label)
            self.queries[target.label] = heat.query(
                self.model, texts, self.protocol.prompts.several
            )
        return self.queries[target.label]


def _metrics(
    parts: Mapping[str, Part],
    counts: Mapping[str, Mapping[str, Any]],
    found: Sequence[Found],
    units: Mapping[tuple[str, str], Unit],
    headline: Mapping[str, Estimate],
) -> dict[str, Any]:
    collections: dict[str, dict[str, Any]] = {
        name: {
            **each,
            "left_out": dict(sorted(each["left_out"].items())),
            "texts": _texts(parts[name][0].protocol, found, name),
            "layers": {},
        }
        for name, each in counts.items()
    }
    for (source, layer), measured in sorted(units.items()):
        rows = {each["label"]: each for each in measured.rows}
        collections[source]["layers"][layer or "collection"] = rows
    fused = next(iter(parts.values()))[0].models[0].fused
    return {
        "headline": {name: asdict(each) for name, each in headline.items()},
        "map": "attention of text to patches" if fused else "cosines",
        "thresholds": list(THRESHOLDS),
        "phrases": len({each.target.phrase for each in found} - {""}),
        "collections": collections,
        "boxes_partly_seen": sum(0 < each.seen < 1 for each in found),
        "boxes_not_seen": sum(each.seen == 0 for each in found),
    }


def _texts(protocol: Protocol, found: Sequence[Found], name: str) -> dict[str, list[str]]:
    """Return label -> the texts by which it was searched in a collection."""
    used = {e.target.label for e in found if e.source == name and not e.target.phrase}
    return {label: list(positive_texts(protocol, label)) for label in sorted(used)}


def _notes(counts: Mapping[str, Mapping[str, Any]], found: Sequence[Found]) -> list[str]:
    notes = []
    for name, each in counts.items():
        if not each["with_boxes"]:
            notes.append(f"grounding: {name} is not measured: {why(each)}")
        elif each["left_out"] or each["other_labels"]:
            notes.append(
                f"grounding: {name}: images with boxes of other views left out: "
                f"{listed(each['left_out'])}; boxes of other labels: {each['other_labels']}"
            )
    cut, lost = sum(0 < e.seen < 1 for e in found), sum(e.seen == 0 for e in found)
    if cut or lost:
        notes.append(
            f"grounding: the model's window cuts the boxes of {cut} images and findings; those of "
            f"{lost} are wholly outside it and count as misses"
        )
    return notes
