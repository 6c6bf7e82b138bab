"""Says which labels imply or overlap, so that no text states one label and denies the other.

The table is lexicon/en/relations.yaml. It limits what a text may deny; it never adds a label.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from cxr_vlp.nlp import lexicon
from cxr_vlp.nlp.labels import DEVICES, NO_FINDING
from cxr_vlp.nlp.uncertainty import NEGATIVE, POSITIVE


@functools.cache
def undeniable_beside(label: str) -> frozenset[str]:
    """Return the labels that a text with `label` may not deny, without `label` itself."""
    table = lexicon.load("relations")
    found: set[str] = set()
    waiting = [label]
    while waiting:
        for name in table["implies"].get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    for row in table["overlaps"]:
        if label in row:
            found.update(row)
    return frozenset(found - {label})


def never_denied() -> frozenset[str]:
    """Return the labels that mean "any other": no text can deny them in few words."""
    return frozenset(lexicon.load("relations")["never_denied"])


def deniable(labels: Mapping[str, int]) -> tuple[str, ...]:
    """Return the labels of a row that a text may deny, sorted: explicit zeros only.

    A label without a key was not looked for, or was not mentioned, and is not denied. A zero is
    left out where a positive or uncertain label implies it or overlaps with it.
    """
    kept = {
        name
        for said, state in labels.items()
        if state != NEGATIVE
        for name in undeniable_beside(said)
    }
    zeros = {name for name, state in labels.items() if state == NEGATIVE and name != NO_FINDING}
    return tuple(sorted(zeros - kept - never_denied()))


def contradicts_itself(labels: Mapping[str, int]) -> bool:
    """Return whether a row denies what it also says.

    It does where a positive label implies one that is zero (Pneumonia 1, Lung Opacity 0), or where
    No Finding is positive beside a positive finding.
    """
    positive = [n for n, state in labels.items() if state == POSITIVE and n != NO_FINDING]
    zeros = {name for name, state in labels.items() if state == NEGATIVE}
    implied = (set(lexicon.load("relations")["implies"].get(n, ())) for n in positive)
    if any(zeros & names for names in implied):
        return True
    return labels.get(NO_FINDING) == POSITIVE and any(name != DEVICES for name in positive)
