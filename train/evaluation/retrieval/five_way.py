"""Classifies the images of a 5x200 set by prompts, and searches by class.

A class has many prompts. Its score is their mean similarity (CXR-CLIP), the highest one (MedCLIP),
or the highest one standardised over the images (GLoRIA, which adds its local similarity). The class
with the highest score is the answer; where two are equal the answer is wrong.

Precision@K: an image asks for texts, a text for images, and what belongs to the class of the query
is right (GLoRIA and MedCLIP ask with images). A text of several images has the classes of them all.
The query's own pair is in the gallery.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr_vlp.nlp.wording.prompts import zero_shot
from cxr_vlp.train.evaluation.protocols.prompt_files import own_prompts
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.retrieval.ranks import Flags, blocks, precisions
from cxr_vlp.train.evaluation.retrieval.similarities import Similarities
from cxr_vlp.train.evaluation.scores import Floats, Places

Texts = tuple[str, ...]


def prompts(classes: Sequence[str], protocol: Protocol) -> list[Texts]:
    """Return the prompts of each class. Raises ConfigError for a file of prompts that is wrong."""
    section = protocol.retrieval
    bank = own_prompts(protocol.prompts)
    found = [zero_shot(name, section.bank, bank)[0] for name in classes]
    if not section.prompts:
        return found
    return [
        tuple(
            random.Random(f"{section.seed}/{name}").sample(texts, min(section.prompts, len(texts)))
        )
        for name, texts in zip(classes, found, strict=True)
    ]


def class_scores(similarity: Floats, sizes: Sequence[int], how: str) -> Floats:
    """Return (N, C) from the similarities (N, P) of all prompts, `sizes` of them for each class."""
    parts = np.split(similarity, np.cumsum(sizes)[:-1], axis=1)
    if how == "mean":
        return np.stack([part.mean(axis=1) for part in parts], axis=1)
    highest = np.stack([part.max(axis=1) for part in parts], axis=1)
    if how == "max":
        return highest
    spread = highest.std(axis=0)
    return (highest - highest.mean(axis=0)) / np.where(spread > 0, spread, 1)


def correct(scores: Floats, truth: Places) -> Floats:
    """Return (N,): 1 where the score (N, C) of the true class is above all others, else 0."""
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    return ((scores >= own).sum(axis=1) == 1).astype(np.float64)


def confusion(scores: Floats, truth: Places) -> list[list[int]]:
    """Return how often each class (row) was given each answer (column); ties to the first."""
    found = np.zeros((scores.shape[1],) * 2, int)
    np.add.at(found, (truth, scores.argmax(axis=1)), 1)
    return found.tolist()


def classes_of_texts(owners: Places, truth: Places, texts: int, classes: int) -> Flags:
    """Return (T, C): the classes of the images of each text."""
    found = np.zeros((texts, classes), bool)
    found[owners, truth] = True
    return found


def of_images(
    between: Similarities, truth: Places, text_classes: Flags, counts: Sequence[int]
) -> Floats:
    """Return (N, K): of each image, the precision among its `counts` most similar texts."""
    parts = [
        precisions(between.rows(block), text_classes[:, truth[block]].T, counts)
        for block in blocks(len(truth))
    ]
    return np.concatenate(parts)


def of_texts(
    between: Similarities, truth: Places, text_classes: Flags, counts: Sequence[int]
) -> Floats:
    """Return (T, K): of each text, the precision among its `counts` most similar images."""
    parts = [
        precisions(between.columns(block), text_classes[block][:, truth], counts)
        for block in blocks(len(text_classes))
    ]
    return np.concatenate(parts)


def places(names: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the place of each name among the classes."""
    known = {name: place for place, name in enumerate(classes)}
    return np.array([known[name] for name in names], np.intp)
