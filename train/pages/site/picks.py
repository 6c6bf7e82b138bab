"""Chooses the images of a label's page: the highest, the lowest, and the worst errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    scores, truth = evaluated.scored(label)
    keys = np.array(evaluated.column("key"), dtype=str)
    known = np.isfinite(scores)  # of collections that do not name the label there is no score
    down = np.lexsort((keys, -scores))
    up = np.lexsort((keys, scores))
    places = {
        "highest": down[known[down]],
        "lowest": up[known[up]],
        "alarms": down[known[down] & (truth[down] == 0)],
        "misses": up[known[up] & (truth[up] == 1)],
    }
    return {name: _picks(evaluated, label, found[:COUNT]) for name, found in places.items()}


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


def _picks(evaluated: Evaluated, label: str, places: npt.NDArray[np.intp]) -> tuple[Pick, ...]:
    """Return the images of some rows of the scores."""
    scores, truth = evaluated.scored(label)
    rows = evaluated.scores.select(["key", "collection", "view"]).take(places).to_pylist()
    values = zip(scores[places].tolist(), truth[places].tolist(), strict=True)
    return tuple(
        Pick(row["key"], row["collection"], row["view"], *pair)
        for row, pair in zip(rows, values, strict=True)
    )
