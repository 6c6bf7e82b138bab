"""Decides what an uncertain label or sentence counts as, for all rooms.

A policy is one of

    positive   uncertain counts as positive, that is, as abnormal
    negative   uncertain counts as negative, that is, as normal
    exclude    the uncertain label is left out
    keep       it stays uncertain

Other names for these are in use and mean the same: ones, zeros and ignore (the CheXpert baselines;
Irvin et al. 2019), abnormal and normal (`text.uncertain` of a recipe).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

POSITIVE, NEGATIVE, UNCERTAIN = 1, 0, -1  # the states of a label

POLICIES = ("positive", "negative", "exclude", "keep")
_SYNONYMS = {
    "ones": "positive",
    "abnormal": "positive",
    "zeros": "negative",
    "normal": "negative",
    "ignore": "exclude",
}


def policy(name: str) -> str:
    """Return which of POLICIES `name` is. Raises ValueError for a name that is none."""
    known = _SYNONYMS.get(name, name)
    if known not in POLICIES:
        allowed = ", ".join((*POLICIES, *_SYNONYMS))
        raise ValueError(f"uncertainty policy must be one of {allowed}, not {name!r}")
    return known


def state(found: int, chosen: str) -> int | None:
    """Return the state of a label under the policy `chosen`; None where it is left out.

    >>> state(UNCERTAIN, "positive"), state(UNCERTAIN, "exclude"), state(NEGATIVE, "positive")
    (1, None, 0)
    """
    decided = {"positive": POSITIVE, "negative": NEGATIVE, "keep": UNCERTAIN, "exclude": None}
    counted = decided[policy(chosen)]
    return counted if found == UNCERTAIN else found


def resolve(
    labels: Mapping[str, int], chosen: str = "keep", per_label: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Return `labels` with the uncertain ones decided by the policy `chosen`.

    `per_label` gives single labels a policy of their own, as the CheXpert baselines do. Raises
    ValueError for a name that is no policy.

    >>> resolve({"Edema": -1, "Fracture": 1}, "zeros")
    {'Edema': 0, 'Fracture': 1}
    """
    own = per_label or {}
    decided = {name: state(found, own.get(name, chosen)) for name, found in labels.items()}
    return {name: found for name, found in decided.items() if found is not None}


@functools.lru_cache(maxsize=64)
def status(found: str, chosen: str) -> str:
    """Return the status of a sentence under the policy `chosen`: uncertain ones are decided.

    A sentence is never left out here: `exclude` and `keep` both leave it uncertain.

    >>> status("uncertain", "normal"), status("uncertain", "abnormal"), status("normal", "ones")
    ('normal', 'abnormal', 'normal')
    """
    counted = {"positive": "abnormal", "negative": "normal"}.get(policy(chosen), "uncertain")
    return counted if found == "uncertain" else found
