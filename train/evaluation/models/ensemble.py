"""Makes one table of scores from several members: the mean of their probabilities (CheXzero)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models.base import SourceScores
from cxr_vlp.train.evaluation.scores import Floats


class Member(Protocol):
    """What the record of an ensemble needs of a model, a score file or a baseline."""

    name: str
    digest: str
    facts: dict[str, Any]


def mean(members: Sequence[tuple[str, SourceScores]]) -> Floats:
    """Return the mean (N, L) of the members' probabilities; one member's scores are its own.

    Raises ConfigError where one of several members gives other numbers than probabilities: their
    mean would follow the member with the widest range.
    """
    odd = [name for name, each in members if not each.probabilities]
    if odd and len(members) > 1:
        raise ConfigError(
            f"an ensemble is a mean of probabilities, and {', '.join(odd)} gives scores outside "
            "0..1: make them probabilities (a sigmoid of each logit, or a protocol whose score is "
            "pair or sigmoid), or evaluate it alone"
        )
    return np.mean([each.scores for _, each in members], axis=0)


def record(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Return what metrics.json records of the members, in the order of the command line."""
    return [{"name": member.name, "digest": member.digest, **member.facts} for member in members]
