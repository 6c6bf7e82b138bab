"""Makes one table of scores from several members: the mean of their probabilities (CheXzero)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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


def mean(members: Mapping[str, SourceScores]) -> Floats:
    """Return the mean (N, L) of the members' probabilities; one member's scores are its own.

    Raises ConfigError where one of several members gives other numbers than probabilities: their
    mean would follow the member with the widest range.
    """
    scores = list(members.values())
    odd = [name for name, each in members.items() if not each.probabilities]
    if odd and len(scores) > 1:
        raise ConfigError(
            f"an ensemble is a mean of probabilities, and {', '.join(odd)} gives scores outside "
            "0..1: make them probabilities (a sigmoid of each logit), or evaluate it alone"
        )
    return np.mean([each.scores for each in scores], axis=0)


def common(names: Sequence[str], known: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the labels that every member scores, in the order of `names`.

    Raises ConfigError where there is none.
    """
    found = tuple(name for name in names if all(name in each for each in known))
    if names and not found:
        raise ConfigError(
            f"no label of these {len(names)} is scored by all members: {', '.join(names)}"
        )
    return found


def digest(members: Sequence[Member]) -> str:
    """Return the digest of one member, or that of several members' digests, in any order."""
    if len(members) == 1:
        return members[0].digest
    each = sorted(member.digest for member in members)
    return hashlib.sha256(json.dumps(each).encode()).hexdigest()


def record(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Return what metrics.json records of the members, in the order of the command line."""
    return [{"name": member.name, "digest": member.digest, **member.facts} for member in members]
