"""Selects by the zero-shot AUROC on the validation split: the measure, and where it cannot be made.

The score of a label is that of the protocol `ours`: all our wordings for it and against it (the
bank `frames`), each polarity as one direction, or with a fusion as the mean of its logits. The
number is the mean over the collections of each one's mean over its findings. Counted as in the
protocol: an uncertain label is left out, one that is not mentioned is negative where its collection
names it at all, and No Finding is in no mean.

The images are those that the validation reads anyway: all of the recipe's views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cxr_vlp.nlp.labels import NO_FINDING
from cxr_vlp.train.engine.validation import PlannedImage, ValidationPlan
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.measures.point import auroc
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.evaluation.protocols import protocol
from cxr_vlp.train.evaluation.scores import EXCLUDED
from cxr_vlp.train.evaluation.zeroshot.scorer import of_features
from cxr_vlp.train.evaluation.zeroshot.texts import of_labels
from cxr_vlp.train.model.fusion import Tokens

LEAST = 5  # positives, and negatives, of a label that is measured: fewer move by chance
REMEDY = "set run.select: loss in the recipe, or add labelled images to the split validate"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the AUROC is made of: the labels (L), and the truth (N, L) of a plan's N images.

    truth int8: 1, 0 or EXCLUDED. sources: the collection of each image. left_out: collections
    without a label that can be measured.
    """

    labels: tuple[str, ...]
    truth: npt.NDArray[np.int8]
    sources: tuple[str, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, plan: ValidationPlan) -> Selection:
        """Return the selection of a plan. Raises ConfigError where no label can be measured."""
        images = [image for batch in plan.batches for image in batch]
        sources = tuple(image.source for image in images)
        named = {s: {n for i in images if i.source == s for n in i.labels} for s in set(sources)}
        labels = tuple(sorted(set().union(*named.values()) - {NO_FINDING}))
        rows = [[_truth(image, name, named) for name in labels] for image in images]
        truth = np.array(rows, np.int8).reshape(len(images), len(labels))
        empty = [s for s in sorted(named) if not any(_measured(truth[_where(sources, s)]))]
        if len(empty) == len(named):
            raise ConfigError(
                f"run.select: auroc needs a finding with {LEAST} positive and {LEAST} negative "
                f"images in the split validate, and there is none: {REMEDY}"
            )
        return cls(labels, truth, sources, tuple(empty))

    def auroc(self, scores: npt.NDArray[np.float64]) -> float:
        """Return the AUROC of scores (N, L): the mean over collections of the mean over labels.

        nan where a score is not finite: the weights are the fault then, and not the data.
        """
        if not np.isfinite(scores).all():
            return math.nan
        means = []
        for source in sorted(set(self.sources) - set(self.left_out)):
            mine = _where(self.sources, source)
            columns = np.flatnonzero(_measured(self.truth[mine]))
            found = [auroc(scores[mine, i], self.truth[mine, i]) for i in columns]
            values = [value for value in found if value is not None]
            means.append(np.mean(values))
        return float(np.mean(means))


def scorer(model: EncoderModel, labels: Sequence[str]) -> Callable[[Tokens], Tensor]:
    """Return the function from the features of B images to scores (B, L), in the protocol `ours`.

    The prompts are encoded once, here, for a validation.
    """
    ours = protocol.load("ours")
    return of_features(model, of_labels(labels, ours), ours)


def _truth(image: PlannedImage, name: str, named: Mapping[str, Iterable[str]]) -> int:
    if name not in named[image.source]:
        return EXCLUDED
    value = image.labels.get(name, 0)
    return value if value in (0, 1) else EXCLUDED


def _where(sources: Sequence[str], source: str) -> npt.NDArray[np.bool_]:
    return np.array([each == source for each in sources], bool)


def _measured(truth: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Return for each label whether it has positives and negatives enough."""
    counts = np.stack([(truth == 1).sum(axis=0), (truth == 0).sum(axis=0)])
    enough: npt.NDArray[np.bool_] = counts.min(axis=0) >= LEAST
    return enough
