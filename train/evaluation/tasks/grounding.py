"""Measures whether a model finds the place of a finding: its heat map against radiologists' boxes.

What is measured is an image with a finding (or a phrase of its report) and all its boxes. A box
with a phrase (MS-CXR) is searched by the phrase, every other one by the positive prompts of its
label. The map is spread bilinearly over the stored image; evaluation/localization.py defines the
measures. A label's value is the mean over its images and phrases, the macro value the mean over
labels, and the headline the mean over collections and their annotation layers. All intervals are
by patient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.sample import Box, Sample
from cxr_vlp.train.data.samples import JSON, members
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.views import listed, shown, view
from cxr_vlp.train.errors import DataError
from cxr_vlp.train.evaluation import heat
from cxr_vlp.train.evaluation.frame import Floats, mask_of
from cxr_vlp.train.evaluation.localization import MEASURES, THRESHOLDS, localize, row
from cxr_vlp.train.evaluation.measures.resampling import Intervals, bootstrap_weights
from cxr_vlp.train.evaluation.measures.table import Estimate, estimate, macro_draws
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.reading import ImageBatch, ReadImage, batches
from cxr_vlp.train.evaluation.tasks.base import Evaluation, TaskResult
from cxr_vlp.train.model.fusion import Tokens

MACRO, ALL = "macro", "all"  # the rows of the mean over labels, and over all images and phrases


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What is searched for in an image: a label of one annotation layer, or one of its phrases."""

    layer: str
    label: str
    phrase: str


@dataclass(frozen=True, slots=True)
class Found:
    """The measures of one image and target, in the order of MEASURES, NaN for no value.

    `seen`: which share of the boxes' pixels the model sees.
    """

    source: str
    key: str
    patient: str
    target: Target
    values: tuple[float, ...]
    seen: float


@dataclass(frozen=True, slots=True)
class Unit:
    """The measures of one annotation layer of one collection, with the resamples of its macros."""

    rows: tuple[dict[str, Any], ...]
    macro: Mapping[str, Estimate]
    draws: Floats


def run(evaluation: Evaluation) -> TaskResult:
    """Return the grounding of the evaluation's split.

    Raises ConfigError for a model without patches, DataError where no image has a box.
    """
    heat.check(*evaluation.models)
    shards, protocol = evaluation.shards.get(evaluation.split, ()), evaluation.protocol
    counts = survey(shards, protocol)
    _require(counts, evaluation)
    found = sorted(
        _found(evaluation, shards), key=lambda each: (each.source, each.key, each.target)
    )
    grouped: dict[tuple[str, str], list[Found]] = {}
    for each in found:
        grouped.setdefault((each.source, each.target.layer), []).append(each)
    units = {name: _unit(name, mine, evaluation.intervals) for name, mine in grouped.items()}
    headline = mean_of_units(units)
    return TaskResult(
        metrics=_metrics(evaluation, counts, found, units, headline),
        tables={"grounding.csv": [*_headline_row(headline), *_rows(units)]},
        summary={
            f"grounding_{name}": headline[name].value
            for name in ("pointing", "chance", "iou", "cnr")
        },
        notes=_notes(counts, found, protocol),
    )


def targets(sample: Sample, protocol: Protocol) -> dict[Target, tuple[Box, ...]]:
    """Return what is searched for in a sample, each with its boxes (their union counts).

    A box without a phrase counts where the protocol measures its label; phrases always count.
    """
    grouped: dict[Target, list[Box]] = {}
    for box in sample.boxes:
        if box.phrase or not protocol.labels or box.label in protocol.labels:
            grouped.setdefault(Target(box.layer, box.label, box.phrase), []).append(box)
    return {target: tuple(boxes) for target, boxes in sorted(grouped.items())}


def has_boxes(sample: Sample) -> bool:
    """Return whether a sample has boxes; only such images are decoded."""
    return bool(sample.boxes)


def survey(shards: Sequence[Shard], protocol: Protocol) -> dict[str, dict[str, Any]]:
    """Return what the samples of each collection say of boxes; no image is decoded.

    images; with_boxes: of the views that are measured; without_boxes: of these views; left_out:
    images with boxes by the other views; other_labels: boxes of labels the protocol leaves out.
    """
    counts: dict[str, dict[str, Any]] = {}
    for shard in shards:
        mine = counts.setdefault(shard.source, _no_counts())
        for member in members(shard.path, JSON):
            try:
                _count(mine, Sample.from_json(member.data), protocol)
            except FormatError as error:
                raise DataError(f"{shard.path}: a sample: {error}") from None
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


