"""Two baselines that any model has to beat: a random tower, and the frequency of each label.

`random`: an architecture with random weights and its own preprocessing. Its scores mean nothing; an
AUROC that is far from 0.5 says that the task can be solved by chance, or that something leaks.
`frequency`: each label's share of positives in the train split of its collection, the same score
for every image. Its AUROC is 0.5; its F1, accuracy and Brier score are those of a constant guess.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from cxr_vlp.train.config.recipe import Recipe
from cxr_vlp.train.config.recipe import load as recipe_of
from cxr_vlp.train.data.samples import facts
from cxr_vlp.train.data.shards import Shard
from cxr_vlp.train.data.shards import digest as shards_digest
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.models import open_clip_model, preprocessing
from cxr_vlp.train.evaluation.models.base import SourceScores
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.model import build

BASELINES = ("random", "frequency")
DEFAULT = "chexzero_tiny"  # whose architecture and preprocessing `random` has, if none is named


def random_of_recipe(recipe: Recipe | None = None, seed: int = 0) -> EncoderModel:
    """Return the towers of a recipe with random weights, which depend on the seed alone."""
    used = recipe_of(DEFAULT) if recipe is None else recipe
    with build.quiet():  # its random weights are what is asked for
        encoder = build.build(build.bare(used.model), seed)
    encoder.model.to("cuda" if torch.cuda.is_available() else "cpu")
    about = {"architecture": used.model.name, "transform": preprocessing.facts(used.image)}
    return _random(encoder, used.image, about, seed)


def random_of_open_clip(name: str, preprocess: str, seed: int = 0) -> EncoderModel:
    """Return an architecture of open_clip with random weights, which depend on the seed alone."""
    known = open_clip_model.known_name(name)
    transform = (
        preprocessing.of_open_clip(merge_preprocess_dict(PreprocessCfg(), {}))
        if preprocess == preprocessing.OWN
        else preprocessing.named(preprocess)
    )
    image = preprocessing.foreign(transform)
    encoder = open_clip_model.encoder_of(open_clip_model.skeleton(known, seed=seed), known)
    about = {
        "architecture": known,
        "transform": asdict(transform),
        "open_clip": open_clip.__version__,
    }
    return _random(encoder, image, about, seed)


class Frequency:
    """The frequency of each label in the train split; `ScoreSource` says what each member is.

    An uncertain label (-1) is not counted. One that a sample does not mention counts as negative
    in a collection that names the label at all.
    """

    name = "frequency"

    def __init__(self, train: Sequence[Shard]) -> None:
        if not train:
            raise ConfigError(
                "--baseline frequency: no shards in the train split of the given folders; the "
                "frequencies of the labels are counted there"
            )
        counted = {
            source: _counted(shard for shard in train if shard.source == source)
            for source in sorted({shard.source for shard in train})
        }
        self.of_source = {s: {n: p / t for n, (p, t) in c.items()} for s, c in counted.items()}
        self.overall = _overall(counted.values())
        content = {"of": self.of_source, "overall": self.overall}
        self.digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        self.facts: dict[str, Any] = {
            "kind": "frequency",
            "train": shards_digest(train),
            "frequencies": self.of_source,
        }

    def known(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of the labels that the train split names."""
        return tuple(name for name in names if name in self.overall)

    def scored(self, images: Sequence[ImageFacts], names: Sequence[str]) -> SourceScores:
        """Return each label's frequency in the collection of the image.

        Where the collection's train split has no such label, that of all collections together is
        used, and a note says so.
        """
        rows = {
            source: [self.of_source.get(source, {}).get(n, self.overall[n]) for n in names]
            for source in {image.source for image in images}
        }
        notes = [
            f"frequency: {source} has no {', '.join(missing)} in its train split: that of all "
            "collections is used"
            for source in sorted(rows)
            if (missing := [n for n in names if n not in self.of_source.get(source, {})])
        ]
        made = np.array([rows[image.source] for image in images], dtype=np.float64)
        return SourceScores(made.reshape(len(images), len(names)), notes=tuple(notes))


def _random(encoder: Any, image: Any, about: Mapping[str, Any], seed: int) -> EncoderModel:
    facts = {"kind": "random", "seed": seed, **about}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return EncoderModel(encoder, image, f"random {about['architecture']}", digest, facts)


def _counted(shards: Iterable[Shard]) -> dict[str, tuple[int, int]]:
    """Return label -> (positives, images that count for it) of one collection."""
    images, positive, uncertain = 0, Counter[str](), Counter[str]()
    named: set[str] = set()
    for shard in shards:
        for sample in facts(shard):
            images += 1
            labels = sample.all_labels
            named.update(labels)
            positive.update(n for n, value in labels.items() if value == 1)
            uncertain.update(n for n, value in labels.items() if value == -1)
    sizes = {name: images - uncertain[name] for name in sorted(named)}
    return {name: (positive[name], size) for name, size in sizes.items() if size}


def _overall(counted: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, float]:
    positive, total = Counter[str](), Counter[str]()
    for each in counted:
        for name, (positives, size) in each.items():
            positive[name] += positives
            total[name] += size
    return {name: positive[name] / total[name] for name in sorted(total)}
