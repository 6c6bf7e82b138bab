"""Chooses the images of a label's page: the highest, the lowest, and the worst errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cxr_vlp.train.pages.site.evaluations import Evaluated

COUNT = 6  # images of each list
LISTS = (
    ("highest", "Highest scores"),
    ("lowest", "Lowest scores"),
    ("alarms", "Highest scores without the finding"),
    ("misses", "Lowest scores with the finding"),
)


@dataclass(frozen=True, slots=True)
class Pick:
    """One image: its key, collection and view, its score, and its truth (1, 0, -1: not counted)."""

    key: str
    collection: str
    view: str
    score: float
    truth: int


def of(evaluated: Evaluated, label: str) -> dict[str, tuple[Pick, ...]]:
    """Return the images of each list; of equal scores, the first key."""
    if label not in evaluated.label_names:
        return {}
    images = sorted(_images(evaluated, label), key=lambda image: (-image.score, image.key))
    upwards = sorted(images, key=lambda image: (image.score, image.key))
    return {
        "highest": tuple(images[:COUNT]),
        "lowest": tuple(upwards[:COUNT]),
        "alarms": tuple(image for image in images if image.truth == 0)[:COUNT],
        "misses": tuple(image for image in upwards if image.truth == 1)[:COUNT],
    }


def keys(evaluations: Iterable[Evaluated], labels: Iterable[str]) -> frozenset[str]:
    """Return the keys of all images of all labels' pages."""
    names = tuple(labels)
    return frozenset(
        image.key
        for evaluated in evaluations
        for label in names
        for images in of(evaluated, label).values()
        for image in images
    )


def _images(evaluated: Evaluated, label: str) -> Iterator[Pick]:
    scores, truth = evaluated.scored(label)
    facts = (evaluated.column(name) for name in ("key", "collection", "view"))
    for key, collection, view, score, value in zip(*facts, scores, truth, strict=True):
        yield Pick(key, collection, view, float(score), int(value))
