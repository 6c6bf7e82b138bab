"""The table of scores: what every measure is computed from, whoever made the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cxr_vlp.train.evaluation.facts import ImageFacts

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Truth = npt.NDArray[np.int8]
EXCLUDED = -1  # in Truth: not counted for this label


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """N images (or studies) and L labels, sorted by source and key.

    scores (N, L) float64: higher is more likely; in 0..1 where `probabilities` is true, else any
    finite number (Brier and ECE are then not measured). truth (N, L) int8: 1, 0 or EXCLUDED, after
    the protocol's policies. `no_finding`: strategy (direct, pair, one_minus_max,
    mean_of_negatives) -> scores (N,) of No Finding.
    """

    facts: tuple[ImageFacts, ...]
    names: tuple[str, ...]
    scores: Floats
    truth: Truth
    no_finding: Mapping[str, Floats] = field(default_factory=dict)
    probabilities: bool = True
