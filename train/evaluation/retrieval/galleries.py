"""Reads the images and texts of each collection, and makes the gallery that is searched.

A text is the protocol's (`text`). Runs of white space count as one blank, and equal texts are one
text of the gallery: all its images are right. An image whose sample lacks that text is left out
and counted.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cxr_vlp.pipelines.format.sample import key_hash
from cxr_vlp.train.data.policies import parse
from cxr_vlp.train.evaluation.by_collection import batches, only
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.models.base import Model
from cxr_vlp.train.evaluation.protocols.protocol import Protocol, RetrievalConfig
from cxr_vlp.train.evaluation.reading import ImageBatch, ReadImage
from cxr_vlp.train.evaluation.retrieval import similarities
from cxr_vlp.train.evaluation.retrieval.similarities import Cosines, Logits, Similarities
from cxr_vlp.train.evaluation.scores import Places
from cxr_vlp.train.evaluation.tasks.base import Evaluation


@dataclass
class Reading:
    """What was read of a collection: facts and text of each image by its key, and features."""

    features: list[dict[str, Tensor]]  # of each model: key -> (D,); {} of one with a fusion
    facts: dict[str, ImageFacts] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # "" where the sample lacks the text

    def texts_of(self, batch: ImageBatch) -> dict[str, str]:
        """Return the texts of the images of a batch, by key."""
        return {image.facts.key: self.texts[image.facts.key] for image in batch.images}


@dataclass(frozen=True, slots=True)
class Gallery:
    """N images and T different texts of a collection. owners: (N,) the text of each image."""

    images: tuple[ImageFacts, ...]
    texts: tuple[str, ...]
    owners: Places
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def patients(self) -> list[str]:
        """The patient of every image."""
        return [image.patient for image in self.images]


def plain(text: str) -> str:
    """Return a text with one blank for each run of white space."""
    return " ".join(text.split())


def text_of(protocol: Protocol) -> Callable[[ReadImage], str]:
    """Return the function from an image to its text, "" where the sample lacks it."""
    if protocol.text == "caption":
        return lambda image: plain(image.caption)
    policy, unused = parse(protocol.text), random.Random(0)
    return lambda image: plain(policy(image.sample, unused))


def read(own: Evaluation) -> Reading:
    """Return what the shards of a collection hold, with the features of models without a fusion.

    Of a benchmark set only its images.
    """
    mine, text = Reading([{} for _ in own.models]), text_of(own.protocol)
    for number, model in enumerate(own.models):
        if model.fused and number:
            continue  # its images are read again when all texts are known
        for batch in batches(own, model):
            if number == 0:
                mine.facts.update((image.facts.key, image.facts) for image in batch.images)
                mine.texts.update((image.facts.key, text(image)) for image in batch.images)
            if not model.fused:
                kept = [k for k, t in mine.texts_of(batch).items() if t or own.benchmark]
                mine.features[number].update(_encoded(model, batch, kept))
    return mine


def _encoded(model: Model, batch: ImageBatch, keys: Collection[str]) -> dict[str, Tensor]:
    """Return the features of some images of a batch, by key."""
    kept = only(batch, keys)
    if not kept.images:
        return {}
    whole = similarities.encode_images(model, kept.pixels).whole
    return dict(zip((image.facts.key for image in kept.images), whole, strict=True))


def gallery(mine: Reading, protocol: Protocol) -> Gallery:
    """Return the gallery of a collection: its images with a text, of a study one if asked for."""
    keys = sorted(key for key, text in mine.texts.items() if text)
    left = Counter({f"without {protocol.text}": len(mine.texts) - len(keys)})
    if protocol.unit == "study":
        first = _first_of_studies([mine.facts[key] for key in keys])
        left["other images of a study"] = len(keys) - len(first)
        keys = first
    wanted = protocol.retrieval.sample
    if wanted and len(keys) > wanted:
        left["not drawn"] = len(keys) - wanted
        keys = _drawn(keys, protocol.retrieval)
    texts = sorted({mine.texts[key] for key in keys})
    places = {text: place for place, text in enumerate(texts)}
    owners = np.array([places[mine.texts[key]] for key in keys], np.intp)
    facts = tuple(mine.facts[key] for key in keys)
    return Gallery(facts, tuple(texts), owners, {why: n for why, n in left.items() if n})


def compared(
    own: Evaluation, mine: Reading, keys: Sequence[str], texts: Sequence[str]
) -> Similarities:
    """Return the similarities of some images of a collection with texts, the mean of the models."""
    if own.models[0].fused:
        return _logits(own, keys, texts)
    encoded = [
        torch.cat([part.whole for part in similarities.encode_texts(model, texts)])
        for model in own.models
    ]
    images = [torch.stack([each[key] for key in keys]) for each in mine.features]
    return Cosines(tuple(images), tuple(encoded))


def _logits(own: Evaluation, keys: Sequence[str], texts: Sequence[str]) -> Logits:
    """Return a fusion's logits. The images are read again, now that all texts are known."""
    places = {key: place for place, key in enumerate(keys)}
    whole = np.zeros((len(keys), len(texts)), np.float32)
    for model in own.models:
        encoded = similarities.encode_texts(model, texts)
        for batch in batches(own, model, places):
            tokens = similarities.encode_images(model, batch.pixels)
            rows = [places[image.facts.key] for image in batch.images]
            found = similarities.similarity(model, tokens, encoded).numpy()
            whole[rows] += (found / len(own.models)).astype(np.float32)
    return Logits(whole)


def _first_of_studies(facts: Sequence[ImageFacts]) -> list[str]:
    """Return the first image of every study: a frontal one if there is one, then by key."""
    studies: dict[str, list[ImageFacts]] = {}
    for image in facts:
        studies.setdefault(image.study, []).append(image)
    return sorted(
        min(images, key=lambda image: (image.view != "frontal", image.key)).key
        for images in studies.values()
    )


def _drawn(keys: Collection[str], section: RetrievalConfig) -> list[str]:
    order = sorted(keys, key=lambda key: key_hash(f"{section.seed}/{key}"))
    return sorted(order[: section.sample])
