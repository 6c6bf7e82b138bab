"""A linear head that predicts labels from an image's features: the supervised baseline.

Its classes are the labels that the recipe names, or all that the train split names. A label that a
sample does not mention is a negative only in a collection that names the label somewhere: NIH has
no "Fracture", and its images are not images without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cxr_vlp.pipelines.format.sample import Sample
from cxr_vlp.train.config.recipe import LossConfig
from cxr_vlp.train.data.samples import facts
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.errors import ConfigError

LEFT_OUT = -1.0  # in targets: the label of this image is in no loss
Named = Mapping[str, frozenset[str]]  # collection -> the labels that its samples name


class LabelHead(nn.Module):
    """A linear map (B, D) -> (B, L) to the logits of the labels `names`.

    The name of its layer is the name of the weights in saved models: do not change it.
    """

    def __init__(self, width: int, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.linear = nn.Linear(width, len(self.names))
        self.named: Named = {}
        self.negatives = True  # what is not mentioned counts as negative

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, L) of features (B, D)."""
        logits: Tensor = self.linear(features)
        return logits

    def targets(self, samples: Iterable[Sample]) -> Tensor:
        """Return (B, L) float32: 1, 0, or LEFT_OUT for an uncertain or an unknown label."""
        return torch.tensor([self._row(sample) for sample in samples], dtype=torch.float32)

    def _row(self, sample: Sample) -> list[float]:
        labels = sample.all_labels
        known = self.named.get(sample.dataset, frozenset()) if self.negatives else frozenset()
        silent = {name: 0 if name in known else -1 for name in self.names}
        return [float(labels.get(name, silent[name])) for name in self.names]


def attach(model: Any, names: Sequence[str], seed: int) -> LabelHead:
    """Give a dual encoder a head for some labels as its submodule `label_head`; return it.

    The weights depend on the seed alone.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        side = model.visual.image_size
        height, width = side if isinstance(side, tuple | list) else (side, side)
        training = model.training
        features = model.eval().encode_image(torch.zeros(1, 3, height, width))
        model.train(training)
        model.label_head = LabelHead(features.shape[-1], names)
    head: LabelHead = model.label_head
    return head


def of_shards(model: Any, loss: LossConfig, train: Iterable[Shard], seed: int) -> LabelHead | None:
    """Attach the head that a recipe's loss needs, with the labels of the train split.

    None where no term of the loss needs one. Raises ConfigError where the shards do not have the
    labels.
    """
    if not loss.weights.labels:
        return None
    named = survey(train)
    found = sorted(set().union(*named.values()))
    absent = [name for name in loss.labels if name not in found]
    if absent or not found:
        raise ConfigError(
            f"loss.labels: no sample of the train split has {', '.join(absent) or 'a label'}; "
            f"its labels are {', '.join(found) or 'none'}"
        )
    head = attach(model, loss.labels or found, seed)
    head.named, head.negatives = named, loss.unmentioned == "negative"
    return head


def record(model: Any) -> dict[str, list[str]]:
    """Return what recipe.json holds of the head: the names of its labels; {} without a head."""
    head = getattr(model, "label_head", None)
    return {} if head is None else {"labels": list(head.names)}


def survey(shards: Iterable[Shard]) -> Named:
    """Return the labels that the samples of each collection name."""
    found: dict[str, set[str]] = {}
    for shard in shards:
        for sample in facts(shard):
            found.setdefault(sample.dataset, set()).update(sample.all_labels)
    return {source: frozenset(names) for source, names in sorted(found.items())}
