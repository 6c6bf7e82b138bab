"""Makes the truth of images, or of studies, from their labels and the policies of a protocol."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from cxr_vlp.nlp import uncertainty
from cxr_vlp.train.evaluation.facts import ImageFacts
from cxr_vlp.train.evaluation.protocols.protocol import Protocol
from cxr_vlp.train.evaluation.scores import EXCLUDED, Floats, Truth

RANK = {1: 2, -1: 1, 0: 0}  # of a study's images the most positive statement counts
SEVERAL = "several"  # views or projections in one study


def of(
    facts: Sequence[ImageFacts],
    names: Sequence[str],
    protocol: Protocol,
    named: Collection[str],
) -> Truth:
    """Return (N, L) truth: 1, 0 or EXCLUDED.

    named: the labels that the collection names at all. One that it never looked for is not
    negative there, so all its truth is EXCLUDED.
    """
    values = {name: _values(name, protocol) for name in names}
    missing = EXCLUDED if protocol.unmentioned == "exclude" else 0
    made = np.full((len(facts), len(names)), EXCLUDED, np.int8)
    for column, name in enumerate(names):
        if name in named:
            made[:, column] = [values[name].get(f.labels.get(name, 2), missing) for f in facts]
    return made


def _values(name: str, protocol: Protocol) -> dict[int, int]:
    """Return what each label value counts as."""
    policy = protocol.uncertain_of.get(name, protocol.uncertain)
    found = uncertainty.state(uncertainty.UNCERTAIN, policy)
    return {1: 1, 0: 0, -1: EXCLUDED if found is None else found}


def stated(facts: Sequence[ImageFacts], names: Sequence[str], protocol: Protocol) -> Truth:
    """Return (N, L) truth of a file that states it: an empty cell is EXCLUDED, never negative."""
    values = [_values(name, protocol) for name in names]
    rows = [
        [values[i].get(fact.labels.get(name, 2), EXCLUDED) for i, name in enumerate(names)]
        for fact in facts
    ]
    return np.array(rows, np.int8).reshape(len(facts), len(names))


def labelled(truth: Truth) -> npt.NDArray[np.bool_]:
    """Return (N,): whether any label of an image is positive."""
    return np.asarray((truth == 1).any(axis=1))


def studies(
    facts: Sequence[ImageFacts], scores: Floats, how: str
) -> tuple[tuple[ImageFacts, ...], Floats]:
    """Return studies instead of images: their facts, and the mean or maximum of their scores.

    scores: (N, C). A study has the key of its first image, and of its images' values of a label
    the most positive one.
    """
    order = sorted(range(len(facts)), key=lambda i: (facts[i].study, facts[i].key))
    made, rows = [], []
    for _, group in groupby(order, key=lambda i: facts[i].study):
        mine = list(group)
        made.append(_study([facts[i] for i in mine]))
        rows.append(scores[mine].max(axis=0) if how == "max" else scores[mine].mean(axis=0))
    by_key = sorted(range(len(made)), key=lambda i: made[i].key)
    table = np.array(rows, np.float64).reshape(len(made), scores.shape[1])
    return tuple(made[i] for i in by_key), table[by_key]


def _study(images: Sequence[ImageFacts]) -> ImageFacts:
    return replace(
        images[0],
        view=_common([image.view for image in images]),
        projection=_common([image.projection for image in images]),
        labels=_merged([image.labels for image in images]),
    )


def _common(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else SEVERAL


def _merged(rows: Sequence[Mapping[str, int]]) -> dict[str, int]:
    merged: dict[str, int] = {}
    for row in rows:
        for name, value in row.items():
            if name not in merged or RANK[value] > RANK[merged[name]]:
                merged[name] = value
    return dict(sorted(merged.items()))