def _require(counts: Mapping[str, Mapping[str, Any]], evaluation: Evaluation) -> None:
    if any(each["with_boxes"] for each in counts.values()):
        return
    reasons = [f"{name}: {_why(each)}" for name, each in counts.items()]
    raise DataError(
        f"grounding: no image of the split {evaluation.split} has a box to be measured "
        f"({'; '.join(reasons) or 'no shards'}). Boxes come with NIH ChestX-ray14 (BBox_List), "
        "VinDr-CXR, RSNA, and the layers MS-CXR and CheXlocalize; or leave out the task grounding"
    )


def _why(counts: Mapping[str, Any]) -> str:
    if counts["left_out"]:
        return f"its images with boxes are of other views ({listed(counts['left_out'])})"
    if counts["other_labels"]:
        return f"its {counts['other_labels']} boxes are of labels that the protocol leaves out"
    return f"none of its {counts['images']} images has a box"


def _found(evaluation: Evaluation, shards: Sequence[Shard]) -> Iterator[Found]:
    """Yield the measures of every image and target."""
    flows = [
        batches(
            shards, model.image, model.size, evaluation.protocol.views,
            limit=evaluation.limit, workers=evaluation.workers, wanted=has_boxes,
        )
        for model in evaluation.models
    ]  # fmt: skip
    searches = [Search(model, evaluation.protocol) for model in evaluation.models]
    for parts in zip(*flows, strict=True):
        wanted = [targets(image.sample, evaluation.protocol) for image in parts[0].images]
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
        self.model, self.prompts = model, protocol.prompts
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
            mine = Tokens(*(each[rows] for each in tokens))
            maps = heat.patch_maps(self.model, mine, self._query(target))
            found.update({(i, target): each for i, each in zip(rows, maps, strict=True)})
        return found

    def _query(self, target: Target) -> heat.Query:
        if target.phrase:
            return heat.query(self.model, (target.phrase,), self.prompts.several)
        if target.label not in self.queries:
            texts = positive_texts(self.prompts, target.label)
            self.queries[target.label] = heat.query(self.model, texts, self.prompts.several)
        return self.queries[target.label]


def _unit(name: tuple[str, str], found: Sequence[Found], intervals: Intervals) -> Unit:
    """Return the measures of one layer of a collection: of each label, macro and of all."""
    values = np.array([each.values for each in found])
    labels = sorted({each.target.label for each in found})
    masks = np.array([[each.target.label == label for each in found] for label in labels])
    masks = np.vstack([masks, np.ones((1, len(found)), bool)])  # and all of them
    points = _means(values, masks, np.ones((1, len(found))))[0]
    chunks = [
        _means(values, masks, weights)
        for weights in bootstrap_weights([each.patient for each in found], intervals)
    ]
    draws = np.concatenate([np.empty((0, *points.shape)), *chunks])
    macros, macro_values = _macro(points[:-1], draws[:, :-1])
    macro = dict(zip(MEASURES, map(estimate, macro_values, macros.T), strict=True))
    rows = [_row(name, MACRO, found, macro)]
    for i, label in enumerate((*labels, ALL)):
        mine = [each for each, inside in zip(found, masks[i], strict=True) if inside]
        each = dict(zip(MEASURES, map(estimate, points[i], draws[:, i].T), strict=True))
        rows.append(_row(name, label, mine, each))
    return Unit(tuple(rows), macro, macros)


def _means(values: Floats, masks: np.ndarray, weights: Floats) -> Floats:
    """Return the means (R, G, M) of values (N, M) in groups (G, N), weighted (R, N); NaN: none."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    total = np.einsum("rn,gn,nm->rgm", weights, masks.astype(np.float64), filled, optimize=True)
    count = np.einsum(
        "rn,gn,nm->rgm", weights, masks.astype(np.float64), known.astype(np.float64), optimize=True
    )
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def _macro(points: Floats, draws: Floats) -> tuple[Floats, Floats]:
    """Return the macro means (R, M) of the resamples and of all (M,), over labels with a value."""
    macros = np.full((len(draws), points.shape[1]), np.nan)
    values = np.full(points.shape[1], np.nan)
    for m in range(points.shape[1]):
        have = ~np.isnan(points[:, m])
        if have.any():
            values[m] = points[have, m].mean()
            macros[:, m] = macro_draws(points[have, m], draws[:, have, m])
    return macros, values


def mean_of_units(units: Mapping[tuple[str, str], Unit]) -> dict[str, Estimate]:
    """Return the headline: the mean of the macro values over collections and layers.

    Collections share no patients, so each one's resamples are put into an order of its own first.
    """
    headline = {}
    for m, name in enumerate(MEASURES):
        have = [key for key, unit in units.items() if unit.macro[name].value is not None]
        values = [units[key].macro[name].value or 0.0 for key in have]
        draws = [_shuffled(units[key].draws[:, m], key[0]) for key in have]
        point = float(np.mean(values)) if have else np.nan
        headline[name] = estimate(point, np.mean(draws, axis=0) if have else np.empty(0))
    return headline


def _shuffled(draws: Floats, name: str) -> Floats:
    return draws[np.random.default_rng([ord(letter) for letter in name]).permutation(len(draws))]


def _row(
    name: tuple[str, str], label: str, found: Sequence[Found], values: Mapping[str, Estimate]
) -> dict[str, Any]:
    counts = {
        "n": len(found),
        "images": len({each.key for each in found}),
        "patients": len({each.patient for each in found}),
    }
    return {"collection": name[0], "layer": name[1], "label": label, **counts, **_cells(values)}


def _cells(values: Mapping[str, Estimate]) -> dict[str, float | None]:
    cells: dict[str, float | None] = {}
    for name, each in values.items():
        cells |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
    return cells


def _headline_row(headline: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    counts = dict.fromkeys(("n", "images", "patients"))
    return [{"collection": "mean", "layer": "", "label": MACRO, **counts, **_cells(headline)}]


def _rows(units: Mapping[tuple[str, str], Unit]) -> list[dict[str, Any]]:
    return [each for name in sorted(units) for each in units[name].rows]


def _metrics(
    evaluation: Evaluation,
    counts: Mapping[str, Mapping[str, Any]],
    found: Sequence[Found],
    units: Mapping[tuple[str, str], Unit],
    headline: Mapping[str, Estimate],
) -> dict[str, Any]:
    used = sorted({each.target.label for each in found if not each.target.phrase})
    prompts = evaluation.protocol.prompts
    collections: dict[str, dict[str, Any]] = {
        name: {**each, "left_out": dict(sorted(each["left_out"].items())), "layers": {}}
        for name, each in counts.items()
    }
    for (source, layer), unit in sorted(units.items()):
        rows = {each["label"]: each for each in unit.rows}
        collections[source]["layers"][layer or "collection"] = rows
    return {
        "headline": {name: asdict(each) for name, each in headline.items()},
        "map": "attention of text to patches" if evaluation.models[0].fused else "cosines",
        "thresholds": list(THRESHOLDS),
        "texts": {label: list(positive_texts(prompts, label)) for label in used},
        "phrases": len({each.target.phrase for each in found} - {""}),
        "collections": collections,
        "boxes_partly_seen": sum(0 < each.seen < 1 for each in found),
        "boxes_not_seen": sum(each.seen == 0 for each in found),
    }


def _notes(
    counts: Mapping[str, Mapping[str, Any]], found: Sequence[Found], protocol: Protocol
) -> list[str]:
    notes = []
    for name, each in counts.items():
        if not each["with_boxes"]:
            notes.append(f"grounding: {name} is not measured: {_why(each)}")
        elif each["left_out"] or each["other_labels"]:
            notes.append(
                f"grounding: {name}: images with boxes of other views left out: "
                f"{listed(each['left_out'])}; boxes of other labels: {each['other_labels']}"
            )
    cut, lost = sum(0 < e.seen < 1 for e in found), sum(e.seen == 0 for e in found)
    if cut or lost:
        notes.append(
            f"grounding: the model's window cuts the boxes of {cut} images and findings, and {lost} "
            "are wholly outside it (counted as misses)"
        )
    return notes
